"""A comparison as text, CSV and picture; runs that differ in the seed alone are one row: mean ± standard deviation."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from power_bert.analysis.comparison import RunFigures
from power_bert.files import atomic_write_bytes, atomic_write_text
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


def by_group(figures: Sequence[RunFigures]) -> dict[str, list[RunFigures]]:
    """Runs that differ in the seed alone, under their common name, in the order of the first of each."""
    groups: dict[str, list[RunFigures]] = {}
    for figure in figures:
        groups.setdefault(figure.group, []).append(figure)
    return groups


def comparison_text(figures: Sequence[RunFigures]) -> str:
    """The table for people; scores in percent."""
    first = figures[0]
    columns: dict[str, tuple[_Figure, str]] = {name: (_score_of(name), "{:.2f}") for name in first.scores} | {
        "parameters": (lambda run: run.parameters, "{:,.0f}"),
        "MB": (lambda run: run.speed.file_bytes / 1e6, "{:.2f}"),
        "p50 ms": (lambda run: run.speed.p50_ms, "{:.3f}"),
        "p95 ms": (lambda run: run.speed.p95_ms, "{:.3f}"),
        "texts/s": (lambda run: run.speed.examples_per_second, "{:,.0f}"),
        "as teacher": (lambda run: _percent(run.equal_labels), "{:.2f}"),
        "cosine": (lambda run: run.cosine, "{:.4f}"),
        "ECE": (lambda run: run.calibration_error, "{:.4f}"),
    }
    rows = [["run", *columns, "seeds"]]
    for group, runs in by_group(figures).items():
        cells = [_mean_and_deviation(runs, figure, pattern) for figure, pattern in columns.values()]
        rows.append([group, *cells, str(len(runs))])
    lines = text_table(rows)
    slowest = max(figures, key=lambda run: run.speed.p50_ms)
    lines += [
        "",
        f"{first.split}, {first.examples} examples; scores in percent, mean ± standard deviation over the seeds.",
        f"p50, p95: one text of {first.speed.length} word pieces in LiteRT, one run a row.",
        "texts/s: Keras, batches of 32. as teacher, cosine: same labels, and cosine of the probabilities.",
        f"Slowest: {slowest.group}. Times faster than that:",
        *(
            f"  {group}: {slowest.speed.p50_ms / runs[0].speed.p50_ms:.1f}"
            for group, runs in by_group(figures).items()
            if group != slowest.group
        ),
    ]
    return "\n".join(lines) + "\n"


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
        "group": run.group,
        "seed": run.seed,
        "split": run.split,
        "examples": run.examples,
        **run.scores,
        "parameters": run.parameters,
        "file_bytes": run.speed.file_bytes,
        "length": run.speed.length,
        "p50_ms": run.speed.p50_ms,
        "p95_ms": run.speed.p95_ms,
        "examples_per_second": run.speed.examples_per_second,
        "equal_labels": _or_empty(run.equal_labels),
        "cosine": _or_empty(run.cosine),
        "calibration_error": _or_empty(run.calibration_error),
    }


def comparison_picture(figures: Sequence[RunFigures]) -> bytes:
    """The first score against the time of a text and against the size of the file, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # needs no display
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(13, 5), dpi=_DOTS_PER_INCH, layout="constrained")
    metric = next(iter(figures[0].scores))
    panels = canvas.subplots(1, 2, sharey=True)
    against: tuple[tuple[str, Callable[[RunFigures], float]], ...] = (
        (f"ms for one text of {figures[0].speed.length} word pieces (median)", lambda run: run.speed.p50_ms),
        ("MB of the .tflite file", lambda run: run.speed.file_bytes / 1e6),
    )
    for panel, (label, cost) in zip(panels, against, strict=True):
        for number, (group, runs) in enumerate(by_group(figures).items()):
            scores = [100 * run.scores[metric] for run in runs]
            panel.errorbar(
                cost(runs[0]),
                statistics.fmean(scores),
                yerr=statistics.stdev(scores) if scores[1:] else None,
                fmt=_MARKERS[number % len(_MARKERS)],
                color=_COLOURS[number % len(_COLOURS)],
                capsize=3,
                label=group,
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
    return lambda run: _percent(run.scores[name])


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _or_empty(value: float | None) -> float | str:
    return "" if value is None else value


def _mean_and_deviation(runs: Sequence[RunFigures], figure: _Figure, pattern: str) -> str:
    values = [value for value in map(figure, runs) if value is not None]
    if not values:
        return "-"
    mean = pattern.format(statistics.fmean(values))
    deviation = statistics.stdev(values) if values[1:] else 0.0
    return f"{mean} ± {pattern.format(deviation)}" if deviation else mean
