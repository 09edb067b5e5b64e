"""The summary of a finished run: scores, retention configuration, FLOPs, time, and where everything lies.

It reads the files of the run, and computes nothing that is not in them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rich.table import Table

from power_bert.analysis.document import REMEDY, Document
from power_bert.analysis.elimination_cost import read_differences
from power_bert.analysis.model_card import CARD
from power_bert.analysis.timings import (
    BUCKETED,
    BUCKETED_ELIMINATED,
    FIXED_PADDING,
    UNPADDED,
    UNPADDED_ELIMINATED,
    read_speedups,
)
from power_bert.errors import UserError
from power_bert.model.retention import format_retention
from power_bert.run_dir import BASELINE, NOTHING_ELIMINATED, PHASES, RunDir
from power_bert.train.metrics import format_score

_FINE_TUNE, _SEARCH, _RETRAIN = PHASES
_WAYS = {
    FIXED_PADDING: "fixed padding, no elimination",
    BUCKETED: "length-bucketed, no elimination",
    BUCKETED_ELIMINATED: "length-bucketed, with elimination",
}


@dataclass(frozen=True)
class Row:
    """One line of the summary."""

    section: str
    label: str
    value: str


def summary_rows(run_dir: RunDir) -> list[Row]:
    """The summary of a finished run.

    Raises:
        UserError: a file of the run is missing, damaged or lacks a value; the message names the file.
    """
    return [
        *_score_rows(run_dir),
        *_warning_rows(run_dir),
        *_retention_rows(run_dir),
        *_cost_rows(run_dir),
        *_phase_rows(run_dir),
        *_path_rows(run_dir),
    ]


def summary_table(run_dir: RunDir) -> Table:
    """`summary_rows` for a terminal."""
    table = Table(title=f"Run {run_dir.path}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_column(overflow="fold")
    section = None
    for row in summary_rows(run_dir):
        if section not in (None, row.section):
            table.add_section()
        table.add_row("" if row.section == section else row.section, row.label, row.value)
        section = row.section
    return table


def summary_text(run_dir: RunDir) -> str:
    """`summary_rows` as plain text, each section under its name."""
    rows = summary_rows(run_dir)
    width = max(len(row.label) for row in rows)
    lines, section = [f"Run {run_dir.path}"], None
    for row in rows:
        if row.section != section:
            lines += ["", row.section]
            section = row.section
        lines.append(f"  {row.label:<{width}}  {row.value}")
    return "\n".join(lines) + "\n"


def _score_rows(run_dir: RunDir) -> list[Row]:
    """What elimination costs, against the same weights and against a model that had as many epochs."""
    retrain, fine_tuned = run_dir.phase(_RETRAIN), Document.read(run_dir.phase(_FINE_TUNE).metrics)
    retrained, differences = Document.read(retrain.metrics), read_differences(retrain)
    after = _format_part(retrained.part("scores"))
    references = (
        (NOTHING_ELIMINATED, "same weights", "not scored", "needs the dev data and the model"),
        (BASELINE, "as many epochs", "not trained", "BASELINE=1 with the same settings trains it"),
    )
    rows = []
    for name, title, missing, remedy in references:
        section = f"Dev score, {title}: nothing eliminated → with elimination"
        if name in differences:
            rows += [Row(section, metric.capitalize(), change.text()) for metric, change in differences[name].items()]
        else:
            rows.append(Row(section, missing, f"{remedy}; with elimination {after}"))
    section, epochs = "Dev score, on the way", len(fine_tuned.items("history"))
    rows.append(Row(section, f"after {_count_epochs(epochs)} of fine-tuning", _format_part(fine_tuned.part("scores"))))
    if retrained.values.get("scores_before_training"):
        rows.append(Row(section, "eliminated, not re-trained", _format_part(retrained.part("scores_before_training"))))
    return rows


def _format_part(scores: Document) -> str:
    """Scores of a metrics.json in percent: `F1 70.00, Accuracy 60.00`."""
    return ", ".join(f"{name.capitalize()} {format_score(scores.score(name))}" for name in scores.values)


def _count_epochs(epochs: int) -> str:
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"


def _finished_phases(run_dir: RunDir) -> list[str]:
    """Phases with figures: a run with a given retention configuration has no search, and few have a baseline."""
    return [
        name for name in (*PHASES, BASELINE) if name in (_FINE_TUNE, _RETRAIN) or run_dir.phase(name).metrics.exists()
    ]


def _warning_rows(run_dir: RunDir) -> list[Row]:
    return [
        Row("Warnings", phase, warning)
        for phase in _finished_phases(run_dir)
        if phase != _SEARCH  # its score is no result
        for warning in Document.read(run_dir.phase(phase).metrics).values.get("warnings", [])
    ]


def _retention_rows(run_dir: RunDir) -> list[Row]:
    document = Document.read(run_dir.retention)
    values = document.items("retention")
    if not values or not all(isinstance(value, int | float) for value in values):
        raise UserError(f"{document.path}: retention is not a list of numbers; {REMEDY}")
    shares = any(isinstance(value, float) for value in values)
    unit = "shares of each example's words" if shares else "word-vectors"
    return [Row("Elimination", f"kept after block 1 … {len(values)}", f"{format_retention(values)} ({unit})")]


def _cost_rows(run_dir: RunDir) -> list[Row]:
    document = Document.read(run_dir.timings)
    flops, timings = document.part("flops_per_example"), document.part("timings")
    seconds = {name: timings.part(name).number("seconds_per_example") for name in _WAYS}
    ours = timings.part(BUCKETED_ELIMINATED)
    millions = [f"{flops.number(name) / 1e6:.4g}" for name in (UNPADDED, UNPADDED_ELIMINATED)]
    per_example = f"{' → '.join(millions)} million an example"
    conditions = (
        f"{document.values.get('processor', 'unknown processor')}, {ours.values.get('device', 'cpu')}, "
        f"{ours.number('threads'):.0f} threads, batches of {ours.number('batch_size'):.0f}, "
        f"{ours.number('examples'):.0f} dev examples, median of {ours.number('repeats'):.0f} passes"
    )
    speedups = read_speedups(document.path)
    faster = f"{speedups.bucketed:.1f} × against length-bucketed batches, {speedups.padded:.1f} × against fixed padding"
    return [
        Row("FLOPs", "without padding", f"{speedups.flops:.2f} × fewer ({per_example})"),
        *(Row("Wall clock", label, f"{1e3 * seconds[name]:.3g} ms an example") for name, label in _WAYS.items()),
        Row("Wall clock", "faster", faster),
        Row("Wall clock", "measured on", conditions),
    ]


def _phase_rows(run_dir: RunDir) -> list[Row]:
    rows = []
    for phase in _finished_phases(run_dir):
        document = Document.read(run_dir.phase(phase).metrics)
        epochs = [Document(document.path, values, "history") for values in document.items("history")]
        shown = f"{_duration(document.number('seconds'))}, {_count_epochs(len(epochs))}"
        if epochs:
            rate = statistics.median(epoch.number("train_examples_per_second") for epoch in epochs)
            shown += f", {rate:.0f} examples/s in training"
        rows.append(Row("Time", phase, shown))
    return rows


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _path_rows(run_dir: RunDir) -> list[Row]:
    """The files that the run has left; only what is there."""
    fine_tune, retrain = run_dir.phase(_FINE_TUNE), run_dir.phase(_RETRAIN)
    paths = {
        "fine-tuned model": fine_tune.model,
        "model with elimination": retrain.model,
        "baseline": run_dir.phase(BASELINE).model,
        "model card": retrain.model / CARD,
        "dev predictions, fine-tuned": fine_tune.predictions("dev"),
        "dev predictions": retrain.predictions("dev"),
        "dev predictions, nothing eliminated": retrain.predictions(NOTHING_ELIMINATED),
        "dev predictions, baseline": run_dir.phase(BASELINE).predictions("dev"),
        "test predictions": retrain.predictions("test"),
        "retention configuration": run_dir.retention,
        "log": run_dir.log,
        "metrics": run_dir.metrics_csv,
        "TensorBoard": run_dir.tensorboard,
    }
    return [Row("Files", label, str(path)) for label, path in paths.items() if path.exists()]
