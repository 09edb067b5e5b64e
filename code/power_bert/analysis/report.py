"""What a finished run has come to: scores, retention configuration, FLOPs, time, and where everything lies.

`measure_run` times and counts the model of phase 3 and writes ``timings.json``; `summary_rows` reads that and the
files of the phases and computes nothing that is not in them.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from power_bert.analysis.document import REMEDY, Document
from power_bert.analysis.latency import compare_on_clock, configured_threads, device_name, processor_name
from power_bert.analysis.model_card import CARD, write_model_card
from power_bert.analysis.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING, read_speedups
from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.flops import Shape, forward_flops, speedup
from power_bert.model.pretrained import plain_tokenizer
from power_bert.model.retention import format_retention
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.run_dir import PHASES, RunDir, read_json, write_json
from power_bert.text.batches import evaluation_batches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.examples import Examples, read_examples
from power_bert.train.metrics import format_score

MAX_EXAMPLES = 500
UNPADDED = "unpadded"
UNPADDED_ELIMINATED = "unpadded_eliminated"

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


# === The summary ===


def summary_rows(run_dir: RunDir) -> list[Row]:
    """The summary of a finished run.

    Raises:
        UserError: a file of the run is missing, damaged or lacks a value; the message names the file.
    """
    return [
        *_score_rows(run_dir),
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
    before = Document.read(run_dir.phase(_FINE_TUNE).metrics).part("scores")
    retrained = Document.read(run_dir.phase(_RETRAIN).metrics)
    after = retrained.part("scores")
    section = f"Dev score, {_FINE_TUNE} → {_RETRAIN}"
    rows = [Row(section, name.capitalize(), _change(before.score(name), after.score(name))) for name in before.values]
    if retrained.values.get("scores_before_training"):
        cut = retrained.part("scores_before_training")
        shown = ", ".join(f"{name.capitalize()} {format_score(cut.score(name))}" for name in cut.values)
        rows.append(Row(section, "cut, not yet re-trained", shown))
    return rows


def _change(before: float | None, after: float | None) -> str:
    """`41.20 → 40.85 (−0.35)`: two scores in percent; the difference is that of the rounded scores."""
    if before is None or after is None:
        return f"{format_score(before)} → {format_score(after)}"
    first, second = round(100 * before, 2), round(100 * after, 2)
    difference = round(second - first, 2)
    shown = f"{difference:+.2f}".replace("-", "−") if difference else "±0.00"
    return f"{first:.2f} → {second:.2f} ({shown})"


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
    # A run with a given retention configuration has no search.
    for phase in (name for name in PHASES if name != _SEARCH or run_dir.phase(name).path.exists()):
        document = Document.read(run_dir.phase(phase).metrics)
        epochs = [Document(document.path, values, "history") for values in document.items("history")]
        shown = f"{_duration(document.number('seconds'))}, {len(epochs)} epoch{'' if len(epochs) == 1 else 's'}"
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
        "model card": retrain.model / CARD,
        "dev predictions, fine-tuned": fine_tune.predictions("dev"),
        "dev predictions": retrain.predictions("dev"),
        "test predictions": retrain.predictions("test"),
        "retention configuration": run_dir.retention,
        "log": run_dir.log,
        "metrics": run_dir.metrics_csv,
        "TensorBoard": run_dir.tensorboard,
    }
    return [Row("Files", label, str(path)) for label, path in paths.items() if path.exists()]


# === Measuring ===


def measure_run(run_dir: RunDir, max_examples: int = MAX_EXAMPLES, batch_size: int = 32, repeats: int = 5) -> None:
    """Time and count the re-trained model of a run on its dev examples and write ``timings.json``.

    Args:
        run_dir: the run, with phase 3 finished.
        max_examples: of a larger dev set, this many are taken, evenly spaced.
        batch_size: of the timing.
        repeats: timed passes.

    Raises:
        UserError: the configuration, the model or the dev examples are missing or damaged.
    """
    experiment = Experiment.from_json(json.dumps(read_json(run_dir.config)), str(run_dir.config))
    classifier = _load(run_dir.phase(_RETRAIN).model)
    examples = read_examples(experiment.task_definition, "dev", experiment.data_dir)
    encoded = _encode(classifier, examples, max_examples, experiment.max_length)
    timings = compare_on_clock(classifier, encoded, experiment.max_length, batch_size, repeats)
    values = {
        **_count(classifier, encoded, experiment.max_length, batch_size),
        "timings": {name: dataclasses.asdict(timing) for name, timing in timings.items()},
        "threads": configured_threads(),
        "device": device_name(),
        "processor": processor_name(),
        "max_length": experiment.max_length,
    }
    write_json(run_dir.timings, values)


def _load(path: Path) -> PowerBertTextClassifier:
    if not (path / "config.json").is_file():
        raise UserError(f"{path}: no model there; run phase {_RETRAIN} first")
    return load_own_classifier(path)


def _encode(
    classifier: PowerBertTextClassifier, examples: Examples, max_examples: int, max_length: int
) -> EncodedTexts:
    """At most `max_examples` examples, evenly spaced over the file, so that two runs take the same ones."""
    taken = np.linspace(0, len(examples) - 1, min(max_examples, len(examples))).round().astype(int)
    first = [examples.first[row] for row in taken]
    second = None if examples.second is None else [examples.second[row] for row in taken]
    return plain_tokenizer(classifier).encode(first, second, max_length)


def _count(
    classifier: PowerBertTextClassifier, encoded: EncodedTexts, max_length: int, batch_size: int
) -> dict[str, Any]:
    """`flops_speedup` of the unpadded examples and `flops_per_example` of every way to run them."""
    backbone = classifier.backbone
    shape = Shape.of(backbone.get_config(), classifier.num_classes)
    retention, words = backbone.retention if backbone.extraction == "hard" else None, encoded.lengths.tolist()
    batches = evaluation_batches(encoded, batch_size, max_length)
    bucketed = [batch.inputs["token_ids"].shape[1] for batch in batches for _ in batch.rows]
    counted = {
        UNPADDED: forward_flops(shape, words),
        UNPADDED_ELIMINATED: forward_flops(shape, words, retention),
        FIXED_PADDING: forward_flops(shape, [max_length] * len(words)),
        BUCKETED: forward_flops(shape, bucketed),
        BUCKETED_ELIMINATED: forward_flops(shape, bucketed, retention),
    }
    return {
        "flops_speedup": speedup(shape, words, retention),
        "flops_per_example": {name: flops.per_example for name, flops in counted.items()},
    }


def finish_run(run_dir: RunDir, console: Console | None = None) -> None:
    """Measure a finished run where that has not been done, print its summary, write ``summary.txt`` and the card."""
    console = console or Console(highlight=False)
    if not run_dir.timings.exists():
        console.print("measuring on the clock …")
        measure_run(run_dir)
    write_model_card(run_dir)
    # Without a terminal there is no width to fit a table into, and paths must stay in one piece.
    console.print(
        summary_table(run_dir) if console.is_terminal else summary_text(run_dir), soft_wrap=True, markup=False
    )
    atomic_write_text(run_dir.summary, summary_text(run_dir))
