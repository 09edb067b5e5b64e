"""The GLUE table as text, CSV and picture."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from power_bert.analysis.glue_results import GlueAverage, GlueResult, average
from power_bert.files import atomic_write_bytes, atomic_write_text
from power_bert.text.task import Task
from power_bert.text_table import text_table

_HEADER = (
    *("task", "metrics", "nothing eliminated", "eliminated", "as many epochs"),
    *("FLOPs", "faster, bucketed", "faster, padded", "kept"),
)
_WORDS = (0, 1, 8)  # columns that are no numbers
_CSV_HEADER = (
    *("task", "metric", "nothing_eliminated", "eliminated", "as_many_epochs", "after_phase_1"),
    *("flops_ratio", "faster_bucketed", "faster_padded", "retention", "run", "problem"),
)
_COLUMNS_NOTE = (
    "nothing eliminated: the weights of the eliminated model; as many epochs: fine-tuned for as many, nothing "
    "eliminated (BASELINE=1)"
)
_BARS = (
    ("nothing eliminated", "#9aa5b1", attrgetter("full")),
    ("eliminated", "#1f6feb", attrgetter("eliminated")),
    ("as many epochs, nothing eliminated", "#d9a441", attrgetter("baseline")),
)
_DOTS_PER_INCH = 150


def write_glue_table(folder: Path, results: Sequence[GlueResult]) -> list[Path]:
    """Write ``glue_table.txt``, ``.csv`` and ``.png`` into a folder; returns their paths."""
    paths = [folder / f"glue_table.{ending}" for ending in ("txt", "csv", "png")]
    atomic_write_text(paths[0], glue_text(results))
    atomic_write_text(paths[1], glue_csv(results))
    atomic_write_bytes(paths[2], glue_picture(results))
    return paths


def glue_text(results: Sequence[GlueResult]) -> str:
    """The table for people, scores in percent; names the tasks without figures under it."""
    mean = average(results)
    rows = [_HEADER, *(_text_row(result) for result in results if not result.problem), _average_row(mean)]
    lines = ["GLUE, dev sets", "", *text_table(rows, _WORDS), "", _COLUMNS_NOTE]
    if mean.missing:
        lines += ["", f"Not in the average: {', '.join(mean.missing)}"]
    lines += [f"  {result.task.name}: {result.problem}" for result in results if result.problem]
    lines += [f"Not GLUE's {result.task.name}: {result.note}" for result in results if result.note]
    return "\n".join(lines) + "\n"


def glue_csv(results: Sequence[GlueResult]) -> str:
    """The table for programs: a row a metric, scores as fractions; last the average."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_HEADER)
    for result in results:
        speedups = result.speedups
        figures = ("", "", "") if speedups is None else (speedups.flops, speedups.bucketed, speedups.padded)
        for metric in result.task.metrics:
            columns = (result.full, result.eliminated, result.baseline, result.fine_tuned)
            scores = [_or_empty(column.get(metric)) for column in columns]
            ending = (result.retention, _or_empty(result.run), result.problem or result.note)
            writer.writerow((result.task.name, metric, *scores, *figures, *ending))
    mean = average(results)
    missing = f"without {', '.join(mean.missing)}" if mean.missing else ""
    scores = [_or_empty(score) for score in (mean.full, mean.eliminated, mean.baseline)]
    writer.writerow(("average", "glue", *scores, *[""] * 6, missing))
    return text.getvalue()


def glue_picture(results: Sequence[GlueResult]) -> bytes:
    """The table as a PNG: scores without and with elimination on the left, what elimination has won on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    shown = [result for result in results if not result.problem][::-1]  # the first task on top
    figure = Figure(figsize=(10, 1.6 + 0.5 * max(len(shown), 1)), dpi=_DOTS_PER_INCH, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places, names = range(len(shown)), [result.task.prediction_file.removesuffix(".tsv") for result in shown]
    for number, (label, color, scores) in enumerate(_BARS):
        lengths = [_bar(result.score(scores(result))) for result in shown]
        left.barh([place + 0.27 * (1 - number) for place in places], lengths, 0.25, color=color, label=label)
    left.set_yticks(list(places), names)
    left.set_xlabel("dev score (mean of the task's metrics, %)")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, frameon=False)
    for marker, name, values in (
        ("o", "time, length-bucketed batches", [result.speedups and result.speedups.bucketed for result in shown]),
        ("s", "time, batches padded to the maximum", [result.speedups and result.speedups.padded for result in shown]),
        ("x", "FLOPs", [result.speedups and result.speedups.flops for result in shown]),
    ):
        points = [(value, place) for value, place in zip(values, places, strict=True) if value is not None]
        right.plot([value for value, _ in points], [place for _, place in points], marker, label=name)
    right.axvline(1.0, color="black", linewidth=0.8)
    right.set_xlabel("times less than without elimination")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(figure).print_png(picture, metadata={"Software": None})
    return picture.getvalue()


def _bar(score: float | None) -> float:
    """Percent; what is undefined has no bar."""
    return math.nan if score is None else 100 * score


def _text_row(result: GlueResult) -> tuple[str, ...]:
    speedups = result.speedups
    figures = ("not measured", "", "")
    if speedups is not None:
        figures = (f"{speedups.flops:.2f} ×", f"{speedups.bucketed:.1f} ×", f"{speedups.padded:.1f} ×")
    scores = [_percent(result.task, column) for column in (result.full, result.eliminated, result.baseline)]
    return (result.task.name, ", ".join(result.task.metrics), *scores, *figures, result.retention)


def _average_row(mean: GlueAverage) -> tuple[str, ...]:
    means = (mean.full, mean.eliminated, mean.baseline)
    scores = [f"{100 * score:.2f}" if score is not None else "-" for score in means]
    return ("average", f"{mean.num_tasks} task{'' if mean.num_tasks == 1 else 's'}", *scores, "", "", "", "")


def _percent(task: Task, scores: Mapping[str, float | None]) -> str:
    if not scores:
        return "-"
    values = [scores.get(metric) for metric in task.metrics]
    return " / ".join("undefined" if value is None else f"{100 * value:.2f}" for value in values)


def _or_empty(value: object) -> object:
    return "" if value is None else value
