"""A comparison as text, CSV and picture; runs that differ in the seed alone are one row: mean ± standard deviation."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from power_bert.analysis.comparison import RunFigures
from power_bert.analysis.contestants import Group
from power_bert.analysis.gains import DEV_NOTE
from power_bert.files import atomic_write_bytes, atomic_write_text
from power_bert.spread import or_empty, percent, show_spread, spread_of
from power_bert.text_table import text_table

_DOTS_PER_INCH = 130
_COLOURS = ("#1f6feb", "#d9480f", "#2b8a3e", "#862e9c", "#868e96", "#e8590c", "#0b7285", "#c2255c")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_Figure = Callable[[RunFigures], float | None]


def write_comparison(folder: Path, figures: Sequence[RunFigures]) -> str:
    """Write ``comparison.txt``, ``comparison.csv`` and ``comparison.png``; returns the text."""
    text = comparison_text(figures)
    atomic_write_text(folder / "comparison.txt", text)
    atomic_write_text(folder / "comparison.csv", comparison_csv(figures))
    atomic_write_bytes(folder / "comparison.png", comparison_picture(figures))
    return text


def by_group(figures: Sequence[RunFigures]) -> dict[Group, list[RunFigures]]:
    """Runs that differ in the seed alone, in the order of the first of each."""
    groups: dict[Group, list[RunFigures]] = {}
    for figure in figures:
        groups.setdefault(figure.group, []).append(figure)
    return groups


def comparison_text(figures: Sequence[RunFigures]) -> str:
    """The table for people; scores in percent."""
    first = figures[0]
    columns: dict[str, tuple[_Figure, str]] = {name: (_score_of(name), "{:.2f}") for name in first.scores} | {
        "parameters": (lambda run: run.parameters, "{:,.0f}"),
        "MB": (_file_megabytes, "{:.2f}"),
        "length": (lambda run: run.speed.length, "{:.0f}"),
        "p50 ms": (lambda run: run.speed.p50_ms, "{:.3f}"),
        "p95 ms": (lambda run: run.speed.p95_ms, "{:.3f}"),
        "texts/s": (lambda run: run.speed.examples_per_second, "{:,.0f}"),
        "as teacher": (lambda run: percent(run.equal_labels), "{:.2f}"),
        "cosine": (lambda run: run.cosine, "{:.4f}"),
        "ECE": (lambda run: run.calibration_error, "{:.4f}"),
    }
    groups = by_group(figures)
    rows = [["run", *columns, "seeds"]]
    for group, runs in groups.items():
        cells = [show_spread(spread_of(map(figure, runs)), pattern) for figure, pattern in columns.values()]
        rows.append([group.name, *cells, str(len(runs))])
    lines = text_table(rows)
    lines += [
        "",
        f"{first.split}, {first.examples} examples; scores in percent, mean ± standard deviation over the seeds.",
        *([DEV_NOTE] if first.split == "dev" else []),
        "p50, p95: one text of `length` word pieces in LiteRT, without tokenising; one run a row.",
        "texts/s: Keras, batches of 32. as teacher, cosine: same labels, and cosine of the probabilities.",
        *(
            f"No file of {group.name}: {runs[0].speed.problem}"
            for group, runs in groups.items()
            if runs[0].speed.problem
        ),
        *_times_faster(groups),
    ]
    return "\n".join(lines) + "\n"


def _times_faster(groups: Mapping[Group, Sequence[RunFigures]]) -> list[str]:
    """Every group against the teacher; against the slowest where the teacher was not timed."""
    timed = {group: runs[0].speed.p50_ms for group, runs in groups.items() if runs[0].speed.p50_ms is not None}
    if len(timed) < 2:
        return []
    teachers = [group for group in timed if any(run.is_teacher for run in groups[group])]
    slowest = max(timed, key=lambda group: timed[group])
    reference, role = (teachers[0], "teacher") if teachers else (slowest, "slowest")
    lines = [f"Times faster than {reference.name} ({role}), one text each:"]
    return lines + [f"  {group.name}: {timed[reference] / ms:.1f}" for group, ms in timed.items() if group != reference]


def _file_megabytes(run: RunFigures) -> float | None:
    return None if run.speed.file_bytes is None else run.speed.file_bytes / 1e6


def comparison_csv(figures: Sequence[RunFigures]) -> str:
    """A row a run; scores as fractions."""
    text = io.StringIO()
    rows = [_csv_row(run) for run in figures]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _csv_row(run: RunFigures) -> Mapping[str, Any]:
    return {
        "run": run.run.name,
        "model": run.group.model,
        "way": run.group.way,
        "is_teacher": int(run.is_teacher),
        "seed": run.seed,
        "split": run.split,
        "examples": run.examples,
        **run.scores,
        "parameters": run.parameters,
        "file_bytes": or_empty(run.speed.file_bytes),
        "length": run.speed.length,
        "p50_ms": or_empty(run.speed.p50_ms),
        "p95_ms": or_empty(run.speed.p95_ms),
        "examples_per_second": run.speed.examples_per_second,
        "equal_labels": or_empty(run.equal_labels),
        "cosine": or_empty(run.cosine),
        "calibration_error": or_empty(run.calibration_error),
    }


def comparison_picture(figures: Sequence[RunFigures]) -> bytes:
    """The first score against the time of a text and against the size of the file, as a PNG.

    A model has a colour, and a way of training a marker.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(13, 5), dpi=_DOTS_PER_INCH, layout="constrained")
    metric = next(iter(figures[0].scores))
    panels = canvas.subplots(1, 2, sharey=True)
    against: tuple[tuple[str, _Figure], ...] = (
        ("ms for one text (median)", lambda run: run.speed.p50_ms),
        ("MB of the .tflite file", _file_megabytes),
    )
    groups = by_group(figures)
    models, ways = (list(dict.fromkeys(names)) for names in zip(*((g.model, g.way) for g in groups), strict=True))
    for panel, (label, cost) in zip(panels, against, strict=True):
        for group, runs in groups.items():
            if (value := cost(runs[0])) is None:
                continue
            scores = [100 * run.scores[metric] for run in runs]
            panel.errorbar(
                value,
                statistics.fmean(scores),
                yerr=statistics.stdev(scores) if scores[1:] else None,
                fmt=_MARKERS[ways.index(group.way) % len(_MARKERS)],
                color=_COLOURS[models.index(group.model) % len(_COLOURS)],
                capsize=3,
                label=group.name,
            )
        panel.set_xscale("log")
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{figures[0].split} {metric}, %")
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    picture = io.BytesIO()
    FigureCanvasAgg(canvas).print_png(picture, metadata={"Software": None})
    return picture.getvalue()


def _score_of(name: str) -> _Figure:
    return lambda run: percent(run.scores[name])
