"""Gains of distillation: each student compared with the same student without a teacher and with least squares.

Differences are taken seed by seed: runs of a student with the same seed start from the same weights, so differences
vary less than the scores themselves. All figures come from the tables that `compare` and `linear-baselines` wrote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from power_bert.errors import UserError
from power_bert.predict.metrics import METRICS
from power_bert.result_tables import csv_text, over_seeds, show_means, text_table, wrap_lines
from power_bert.storage.files import atomic_write_text

NO_TEACHER = "no teacher"  # the variant in tables of comparisons; earlier versions wrote "alone"
LEAST_SQUARES, LOGISTIC = "least squares", "logistic regression"
COMPARISON_CSV, BASELINES_CSV = "comparison.csv", "linear_baselines.csv"
DEV_NOTE = "The kept epoch was selected on the dev set, so dev scores are optimistic."
# Columns of `comparison.csv` that name a group of runs that differ in the seed only: the model and the variant of its
# training.
GROUP = ["model", "way"]
_DIFFERENCES = {"less_no_teacher": "vs. no teacher", "less_least_squares": "vs. least squares"}


def read_gains(folder: Path) -> pd.DataFrame:
    """Read the tables of a comparison and return its gains, metric by metric.

    Args:
        folder: Folder of ``comparison.csv`` and, if there is one, of ``linear_baselines.csv``.

    Returns:
        One row per model, variant of its training ("way", empty for baselines) and metric: mean and standard deviation
        over the seeds of its score and of its differences from the same student without a teacher ("less_no_teacher")
        and from least squares on TF-IDF ("less_least_squares"), in percent; whether each difference is above its
        standard deviation (missing for fewer than two seeds); and the latency of the teacher divided by its own
        ("times_faster"). What cannot be computed is missing.

    Raises:
        UserError: A file is missing or damaged, or has other columns.
    """
    runs = _read_table(folder / COMPARISON_CSV)
    baselines = _read_table(folder / BASELINES_CSV) if (folder / BASELINES_CSV).exists() else pd.DataFrame()
    try:
        runs["way"] = runs["way"].fillna("").str.replace(r"^alone\b", NO_TEACHER, regex=True)
        metrics = [column for column in runs if column in METRICS]
        return pd.concat([_gains(metric, runs, baselines) for metric in metrics], ignore_index=True)
    except (KeyError, ValueError) as error:
        raise UserError(f"{folder}: its tables have other columns ({error}); delete it to have it made again") from None


def _read_table(path: Path) -> pd.DataFrame:
    try:
        rows = pd.read_csv(path, encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no table
        raise UserError(f"{path}: cannot be read ({error}); delete it and give the command again") from None
    if rows.empty:
        raise UserError(f"{path}: no rows; delete it and give the command again")
    return rows


def _gains(metric: str, runs: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    runs = runs.drop_duplicates([*GROUP, "seed"], keep="last")
    rows = pd.concat([baselines.rename(columns={"baseline": "model"}).assign(way=""), runs], ignore_index=True)
    rows["score"] = 100 * rows[metric].astype(float)
    untaught = rows[rows["way"] == NO_TEACHER].set_index(["model", "seed"])["score"].rename(NO_TEACHER)
    rows = rows.join(untaught, on=["model", "seed"])
    rows["less_no_teacher"] = (rows["score"] - rows[NO_TEACHER]).where(rows["way"] != NO_TEACHER)
    is_least_squares = rows["model"] == LEAST_SQUARES
    least_squares = rows["score"].where(is_least_squares).max()
    rows["less_least_squares"] = (rows["score"] - least_squares).where(~is_least_squares)
    statistics = over_seeds(rows, GROUP, ["score", *_DIFFERENCES])
    own_ms = rows.groupby(GROUP, sort=False)["p50_ms"].first()
    teacher_ms = next(iter(rows.loc[rows["is_teacher"] == 1, "p50_ms"].dropna()), math.nan)
    columns = {
        "split": runs["split"].iloc[0],
        "metric": metric,
        "seeds": statistics["score", "count"],
        "score": statistics["score", "mean"],
        "deviation": statistics["score", "std"],
    }
    for name in _DIFFERENCES:
        mean, deviation = statistics[name, "mean"], statistics[name, "std"]
        columns |= {name: mean, f"{name}_deviation": deviation, f"{name}_seeds": statistics[name, "count"]}
        columns[f"{name}_above_deviation"] = (mean > deviation).astype("Int64").mask(deviation.isna())
    gains = pd.DataFrame({**columns, "times_faster": teacher_ms / own_ms}).reset_index()
    return gains[gains["seeds"] > 0]


def write_gains(folder: Path) -> str:
    """Write ``gains.txt`` and ``gains.csv`` beside the tables that they come from; return the text.

    Raises:
        UserError: A table is missing or damaged, or has other columns.
    """
    gains = read_gains(folder)
    text = gains_text(gains)
    atomic_write_text(folder / "gains.txt", text)
    atomic_write_text(folder / "gains.csv", csv_text(gains))
    return text


def write_summary(out: Path) -> str:
    """Write ``summary.txt``, the gains on all tasks that were compared by the first metric of each; return the text.

    Args:
        out: Folder of one folder per task, each with a folder ``comparison``.

    Raises:
        UserError: No task was compared there, or a table is damaged or has other columns.
    """
    tables, splits = [], list[str]()
    for table in sorted(out.glob(f"*/comparison/{COMPARISON_CSV}")):
        gains = read_gains(table.parent)
        gains = gains[gains["metric"] == gains["metric"].iloc[0]]
        shown = _shown(gains, "score (%)")
        shown.insert(0, "task", table.parent.parent.name)
        shown.insert(1, "metric", gains["split"] + " " + gains["metric"])
        tables.append(shown)
        splits.extend(gains["split"])
    if not tables:
        raise UserError(f"{out}: no task was compared there, so that there is nothing to sum up")
    lines = text_table(pd.concat(tables), left=(0, 1, 2), keys=3)
    text = "\n".join([*lines, "", *_notes(splits)]) + "\n"
    atomic_write_text(out / "summary.txt", text)
    return text


def gains_text(gains: pd.DataFrame) -> str:
    """Return one table per metric for people."""
    lines = []
    for metric, of_metric in gains.groupby("metric", sort=False):
        lines += [*text_table(_shown(of_metric, f"{of_metric['split'].iloc[0]} {metric}, %")), ""]
    return "\n".join([*lines, *_notes(gains["split"])]) + "\n"


def _shown(gains: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the cells of a table for people; `score` is the heading of the scores."""
    columns = {
        "run": [", ".join(filter(None, names)) for names in gains[GROUP].itertuples(index=False)],
        score: show_means(gains["score"], gains["deviation"], "{:.2f}"),
    }
    for name, heading in _DIFFERENCES.items():
        marks = [" *" if above is not pd.NA and above else "" for above in gains[f"{name}_above_deviation"]]
        means = show_means(gains[name], gains[f"{name}_deviation"], "{:+.2f}")
        columns[heading] = [mean + mark for mean, mark in zip(means, marks, strict=True)]
    columns["speed-up"] = ["-" if math.isnan(times) else f"{times:.1f}" for times in gains["times_faster"]]
    return pd.DataFrame({**columns, "seeds": gains["seeds"]}, index=gains.index)


def _notes(splits: Iterable[str]) -> list[str]:
    notes = [
        "Scores in percent, mean ± standard deviation over the seeds.",
        "vs. no teacher, vs. least squares: difference in points, seed by seed; *: above its standard deviation.",
        "speed-up: latency of the teacher over that of the student, one text of each one's own max length in LiteRT, "
        "without tokenization.",
        *([f"dev: {DEV_NOTE}"] if "dev" in set(splits) else []),
    ]
    return wrap_lines(notes)
