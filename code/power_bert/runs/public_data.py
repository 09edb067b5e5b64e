"""Check whether the scores of a run may be called scores on a public data set."""

from __future__ import annotations

from power_bert.runs.run_dir import PhaseDir
from power_bert.storage.files import read_lines
from power_bert.text.custom_task import CUSTOM
from power_bert.text.labeled_sets import SAMPLE
from power_bert.text.task import Task


def why_not_public(task: Task, phase_dir: PhaseDir) -> str:
    """Return the reason why a phase's scores are not scores on a public data set; "" if they are."""
    if task.name == CUSTOM:
        return "the data are the user's own"
    if task.name == SAMPLE:
        return "the data are sentences that this project generates from a grammar, in the layout of CoLA"
    official, path = task.rows.get("dev"), phase_dir.predictions("dev")
    if official is None or not path.exists():
        return ""
    rows = len(read_lines(path)) - 1  # without the header
    return "" if rows == official else f"the dev data have {rows:,} rows, and those of {task.name} {official:,}"
