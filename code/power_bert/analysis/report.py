"""What is done with a finished run: its model is timed, compared with its references, and described.

`measure_run` times and counts the model of phase 3 and writes ``timings.json``, which the summary reads.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from power_bert.analysis.elimination_cost import measure_differences
from power_bert.analysis.latency import compare_on_clock, configured_threads, device_name, processor_name
from power_bert.analysis.model_card import write_model_card
from power_bert.analysis.summary import summary_table, summary_text
from power_bert.analysis.timings import BUCKETED, BUCKETED_ELIMINATED, FIXED_PADDING, UNPADDED, UNPADDED_ELIMINATED
from power_bert.config import Experiment
from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.flops import Shape, forward_flops, speedup
from power_bert.model.pretrained import plain_tokenizer
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.run_dir import PHASES, RunDir, read_json, write_json
from power_bert.text.batches import evaluation_batches
from power_bert.text.encoded_texts import EncodedTexts
from power_bert.text.examples import Examples, read_examples

MAX_EXAMPLES = 500

*_, _RETRAIN = PHASES


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
    measure_differences(run_dir, console)
    write_model_card(run_dir)
    # Without a terminal there is no width to fit a table into, and paths must stay in one piece.
    console.print(
        summary_table(run_dir) if console.is_terminal else summary_text(run_dir), soft_wrap=True, markup=False
    )
    atomic_write_text(run_dir.summary, summary_text(run_dir))
