"""What elimination costs in score: the model of a run against models that differ from it in elimination alone.

``differences.json`` of the phase, for each of them: metric → score before, score after, interval of the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from power_bert.analysis.document import Document
from power_bert.errors import UserError
from power_bert.run_dir import BASELINE, NOTHING_ELIMINATED, PhaseDir, RunDir, write_json
from power_bert.run_documents import read_metrics
from power_bert.text.examples import read_examples
from power_bert.text.predictions import read_predictions
from power_bert.text.task import Task
from power_bert.train.metrics import compute_scores, format_score
from power_bert.train.paired_difference import Interval, format_change, paired_interval
from power_bert.train.stored_run import StoredPhase, find_stored_phase
from power_bert.train.without_elimination import add_missing_scores

# What a model that eliminates is compared with: the same weights, and a model that had as many epochs.
REFERENCES = (NOTHING_ELIMINATED, BASELINE)


@dataclass(frozen=True)
class Difference:
    """A score without and with elimination, as fractions; None where it is undefined.

    Attributes:
        before: Score of the reference, in which nothing is eliminated.
        after: Score of the model that eliminates.
        interval: Of the difference; None where it is undefined.
    """

    before: float | None
    after: float | None
    interval: Interval | None

    def text(self) -> str:
        """Show both in percent: `41.20 → 40.85 (−0.35, 95 % interval −1.10 to +0.40)`."""
        if self.before is None or self.after is None:
            return f"{format_score(self.before)} → {format_score(self.after)}"
        return f"{format_score(self.before)} → {format_score(self.after)} ({self.change_text()})"

    def change_text(self) -> str:
        """Show the difference and its interval."""
        return format_change(self.before, self.after, self.interval)


def measure_differences(run_dir: RunDir, console: Console) -> None:
    """Compare the last phase of a run with its references, where its model eliminates, and write ``differences.json``.

    Where the dev data are gone, what was measured before stays.
    """
    stored = find_stored_phase(run_dir.path)
    if stored.retention is None:
        return
    phase_dir, task = stored.phase_dir, stored.task
    try:
        add_missing_scores(stored, console)
        labels = _labels_of(stored)
    except UserError as error:
        console.print(f"elimination is not compared with its references: {error}", markup=False)
        return
    after = read_predictions(phase_dir.predictions("dev"), task)
    files = {NOTHING_ELIMINATED: phase_dir.predictions(NOTHING_ELIMINATED)}
    if run_dir.phase(BASELINE).is_done:
        files[BASELINE] = run_dir.phase(BASELINE).predictions("dev")
    before = {name: read_predictions(path, task) for name, path in files.items()}
    write_json(
        phase_dir.differences,
        {name: _compare(task, labels, predictions, after) for name, predictions in before.items()},
    )


def _labels_of(stored: StoredPhase) -> np.ndarray:
    """The dev labels; a UserError where they are not those that the run was scored with."""
    task, phase_dir, data_dir = stored.task, stored.phase_dir, stored.experiment.data_dir
    labels = np.asarray(read_examples(task, "dev", data_dir).labels)
    predictions = read_predictions(phase_dir.predictions("dev"), task)
    scored = read_metrics(phase_dir.metrics, task.metrics)["scores"]
    if len(labels) == len(predictions):
        scores = compute_scores(task.metrics, labels, predictions)
        if all(format_score(scores[name]) == format_score(scored[name]) for name in task.metrics):
            return labels
    raise UserError(f"the dev data in {data_dir} are not those that {phase_dir.predictions('dev')} was scored with")


def _compare(
    task: Task, labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, dict[str, float | None]]:
    scores = [compute_scores(task.metrics, labels, predictions) for predictions in (before, after)]
    found = {}
    for metric in task.metrics:
        interval = paired_interval(metric, labels, before, after)
        ends = (None, None) if interval is None else (interval.low, interval.high)
        found[metric] = dict(
            zip(("before", "after", "low", "high"), (*(of[metric] for of in scores), *ends), strict=True)
        )
    return found


def reference_notes(stored: StoredPhase) -> list[str]:
    """Say in lines what the model of a run is compared with, for the foot of a table."""
    titles = {NOTHING_ELIMINATED: "same weights", BASELINE: "as many epochs"}
    return [
        f"{stored.run_dir.path}, {titles[name]}, nothing eliminated → with elimination: {metric} {difference.text()}"
        for name, differences in read_differences(stored.phase_dir).items()
        for metric, difference in differences.items()
    ]


def read_differences(phase_dir: PhaseDir) -> dict[str, Mapping[str, Difference]]:
    """Reference → metric → difference, as far as they were measured.

    Raises:
        UserError: The file is damaged.
    """
    if not phase_dir.differences.exists():
        return {}
    document = Document.read(phase_dir.differences)
    return {name: _read(document.part(name)) for name in REFERENCES if name in document.values}


def _read(document: Document) -> dict[str, Difference]:
    found = {}
    for metric in document.values:
        part = document.part(metric)
        before, after, low, high = (part.score(name) for name in ("before", "after", "low", "high"))
        interval = None if low is None or high is None else Interval(low, high)
        found[metric] = Difference(before, after, interval)
    return found
