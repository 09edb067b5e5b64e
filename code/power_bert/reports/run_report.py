"""The report of a finished run: one self-contained page with its summary, pictures, settings and warnings."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from html import escape
from operator import attrgetter
from pathlib import Path

from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.predict.metrics import format_score
from power_bert.reports.card_scores import phase_warnings
from power_bert.reports.html_page import html_page, html_picture, html_table
from power_bert.reports.model_card import shown_setting
from power_bert.reports.repeating_call import repeating_call
from power_bert.reports.run_pictures import run_pictures
from power_bert.reports.run_summary import FILES, TIME, SummaryRow, summary_rows
from power_bert.runs.resolve_model import StoredPhase, finished_phase
from power_bert.runs.run_dir import BASELINE, PHASES, RunDir
from power_bert.runs.run_documents import read_environment, read_metrics
from power_bert.storage.files import atomic_write_bytes, atomic_write_text

# Sections of the summary that are of interest after the pictures.
_LAST = (TIME, FILES)


def write_run_report(run_dir: RunDir) -> Path:
    """Write ``pictures/`` and ``report.html`` of a run whose last phase is done; return the path of the report.

    Raises:
        UserError: A file of the run is damaged; the message names it.
    """
    stored = finished_phase(run_dir)
    pictures = run_pictures(stored)
    for picture in pictures:
        path = run_dir.pictures / f"{picture.name}.png"
        if picture.png is None:
            path.unlink(missing_ok=True)  # of an earlier report
        else:
            atomic_write_bytes(path, picture.png)
    experiment = stored.experiment
    settings = [(experiment.spelled(name), shown_setting(value)) for name, value in experiment.shown().items()]
    machine = [
        (name, value) for name, value in read_environment(run_dir.environment).items() if isinstance(value, str | int)
    ]
    warnings, rows = phase_warnings(stored), _rows(stored)
    parts = [
        *(["<h2>Warnings</h2>", html_table(warnings)] if warnings else []),
        *_sections(row for row in rows if row.section not in _LAST),
        *(f"<h2>{each.title}</h2>\n{html_picture(each.png, each.title)}" for each in pictures if each.png is not None),
        *_sections(row for row in rows if row.section in _LAST),
        *("<h2>Settings</h2>", html_table(settings)),
        *_repetition(stored),
        *(["<h2>Machine</h2>", html_table(machine)] if machine else []),
    ]
    atomic_write_text(run_dir.report, html_page(f"{stored.task.name}: run {run_dir.path.resolve().name}", parts))
    return run_dir.report


def _repetition(stored: StoredPhase) -> Iterator[str]:
    """Yield the call that repeats a run of run.sh, if its data and its checkpoint are still there."""
    if not isinstance(stored.experiment, Experiment):
        return
    is_fine_tuned_only = not stored.run_dir.phase(PHASES[-1]).is_done
    with contextlib.suppress(UserError):
        call = repeating_call(stored.experiment, "run --fine-tune-only" if is_fine_tuned_only else "")
        baseline = "BASELINE=1 " if stored.run_dir.phase(BASELINE).is_done else ""
        yield "<h2>Repeat this run</h2>"
        yield f"<pre>{escape(baseline + call)}</pre>"
        yield "<p>Paths are shown without the folders that they are in.</p>"


def _sections(rows: Iterable[SummaryRow]) -> Iterator[str]:
    for section, group in itertools.groupby(rows, attrgetter("section")):
        if section != "Warnings":  # they come first
            yield f"<h2>{section}</h2>"
            yield html_table((row.label, row.value) for row in group)


def _rows(stored: StoredPhase) -> list[SummaryRow]:
    """Return the summary of a run of three phases, or the dev scores of another one."""
    if stored.run_dir.timings.exists():
        return summary_rows(stored.run_dir)
    scores = read_metrics(stored.phase_dir.metrics, stored.task.metrics)["scores"]
    return [SummaryRow("Dev score (%)", name, format_score(score)) for name, score in scores.items()]
