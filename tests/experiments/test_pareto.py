"""Score against speed over several targets: runs that share a fine-tuned model, table, recommendation and picture."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.config.values import parse_list
from power_bert.errors import UserError
from power_bert.experiments import pareto
from power_bert.experiments.pareto import TargetRun, run_targets, write_front
from power_bert.runs.run_dir import BASELINE, RunDir

RUNS = [
    TargetRun(2.0, 0, 2.02, 1.8, 3.0, 0.86, 0.865),
    TargetRun(2.0, 1, 2.02, 1.6, 3.0, 0.85, 0.855),
    TargetRun(4.0, 0, 4.01, 3.0, 6.0, 0.85, 0.865),
    TargetRun(4.0, 1, 4.03, 3.2, 6.0, 0.84, 0.855),
]


class TestFront:
    def test_table_over_seeds(self, tmp_path: Path) -> None:
        text = write_front(tmp_path, RUNS, "f1", 1.0)
        assert text == (tmp_path / "pareto.txt").read_text()
        second = next(line for line in text.splitlines() if line.startswith("2 "))
        assert "1.70 ± 0.14" in second and "85.50 ± 0.71" in second and second.endswith("-0.50")
        assert max(map(len, text.splitlines())) <= 120 and "over 2 seeds" in text and "(86.00)" in text
        header, first, *_ = (tmp_path / "pareto.csv").read_text().splitlines()
        assert header == "target,seed,flops_reduction,speedup_bucketed,speedup_padded,score,baseline,change"
        assert first.startswith("2.0,0,2.02,1.8,3.0,0.86,0.865,-0.005")
        assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.parametrize(
        ("max_loss", "expected"),
        [
            (1.0, "Recommended: SPEEDUP=2, the fastest that loses at most 1 point on average: 1.70 times faster"),
            (1.5, "Recommended: SPEEDUP=4,"),
            (0.1, "No target loses at most 0.1 points on average; the least loses SPEEDUP=2, 0.50 points."),
        ],
    )
    def test_recommendation(self, tmp_path: Path, max_loss: float, expected: str) -> None:
        text = " ".join(write_front(tmp_path, RUNS, "f1", max_loss).split())
        assert expected in text

    def test_one_seed_has_no_deviation(self, tmp_path: Path) -> None:
        text = write_front(tmp_path, RUNS[::2], "f1", 1.0)
        assert "±" not in text.partition("\n\n")[0] and "over 1 seed;" in " ".join(text.split())


@pytest.mark.parametrize("text", ["", "1,", "a", "1;2"])
def test_lists_of_numbers(text: str) -> None:
    with pytest.raises(UserError, match=r"--targets .*: expected numbers separated by commas"):
        parse_list("--targets", text, float)
    assert parse_list("--seeds", "0, 12", int) == [0, 12]


class TestBeforeTheFirstRun:
    """With every run made up: which runs there are, and that none is made if one cannot be."""

    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float | None, int, bool]]:
        """Target, seed and whether the baseline was trained, of each run."""
        runs: list[tuple[float | None, int, bool]] = []

        def run_experiment(experiment: Experiment, baseline: bool, **_: object) -> RunDir:
            runs.append((experiment.speedup, experiment.seed, baseline))
            return RunDir(Path(experiment.output_dir))

        monkeypatch.setattr(pareto, "run_experiment", run_experiment)
        monkeypatch.setattr(pareto, "finish_run", lambda run_dir, console: None)
        monkeypatch.setattr(pareto, "_share_fine_tuned", lambda experiment, first, run_dir: None)
        monkeypatch.setattr(pareto, "_result", lambda experiment, target, first, run_dir: RUNS[0])
        return runs

    @staticmethod
    def run(targets: list[float], seeds: list[int], out: Path) -> list[TargetRun]:
        def experiment_of(target: float, seed: int, folder: Path) -> Experiment:
            given = {"task": "mrpc", "speedup": target, "seed": seed, "output_dir": str(folder)}
            return resolve_experiment(given)

        return run_targets(experiment_of, targets, seeds, out, Console(file=io.StringIO()))

    def test_the_largest_target_of_a_seed_comes_first_and_has_the_baseline(
        self, made: list[tuple[float | None, int, bool]], tmp_path: Path
    ) -> None:
        assert len(self.run([2.0, 4.0, 2.0], [7, 3, 7], tmp_path)) == 4
        assert made == [(4.0, 7, True), (2.0, 7, False), (4.0, 3, True), (2.0, 3, False)]

    @pytest.mark.parametrize(
        ("targets", "seeds", "message"),
        [([4.0, 1.0], [0], r"SPEEDUP=1\.0 is out of range"), ([4.0], [0, -1], "SEED=-1 is out of range")],
    )
    def test_a_bad_value_is_found_before_anything_is_trained(
        self,
        targets: list[float],
        seeds: list[int],
        message: str,
        made: list[tuple[float | None, int, bool]],
        tmp_path: Path,
    ) -> None:
        with pytest.raises(UserError, match=message):
            self.run(targets, seeds, tmp_path)
        assert made == []


@pytest.mark.slow
def test_targets_share_the_fine_tuned_model(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    def experiment_of(target: float, seed: int, folder: Path) -> Experiment:
        return make_experiment(folder, speedup=target, seed=seed, epochs=1, search_epochs=1)

    def run() -> tuple[list[TargetRun], str]:
        console: Any = Console(file=io.StringIO(), width=200)
        return run_targets(experiment_of, [1.3, 1.6], [5], tmp_path, console), console.file.getvalue()

    found, _ = run()
    assert [(each.target, each.seed) for each in found] == [(1.6, 5), (1.3, 5)]
    assert found[0].baseline == found[1].baseline and found[0].flops_reduction > found[1].flops_reduction > 1.2
    first, second = (RunDir(tmp_path / "seed_5" / f"speedup_{target:g}") for target in (1.6, 1.3))
    weights = [each.phase("1_fine_tune").model / "model.weights.h5" for each in (first, second)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert first.phase(BASELINE).is_done and not second.phase(BASELINE).is_done
    again, output = run()
    assert again == [replace(each) for each in found] and "epoch 1/1" not in output
