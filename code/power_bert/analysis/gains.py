"""What distillation gains: each student against itself alone and against least squares, seed by seed.

A student starts from the same weights in every way of training that has the same seed, so differences vary less than
the scores themselves. All figures come from the tables that `compare` and `linear-baselines` have written.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.spread import Spread, or_empty, percent, show_spread, spread_of
from power_bert.text_table import text_table
from power_bert.train.metrics import METRICS

ALONE = "alone"
LEAST_SQUARES, LOGISTIC = "least squares", "logistic regression"
COMPARISON_CSV, BASELINES_CSV = "comparison.csv", "linear_baselines.csv"
DEV_NOTE = "The dev data have also chosen the epoch that a run kept, which flatters its scores on them."
_NOTE = "less alone, less least squares: seed by seed; *: above its standard deviation over the seeds."


@dataclass(frozen=True)
class Gain:
    """A model, trained in one way from several seeds, by one metric.

    Attributes:
        model: the student, the kind of teacher, or a baseline.
        way: how it was trained.
        metric: of the scores.
        split: whose examples were scored.
        score: in percent.
        less_alone: points above the same student on the labels alone; None where no seed has both.
        less_least_squares: points above least squares on TF-IDF; None without that.
        times_faster: than the teacher, for one text; None where one of the two was not timed.
    """

    model: str
    way: str
    metric: str
    split: str
    score: Spread
    less_alone: Spread | None
    less_least_squares: Spread | None
    times_faster: float | None


def read_gains(folder: Path) -> list[Gain]:
    """The gains of a comparison, metric by metric.

    Args:
        folder: of ``comparison.csv``, and of ``linear_baselines.csv`` where there is one.

    Raises:
        UserError: a file is missing or damaged, or has other columns.
    """
    runs = _read_rows(folder / COMPARISON_CSV)
    baselines = _read_rows(folder / BASELINES_CSV) if (folder / BASELINES_CSV).exists() else []
    try:
        return [gain for metric in runs[0] if metric in METRICS for gain in _gains(metric, runs, baselines)]
    except (KeyError, ValueError) as error:
        raise UserError(f"{folder}: its tables have other columns ({error}); delete it to have it made again") from None


_Row = Mapping[str, str]


def _read_rows(path: Path) -> list[_Row]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows: list[_Row] = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete it and give the command again") from None
    if not rows:
        raise UserError(f"{path}: no rows; delete it and give the command again")
    return rows


def _gains(metric: str, runs: Sequence[_Row], baselines: Sequence[_Row]) -> list[Gain]:
    teacher_ms = next((ms for row in runs if row["is_teacher"] == "1" and (ms := _number(row["p50_ms"]))), None)
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in runs:
        groups.setdefault((row["model"], row["way"]), []).append(row)
    of_baselines = {row["baseline"]: _percent(row[metric]) for row in baselines}
    least_squares = of_baselines.get(LEAST_SQUARES)
    split = runs[0]["split"]
    gains = []
    for name, score in of_baselines.items():
        if (spread := spread_of([score])) is not None:
            less = None if name == LEAST_SQUARES else spread_of([_difference(score, least_squares)])
            gains.append(Gain(name, "", metric, split, spread, None, less, None))
    for (model, way), rows in groups.items():
        scores = {row["seed"]: _percent(row[metric]) for row in rows}
        if (spread := spread_of(scores.values())) is None:
            continue
        alone = {row["seed"]: _percent(row[metric]) for row in groups.get((model, ALONE), ()) if way != ALONE}
        own_ms = _number(rows[0]["p50_ms"])
        gains.append(
            Gain(
                model,
                way,
                metric,
                split,
                spread,
                spread_of(_difference(score, alone.get(seed)) for seed, score in scores.items()),
                spread_of(_difference(score, least_squares) for score in scores.values()),
                teacher_ms / own_ms if teacher_ms and own_ms else None,
            )
        )
    return gains


def _number(text: str) -> float | None:
    """A figure of a CSV file; None where it is empty or undefined."""
    value = float(text or "nan")
    return value if math.isfinite(value) else None


def _percent(text: str) -> float | None:
    return percent(_number(text))


def _difference(score: float | None, other: float | None) -> float | None:
    return None if score is None or other is None else score - other


def is_above_deviation(gain: Spread | None) -> bool | None:
    """Whether a gain exceeds its deviation over the seeds; None where there are not two seeds to tell."""
    return None if gain is None or gain.deviation is None else gain.mean > gain.deviation


def write_gains(folder: Path) -> str:
    """Write ``gains.txt`` and ``gains.csv`` beside the tables that they come from; returns the text.

    Raises:
        UserError: as of `read_gains`.
    """
    gains = read_gains(folder)
    text = gains_text(gains)
    atomic_write_text(folder / "gains.txt", text)
    atomic_write_text(folder / "gains.csv", gains_csv(gains))
    return text


def write_summary(out: Path) -> str:
    """Write ``summary.txt``: by each task's first metric, the gains of all tasks that were compared; returns the text.

    Args:
        out: its folders are the tasks, each with a folder ``comparison``.

    Raises:
        UserError: nothing was compared there, or as of `read_gains`.
    """
    rows, gains = [], list[Gain]()
    for table in sorted(out.glob(f"*/comparison/{COMPARISON_CSV}")):
        of_task = read_gains(table.parent)
        of_task = [gain for gain in of_task if gain.metric == of_task[0].metric]
        gains += of_task
        rows += [[table.parent.parent.name, f"{gain.split} {gain.metric}", *_cells(gain)] for gain in of_task]
    if not rows:
        raise UserError(f"{out}: no task was compared there, so that there is nothing to sum up")
    lines = text_table([["task", "score", *_heading("%")], *rows], words=(0, 1, 2))
    text = "\n".join([*lines, "", *_notes(gains)]) + "\n"
    atomic_write_text(out / "summary.txt", text)
    return text


def gains_text(gains: Sequence[Gain]) -> str:
    """A table a metric."""
    lines = []
    for metric in dict.fromkeys(gain.metric for gain in gains):
        rows = [_cells(gain) for gain in gains if gain.metric == metric]
        lines += [*text_table([_heading(f"{gains[0].split} {metric}, %"), *rows]), ""]
    return "\n".join([*lines, *_notes(gains)]) + "\n"


def _heading(score: str) -> list[str]:
    return ["run", score, "less alone", "less least squares", "times faster", "seeds"]


def _cells(gain: Gain) -> list[str]:
    differences = [
        f"{show_spread(spread, '{:+.2f}')}{' *' if is_above_deviation(spread) else ''}"
        for spread in (gain.less_alone, gain.less_least_squares)
    ]
    name = ", ".join(filter(None, (gain.model, gain.way)))
    faster = "-" if gain.times_faster is None else f"{gain.times_faster:.1f}"
    return [name, show_spread(gain.score, "{:.2f}"), *differences, faster, str(gain.score.count)]


def _notes(gains: Sequence[Gain]) -> list[str]:
    return [
        "Scores in percent, mean ± standard deviation over the seeds.",
        _NOTE,
        "times faster: than the teacher, one text of each one's own maximum length in LiteRT, without tokenising.",
        *([f"dev: {DEV_NOTE}"] if any(gain.split == "dev" for gain in gains) else []),
    ]


def gains_csv(gains: Iterable[Gain]) -> str:
    """A row a model, way and metric; scores and differences in percent."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    differences = ("less_alone", "less_least_squares")
    names = [f"{name}{ending}" for name in differences for ending in ("", "_deviation", "_above_deviation")]
    writer.writerow(["model", "way", "split", "metric", "seeds", "score", "deviation", *names, "times_faster"])
    for gain in gains:
        cells: list[float | str] = [gain.score.mean, or_empty(gain.score.deviation)]
        for spread in (gain.less_alone, gain.less_least_squares):
            above = is_above_deviation(spread)
            cells += [
                "" if spread is None else spread.mean,
                "" if spread is None else or_empty(spread.deviation),
                "" if above is None else int(above),
            ]
        first = [gain.model, gain.way, gain.split, gain.metric, gain.score.count]
        writer.writerow([*first, *cells, or_empty(gain.times_faster)])
    return text.getvalue()
