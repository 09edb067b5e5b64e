"""Score differences due to elimination: the model of a run compared with references without elimination.

``differences.json`` of the phase holds for each reference: metric → score before, score after, interval of the
difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from power_bert.errors import UserError
from power_bert.predict.metrics import compute_scores, format_score
from power_bert.predict.paired_difference import Interval, format_change, paired_interval
from power_bert.runs.document import Document
from power_bert.runs.resolve_model import StoredPhase, finished_phase
from power_bert.runs.run_dir import BASELINE, NOTHING_ELIMINATED, PhaseDir, RunDir, write_run_json
from power_bert.runs.run_documents import read_metrics
from power_bert.text.examples import read_examples
from power_bert.text.predictions import read_predictions
from power_bert.text.task import Task
from power_bert.train.without_elimination import add_missing_scores

# References of a model with elimination: the same weights, and a model trained for as many epochs.
REFERENCES = (NOTHING_ELIMINATED, BASELINE)


@dataclass(frozen=True)
class Difference:
    """Score without and with elimination.

    Attributes:
        before: Score of the reference without elimination, as a fraction; None if undefined.
        after: Score of the model with elimination, as a fraction; None if undefined.
        interval: Confidence interval of the difference; None if undefined.
    """

    before: float | None
    after: float | None
    interval: Interval | None

    def text(self) -> str:
        """Return both scores in percent: `41.20 → 40.85 (−0.35, 95 % interval −1.10 to +0.40)`."""
        if self.before is None or self.after is None:
            return f"{format_score(self.before)} → {format_score(self.after)}"
        return f"{format_score(self.before)} → {format_score(self.after)} ({self.change_text()})"

    def change_text(self) -> str:
        """Return the difference and its interval as text."""
        return format_change(self.before, self.after, self.interval)


def measure_differences(run_dir: RunDir, console: Console) -> None:
    """Compare the last phase of a run with its references, if its model eliminates, and write ``differences.json``.

    If the dev data is missing, earlier differences are kept.
    """
    stored = finished_phase(run_dir)
    if stored.retention is None:
        return
    phase_dir, task = stored.phase_dir, stored.task
    try:
        add_missing_scores(stored, console)
        labels = scored_labels(stored)
    except UserError as error:
        console.print(f"elimination is not compared with its references: {error}", markup=False)
        return
    after = read_predictions(phase_dir.predictions("dev"), task)
    files = {NOTHING_ELIMINATED: phase_dir.predictions(NOTHING_ELIMINATED)}
    if run_dir.phase(BASELINE).is_done:
        files[BASELINE] = run_dir.phase(BASELINE).predictions("dev")
    before = {name: read_predictions(path, task) for name, path in files.items()}
    write_run_json(
        phase_dir.differences,
        {name: _compare(task, labels, predictions, after) for name, predictions in before.items()},
    )


def scored_labels(stored: StoredPhase) -> np.ndarray:
    """Return the dev labels; raise a UserError if they are not those that the run was scored with."""
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
    """Return the comparisons of a run with its references as lines, for the foot of a table."""
    titles = {NOTHING_ELIMINATED: "same weights", BASELINE: "as many epochs"}
    return [
        f"{stored.run_dir.path}, {titles[name]}, nothing eliminated → with elimination: {metric} {difference.text()}"
        for name, differences in read_differences(stored.phase_dir).items()
        for metric, difference in differences.items()
    ]


def read_differences(phase_dir: PhaseDir) -> dict[str, Mapping[str, Difference]]:
    """Return the measured differences by reference and metric.

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
