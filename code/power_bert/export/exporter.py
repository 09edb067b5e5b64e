"""From a trained model to .tflite files that phones and browsers open: convert, quantise, check, describe, write."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from rich.console import Console
from scipy.special import softmax

from power_bert.errors import UserError
from power_bert.export.calibration import calibration_examples, observe
from power_bert.export.conversion import PRIMARY_SIGNATURE, convert
from power_bert.export.description import class_labels, describe, mediapipe_differences
from power_bert.export.inference_graph import inference_function
from power_bert.export.model_file import pack_model
from power_bert.export.options import ExportOptions
from power_bert.export.parity import TOLERANCES, Parity, compare, evenly_spaced
from power_bert.export.quantization import dense_activations, quantize
from power_bert.export.quantization_report import quantization_report
from power_bert.export.runtime import predict_with_litert
from power_bert.export.signatures import merge_signatures
from power_bert.files import atomic_write_bytes
from power_bert.model.pretrained import check_max_length, plain_tokenizer
from power_bert.text.examples import Examples, read_examples
from power_bert.train.predict import Predictor
from power_bert.train.rows_progress import rows_progress
from power_bert.train.trained_model import TrainedModel, task_and_data

_SHORTEST_LENGTH = 5


def export(model: TrainedModel, out: Path, options: ExportOptions, console: Console) -> list[Path]:
    """Export a model; files appear only if every one of them agrees with Keras.

    Args:
        model: what to export, with a task and its data: the dev set checks the files, the training set calibrates int8.
        out: the .tflite file; of several lengths the longest, the others lie beside it with the length in the name.
        options: what is wanted.
        console: for progress and results.

    Returns:
        The files that were written, `out` first.

    Raises:
        UserError: the options do not fit the model, the model cannot be converted, a file differs too much from Keras,
            or the target cannot be written.
    """
    started = time.perf_counter()
    task, data_dir = task_and_data(model)
    lengths = _descending_lengths(model, options.lengths)
    labels = class_labels(model, options.labels)
    groups = (
        {out: lengths} if options.one_file else {_sibling(out, length, lengths[0]): (length,) for length in lengths}
    )
    _check_writable(list(groups))
    if keras.backend.backend() != "tensorflow":
        raise UserError("the export runs on TensorFlow alone: leave BACKEND empty, or set BACKEND=tensorflow")
    console.print(f"model      {model.source}\nretention  {model.retention}", markup=False)
    if differences := mediapipe_differences(plain_tokenizer(model.classifier).settings):
        console.print(f"MediaPipe cannot open the file: {'; '.join(differences)}. Use LiteRT or the page", markup=False)
    dev = read_examples(task, "dev", data_dir)
    dev = dev.take(evenly_spaced(len(dev)))

    contents = {}
    for target, of_file in groups.items():
        keys = {length: PRIMARY_SIGNATURE if length == of_file[0] else f"length_{length}" for length in of_file}
        merged = merge_signatures([(keys[length], _build(model, length, options, console)) for length in of_file])
        plain = pack_model(merged)
        parities = {length: _check(model, plain, length, keys[length], dev, options, console) for length in of_file}
        contents[target] = describe(merged, model, labels, parities, options.quantize, options.description)
    for line in quantization_report(merged, options.quantize):
        console.print(line, markup=False)
    # The one that was asked for comes last: where it is, all are.
    for target, content in reversed(contents.items()):
        _write(target, content)
        console.print(f"wrote      {target}  {len(content) / 1e6:.1f} MB", markup=False)
    console.print(f"done in {time.perf_counter() - started:.0f} s", markup=False)
    return list(contents)


def _descending_lengths(model: TrainedModel, asked: tuple[int, ...]) -> tuple[int, ...]:
    lengths = tuple(sorted(set(asked or (model.max_length,)), reverse=True))
    if lengths[-1] < _SHORTEST_LENGTH:
        raise UserError(f"length {lengths[-1]}: expected at least {_SHORTEST_LENGTH} word pieces")
    check_max_length(lengths[0], model.classifier.backbone)
    return lengths


def _sibling(out: Path, length: int, longest: int) -> Path:
    """The file of one of several lengths: model.tflite for the longest, model-64.tflite for another."""
    return out if length == longest else out.with_name(f"{out.stem}-{length}{out.suffix}")


def _check_writable(targets: list[Path]) -> None:
    """Refuse before the work what could not be written after it."""
    for target in targets:
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        if target.is_dir():
            raise UserError(f"{target} is a folder; give --out the name of a file, such as {target / 'model.tflite'}")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{target} cannot be written: {folder} is not a folder that you may write to; change --out")


def _write(target: Path, content: bytes) -> None:
    try:
        atomic_write_bytes(target, content)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror or error}); change --out") from None


def _build(model: TrainedModel, length: int, options: ExportOptions, console: Console) -> schema.ModelT:
    """The model for one length, converted and quantised."""
    with _stage(console, f"converting for {length} word pieces"):
        converted = convert(inference_function(model.classifier), length, float16=options.quantize == "float16")
    if options.quantize == "dynamic":
        quantize(converted)
    elif options.quantize == "int8":
        task, data_dir = task_and_data(model)
        chosen = calibration_examples(read_examples(task, "train", data_dir), options.seed)
        encoded = plain_tokenizer(model.classifier).encode(chosen.first, chosen.second, length)
        with rows_progress(console, f"calibrating for {length} word pieces") as advance:
            quantize(converted, observe(converted, dense_activations(converted), encoded, advance))
        console.print(f"calibrated on {len(chosen)} training examples, seed {options.seed}", markup=False)
    return converted


def _check(
    model: TrainedModel,
    file: bytes,
    length: int,
    signature: str,
    dev: Examples,
    options: ExportOptions,
    console: Console,
) -> Parity:
    """Compare one signature of a file with Keras on dev examples.

    Raises:
        UserError: they differ too much.
    """
    task, _ = task_and_data(model)
    keras_outputs = Predictor(model.classifier, length).outputs(dev)
    encoded = plain_tokenizer(model.classifier).encode(dev.first, dev.second, length)
    with rows_progress(console, "comparing with Keras") as advance:
        outputs = predict_with_litert(file, encoded, signature, advance)
    keras_outputs = keras_outputs if task.is_regression else softmax(keras_outputs, axis=-1)
    parity = compare(task, np.asarray(dev.labels), keras_outputs, outputs)
    console.print(f"parity     length {length}, {parity}", markup=False)
    if faults := parity.faults(TOLERANCES[options.quantize]):
        raise UserError(
            f"the {options.quantize} file for length {length} differs too much from Keras: {'; '.join(faults)}. "
            f"Nothing was written. {_ADVICE[options.quantize]}"
        )
    return parity


_ADVICE = {
    "none": "This should not happen: please report it with the run's config.json",
    "float16": "Export with --quantize none",
    "dynamic": "Export with --quantize float16",
    "int8": "Export with --quantize dynamic or float16",
}


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    """Says what is going on, and afterwards how long it took."""
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"{title}: {time.perf_counter() - started:.1f} s", markup=False)
