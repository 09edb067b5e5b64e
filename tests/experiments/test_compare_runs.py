"""Runs of every kind side by side, from their folders to the figures."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.runs.run_dir import DISTILL, read_run_json


@pytest.mark.slow
def test_runs_are_compared(distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.distill.ensemble_run import make_ensemble
    from power_bert.experiments.compare_runs import Options, compare_runs
    from power_bert.predict.evaluation import score_test_predictions
    from power_bert.runs.resolve_model import find_stored_phase

    quiet = Console(file=io.StringIO())
    runs = [distill_tiny(f"seed{seed}", seed=seed, epochs=2).run_dir for seed in (0, 1)]
    runs.append(distill_tiny("alone", teachers=(), epochs=8).run_dir)
    runs.append(make_ensemble([run.path for run in runs[:2]], tmp_path / "both", quiet))
    options = Options(threads=1, runs=3)
    figures = compare_runs([run.path for run in runs], options, quiet, tmp_path / "logits")
    assert [run.group.name for run in figures] == ["linear, 1 teacher"] * 2 + ["linear, no teacher", "ensemble of 2"]
    assert [run.seed for run in figures[:2]] == [0, 1]
    for run, figure in zip(runs, figures, strict=True):
        stored = find_stored_phase(run.path)
        assert dict(figure.scores) == pytest.approx(score_test_predictions(stored.experiment, stored.phase_dir))
        assert (figure.split, figure.examples) == ("test", 9)
        assert figure.equal_labels is not None and figure.cosine is not None and figure.calibration_error is not None
        assert 0 <= figure.equal_labels <= 1 and 0 < figure.cosine <= 1 and 0 <= figure.calibration_error <= 1
        assert figure.parameters == read_run_json(run.phase(DISTILL).metrics)["parameters"]
        assert (figure.speed.file_bytes or 0) > 1000 and 0 < figure.speed.p50_ms <= figure.speed.p95_ms
        assert "exported file, float32" in (run.phase(DISTILL).model / "README.md").read_text(encoding="utf-8")
    # The speed of a group is that of its first run.
    assert figures[0].speed == figures[1].speed != figures[2].speed


@pytest.mark.slow
def test_agreement_is_with_the_teacher_that_was_learned_from(
    distill_tiny: Callable[..., Any], tiny_teacher: Path, tmp_path: Path
) -> None:
    """A student that is its teacher agrees with it wholly, also where that reads less than it could."""
    from power_bert.experiments.compare_runs import Options, compare_runs

    run = distill_tiny("bert", student="bert-3x8", start="teacher", vocabulary=None, epochs=1, learning_rate=1e-9,
                   max_length=5, teacher_max_length=5, student_options=("dropout=0.0",)).run_dir  # fmt: skip
    from power_bert.distill.teachers import find_teacher
    from power_bert.runs.resolve_model import find_stored_phase

    stored = find_stored_phase(run.path)
    teacher = find_teacher(str(tiny_teacher), stored.task, 5).classifier
    classifier = stored.load_classifier()
    classifier.output_dense.set_weights(teacher.output_dense.get_weights())
    classifier.save_to_preset(str(stored.phase_dir.model))
    (figure,) = compare_runs([run.path], Options(threads=1, runs=2), Console(file=io.StringIO()), tmp_path / "logits")
    assert figure.equal_labels == 1.0 and figure.cosine == pytest.approx(1.0, abs=1e-4)


def test_one_that_cannot_be_exported_does_not_stop_the_others(
    distill_tiny: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from power_bert.benchmarks.litert_latency import FileLatency
    from power_bert.experiments import compare_runs as comparison

    def export(model: Any, path: Path, options: Any, console: Console) -> None:
        if options.lengths == (12,):
            raise UserError("it differs from Keras")

    def measure(paths: list[Path], threads: int, runs: int) -> list[FileLatency]:
        return [FileLatency(path, 16, None, 1000, threads, runs, 0.5, 0.75) for path in paths]

    monkeypatch.setattr(comparison, "export", export)
    monkeypatch.setattr(comparison, "measure_files", measure)
    runs = [distill_tiny(str(length), teachers=(), epochs=1, max_length=length).run_dir for length in (12, 16)]
    options = comparison.Options(teacher=str(runs[0].path))
    quiet = Console(file=io.StringIO())
    short, long = comparison.compare_runs([run.path for run in runs], options, quiet, tmp_path / "logits")
    assert [run.group.name for run in (short, long)] == [
        f"linear, no teacher, max_length {length}" for length in (12, 16)
    ]
    assert short.speed.problem == "it differs from Keras" and short.speed.p50_ms is short.speed.file_bytes is None
    # Each is timed as long as what it was scored with.
    assert (short.speed.length, long.speed.length, long.speed.p50_ms) == (12, 16, 0.5)
    # A run is not compared with itself.
    assert short.is_teacher and short.equal_labels is short.cosine is None
    assert not long.is_teacher and long.equal_labels is not None
    cards = [(run.phase(DISTILL).model / "README.md").read_text(encoding="utf-8") for run in runs]
    assert "none: it differs from Keras" in cards[0] and "label agreement with the teacher" not in cards[0]
    assert "p50 0.500 ms" in cards[1] and "label agreement with the teacher" in cards[1]


def test_what_differs_in_the_seed_alone_is_one_group(make_distillation: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.experiments.contestants import Contestant, name_groups
    from power_bert.runs.run_dir import RunDir

    def phase(name: str, **changes: Any) -> Contestant:
        run_dir = RunDir(tmp_path / name)
        return Contestant(run_dir, make_distillation(run_dir.path, **changes), run_dir.phase(DISTILL))

    stored = [
        *(phase(f"a{seed}", seed=seed) for seed in (0, 1)),
        phase("b", epochs=7),
        phase("c", unlabelled=str(tmp_path / "one" / "texts")),
        phase("d", unlabelled=str(tmp_path / "two" / "texts")),
        phase("e", student="mlp"),
    ]
    assert [group.name for group in name_groups(stored)] == [
        *["linear, 1 teacher, epochs 3"] * 2,
        "linear, 1 teacher, epochs 7",
        "linear, 1 teacher, more texts, unlabelled texts, recipe 1",
        "linear, 1 teacher, more texts, unlabelled texts, recipe 2",
        "mlp, 1 teacher",
    ]


def test_what_cannot_be_compared(distill_tiny: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.experiments.compare_runs import Options, compare_runs

    first = distill_tiny("first", teachers=(), epochs=1).run_dir.path
    other = distill_tiny("other", teachers=(), epochs=1, metric="macro_f1").run_dir.path
    quiet = Console(file=io.StringIO())
    with pytest.raises(UserError, match="compare runs of one task"):
        compare_runs([first, other], Options(), quiet, tmp_path / "logits")
    with pytest.raises(UserError, match="no run there"):
        compare_runs([tmp_path / "none"], Options(), quiet, tmp_path / "logits")
    with pytest.raises(UserError, match="teacher nowhere: no such folder or preset"):
        compare_runs([first], Options(teacher="nowhere"), quiet, tmp_path / "logits")
