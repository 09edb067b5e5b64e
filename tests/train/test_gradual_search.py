"""The search for a target: what is measured, its stages, and a run that ends at the target."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fixtures.tiny_runs import VOCABULARY
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.config.values import Schedule
from power_bert.elimination.allocation import path_targets, stage_targets
from power_bert.elimination.configuration import KeptUnits
from power_bert.elimination.flops import EncoderShape, forward_flops
from power_bert.elimination.retention import CLS_ALONE, Retention
from power_bert.errors import UserError
from power_bert.model.classifier_building import plain_tokenizer, rebuild_classifier
from power_bert.model.importance import Importance, mask_of, most_important
from power_bert.model.int8_weights import dense_kernels, rounded_to_int8
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.forward import compiled_forward
from power_bert.predict.predict_texts import predict_outputs
from power_bert.reports.finish_run import finish_run
from power_bert.runs.run_dir import PhaseDir, RunDir, write_run_json
from power_bert.runs.run_documents import read_configuration
from power_bert.train import phases
from power_bert.train.gradual_search import FrontierPoint, GradualSearch
from power_bert.train.latency_cost import LatencyTable
from power_bert.train.self_distillation import RETRAIN_ALPHA, SEARCH_ALPHA
from power_bert.train.sensitivity import Sensitivity
from power_bert_runtime.encoded_texts import EncodedTexts


@pytest.mark.parametrize("target", [1.05, 1.7, 2.0, 5.0, 100.0])
def test_stages_have_equal_ratios_and_end_at_the_target(target: float) -> None:
    stages = np.array(stage_targets(target))
    ratios = stages / np.append(1.0, stages[:-1])
    assert stages[-1] == pytest.approx(target) and ratios.max() <= 1.7 + 1e-9
    np.testing.assert_allclose(ratios, ratios[0])


def test_a_path_has_stages_of_one_ratio_through_the_speedup() -> None:
    assert path_targets(None) == pytest.approx([1.4**stage for stage in range(1, 7)])
    assert path_targets(1.05) == path_targets(None)
    for through in (1.2, 2.0, 3.0, 30.0):
        path = np.array(path_targets(through))
        ratios = path / np.append(1.0, path[:-1])
        np.testing.assert_allclose(ratios, ratios[0])
        assert np.abs(path - through).min() < 1e-9 and 1.18 < ratios[0] < 1.7


class TestSensitivity:
    TEXTS = ("the cat sees a dog", "a dog", "the dog sees the cat and the cat sees the dog")

    @pytest.fixture
    def classifier(self, make_classifier: Callable[..., Any]) -> Any:
        return make_classifier(intermediate_dim=64)

    @pytest.fixture
    def encoded(self, classifier: Any) -> EncodedTexts:
        return plain_tokenizer(classifier).encode(self.TEXTS, None, 24)

    @pytest.fixture
    def importance(self) -> list[Importance]:
        rng = np.random.default_rng(0)
        return [Importance(rng.uniform(size=2), rng.uniform(size=64)) for _ in range(2)]

    def logits(self, classifier: Any, encoded: EncodedTexts) -> np.ndarray:
        return predict_outputs(compiled_forward(classifier), encoded, 8, 24)

    def test_nothing_eliminated_is_no_loss(self, classifier: Any, encoded: EncodedTexts) -> None:
        assert Sensitivity(classifier, encoded, self.logits(classifier, encoded), 24).loss() < 1e-9

    def test_a_point_is_the_loss_of_the_model_that_keeps_so_much(
        self, classifier: Any, encoded: EncodedTexts, importance: list[Importance]
    ) -> None:
        """Hidden tokens, heads and neurons count as tensors that are really shorter and narrower."""
        logits = self.logits(classifier, encoded)
        first, last = Sensitivity(classifier, encoded, logits, 24).curves(importance)
        everything = KeptUnits(np.arange(2), np.arange(64))
        for curve, kept in (
            (first.heads, KeptUnits(most_important(importance[0].heads, 1), np.arange(64))),
            (first.neurons, KeptUnits(np.arange(2), most_important(importance[0].neurons, 32))),
        ):
            narrow = rebuild_classifier(classifier, [kept, everything])
            error = np.square(self.logits(narrow, encoded) - logits).mean() / np.var(logits, axis=0).mean()
            assert curve[-1] == (curve[-1][0], pytest.approx(error, rel=1e-3))
        fraction, loss = first.tokens[3]
        shorter = rebuild_classifier(classifier, extraction="hard", retention=(fraction, 0.0001))
        error = np.square(self.logits(shorter, encoded) - logits).mean() / np.var(logits, axis=0).mean()
        assert loss == pytest.approx(error, rel=1e-3) and loss > 0
        assert len(last.tokens) == 1 and first.tokens[0] == (1.0, pytest.approx(0.0, abs=1e-9))

    @pytest.mark.parametrize("fuse_dropped", [False, True])
    def test_goes_on_from_what_is_eliminated(
        self, fuse_dropped: bool, classifier: Any, encoded: EncodedTexts, importance: list[Importance]
    ) -> None:
        logits = self.logits(classifier, encoded)
        changes = {"extraction": "hard", "fuse_dropped": fuse_dropped}
        shorter = rebuild_classifier(classifier, retention=(0.5, 0.0001), **changes)
        now = np.square(self.logits(shorter, encoded) - logits).mean() / np.var(logits, axis=0).mean()
        first, _ = Sensitivity(shorter, encoded, logits, 24, fuse_dropped).curves(importance)
        for fraction, loss in first.tokens[1:]:
            retention = (max(fraction, CLS_ALONE), CLS_ALONE)
            shortest = self.logits(rebuild_classifier(classifier, retention=retention, **changes), encoded)
            error = np.square(shortest - logits).mean() / np.var(logits, axis=0).mean()
            assert loss == pytest.approx(error, rel=1e-3)
        assert first.tokens[0] == (0.5, pytest.approx(now, rel=1e-3))
        assert max(fraction for fraction, _ in first.tokens) == 0.5
        head = KeptUnits(most_important(importance[0].heads, 1), np.arange(64))
        narrow = rebuild_classifier(
            classifier, [head, KeptUnits(np.arange(2), np.arange(64))], retention=(0.5, CLS_ALONE), **changes
        )
        error = np.square(self.logits(narrow, encoded) - logits).mean() / np.var(logits, axis=0).mean()
        assert first.heads[-1] == (1, pytest.approx(error, rel=1e-3))  # the other head ranks no tokens


def test_masks() -> None:
    assert mask_of(np.array([0.2, 0.7, 0.1]), 2).tolist() == [1.0, 1.0, 0.0]


def test_a_target_needs_fractions(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="RETENTION_UNIT=tokens with SPEEDUP"):
        make_experiment(tmp_path, speedup=2.0, retention_unit="tokens")


def test_settings_of_earlier_runs_have_no_teacher(tmp_path: Path) -> None:
    stored = json.loads(resolve_experiment({"output_dir": str(tmp_path), "speedup": 2.0}).to_json())
    names = ("self_distill", "width", "quantization_aware")
    assert all(stored.pop(name) is True for name in names)
    earlier = Experiment.from_json(json.dumps(stored), "config.json")
    assert not any(getattr(earlier, name) for name in names)


@pytest.mark.parametrize("name", ["self_distill", "quantization_aware"])
def test_by_default_with_a_target_only(name: str, tmp_path: Path) -> None:
    for given, expected in (({}, False), ({"speedup": 2.0}, True), ({"speedup": 2.0, name: False}, False)):
        assert getattr(resolve_experiment({"output_dir": str(tmp_path), **given}), name) is expected


def test_a_constant_answer_teaches_nothing(
    make_experiment: Callable[..., Experiment], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = SimpleNamespace(labels=np.array([0, 1, 1]))
    context: Any = SimpleNamespace(
        experiment=make_experiment(tmp_path, self_distill=True),
        run_dir=RunDir(tmp_path),
        reporter=SimpleNamespace(say=print),
        **dict.fromkeys(("train", "dev"), SimpleNamespace(examples=examples)),
    )
    fine_tuned = context.run_dir.phase("1_fine_tune")
    write_run_json(fine_tuned.metrics, {"scores": {"matthews": 0.0}, "history": [], "warnings": []})
    lesson = phases.lesson_of_run(context, lambda: pytest.fail("the teacher is not needed"), SEARCH_ALPHA)
    assert lesson.targets[:, 0].tolist() == [0, 1, 1]
    assert "no better than a constant prediction" in capsys.readouterr().out


class TestLargestLoss:
    def chosen(self, experiment: Experiment, folder: Path, losses: dict[float, float]) -> Path:
        """Return the stage that is taken from a frontier of FLOPs reduction → loss."""
        context = SimpleNamespace(experiment=experiment, run_dir=RunDir(folder))
        search: Any = SimpleNamespace(context=context, phase_dir=PhaseDir(folder))
        frontier = [
            FrontierPoint(PhaseDir(folder / f"{speed}"), speed, "fewer FLOPs", "matthews", 0.5 - loss / 100, loss)
            for speed, loss in losses.items()
        ]
        return GradualSearch._fastest_within(search, experiment.max_loss or 0.0, frontier).path

    def test_the_fastest_within(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        experiment = make_experiment(tmp_path, max_loss=1.0)
        assert self.chosen(experiment, tmp_path, {1.4: 0.2, 2.0: 1.2, 2.7: 1.0, 3.8: 2.5}).name == "2.7"
        header, first, *_ = (tmp_path / "frontier.csv").read_text().splitlines()
        assert header == "flops_reduction,matthews,loss_points" and [float(cell) for cell in first.split(",")] == [
            1.4,
            pytest.approx(0.498),
            0.2,
        ]

    def test_not_both(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        experiment = make_experiment(tmp_path, max_loss=1.0, speedup=2.0)
        assert self.chosen(experiment, tmp_path, {1.4: 0.2, 2.0: 0.9}).name == "2.0"
        with pytest.raises(UserError, match=r"SPEEDUP=2: not both.*1.40 times fewer FLOPs at matthews 49.80 \(-0.20\)"):
            self.chosen(experiment, tmp_path, {1.4: 0.2, 2.0: 1.1, 2.8: 2.0})

    def test_nothing_within(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"MAX_LOSS=1\. The frontier.*Raise MAX_LOSS with OUTPUT_DIR=.*from here$"):
            self.chosen(make_experiment(tmp_path, max_loss=1.0), tmp_path, {1.4: 2.5})

    def test_lost_in_re_training(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        run_dir = RunDir(tmp_path)
        write_run_json(run_dir.phase("baseline").metrics, {"scores": {"matthews": 0.9}, "history": [], "warnings": []})
        context: Any = SimpleNamespace(experiment=make_experiment(tmp_path, max_loss=1.0), run_dir=run_dir)
        assert list(phases.warn_of_loss(context, {"matthews": 0.89})) == [], "exactly the limit"
        [warning] = phases.warn_of_loss(context, {"matthews": 0.885})
        assert warning.startswith("1.50 points below the baseline, more than MAX_LOSS=1")

    def test_needs_a_search(self, make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
        with pytest.raises(UserError, match="MAX_LOSS is a target of the search, and RETENTION_CONFIG skips"):
            make_experiment(tmp_path, max_loss=1.0, retention_config="1.0,0.5")

    @pytest.mark.slow
    def test_run(self, run_tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("power_bert.elimination.allocation._PATH_END", 2.0)
        run = run_tiny(tmp_path / "run", max_loss=90.0, epochs=1, search_epochs=1)
        frontier = (run.folder / "2_search" / "frontier.csv").read_text().splitlines()
        assert len(frontier) == 3  # a header and two stages: 1.4 and 1.96
        first, second = (float(row.partition(",")[0]) for row in frontier[1:])
        assert (run.folder / "baseline" / "DONE").exists() and 1.4 <= first < second and second >= 1.96
        assert run.output.index("baseline: done") < run.output.index("2 search, stage 1: 1.4")


class TestOneBlock:
    @pytest.fixture
    def checkpoint(self, write_checkpoint: Callable[..., Path], tmp_path: Path) -> str:
        return str(write_checkpoint(tmp_path / "bert", VOCABULARY, 1, 8, 32, 256))

    @pytest.mark.parametrize("settings", [{}, {"speedup": 2.0, "width": False}, {"max_loss": 1.0, "width": False}])
    def test_has_no_tokens_to_eliminate(
        self, settings: dict[str, Any], checkpoint: str, run_tiny: Callable[..., Any], tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=r"one encoder block.*no tokens to eliminate\. SPEEDUP or MAX_LOSS with"):
            run_tiny(tmp_path / "run", checkpoint_path=checkpoint, **settings)
        assert not (tmp_path / "run").exists()

    def test_has_heads_and_neurons(self, checkpoint: str, run_tiny: Callable[..., Any], tmp_path: Path) -> None:
        run = run_tiny(tmp_path / "run", checkpoint_path=checkpoint, speedup=1.3, epochs=1, search_epochs=1)
        stored = json.loads((run.folder / "2_search" / "stage_1" / "retention.json").read_text())
        assert stored["flops_reduction"] >= 1.3 and stored["neurons"] < [256]


class TestRun:
    @pytest.mark.parametrize("fuse", [False, True])
    def test_ends_at_the_target(
        self,
        fuse: bool,
        run_tiny: Callable[..., Any],
        write_checkpoint: Callable[..., Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        alphas, taught_by = list[Schedule](), phases.taught_by
        monkeypatch.setattr(phases, "teaches", lambda context: True)
        monkeypatch.setattr(phases, "taught_by", lambda *given: alphas.append(given[-1]) or taught_by(*given))
        # The units of the usual tiny model, half the heads of a block, are too coarse to come near a target.
        finer = write_checkpoint(tmp_path / "bert", VOCABULARY, 2, 8, 32, 256)
        run = run_tiny(tmp_path / "run", checkpoint_path=str(finer), speedup=2.2, epochs=1, search_epochs=1, fuse=fuse)
        assert alphas == [SEARCH_ALPHA, RETRAIN_ALPHA] and RETRAIN_ALPHA.end == 1.0
        run_dir = RunDir(run.folder)
        first, model = (load_own_classifier(run_dir.phase(name).model) for name in ("1_fine_tune", "3_retrain"))
        configuration = read_configuration(run_dir.phase("2_search").retention)
        backbone = model.backbone
        assert backbone.fuse_dropped == fuse and not first.backbone.fuse_dropped
        whole, narrow = (EncoderShape.of(each.backbone.get_config(), 2) for each in (first, model))
        assert backbone.retention == configuration.tokens
        assert narrow == dataclasses.replace(configuration.narrowed(whole), fuse_dropped=fuse)
        lengths = [9, 12, 15]
        assert forward_flops(narrow, lengths, backbone.retention).total < forward_flops(whole, lengths).total
        stages = [json.loads((run.folder / "2_search" / f"stage_{n}" / "retention.json").read_text()) for n in (1, 2)]
        for stage, target in zip(stages, stage_targets(2.2), strict=True):
            assert target <= stage["flops_reduction"] < 1.3 * target
        assert stages[0]["flops_reduction"] < stages[1]["flops_reduction"]
        assert "stage 2 of 2" in run.output and not run_dir.phase("1_fine_tune").targets.exists()
        assert Retention.of(stages[1]["tokens"]) == configuration.tokens
        searched = load_own_classifier(run_dir.phase("2_search").model)
        tables = [each.backbone.embeddings.token for each in (model, searched)]
        for weights, expected, axis in (*((kernel, kernel, 0) for kernel in dense_kernels(model)), (*tables, 1)):
            np.testing.assert_allclose(np.asarray(weights), np.asarray(rounded_to_int8(expected, axis)), atol=1e-6)
        assert np.abs(np.asarray(tables[0]) - np.asarray(tables[1])).max() > 1e-5
        # Measured against the model of phase 1, which has all heads and neurons.
        finish_run(run_dir, Console(quiet=True))
        timings = json.loads(run_dir.timings.read_text())
        assert timings["flops_speedup"] == pytest.approx(stages[1]["flops_reduction"], rel=0.1)
        assert "feed-forward neurons of block 1 … 2" in run_dir.summary.read_text()

    def test_tokens_alone_learned_from_labels_alone(self, run_tiny: Callable[..., Any], tmp_path: Path) -> None:
        settings = {"speedup": 1.2, "width": False, "self_distill": False, "epochs": 1, "search_epochs": 1}
        run = run_tiny(tmp_path / "run", **settings)
        path = RunDir(run.folder).phase("2_search").retention
        stored = read_configuration(path)
        assert stored.heads is None and stored.neurons is None and stored.tokens.values[0] < 1.0
        assert (
            not RunDir(run.folder).phase("1_fine_tune").targets.exists() and "computing the outputs" not in run.output
        )
        assert resolve_experiment({"retention_config": str(path)}).retention_config == str(stored.tokens)

    @pytest.mark.slow
    def test_counts_time(self, run_tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The tiny model takes as long with fewer tokens, so the target is out of reach, and is said to be."""
        table = LatencyTable([1, 64], [1, 2], [32, 64], *[[[1.0, 1.1]] * 2] * 4, ends=[1.0, 1.0])
        monkeypatch.setattr("power_bert.train.latency_cost._measure", lambda *_: table)
        monkeypatch.setattr(
            "power_bert.train.latency_cost.measure_in_own_process", lambda function, *arguments: function(*arguments)
        )
        run = run_tiny(tmp_path / "run", speedup=1.6, speedup_by="latency", epochs=1, search_epochs=1)
        stored = json.loads((run.folder / "2_search" / "stage_1" / "retention.json").read_text())
        assert 1.0 < stored["latency_reduction"] < 1.1 < stored["flops_reduction"]
        assert json.loads((run.folder / "2_search" / "latency.json").read_text())["ends"] == [1.0, 1.0]
        assert "warning: 1.60 times less time cannot be reached" in run.output
