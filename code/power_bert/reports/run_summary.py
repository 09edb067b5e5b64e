"""The summary of a finished run: scores, retention configuration, FLOPs, time, and paths.

All figures come from the files of the run.
"""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass
from operator import attrgetter

from power_bert.elimination.retention import FRACTION
from power_bert.predict.metrics import format_score
from power_bert.reports.card_scores import count_epochs
from power_bert.reports.elimination_cost import read_differences
from power_bert.reports.model_card import CARD
from power_bert.result_tables import wrap_value
from power_bert.runs.document import Document
from power_bert.runs.run_dir import BASELINE, NOTHING_ELIMINATED, PHASES, RunDir
from power_bert.runs.run_documents import read_configuration
from power_bert.runs.run_folder import read_experiment
from power_bert.runs.timings import (
    BUCKETED,
    BUCKETED_ELIMINATED,
    FIXED_PADDING,
    SINGLE,
    SINGLE_ELIMINATED,
    UNPADDED,
    UNPADDED_ELIMINATED,
    read_speedups,
)

TIME, FILES = "Time", "Files in this folder"  # sections
_FINE_TUNE, _SEARCH, _RETRAIN = PHASES
_VARIANTS = {
    FIXED_PADDING: "fixed padding, no elimination",
    BUCKETED: "length-bucketed, no elimination",
    BUCKETED_ELIMINATED: "length-bucketed, with elimination",
}


@dataclass(frozen=True)
class SummaryRow:
    """One line of the summary."""

    section: str
    label: str
    value: str


def summary_rows(run_dir: RunDir) -> list[SummaryRow]:
    """Return the summary of a finished run.

    Raises:
        UserError: A file of the run is missing, damaged or lacks a value; the message names the file.
    """
    return [
        *_score_rows(run_dir),
        *_warning_rows(run_dir),
        *_retention_rows(run_dir),
        *_cost_rows(run_dir),
        *_phase_rows(run_dir),
        *_path_rows(run_dir),
    ]


def summary_text(run_dir: RunDir) -> str:
    """Return the summary as plain text that fits a terminal, each section under its name."""
    lines = [f"Run {run_dir.path}"]
    for section, group in itertools.groupby(summary_rows(run_dir), attrgetter("section")):
        rows = list(group)
        width = max(len(row.label) for row in rows)
        lines += ["", section]
        for row in rows:
            lines += wrap_value(f"  {row.label:<{width}}  ", row.value)
    return "\n".join(lines) + "\n"


def _score_rows(run_dir: RunDir) -> list[SummaryRow]:
    """Return the score differences from the same weights, and from a baseline with as many epochs."""
    retrain, fine_tuned = run_dir.phase(_RETRAIN), Document.read(run_dir.phase(_FINE_TUNE).metrics)
    retrained, differences = Document.read(retrain.metrics), read_differences(retrain)
    after = _format_part(retrained.part("scores"))
    references = (
        (NOTHING_ELIMINATED, "same weights", "not scored", "scoring needs the dev data and the model"),
        (BASELINE, "as many epochs", "not trained", "run again with BASELINE=1 to train it"),
    )
    rows = []
    for name, title, missing, remedy in references:
        section = f"Dev score, {title}: nothing eliminated → with elimination"
        if name in differences:
            rows += [SummaryRow(section, metric, change.text()) for metric, change in differences[name].items()]
        else:
            rows.append(SummaryRow(section, missing, f"{remedy}; with elimination {after}"))
    section, epochs = "Dev score, intermediate models", len(fine_tuned.items("history"))
    rows.append(
        SummaryRow(section, f"after {count_epochs(epochs)} of fine-tuning", _format_part(fine_tuned.part("scores")))
    )
    if retrained.values.get("scores_before_training"):
        rows.append(
            SummaryRow(section, "eliminated, not re-trained", _format_part(retrained.part("scores_before_training")))
        )
    return rows


def _format_part(scores: Document) -> str:
    """Return scores of a metrics.json in percent: `f1 70.00, accuracy 60.00`."""
    return ", ".join(f"{name} {format_score(scores.score(name))}" for name in scores.values)


def _finished_phases(run_dir: RunDir) -> list[str]:
    """Return the finished phases with scores; the search is left out."""
    return [
        name for name in (*PHASES, BASELINE) if name in (_FINE_TUNE, _RETRAIN) or run_dir.phase(name).metrics.exists()
    ]


def _warning_rows(run_dir: RunDir) -> list[SummaryRow]:
    return [
        SummaryRow("Warnings", phase, warning)
        for phase in _finished_phases(run_dir)
        if phase != _SEARCH  # its score is not a result
        for warning in Document.read(run_dir.phase(phase).metrics).values.get("warnings", [])
    ]


def _retention_rows(run_dir: RunDir) -> list[SummaryRow]:
    found, fuse_dropped = read_configuration(run_dir.retention), read_experiment(run_dir).fuse
    unit = "fractions of each example's tokens" if found.tokens.unit == FRACTION else "tokens"
    blocks = f"block 1 … {len(found.tokens.values)}"
    widths = {"attention heads": found.heads, "feed-forward neurons": found.neurons}
    return [
        SummaryRow("Elimination", f"kept after {blocks}", f"{found.tokens.shown(fuse_dropped)} ({unit})"),
        *(
            SummaryRow("Elimination", f"{name} of {blocks}", ",".join(map(str, kept)))
            for name, kept in widths.items()
            if kept
        ),
    ]


def _threads_and_batches(timing: Document) -> str:
    threads, at_once = int(timing.number("threads")), int(timing.values.get("batches_at_once", 1))
    shown, batches = f"{threads} thread{'' if threads == 1 else 's'}", f"batches of {timing.number('batch_size'):.0f}"
    return f"{shown}, {batches}" if at_once == 1 else f"{at_once} {batches} at once, {shown} each"


def _cost_rows(run_dir: RunDir) -> list[SummaryRow]:
    document = Document.read(run_dir.timings)
    flops, timings = document.part("flops_per_example"), document.part("timings")
    seconds = {name: timings.part(name).number("seconds_per_example") for name in _VARIANTS}
    ours = timings.part(BUCKETED_ELIMINATED)
    millions = [f"{flops.number(name) / 1e6:.4g}" for name in (UNPADDED, UNPADDED_ELIMINATED)]
    per_example = f"{' → '.join(millions)} million per example"
    conditions = (
        f"{document.values.get('processor', 'unknown processor')}, {ours.values.get('device', 'cpu')}, "
        f"{_threads_and_batches(ours)}, "
        f"{ours.number('examples'):.0f} dev examples, median of {ours.number('repeats'):.0f} passes"
    )
    speedups = read_speedups(document.path)
    reached = f"{100 * speedups.bucketed / speedups.flops:.0f} % of the FLOPs reduction"
    bucketed = f"{speedups.bucketed:.1f} × over length-bucketed batches ({reached})"
    return [
        SummaryRow("FLOPs", "without padding", f"{speedups.flops:.2f} × fewer ({per_example})"),
        *(
            SummaryRow("Wall clock", label, f"{1e3 * seconds[name]:.3g} ms per example")
            for name, label in _VARIANTS.items()
        ),
        SummaryRow("Wall clock", "speed-up", f"{bucketed}, {speedups.padded:.1f} × over fixed padding"),
        *_single_text_rows(document),
        SummaryRow("Wall clock", "measured on", conditions),
    ]


def _single_text_rows(timings: Document) -> list[SummaryRow]:
    if "single_texts" not in timings.values:  # measured by an earlier version
        return []
    single = timings.part("single_texts")
    full, eliminated = single.part(SINGLE), single.part(SINGLE_ELIMINATED)
    p50, p95 = (
        f"{name} {full.number(f'{name}_ms'):.3g} → {eliminated.number(f'{name}_ms'):.3g} ms" for name in ("p50", "p95")
    )
    faster = full.number("p50_ms") / eliminated.number("p50_ms")
    return [SummaryRow("Wall clock", "one text at a time", f"{faster:.1f} × at p50 ({p50}, {p95})")]


def _phase_rows(run_dir: RunDir) -> list[SummaryRow]:
    rows = []
    for phase in _finished_phases(run_dir):
        document = Document.read(run_dir.phase(phase).metrics)
        epochs = [Document(document.path, values, "history") for values in document.items("history")]
        shown = f"{_duration(document.number('seconds'))}, {count_epochs(len(epochs))}"
        if epochs:
            rate = statistics.median(epoch.number("train_examples_per_second") for epoch in epochs)
            shown += f", {rate:.0f} examples/s in training"
        rows.append(SummaryRow(TIME, phase, shown))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _path_rows(run_dir: RunDir) -> list[SummaryRow]:
    """Return the paths of the files of the run that exist, relative to its folder."""
    fine_tune, retrain = run_dir.phase(_FINE_TUNE), run_dir.phase(_RETRAIN)
    paths = {
        "fine-tuned model": fine_tune.model,
        "model with elimination": retrain.model,
        "baseline": run_dir.phase(BASELINE).model,
        "model card": retrain.model / CARD,
        "dev predictions, fine-tuned": fine_tune.predictions("dev"),
        "dev predictions": retrain.predictions("dev"),
        "dev predictions, all tokens": retrain.predictions(NOTHING_ELIMINATED),
        "dev predictions, baseline": run_dir.phase(BASELINE).predictions("dev"),
        "test predictions": retrain.predictions("test"),
        "retention configuration": run_dir.retention,
        "report with pictures": run_dir.report,
        "log": run_dir.log,
        "metrics": run_dir.metrics_csv,
        "TensorBoard": run_dir.tensorboard,
    }
    return [
        SummaryRow(FILES, label, str(path.relative_to(run_dir.path))) for label, path in paths.items() if path.exists()
    ]
