"""The comparison as text, CSV and picture."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest

from power_bert.analysis.comparison import RunFigures, Speed
from power_bert.analysis.comparison_report import (
    comparison_csv,
    comparison_picture,
    comparison_text,
    write_comparison,
)
from power_bert.analysis.contestants import Group

TEACHER = Speed(64, 150.0, 90_000_000, 12.0, 14.0)
STUDENT = Speed(128, 5000.0, 2_000_000, 0.5, 0.75)


def figures(model: str, seed: int, accuracy: float, speed: Speed = STUDENT, equal: float | None = 0.9) -> RunFigures:
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1}
    group = Group(model, "" if model == "BERT" else "alone")
    return RunFigures(
        Path("runs") / f"{model}-{seed}", group, seed, "test", 2000, scores, 1_234_567, 0.0312, equal, 0.987, speed,
        is_teacher=(model, seed) == ("BERT", 0),
    )  # fmt: skip


RUNS = [
    figures("BERT", 0, 0.925, TEACHER, None),
    *(figures("bilstm", seed, score) for seed, score in enumerate((0.80, 0.82, 0.84))),
]


def test_text() -> None:
    lines = comparison_text(RUNS).splitlines()
    assert lines[0].split()[:3] == ["run", "accuracy", "macro_f1"] and lines[0].endswith("seeds")
    assert lines[1].startswith("BERT ") and " 92.50 " in lines[1] and lines[1].endswith(" 1")
    assert "82.00 ± 2.00" in lines[2] and "72.00 ± 2.00" in lines[2] and lines[2].endswith(" 3")
    assert "1,234,567" in lines[2] and " 0.500 " in lines[2]
    assert "test, 2000 examples" in "\n".join(lines)
    assert lines[2].split()[10:12] == ["128", "0.500"], "every group was timed at its own length"
    assert lines[-2:] == ["Times faster than BERT (teacher), one text each:", "  bilstm, alone: 24.0"]


def test_what_could_not_be_exported_is_left_open(tmp_path: Path) -> None:
    slow = figures("cnn", 0, 0.9, Speed(64, 10.0, None, None, None, "it differs from Keras"))
    text = write_comparison(tmp_path, [*RUNS, slow])
    assert "No file of cnn, alone: it differs from Keras" in text and "cnn" not in text.splitlines()[-1]
    *_, row = csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8"))
    assert row["p50_ms"] == row["file_bytes"] == "" and row["examples_per_second"] == "10.0"


def test_scores_of_the_set_that_chose_the_epoch_are_marked() -> None:
    assert "also chosen the epoch" not in comparison_text(RUNS)
    assert "also chosen the epoch" in comparison_text([replace(run, split="dev") for run in RUNS])


def test_a_model_has_a_colour_and_a_way_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: dict[str, tuple[str, str]] = {}

    def remember(self: Axes, *values: object, fmt: str, color: str, label: str, **_: object) -> None:
        drawn[label] = (color, fmt)

    monkeypatch.setattr(Axes, "errorbar", remember)
    groups = [Group(model, way) for model in "abcde" for way in ("alone", "1 teacher", "2 teachers")]
    comparison_picture([replace(RUNS[1], group=group) for group in groups])
    assert len(set(drawn.values())) == len(groups)
    assert drawn["a, alone"][0] == drawn["a, 1 teacher"][0] and drawn["a, alone"][1] == drawn["b, alone"][1]


def test_what_is_not_known_is_left_open() -> None:
    (row,) = csv.DictReader(io.StringIO(comparison_csv([figures("x", 0, 0.5, equal=None)])))
    assert row["equal_labels"] == "" and row["accuracy"] == "0.5" and row["run"] == "x-0"
    assert " - " in comparison_text([figures("x", 0, 0.5, equal=None)]).splitlines()[1]


def test_files(tmp_path: Path) -> None:
    text = write_comparison(tmp_path, RUNS)
    assert (tmp_path / "comparison.txt").read_text(encoding="utf-8") == text
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8")))
    assert [row["seed"] for row in rows] == ["0", "0", "1", "2"] and float(rows[1]["p50_ms"]) == 0.5
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
