"""End of a phase: metrics.json, rows of metrics.csv, the DONE marker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from power_bert.config.validation import TrainingSettings
from power_bert.predict.metrics import format_scores
from power_bert.predict.score_warnings import warn_of_constant, warn_of_convergence
from power_bert.result_tables import csv_text, to_frame
from power_bert.runs.run_dir import PhaseDir, RunDir, write_run_json
from power_bert.runs.run_documents import read_metrics
from power_bert.storage.files import atomic_write_text
from power_bert.train.reporting import Reporter
from power_bert.train.training import RunContext


@dataclass(frozen=True)
class PhaseResult:
    """Directory and metrics.json of a finished phase."""

    phase_dir: PhaseDir
    metrics: dict[str, Any]


def already_done(reporter: Reporter, phase_dir: PhaseDir, title: str) -> PhaseResult:
    """Return the result of a phase that an earlier call finished."""
    metrics = read_metrics(phase_dir.metrics)
    reporter.say(f"{title}: already done, dev {format_scores(metrics['scores'])}")
    return PhaseResult(phase_dir, metrics)


def finish_phase(
    context: RunContext[TrainingSettings],
    phase_dir: PhaseDir,
    title: str,
    outcome: Mapping[str, Any],
    started: float,
    further: Mapping[str, Any],
    is_search: bool = False,
    warnings: Sequence[str] = (),
) -> PhaseResult:
    """Write metrics.json, mark the phase as done and remove the training state.

    Args:
        context: Context of the run.
        phase_dir: Directory of the phase.
        title: Title shown to the user.
        outcome: Result of `train_classifier`.
        started: Start of the phase, by `time.perf_counter`.
        further: Additional entries of metrics.json.
        is_search: Whether the phase eliminates more from epoch to epoch, so that their scores say nothing of
            convergence.
        warnings: Further warnings.
    """
    task, labels = context.experiment.task_definition, np.asarray(context.dev.examples.labels)
    warnings = [
        *warnings,
        *([] if is_search else warn_of_convergence(task, outcome["history"])),
        *warn_of_constant(task, labels, outcome["scores"]),
    ]
    metrics = {
        "phase": phase_dir.path.name,
        "metric": task.metrics[0],
        "best_epoch": outcome["best_epoch"],
        "scores": outcome["scores"],
        "warnings": warnings,
        **further,
        "history": outcome["history"],
        "seconds": sum(entry["train_seconds"] + entry["eval_seconds"] for entry in outcome["history"]),
    }
    write_run_json(phase_dir.metrics, metrics)
    phase_dir.predictions("dev.candidate").unlink(missing_ok=True)
    phase_dir.mark_done()
    # The state is needed for resuming until the phase is marked as done.
    phase_dir.training_state.unlink(missing_ok=True)
    context.reporter.say(
        f"{title}: done in {time.perf_counter() - started:.0f} s, dev {format_scores(outcome['scores'])} "
        f"(epoch {outcome['best_epoch']})"
    )
    for warning in warnings:
        context.reporter.say(f"{title}: warning: {warning}")
    return PhaseResult(phase_dir, metrics)


def write_metrics_csv(
    run_dir: RunDir, phases: Sequence[str], current: PhaseDir, history: Sequence[Mapping[str, Any]]
) -> None:
    """Rewrite metrics.csv, one row per epoch of each finished or current phase; a resumed run repeats no row.

    Args:
        run_dir: Run directory.
        phases: Names of the phases, in order.
        current: Directory of the current phase.
        history: Entries of the current phase's epochs.
    """
    entries: list[tuple[str, Mapping[str, Any]]] = []
    for name in phases:
        phase_dir = run_dir.phase(name)
        if phase_dir.path == current.path:
            entries += [(name, entry) for entry in history]
        elif phase_dir.is_done:
            entries += [(name, entry) for entry in read_metrics(phase_dir.metrics).get("history", [])]
    score_names = list(entries[0][1]["scores"])
    rows = (
        {
            "phase": name,
            "epoch": entry["epoch"],
            "train_loss": entry["train_loss"],
            **{metric: entry["scores"].get(metric) for metric in score_names},
            "train_seconds": entry["train_seconds"],
            "eval_seconds": entry["eval_seconds"],
        }
        for name, entry in entries
    )
    atomic_write_text(run_dir.metrics_csv, csv_text(to_frame(rows)))
