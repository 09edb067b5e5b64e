"""The results of a study as text and as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from power_bert.experiments.similarity_study.picture import study_picture
from power_bert.experiments.similarity_study.study_comparison import SIMILARITY, against_dot, against_untrained
from power_bert.experiments.similarity_study.study_definition import Study
from power_bert.experiments.similarity_study.study_folder import StudyDir
from power_bert.experiments.similarity_study.study_results import (
    CURVE_FIGURES,
    CellResult,
    Figure,
    curves_frame,
    settings_of,
    values_frame,
)
from power_bert.experiments.similarity_study.work import fine_tunings
from power_bert.result_tables import csv_text, over_seeds, show_over_seeds, text_table, to_frame, wrap_lines
from power_bert.storage.files import atomic_write_bytes, atomic_write_text

_TEST_LOSS = "test loss"


class _Column(NamedTuple):
    """A column of the table: the figure, and the format of its mean."""

    figure: Figure
    pattern: str


def write_report(study: Study, folder: StudyDir, results: Sequence[CellResult], errors: Mapping[str, str]) -> str:
    """Write ``summary.txt``, ``results.csv``, ``curves.csv`` and ``study.png``; return the text."""
    text = report_text(study, results, errors)
    atomic_write_text(folder.summary, text)
    atomic_write_text(folder.results_csv, csv_text(results_frame(study, results)))
    atomic_write_text(folder.curves_csv, csv_text(curves_frame(results)))
    if pretrained := [result for result in results if result.history]:
        atomic_write_bytes(folder.picture, study_picture(pretrained))
    return text


def report_text(study: Study, results: Sequence[CellResult], errors: Mapping[str, str]) -> str:
    """Return the tables for people.

    Each combination of settings is one row: mean ± standard deviation over the seeds, scores in percent.
    """
    columns, settings = _columns(study), settings_of(results)
    figures = {name: column.figure for name, column in columns.items()}
    patterns = {name: column.pattern for name, column in columns.items()}
    statistics = over_seeds(values_frame(results, figures), settings, [*figures])
    lines = [*_table(statistics, settings, patterns), "", *wrap_lines(_notes(study))]
    for title, differences in _differences(study, results, figures):
        signed = {name: "{:+.3f}" if name == _TEST_LOSS else "{:+.2f}" for name in differences.columns.unique(0)}
        lines += ["", title, *_table(differences, settings, signed)]
    unfinished = [result.cell.name for result in results if not result.history]
    lines += ["", f"Not finished: {', '.join(unfinished)}"] if unfinished else []
    lines += [f"Failed: {name}: {error}" for name, error in errors.items()]
    return "\n".join(lines) + "\n"


def _table(statistics: pd.DataFrame, settings: Sequence[str], patterns: Mapping[str, str]) -> list[str]:
    shown = show_over_seeds(statistics, patterns).reset_index()[[*settings, *patterns]]
    return text_table(shown, left=(), keys=len(settings))


def _differences(
    study: Study, results: Sequence[CellResult], figures: Mapping[str, Figure]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the title and the statistics of each comparison that the grid has."""
    compared = {name: figure for name, figure in figures.items() if name not in ("parameters", "tokens/s")}
    tasks = study.fine_tuning.tasks if study.fine_tuning else ()
    for title, statistics in (
        ("Difference from dot, with all other settings equal:", against_dot(results, compared)),
        ("Pre-trained minus random weights:", against_untrained(results, tasks)),
    ):
        if not statistics.empty:
            yield title, statistics


def _notes(study: Study) -> list[str]:
    """Return the explanations of the columns."""
    notes = ["Mean ± standard deviation over the seeds; scores of fine-tuning on the dev sets, in percent."]
    if study.fine_tuning is not None and study.fine_tuning.seeds is not None:
        seeds = ", ".join(map(str, study.fine_tuning.seeds))
        notes += [f"Each pre-training was fine-tuned with the seeds {seeds}; random weights come from the same seeds."]
    notes += ["tokens/s: throughput of pre-training; cells that ran at the same time divided the cores among them."]
    if any(SIMILARITY in cell.values for cell in study.cells):
        notes += [
            "parameters: with all other settings equal, dot has one learned number per head and block less than "
            "the other similarities."
        ]
    if study.match is not None:
        notes += ["The feed-forward width was chosen so that all cells have the same number of parameters."]
    if study.fine_tuning is not None:
        notes += [
            f"{task}: fine-tuned on {count:,} of the training examples, the same ones in all cells."
            for task in study.fine_tuning.tasks
            if (count := study.fine_tuning.experiment_settings(task).get("train_examples"))
        ]
    return notes


def _columns(study: Study) -> dict[str, _Column]:
    """Return heading → column."""
    columns = {
        "parameters": _Column(lambda result: [result.parameters or None], "{:,.0f}"),
        "tokens/s": _Column(lambda result: [result.tokens_per_second], "{:,.0f}"),
        _TEST_LOSS: _Column(lambda result: [result.figure("test_loss")], "{:.3f}"),
        "masked accuracy": _Column(_percent(lambda result: [result.figure("masked_accuracy")]), "{:.2f}"),
    }
    kinds = dict.fromkeys((run.task, run.untrained) for run in fine_tunings(study))
    for task, untrained in kinds:
        columns[f"{task}{_ending(untrained)}"] = _Column(_scores_of(task, untrained), "{:.2f}")
    for untrained in sorted({untrained for _, untrained in kinds}):
        columns[f"average{_ending(untrained)}"] = _Column(_averages_of(untrained), "{:.2f}")
    return columns


def _ending(untrained: bool) -> str:
    return ", untrained" if untrained else ""


def _percent(figure: Figure) -> Figure:
    return lambda result: [None if value is None else 100 * value for value in figure(result)]


def _scores_of(task: str, untrained: bool) -> Figure:
    return _percent(lambda result: result.task_scores(task, untrained))


def _averages_of(untrained: bool) -> Figure:
    return _percent(lambda result: result.average_scores(untrained))


def results_frame(study: Study, results: Sequence[CellResult]) -> pd.DataFrame:
    """Return the table for programs: one row per cell, scores as fractions; what is not done is missing."""
    return to_frame(
        {
            **result.cell.values,
            "parameters": result.parameters or None,
            **{name: result.figure(name) for name in (*CURVE_FIGURES, "perplexity")},
            "tokens_per_second": result.tokens_per_second,
            **{run.name: result.scores.get(run) for run in fine_tunings(study)},
        }
        for result in results
    )
