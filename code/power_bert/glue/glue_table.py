"""The GLUE table as text, CSV and picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from power_bert.glue.glue_results import GlueAverage, GlueResult, average
from power_bert.pictures import png_bytes
from power_bert.result_tables import csv_text, text_table, to_frame, wrap_lines
from power_bert.storage.files import atomic_write_bytes, atomic_write_text
from power_bert.text.task import Task

_HEADER = (
    *("task", "metrics", "nothing eliminated", "eliminated", "as many epochs"),
    *("FLOPs reduction", "speed-up, bucketed", "speed-up, padded", "retention"),
)
_LEFT = (0, 1, 8)  # columns that are not numbers
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
    """Write ``glue_table.txt``, ``.csv`` and ``.png`` into a folder; return their paths."""
    paths = [folder / f"glue_table.{ending}" for ending in ("txt", "csv", "png")]
    atomic_write_text(paths[0], glue_text(results))
    atomic_write_text(paths[1], glue_csv(results))
    atomic_write_bytes(paths[2], glue_picture(results))
    return paths


def glue_text(results: Sequence[GlueResult]) -> str:
    """Return the table for people, scores in percent; the tasks without scores are named below it."""
    mean = average(results)
    rows = [*(_text_row(result) for result in results if not result.problem), _average_row(mean)]
    notes = [_COLUMNS_NOTE]
    if mean.missing:
        notes += ["", f"Not in the average: {', '.join(mean.missing)}"]
    notes += [f"  {result.task.name}: {result.problem}" for result in results if result.problem]
    notes += [f"Not GLUE's {result.task.name}: {result.note}" for result in results if result.note]
    table = text_table(to_frame(rows, _HEADER), _LEFT)
    return "\n".join(["GLUE, dev sets", "", *table, "", *wrap_lines(notes)]) + "\n"


def glue_csv(results: Sequence[GlueResult]) -> str:
    """Return the table for programs: one row per metric, scores as fractions; the last row is the average."""
    mean = average(results)
    last = {
        **{"task": "average", "metric": "glue", "nothing_eliminated": mean.full, "eliminated": mean.eliminated},
        "as_many_epochs": mean.baseline,
        "problem": f"without {', '.join(mean.missing)}" if mean.missing else "",
    }
    rows = [_csv_row(result, metric) for result in results for metric in result.task.metrics]
    return csv_text(to_frame([*rows, last], _CSV_HEADER))


def _csv_row(result: GlueResult, metric: str) -> dict[str, Any]:
    speedups = result.speedups
    return {
        "task": result.task.name,
        "metric": metric,
        "nothing_eliminated": result.full.get(metric),
        "eliminated": result.eliminated.get(metric),
        "as_many_epochs": result.baseline.get(metric),
        "after_phase_1": result.fine_tuned.get(metric),
        "flops_ratio": speedups and speedups.flops,
        "faster_bucketed": speedups and speedups.bucketed,
        "faster_padded": speedups and speedups.padded,
        "retention": result.retention,
        "run": result.run,
        "problem": result.problem or result.note,
    }


def glue_picture(results: Sequence[GlueResult]) -> bytes:
    """Return the table as a PNG: scores without and with elimination at the left, speed-ups at the right."""
    from matplotlib.figure import Figure

    shown = [result for result in results if not result.problem][::-1]  # the first task on top
    figure = Figure(figsize=(10, 1.6 + 0.5 * max(len(shown), 1)), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle("GLUE: dev scores and speed-ups of token elimination")
    left, right = figure.subplots(1, 2, sharey=True)
    places, names = range(len(shown)), [result.task.prediction_file.removesuffix(".tsv") for result in shown]
    for number, (label, color, scores) in enumerate(_BARS):
        lengths = [_bar(result.score(scores(result))) for result in shown]
        left.barh([place + 0.27 * (1 - number) for place in places], lengths, 0.25, color=color, label=label)
    left.set_yticks(list(places), names)
    left.set_xlabel("dev score (mean of the task's metrics, %)")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, frameon=False)
    for marker, name, speedup in (
        ("o", "measured, length-bucketed batches", attrgetter("bucketed")),
        ("s", "measured, batches padded to the max length", attrgetter("padded")),
        ("x", "FLOPs (counted)", attrgetter("flops")),
    ):
        values = [speedup(result.speedups) if result.speedups else math.nan for result in shown]
        right.plot(values, places, marker, label=name)
    right.axvline(1.0, color="black", linewidth=0.8)
    right.set_xlabel("speed-up and FLOPs reduction over no elimination (×)")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=1, frameon=False)
    return png_bytes(figure)


def _bar(score: float | None) -> float:
    """Return a score in percent; NaN, which has no bar, where it is undefined."""
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
