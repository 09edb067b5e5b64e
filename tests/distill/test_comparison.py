"""Runs of every kind side by side, from their folders to the figures."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.run_dir import DISTILL, read_json


@pytest.mark.slow
def test_runs_are_compared(run_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.analysis.comparison import Options, compare_runs
    from power_bert.distill.ensemble import make_ensemble
    from power_bert.train.evaluation import score_test_predictions
    from power_bert.train.stored_run import find_stored_phase

    quiet = Console(file=io.StringIO())
    runs = [run_tiny(f"seed{seed}", seed=seed, epochs=2).run_dir for seed in (0, 1)]
    runs.append(run_tiny("alone", teachers=(), epochs=8).run_dir)
    runs.append(make_ensemble([run.path for run in runs[:2]], tmp_path / "both", quiet))
    options = Options(threads=1, runs=3)
    figures = compare_runs([run.path for run in runs], options, quiet, tmp_path / "logits")
    assert [run.group for run in figures] == ["linear, 1 teacher"] * 2 + ["linear alone", "ensemble of 2"]
    assert [run.seed for run in figures[:2]] == [0, 1]
    for run, figure in zip(runs, figures, strict=True):
        stored = find_stored_phase(run.path)
        assert dict(figure.scores) == pytest.approx(score_test_predictions(stored.experiment, stored.phase_dir))
        assert (figure.split, figure.examples) == ("test", 9)
        assert figure.equal_labels is not None and figure.cosine is not None and figure.calibration_error is not None
        assert 0 <= figure.equal_labels <= 1 and 0 < figure.cosine <= 1 and 0 <= figure.calibration_error <= 1
        assert figure.parameters == read_json(run.phase(DISTILL).metrics)["parameters"]
        assert figure.speed.file_bytes > 1000 and 0 < figure.speed.p50_ms <= figure.speed.p95_ms
        assert "exported file, float32" in (run.phase(DISTILL).model / "README.md").read_text(encoding="utf-8")
    # The speed of a group is that of its first run.
    assert figures[0].speed == figures[1].speed != figures[2].speed


@pytest.mark.slow
def test_agreement_is_with_the_teacher_that_was_learnt_from(
    run_tiny: Callable[..., Any], tiny_teacher: Path, tmp_path: Path
) -> None:
    """A student that is its teacher agrees with it wholly, also where that reads less than it could."""
    from power_bert.analysis.comparison import Options, compare_runs

    run = run_tiny("bert", student="bert-3x8", start="teacher", vocabulary=None, epochs=1, learning_rate=1e-9,
                   max_length=5, teacher_max_length=5, student_options=("dropout=0.0",)).run_dir  # fmt: skip
    from power_bert.distill.teachers import find_teacher
    from power_bert.train.stored_run import load_stored_run

    stored = load_stored_run(run.path)
    teacher = find_teacher(str(tiny_teacher), stored.task, 5).classifier
    stored.classifier.output_dense.set_weights(teacher.output_dense.get_weights())
    stored.classifier.save_to_preset(str(stored.phase_dir.model))
    (figure,) = compare_runs([run.path], Options(threads=1, runs=2), Console(file=io.StringIO()), tmp_path / "logits")
    assert figure.equal_labels == 1.0 and figure.cosine == pytest.approx(1.0, abs=1e-4)


def test_what_cannot_be_compared(run_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.analysis.comparison import Options, compare_runs

    first = run_tiny("first", teachers=(), epochs=1).run_dir.path
    other = run_tiny("other", teachers=(), epochs=1, metric="macro_f1").run_dir.path
    quiet = Console(file=io.StringIO())
    with pytest.raises(UserError, match="compare runs of one task"):
        compare_runs([first, other], Options(), quiet, tmp_path / "logits")
    with pytest.raises(UserError, match="no run there"):
        compare_runs([tmp_path / "none"], Options(), quiet, tmp_path / "logits")
    with pytest.raises(UserError, match="teacher nowhere: no such folder or preset"):
        compare_runs([first], Options(teacher="nowhere"), quiet, tmp_path / "logits")
