"""The picture of a study: learning curves over tokens and seconds, and final figures over the number of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from power_bert.experiments.similarity_study.study_results import CellResult, curves_frame, settings_of, values_frame
from power_bert.pictures import COLORS, DOTS_PER_INCH, MARKERS, log_x_axis, png_bytes
from power_bert.result_tables import group_rows

_STYLES = ("-", "--", ":", "-.")


def study_picture(results: Sequence[CellResult]) -> bytes:
    """Return a PNG: the first setting of the grid is the color, the others are the line style or marker.

    Args:
        results: Results of cells whose pre-training is done; at least one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.5), dpi=DOTS_PER_INCH, layout="constrained")
    figure.suptitle("Pre-training: masked accuracy and test loss, and scores after fine-tuning")
    (top, bottom) = figure.subplots(2, 3)
    settings, curves = settings_of(results), curves_frame(results)
    curves["evaluation"] = curves.groupby(list(results[0].cell.values), sort=False).cumcount()
    for row, name, label in ((top, "masked_accuracy", "masked accuracy"), (bottom, "test_loss", "test loss (nats)")):
        for panel, against, unit in ((row[0], "tokens", "tokens"), (row[1], "seconds", "seconds of training")):
            for key, group, color, style in _with_looks(curves, settings, _STYLES):
                curve = _mean_curve(group, against, name)
                panel.plot(curve[against], curve[name], style, color=color, label=_label(settings, key))
            panel.set_xlabel(unit)
            panel.set_ylabel(label)
    accuracy, score = "masked accuracy at the end", "mean dev score after fine-tuning"
    ends = values_frame(
        results,
        {
            "parameters": lambda result: [result.parameters],
            accuracy: lambda result: [result.figure("masked_accuracy")],
            score: CellResult.average_scores,
        },
    )
    _plot_ends(top[2], ends, settings, accuracy)
    _plot_ends(bottom[2], ends, settings, score)
    handles, labels = top[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    return png_bytes(figure)


def _plot_ends(panel: Any, ends: pd.DataFrame, settings: Sequence[str], name: str) -> None:
    """Plot a figure of each condition over its parameters, with the standard deviation over its seeds."""
    for key, group, color, marker in _with_looks(ends, settings, MARKERS[:4]):
        values = group[name].dropna().astype(float)
        if not values.empty:
            panel.errorbar(
                group["parameters"].dropna().astype(float).mean(),
                values.mean(),
                yerr=values.std() if len(values) > 1 else None,
                fmt=marker,
                color=color,
                capsize=3,
                label=_label(settings, key),
            )
    log_x_axis(panel)
    panel.set_xlabel("parameters")
    panel.set_ylabel(name)


def _with_looks(
    frame: pd.DataFrame, settings: Sequence[str], looks: Sequence[str]
) -> list[tuple[tuple[Any, ...], pd.DataFrame, str, str]]:
    """Return the values of the settings of each condition, its rows, its color, and its line style or marker."""
    groups = list(group_rows(frame, settings))
    firsts = list(dict.fromkeys(key[0] for key, _ in groups))
    others = list(dict.fromkeys(key[1:] for key, _ in groups))
    return [
        (
            key,
            group,
            COLORS[firsts.index(key[0]) % len(COLORS)],
            looks[others.index(key[1:]) % len(looks)],
        )
        for key, group in groups
    ]


def _label(settings: Sequence[str], key: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip(settings, key, strict=False)) or "all seeds"


def _mean_curve(group: pd.DataFrame, against: str, name: str) -> pd.DataFrame:
    """Return the means over the seeds of the evaluations that all of them have reached."""
    evaluations = group.astype({against: float, name: float}).groupby("evaluation")[[against, name]]
    return evaluations.mean()[evaluations.size() == (group["evaluation"] == 0).sum()]
