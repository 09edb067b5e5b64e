"""The comparison as text, CSV and picture."""

import csv
import io
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from power_bert.experiments import comparison_report
from power_bert.experiments.compare_runs import RunFigures, Speed
from power_bert.experiments.comparison_report import (
    comparison_frame,
    comparison_picture,
    comparison_text,
    write_comparison,
)
from power_bert.experiments.contestants import SeedGroup
from power_bert.pictures import pareto_front
from power_bert.result_tables import WIDTH, csv_text

TEACHER = Speed(64, 150.0, 90_000_000, 12.0, 14.0)
STUDENT = Speed(128, 5000.0, 2_000_000, 0.5, 0.75)


def figures(model: str, seed: int, accuracy: float, speed: Speed = STUDENT, equal: float | None = 0.9) -> RunFigures:
    scores = {"accuracy": accuracy, "macro_f1": accuracy - 0.1}
    group = SeedGroup(model, "" if model == "BERT" else "no teacher")
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
    assert [lines[row].split()[0] for row in (0, 4, 8)] == ["run"] * 3, "three tables, one below the other"
    assert lines[0].split()[:3] == ["run", "accuracy", "macro_f1"] and lines[8].endswith("seeds")
    assert lines[1].startswith("BERT ") and " 92.50 " in lines[1] and lines[9].endswith(" 1")
    assert "82.00 ± 2.00" in lines[2] and "72.00 ± 2.00" in lines[2] and lines[10].endswith(" 3")
    assert "1,234,567" in lines[2] and " 0.500 " in lines[6]
    assert "test, 2000 examples" in "\n".join(lines) and max(map(len, lines)) <= WIDTH
    assert lines[6].split()[3] == "128", "every group was timed at its own length"
    assert lines[-2:] == ["Speed-up over BERT (teacher), latency p50 of one text:", "  bilstm, no teacher: 24.0"]


def test_what_could_not_be_exported_is_left_open(tmp_path: Path) -> None:
    slow = figures("cnn", 0, 0.9, Speed(64, 10.0, None, None, None, "it differs from Keras"))
    text = write_comparison(tmp_path, [*RUNS, slow])
    assert "No file of cnn, no teacher: it differs from Keras" in text and "cnn" not in text.splitlines()[-1]
    *_, row = csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8"))
    assert row["p50_ms"] == row["file_bytes"] == "" and row["examples_per_second"] == "10.0"


def test_scores_of_the_set_that_chose_the_epoch_are_marked() -> None:
    assert "selected on the dev set" not in comparison_text(RUNS)
    assert "selected on the dev set" in comparison_text([replace(run, split="dev") for run in RUNS])


def test_a_model_has_a_color_and_a_way_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: dict[str, tuple[str, str]] = {}

    def remember(self: Axes, *values: object, fmt: str, color: str, label: str, **_: object) -> None:
        drawn[label] = (color, fmt)

    monkeypatch.setattr(Axes, "errorbar", remember)
    groups = [SeedGroup(model, way) for model in "abcde" for way in ("no teacher", "1 teacher", "2 teachers")]
    comparison_picture([replace(RUNS[1], group=group) for group in groups])
    assert len(set(drawn.values())) == len(groups)
    assert (
        drawn["a, no teacher"][0] == drawn["a, 1 teacher"][0] and drawn["a, no teacher"][1] == drawn["b, no teacher"][1]
    )


def test_the_pareto_front() -> None:
    assert pareto_front([3.0, 1.0, 2.0, 2.0, 4.0], [0.8, 0.5, 0.4, 0.7, 0.8]) == [1, 3, 0]
    assert pareto_front([], []) == []


def test_ticks_are_written_out_and_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(comparison_report, "png_bytes", drawn.append)
    speeds = [Speed(64, 10.0, round(1e6 * 10.0**power), 10.0**power, None) for power in range(-2, 3)]
    comparison_picture([figures(f"m{number}", 0, 0.5, speed) for number, speed in enumerate(speeds)])
    FigureCanvasAgg(drawn[0]).draw()
    for panel in drawn[0].axes:
        labels = [label for label in panel.get_xticklabels() if label.get_text()]
        boxes = [label.get_window_extent() for label in labels]
        assert {"0.1", "1", "10"} <= {label.get_text() for label in labels}
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_what_is_not_known_is_left_open() -> None:
    (row,) = csv.DictReader(io.StringIO(csv_text(comparison_frame([figures("x", 0, 0.5, equal=None)]))))
    assert row["equal_labels"] == "" and row["accuracy"] == "0.5" and row["run"] == "x-0"
    assert " - " in comparison_text([figures("x", 0, 0.5, equal=None)]).splitlines()[4]


def test_files(tmp_path: Path) -> None:
    text = write_comparison(tmp_path, RUNS)
    assert (tmp_path / "comparison.txt").read_text(encoding="utf-8") == text
    rows = list(csv.DictReader((tmp_path / "comparison.csv").open(encoding="utf-8")))
    assert [row["seed"] for row in rows] == ["0", "0", "1", "2"] and float(rows[1]["p50_ms"]) == 0.5
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_teacher_the_speed_up_is_over_the_slowest() -> None:
    runs = [figures("cnn", 0, 0.8), figures("mlp", 0, 0.7, replace(STUDENT, p50_ms=0.1)), figures("x", 0, 0.9, TEACHER)]
    assert comparison_text(runs).splitlines()[-3:] == [
        "Speed-up over x, no teacher (slowest), latency p50 of one text:",
        "  cnn, no teacher: 24.0",
        "  mlp, no teacher: 120.0",
    ]


def test_one_group_is_not_compared_with_itself() -> None:
    assert "Speed-up" not in comparison_text(RUNS[1:])
    untimed = Speed(64, 10.0, None, None, None, "it differs from Keras")
    assert "Speed-up" not in comparison_text([RUNS[1], figures("cnn", 0, 0.9, untimed)])


def test_a_score_that_one_seed_lacks_is_the_mean_of_the_others() -> None:
    undefined = replace(RUNS[3], scores={"accuracy": float("nan"), "macro_f1": 0.74})
    lines = comparison_text([*RUNS[:3], undefined]).splitlines()
    assert "81.00 ± 1.41" in lines[2] and "72.00 ± 2.00" in lines[2] and lines[10].endswith(" 3")
