"""The results of a study as text and as tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from power_bert.files import atomic_write_bytes, atomic_write_text
from power_bert.spread import or_empty, percent, show_spread
from power_bert.study.comparison import SIMILARITY, Comparison, against_dot, against_untrained
from power_bert.study.definition import Study
from power_bert.study.folder import StudyDir
from power_bert.study.picture import study_picture
from power_bert.study.results import CellResult, Values, group_by_all_but_seed
from power_bert.study.work import fine_tunings
from power_bert.text_table import text_table

_TEST_LOSS = "test loss"
_CURVE_FIGURES = ("step", "tokens", "seconds", "tokens_per_second", "train_loss", "test_loss", "masked_accuracy")


def write_report(study: Study, folder: StudyDir, results: Sequence[CellResult], errors: Mapping[str, str]) -> str:
    """Writes ``summary.txt``, ``results.csv``, ``curves.csv`` and ``study.png``; returns the text."""
    text = report_text(study, results, errors)
    atomic_write_text(folder.summary, text)
    atomic_write_text(folder.results_csv, results_csv(study, results))
    atomic_write_text(folder.curves_csv, curves_csv(results))
    groups = [group for group in group_by_all_but_seed(results) if any(result.history for result in group.results)]
    if groups:
        atomic_write_bytes(folder.picture, study_picture(groups))
    return text


def report_text(study: Study, results: Sequence[CellResult], errors: Mapping[str, str]) -> str:
    """The tables for people: a row a group, mean ± standard deviation over the seeds, scores in percent."""
    columns = _columns(study)
    groups = group_by_all_but_seed(results)
    rows = [[*groups[0].values, *(name for name, _, _ in columns)]]
    for group in groups:
        cells = [show_spread(group.spread(figure), pattern) for _, figure, pattern in columns]
        rows.append([*(str(value) for value in group.values.values()), *cells])
    lines = [*text_table(rows, words=()), "", *_notes(study)]
    for comparison in _comparisons(study, results):
        lines += ["", comparison.title, *text_table(_comparison_rows(comparison), words=())]
    unfinished = [result.cell.name for result in results if not result.history]
    lines += ["", f"Not finished: {', '.join(unfinished)}"] if unfinished else []
    lines += [f"Failed: {name}: {error}" for name, error in errors.items()]
    return "\n".join(lines) + "\n"


def _notes(study: Study) -> list[str]:
    """What the columns mean."""
    notes = ["Mean ± standard deviation over the seeds; scores of fine-tuning on the dev sets, in percent."]
    if study.fine_tuning is not None and study.fine_tuning.seeds is not None:
        seeds = ", ".join(map(str, study.fine_tuning.seeds))
        notes += [f"Each pre-training was fine-tuned from the seeds {seeds}; random weights are of those seeds too."]
    notes += ["tokens/s: of the pre-training while the study ran; cells that ran at the same time shared the cores."]
    if any(SIMILARITY in cell.values for cell in study.cells):
        notes += [
            "parameters: with all other settings equal, similarities differ in one learned number a head and block, "
            "which dot has not."
        ]
    if study.match is not None:
        notes += ["The width of the feed-forward was chosen so that all cells have the same parameters."]
    if study.fine_tuning is not None:
        notes += [
            f"{task}: fine-tuned on {count:,} of the training examples, the same ones in all cells."
            for task in study.fine_tuning.tasks
            if (count := study.fine_tuning.experiment_settings(task).get("train_examples"))
        ]
    return notes


def _comparisons(study: Study, results: Sequence[CellResult]) -> Iterable[Comparison]:
    tasks = study.fine_tuning.tasks if study.fine_tuning else ()
    figures = {name: figure for name, figure, _ in _columns(study)[2:]}
    return filter(None, (against_dot(results, figures), against_untrained(results, tasks)))


def _comparison_rows(comparison: Comparison) -> list[list[str]]:
    rows = [[*comparison.rows[0][0], *comparison.columns]]
    for values, spreads in comparison.rows:
        shown = (
            show_spread(spread, "{:+.3f}" if name == _TEST_LOSS else "{:+.2f}")
            for name, spread in zip(comparison.columns, spreads, strict=True)
        )
        rows.append([*map(str, values.values()), *shown])
    return rows


_Column = tuple[str, Callable[[CellResult], Values], str]


def _columns(study: Study) -> list[_Column]:
    """Heading, figure and format of each column."""
    columns: list[_Column] = [
        ("parameters", lambda result: [result.parameters or None], "{:,.0f}"),
        ("tokens/s", lambda result: [result.tokens_per_second], "{:,.0f}"),
        (_TEST_LOSS, lambda result: [result.figure("test_loss")], "{:.3f}"),
        ("masked accuracy", lambda result: [percent(result.figure("masked_accuracy"))], "{:.2f}"),
    ]
    kinds = dict.fromkeys((run.task, run.untrained) for run in fine_tunings(study))
    for task, untrained in kinds:
        columns.append((f"{task}{_ending(untrained)}", _scores_of(task, untrained), "{:.2f}"))
    for untrained in sorted({untrained for _, untrained in kinds}):
        columns.append((f"average{_ending(untrained)}", _averages_of(untrained), "{:.2f}"))
    return columns


def _ending(untrained: bool) -> str:
    return ", untrained" if untrained else ""


def _scores_of(task: str, untrained: bool) -> Callable[[CellResult], Values]:
    return lambda result: [percent(score) for score in result.task_scores(task, untrained)]


def _averages_of(untrained: bool) -> Callable[[CellResult], Values]:
    return lambda result: [percent(score) for score in result.average_scores(untrained)]


def results_csv(study: Study, results: Sequence[CellResult]) -> str:
    """A row a cell; scores as fractions."""
    rows = []
    for result in results:
        row: dict[str, Any] = {**result.cell.values, "parameters": result.parameters or ""}
        row |= {name: or_empty(result.figure(name)) for name in (*_CURVE_FIGURES, "perplexity")}
        row["tokens_per_second"] = or_empty(result.tokens_per_second)
        for run in fine_tunings(study):
            row[run.name] = or_empty(result.scores.get(run))
        rows.append(row)
    return _csv(rows)


def curves_csv(results: Sequence[CellResult]) -> str:
    """A row an evaluation of each cell."""
    return _csv(
        {**result.cell.values, **{name: entry[name] for name in _CURVE_FIGURES}}
        for result in results
        for entry in result.history
    )


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, list(row), lineterminator="\n")
            writer.writeheader()
        writer.writerow(row)
    return text.getvalue()
