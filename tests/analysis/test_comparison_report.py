"""The comparison as text, CSV and picture."""

import csv
import io
from pathlib import Path

from power_bert.analysis.comparison import RunFigures, Speed
from power_bert.analysis.comparison_report import comparison_csv, comparison_text, write_comparison

TEACHER = Speed(90_000_000, 64, 12.0, 14.0, 150.0)
STUDENT = Speed(2_000_000, 64, 0.5, 0.75, 5000.0)


def figures(group: str, seed: int, accuracy: float, speed: Speed = STUDENT, equal: float | None = 0.9) -> RunFigures:
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1}
    run = Path("runs") / f"{group}-{seed}"
    return RunFigures(run, group, seed, "test", 2000, scores, 1_234_567, 0.0312, equal, 0.987, speed)


RUNS = [
    figures("BERT", 0, 0.925, TEACHER, 1.0),
    *(figures("bilstm alone", seed, score) for seed, score in enumerate((0.80, 0.82, 0.84))),
]


def test_text() -> None:
    lines = comparison_text(RUNS).splitlines()
    assert lines[0].split()[:3] == ["run", "accuracy", "macro_f1"] and lines[0].endswith("seeds")
    assert lines[1].startswith("BERT ") and " 92.50 " in lines[1] and lines[1].endswith(" 1")
    assert "82.00 ± 2.00" in lines[2] and "72.00 ± 2.00" in lines[2] and lines[2].endswith(" 3")
    assert "1,234,567" in lines[2] and " 0.500 " in lines[2]
    assert "test, 2000 examples" in "\n".join(lines)
    assert lines[-1] == "  bilstm alone: 24.0"


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
