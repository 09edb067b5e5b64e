"""A comparison as text, CSV and picture; runs that differ in the seed only are one row: mean ± standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from power_bert.experiments.compare_runs import RunFigures
from power_bert.experiments.contestants import SeedGroup
from power_bert.experiments.gains import DEV_NOTE, GROUP
from power_bert.pictures import COLORS, DOTS_PER_INCH, MARKERS, log_x_axis, pareto_front, png_bytes
from power_bert.result_tables import csv_text, over_seeds, show_over_seeds, text_table, to_frame, wrap_lines
from power_bert.storage.files import atomic_write_bytes, atomic_write_text

# Heading → column of the CSV file, factor, and format of the mean.
_COLUMNS = {
    "parameters": ("parameters", 1.0, "{:,.0f}"),
    "model size (MB)": ("file_bytes", 1e-6, "{:.2f}"),
    "length": ("length", 1.0, "{:.0f}"),
    "p50 (ms)": ("p50_ms", 1.0, "{:.3f}"),
    "p95 (ms)": ("p95_ms", 1.0, "{:.3f}"),
    "examples/s": ("examples_per_second", 1.0, "{:,.0f}"),
    "label agreement (%)": ("equal_labels", 100.0, "{:.2f}"),
    "cosine": ("cosine", 1.0, "{:.4f}"),
    "ECE": ("calibration_error", 1.0, "{:.4f}"),
}


def write_comparison(folder: Path, figures: Sequence[RunFigures]) -> str:
    """Write ``comparison.txt``, ``comparison.csv`` and ``comparison.png``; return the text."""
    text = comparison_text(figures)
    atomic_write_text(folder / "comparison.txt", text)
    atomic_write_text(folder / "comparison.csv", csv_text(comparison_frame(figures)))
    atomic_write_bytes(folder / "comparison.png", comparison_picture(figures))
    return text


def comparison_frame(figures: Sequence[RunFigures]) -> pd.DataFrame:
    """Return the table for programs: one row per run, scores as fractions."""
    return to_frame(
        {
            "run": run.run.name,
            "model": run.group.model,
            "way": run.group.way,
            "is_teacher": int(run.is_teacher),
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
            "equal_labels": run.equal_labels,
            "cosine": run.cosine,
            "calibration_error": run.calibration_error,
        }
        for run in figures
    )


def comparison_text(figures: Sequence[RunFigures]) -> str:
    """Return the table for people; scores in percent."""
    first, frame = figures[0], comparison_frame(figures)
    columns = {name: (name, 100.0, "{:.2f}") for name in first.scores} | _COLUMNS
    for heading, (column, factor, _) in columns.items():
        frame[heading] = factor * frame[column].astype(float)
    shown = show_over_seeds(
        over_seeds(frame, GROUP, [*columns]), {name: column[-1] for name, column in columns.items()}
    )
    shown.insert(0, "run", [SeedGroup(*names).name for names in shown.index])
    shown["seeds"] = frame.groupby(GROUP, sort=False).size()
    problems = {run.group.name: run.speed.problem for run in figures if run.speed.problem}
    notes = [
        f"{first.split}, {first.examples} examples; scores in percent, mean ± standard deviation over the seeds.",
        *([DEV_NOTE] if first.split == "dev" else []),
        "p50, p95: latency of one text of `length` tokens in LiteRT, without tokenization; one run of each row.",
        "examples/s: throughput in Keras, batches of 32. label agreement, cosine: with the teacher; cosine of the "
        "probabilities. ECE: expected calibration error.",
        *(f"No file of {name}: {problem}" for name, problem in problems.items()),
        *_speedups(frame),
    ]
    return "\n".join([*text_table(shown), "", *wrap_lines(notes)]) + "\n"


def _speedups(frame: pd.DataFrame) -> list[str]:
    """Return the speed-ups over the teacher, or over the slowest group if the teacher was not timed."""
    timed = frame.groupby(GROUP, sort=False).agg({"p50_ms": "first", "is_teacher": "max"}).dropna()
    if len(timed) < 2:
        return []
    teachers = timed.index[timed["is_teacher"] == 1]
    reference = teachers[0] if len(teachers) else timed["p50_ms"].astype(float).idxmax()
    role = "teacher" if len(teachers) else "slowest"
    return [
        f"Speed-up over {SeedGroup(*reference).name} ({role}), latency p50 of one text:",
        *(
            f"  {SeedGroup(*names).name}: {timed['p50_ms'][reference] / ms:.1f}"
            for names, ms in timed["p50_ms"].items()
            if names != reference
        ),
    ]


def comparison_picture(figures: Sequence[RunFigures]) -> bytes:
    """Return a PNG: the first score against latency and against model size.

    Each model has its color, and each variant of its training a marker. A line joins the Pareto front.
    """
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(13, 5), dpi=DOTS_PER_INCH, layout="constrained")
    first = figures[0]
    metric = next(iter(first.scores))
    canvas.suptitle(f"{metric} on {first.examples} {first.split} examples, against latency and model size")
    panels = canvas.subplots(1, 2, sharey=True)
    frame = comparison_frame(figures)
    frame["score"], frame["MB"] = 100 * frame[metric].astype(float), frame["file_bytes"].astype(float) / 1e6
    scores = over_seeds(frame, GROUP, ["score"])["score"]
    costs = frame.groupby(GROUP, sort=False)[["p50_ms", "MB"]].first()
    models, ways = (list(scores.index.unique(level)) for level in GROUP)
    labels = {"p50_ms": "latency p50 of one text (ms)", "MB": "size of the .tflite file (MB)"}
    for panel, (cost, label) in zip(panels, labels.items(), strict=True):
        for model, way in costs[cost].dropna().index:
            score = scores.loc[(model, way)]
            panel.errorbar(
                costs[cost][model, way],
                score["mean"],
                yerr=score["std"] if score["count"] > 1 else None,
                fmt=MARKERS[ways.index(way) % len(MARKERS)],
                color=COLORS[models.index(model) % len(COLORS)],
                capsize=3,
                label=SeedGroup(model, way).name,
            )
        shown = costs[cost].dropna().astype(float)
        means = scores["mean"].loc[shown.index]
        front = pareto_front(shown.tolist(), means.tolist())
        panel.plot(shown.iloc[front], means.iloc[front], color="#868e96", linewidth=1, zorder=0, label="Pareto front")
        log_x_axis(panel)
        panel.set_xlabel(label)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel(f"{first.split} {metric}, %")
    canvas.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return png_bytes(canvas)
