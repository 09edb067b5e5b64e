"""Finish a run: time its model, compare it with its references, and write summary, model card, pictures and report.

`measure_run` times the model of phase 3, counts its FLOPs and writes ``timings.json``, which the summary reads.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from power_bert.benchmarks.latency import (
    compare_on_clock,
    device_name,
    processor_name,
    threads_in_use,
    time_single_texts,
)
from power_bert.benchmarks.peers import PEERS_BASELINE, measure_peers, peers_table
from power_bert.elimination.flops import EncoderShape, forward_flops
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_without_elimination, plain_tokenizer
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.forward import compiled_forward
from power_bert.predict.parallel_batches import measure_in_own_process
from power_bert.reports.elimination_cost import measure_differences
from power_bert.reports.model_card import write_model_card
from power_bert.reports.run_report import write_run_report
from power_bert.reports.run_summary import summary_text
from power_bert.result_tables import csv_text, text_table
from power_bert.runs.run_dir import PHASES, RunDir, write_run_json
from power_bert.runs.run_folder import read_experiment
from power_bert.runs.timings import (
    BUCKETED,
    BUCKETED_ELIMINATED,
    FIXED_PADDING,
    SINGLE,
    SINGLE_ELIMINATED,
    UNPADDED,
    UNPADDED_ELIMINATED,
)
from power_bert.storage.files import atomic_write_text
from power_bert.text.batches import evaluation_batches
from power_bert.text.examples import Examples, read_examples
from power_bert_runtime.encoded_texts import EncodedTexts

MAX_EXAMPLES = 500
# Examples that are also timed one at a time.
_SINGLE_TEXTS = 100

_FINE_TUNE, _, _RETRAIN = PHASES


def measure_run(run_dir: RunDir, max_examples: int = MAX_EXAMPLES, batch_size: int = 32, repeats: int = 5) -> None:
    """Time the fine-tuned and the re-trained model on dev examples, count their FLOPs and write ``timings.json``.

    Args:
        run_dir: Run directory, with phase 3 done.
        max_examples: Largest number of examples; from a larger dev set this many are taken, evenly spaced.
        batch_size: Number of examples of a batch.
        repeats: Number of timed passes.

    Raises:
        UserError: The configuration, the model or the dev examples are missing or damaged.
    """
    experiment = read_experiment(run_dir)
    eliminating, fine_tuned = load_own_classifier(run_dir.phase(_RETRAIN).existing_model()), run_dir.phase(_FINE_TUNE)
    if (fine_tuned.model / "config.json").is_file():
        full = load_own_classifier(fine_tuned.model)
    else:  # deleted to save space: the same tokens, but also the heads and neurons of the re-trained model
        full = build_without_elimination(eliminating)
    examples = read_examples(experiment.task_definition, "dev", experiment.data_dir)
    encoded = _encode(eliminating, examples, max_examples, experiment.max_length)
    timings = compare_on_clock(full, eliminating, encoded, experiment.max_length, batch_size, repeats)
    forwards = {SINGLE: compiled_forward(full), SINGLE_ELIMINATED: compiled_forward(eliminating)}
    few = _encode(eliminating, examples, min(max_examples, _SINGLE_TEXTS), experiment.max_length)
    single = time_single_texts(forwards, few, experiment.max_length, repeats)
    values = {
        **_count(full, eliminating, encoded, experiment.max_length, batch_size),
        "timings": {name: dataclasses.asdict(timing) for name, timing in timings.items()},
        "single_texts": {name: dataclasses.asdict(timing) for name, timing in single.items()},
        "threads": threads_in_use(),
        "device": device_name(),
        "processor": processor_name(),
        "max_length": experiment.max_length,
    }
    write_run_json(run_dir.timings, values)


def measure_peers_of_run(run_dir: RunDir, console: Console, max_examples: int = 200) -> None:
    """Time a run beside the same BERT in PyTorch and in ONNX Runtime; print a table and write ``peers.csv``.

    Args:
        run_dir: Run directory, with phase 3 done.
        console: Shows the table, and what is not measured.
        max_examples: Largest number of dev examples, as in `measure_run`.

    Raises:
        UserError: A model or the dev examples are missing or damaged.
    """
    experiment = read_experiment(run_dir)
    eliminating, full = run_dir.phase(_RETRAIN).existing_model(), run_dir.phase(_FINE_TUNE).model
    classifier = load_own_classifier(eliminating)
    examples = read_examples(experiment.task_definition, "dev", experiment.data_dir)
    encoded = _encode(classifier, examples, max_examples, experiment.max_length)
    threads = threads_in_use()
    measured = f"{len(encoded)} dev examples in the installed runtimes, one batch after the other"
    console.print(f"measuring {measured}, THREADS={threads} …", markup=False)

    def say(line: str) -> None:
        console.print(line, markup=False, soft_wrap=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not (full / "config.json").is_file():  # as in `measure_run`
            full = folder / "full"
            build_without_elimination(classifier).save_to_preset(str(full))
        frame = measure_peers(full, eliminating, encoded, experiment.max_length, threads, folder, say=say)
    atomic_write_text(run_dir.peers, csv_text(frame))
    say("\n".join(text_table(peers_table(frame))))
    say(f"×: faster than {PEERS_BASELINE}; agreement: with the labels of the same model in Keras")
    say(f"wrote {run_dir.peers}")


def _encode(
    classifier: PowerBertTextClassifier, examples: Examples, max_examples: int, max_length: int
) -> EncodedTexts:
    """Encode at most `max_examples` examples, evenly spaced over the file, so that two runs take the same ones."""
    taken = np.linspace(0, len(examples) - 1, min(max_examples, len(examples))).round().astype(int)
    first = [examples.first[row] for row in taken]
    second = None if examples.second is None else [examples.second[row] for row in taken]
    return plain_tokenizer(classifier).encode(first, second, max_length)


def _count(
    full: PowerBertTextClassifier,
    eliminating: PowerBertTextClassifier,
    encoded: EncodedTexts,
    max_length: int,
    batch_size: int,
) -> dict[str, Any]:
    """Return `flops_speedup` of the unpadded examples, and `flops_per_example` of each variant."""
    lengths = encoded.lengths.tolist()
    batches = evaluation_batches(encoded, batch_size, max_length)
    bucketed = [batch.inputs["token_ids"].shape[1] for batch in batches for _ in batch.rows]
    counted = {
        UNPADDED: _flops(full, lengths),
        UNPADDED_ELIMINATED: _flops(eliminating, lengths),
        FIXED_PADDING: _flops(full, [max_length] * len(lengths)),
        BUCKETED: _flops(full, bucketed),
        BUCKETED_ELIMINATED: _flops(eliminating, bucketed),
    }
    return {"flops_speedup": counted[UNPADDED] / counted[UNPADDED_ELIMINATED], "flops_per_example": counted}


def _flops(classifier: PowerBertTextClassifier, lengths: list[int]) -> float:
    """Return the mean FLOPs of an example."""
    backbone = classifier.backbone
    retention = backbone.retention if backbone.extraction == "hard" else None
    shape = EncoderShape.of(backbone.get_config(), classifier.num_classes)
    return forward_flops(shape, lengths, retention).per_example


def finish_run(run_dir: RunDir, console: Console | None = None) -> None:
    """Measure a finished run if that is not done yet, print and write its summary, and write model card and report."""
    console = console or Console(highlight=False)
    if not run_dir.timings.exists():
        console.print("measuring latency …")
        measure_in_own_process(measure_run, run_dir)
    measure_differences(run_dir, console)
    write_model_card(run_dir)
    text = summary_text(run_dir)
    console.print(text, soft_wrap=True, markup=False)
    atomic_write_text(run_dir.summary, text)
    console.print(f"report with pictures  {write_run_report(run_dir)}", soft_wrap=True, markup=False)


def finish_with_card(run_dir: RunDir, console: Console | None = None) -> None:
    """Write card and report of a run without measured latency, and print the paths of its files."""
    console = console or Console(highlight=False, soft_wrap=True)
    measure_differences(run_dir, console)
    card = write_model_card(run_dir)
    console.print(f"model       {card.parent}\nmodel card  {card}\nlog         {run_dir.log}", markup=False)
    console.print(f"report      {write_run_report(run_dir)}", markup=False)
