"""The model card of a run, from the files that the run has left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import Ensemble, resolve_distillation
from power_bert.config.experiment import resolve_experiment
from power_bert.config.validation import TrainingSettings
from power_bert.reports.model_card import write_model_card
from power_bert.runs.run_dir import BASELINE, DISTILL, NOTHING_ELIMINATED, PHASES, RunDir, write_run_json


def finished(settings: TrainingSettings, score: float = 0.75, phase: str = DISTILL) -> RunDir:
    """A run of which only the model is missing."""
    run_dir = RunDir(Path(settings.output_dir))
    phase_dir = run_dir.phase(phase)
    phase_dir.model.mkdir(parents=True)
    run_dir.config.write_text(settings.to_json(), encoding="utf-8")
    write_run_json(phase_dir.metrics, {"scores": {"accuracy": score, "macro_f1": score}, "parameters": 1234})
    write_run_json(phase_dir.model / "config.json", {})
    phase_dir.mark_done()
    return run_dir


def student(out: Path, **changes: Any) -> TrainingSettings:
    return resolve_distillation({"task": "emotion", "data_dir": str(out), "output_dir": str(out), **changes})


def card_of(run_dir: RunDir) -> str:
    return write_model_card(run_dir).read_text(encoding="utf-8")


def in_folder(folder: Path, seed: int) -> TrainingSettings:
    """One recipe, whatever the seed."""
    return student(folder, data_dir=str(folder.parent / "data"), seed=seed)


def test_front_matter_and_limits(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    run_dir = finished(student(tmp_path / "run", teachers=("teacher",), max_length=40))
    path = write_model_card(run_dir)
    data = ModelCard.load(path).data
    assert data.tags == ["power-bert", "bilstm", "distillation"] and data.language == "en"
    assert data.model_name == "bilstm distilled for emotion" and data.pipeline_tag == "text-classification"
    assert (data.eval_results[0].metric_type, data.eval_results[0].metric_value) == ("accuracy", 0.75)
    text = path.read_text(encoding="utf-8")
    assert "- Max length 40 tokens; longer texts" in text and "imitate its teachers, mistakes included" in text
    assert "Latency has not been measured" in text


def test_seeds(tmp_path: Path) -> None:
    for seed, score in enumerate((0.70, 0.80)):
        finished(in_folder(tmp_path / f"seed{seed}", seed), score)
    finished(in_folder(tmp_path / "seed2.20260102-030405", 2), 0.1)  # set aside
    finished(in_folder(tmp_path / "again", 0), 0.2)
    finished(student(tmp_path / "other", data_dir=str(tmp_path / "data"), epochs=1, seed=3), 0.3)
    text = card_of(RunDir(tmp_path / "seed0"))
    assert "| 0 | 70.00 | 70.00 |\n| 1 | 80.00 | 80.00 |\n| mean ± standard deviation | 75.00 ± 7.07 |" in text


def test_what_lies_beside_a_run_does_not_stop_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_dir = finished(in_folder(tmp_path / "run", 0))
    finished(in_folder(tmp_path / "seed1", 1))
    damaged = finished(in_folder(tmp_path / "seed2", 2))
    damaged.config.write_bytes(b"\xff\xfe\xff")
    is_file = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "seed1":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert "other seeds" not in card_of(run_dir)

    iterdir = Path.iterdir

    def list_all_but_the_parent(path: Path) -> Iterator[Path]:
        if path == tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", list_all_but_the_parent)
    assert "other seeds" not in card_of(run_dir)


def eliminated(folder: Path, task: str, **changes: Any) -> RunDir:
    """A run whose model eliminates, without weights."""
    given = {"task": task, "data_dir": str(folder / "data"), "output_dir": str(folder / "run"), **changes}
    run_dir = finished(resolve_experiment(given), phase=PHASES[2])
    phase_dir = run_dir.phase(PHASES[2])
    write_run_json(phase_dir.metrics, {"scores": {"matthews": 0.5164}, "warnings": ["not converged: matthews …"]})
    write_run_json(phase_dir.model / "config.json", {"config": {"retention": [0.5, 0.25]}})
    return run_dir


def front_matter(run_dir: RunDir) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard.load(write_model_card(run_dir)).data


@pytest.mark.parametrize(("fuse", "expected"), [(False, "0.5, 0.25."), (True, "0.5, 0.25, dropped tokens fused.")])
def test_the_retention_configuration_says_whether_tokens_are_fused(tmp_path: Path, fuse: bool, expected: str) -> None:
    assert f"Retention configuration: {expected}\n" in card_of(eliminated(tmp_path, "cola", fuse=fuse))


def test_what_elimination_costs_stands_beside_the_score(tmp_path: Path) -> None:
    run_dir = eliminated(tmp_path, "cola")
    text = card_of(run_dir)
    assert "The same weights with nothing eliminated have not been scored. No model was fine-tuned" in text
    phase = run_dir.phase(PHASES[0])
    scores = {"matthews": 0.3938}
    epoch = {"epoch": 1, "train_loss": 0.5, "scores": scores, "train_seconds": 1.0, "eval_seconds": 1.0}
    write_run_json(phase.metrics, {"scores": scores, "history": [epoch] * 3, "warnings": ["not converged"]})
    phase.mark_done()
    change = {"before": 0.5483, "after": 0.5164, "low": -0.06, "high": -0.001}
    differences = {NOTHING_ELIMINATED: {"matthews": change}, BASELINE: {"matthews": change | {"before": 0.6}}}
    write_run_json(run_dir.phase(PHASES[2]).differences, differences)
    text = card_of(run_dir)
    assert "| dev | 51.64 |\n| dev, same weights, nothing eliminated | 54.83 |\n" in text
    assert "| difference due to elimination | −3.19, 95 % interval −6.00 to −0.10 |\n" in text
    assert "| dev, fine-tuned for as many epochs, nothing eliminated | 60.00 |\n" in text
    assert "| dev, after 3 epochs of fine-tuning | 39.38 |" in text and "have not been scored" not in text
    assert "## Warnings\n\n- `1_fine_tune`: not converged\n- `3_retrain`: not converged: matthews …\n" in text


def test_the_generated_sample_is_no_public_data_set(tmp_path: Path) -> None:
    run_dir = eliminated(tmp_path, "acceptability-sample")
    data, text = front_matter(run_dir), card_of(run_dir)
    assert data.datasets is None and "cola" not in text
    assert [(result.dataset_name, result.dataset_type) for result in data.eval_results] == [
        ("acceptability-sample",) * 2
    ]
    assert "# PoWER-BERT for acceptability-sample" in text and "generates from a grammar, in the layout of CoLA" in text


def test_data_with_other_rows_than_the_official_ones_are_not_called_by_their_name(tmp_path: Path) -> None:
    run_dir = eliminated(tmp_path, "cola")
    assert front_matter(run_dir).datasets == ["cola"] and "No score here" not in card_of(run_dir)
    dev = run_dir.phase(PHASES[2]).predictions("dev")
    dev.write_text("index\tprediction\n0\t1\n", encoding="utf-8")
    assert front_matter(run_dir).datasets is front_matter(run_dir).eval_results is None
    assert "No score here is a score on a public data set: the dev data have 1 rows, and those of cola 1,043." in (
        card_of(run_dir)
    )


def test_license_base_model_and_installation(tmp_path: Path) -> None:
    run_dir = eliminated(tmp_path, "cola", checkpoint_path="hf://owner/name")
    data, text = front_matter(run_dir), card_of(run_dir)
    assert (data.license, data.base_model) == ("unknown", "owner/name")
    assert "Base model: `owner/name` of the Hugging Face hub. Its license is not known here" in text
    assert "In a checkout of the project, `pip install .`" in text and "`PYTHONPATH=code`" in text


def test_what_kind_of_model_it_is(tmp_path: Path) -> None:
    settings = {"task": "emotion", "data_dir": str(tmp_path), "output_dir": str(tmp_path / "bert")}
    teacher = card_of(finished(resolve_experiment(settings), phase=PHASES[0]))
    assert "| LR_BERT | 0.0001 |" in teacher and "lr_bert" not in teacher, "the names of docs/settings.md"
    assert "# BERT fine-tuned for emotion" in teacher and "elimination\n" not in teacher
    settings["output_dir"] = str(tmp_path / "eliminated")
    eliminated = card_of(finished(resolve_experiment(settings), phase=PHASES[2]))
    assert "# PoWER-BERT for emotion" in eliminated and "- token elimination\n" in eliminated
    members = (str(tmp_path / "a"), str(tmp_path / "b"))
    ensemble = card_of(finished(Ensemble("emotion", str(tmp_path), str(tmp_path / "both"), members, 32, 64)))
    pruned = card_of(finished(student(tmp_path / "pruned", sparsity=0.5)))
    chosen = "The epoch was selected on the dev set"
    assert chosen in teacher and chosen in eliminated and chosen not in ensemble and chosen not in pruned
