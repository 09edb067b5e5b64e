"""What every phase leaves when it ends: metrics.json, its rows of metrics.csv, DONE."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from power_bert.files import atomic_write_text
from power_bert.run_dir import PhaseDir, RunDir, write_json
from power_bert.run_documents import read_metrics
from power_bert.settings import TrainingSettings
from power_bert.train.cautions import caution_constant, caution_convergence
from power_bert.train.metrics import format_scores, is_defined
from power_bert.train.reporting import Reporter
from power_bert.train.training import RunContext


@dataclass(frozen=True)
class PhaseResult:
    """What a phase left: its folder and its metrics.json."""

    phase_dir: PhaseDir
    metrics: dict[str, Any]


def already_done(reporter: Reporter, phase_dir: PhaseDir, title: str) -> PhaseResult:
    """The result of a phase that an earlier call finished."""
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
) -> PhaseResult:
    """Write metrics.json, mark the phase as done and remove what only an unfinished one needs.

    Args:
        context: of the run.
        phase_dir: of the phase.
        title: shown to the user.
        outcome: of `train`.
        started: when the phase began, by `time.perf_counter`.
        further: entries of metrics.json beside those that every phase has.
    """
    task, labels = context.experiment.task_definition, np.asarray(context.dev.examples.labels)
    warnings = [*caution_convergence(task, outcome["history"]), *caution_constant(task, labels, outcome["scores"])]
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
    write_json(phase_dir.metrics, metrics)
    phase_dir.predictions("dev.candidate").unlink(missing_ok=True)
    phase_dir.mark_done()
    # Only now is the state to resume from no longer needed.
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
    """One row an epoch of every phase that is done or training, written anew so that a resumed run leaves no row twice.

    Args:
        run_dir: of the run.
        phases: of the run, in their order.
        current: the one that is training.
        history: of its epochs.
    """
    entries: list[tuple[str, Mapping[str, Any]]] = []
    for name in phases:
        phase_dir = run_dir.phase(name)
        if phase_dir.path == current.path:
            entries += [(name, entry) for entry in history]
        elif phase_dir.is_done:
            entries += [(name, entry) for entry in read_metrics(phase_dir.metrics).get("history", [])]
    text = io.StringIO()
    score_names = list(entries[0][1]["scores"])
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["phase", "epoch", "train_loss", *score_names, "train_seconds", "eval_seconds"])
    for name, entry in entries:
        scores = [score if is_defined(score) else "" for score in map(entry["scores"].get, score_names)]
        writer.writerow(
            [name, entry["epoch"], entry["train_loss"], *scores, entry["train_seconds"], entry["eval_seconds"]]
        )
    atomic_write_text(run_dir.metrics_csv, text.getvalue())
