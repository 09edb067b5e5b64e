"""From a trained model to .tflite files that phones and browsers open: convert, quantize, check, describe, write."""

from __future__ import annotations

import os
import time
from pathlib import Path

import keras
from rich.console import Console

from power_bert.errors import UserError
from power_bert.export.candidate import Candidate, Plan, build_candidate
from power_bert.export.description import class_labels, mediapipe_differences
from power_bert.export.forms import AUTO, FORMS, ways_out
from power_bert.export.options import ExportOptions
from power_bert.export.parity import MIN_AGREEMENT
from power_bert.export.reference import CheckSets, Reference
from power_bert.export.writing import write_files
from power_bert.locks import writes
from power_bert.model.pretrained import check_max_length, plain_tokenizer
from power_bert.train.trained_model import TrainedModel, task_and_data

_SHORTEST_LENGTH = 5


@writes(lambda model, out, *_, **__: out)
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
    task_and_data(model)
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
    sets = CheckSets.of(model, options.check_texts)
    references = {length: Reference(model, length, sets) for length in lengths}
    plan = Plan(model, labels, groups, references, sets.texts_source, options)
    chosen = _choose(plan, console)
    for line in (*chosen.report, *_warnings(plan, chosen)):
        console.print(line, markup=False)
    write_files(chosen.files)
    for target in reversed(list(chosen.files)):
        console.print(f"wrote      {target}  {target.stat().st_size / 1e6:.1f} MB", markup=False)
    console.print(f"done in {time.perf_counter() - started:.0f} s", markup=False)
    return list(chosen.files)


def _choose(plan: Plan, console: Console) -> Candidate:
    """The file in the form that was asked for, or in the smallest form that agrees with Keras.

    Raises:
        UserError: it, or every form, differs too much.
    """
    asked = plan.options.quantize
    refused = []
    for form in FORMS if asked == AUTO else (asked,):
        candidate = build_candidate(plan, form, console)
        for line in candidate.lines():
            console.print(line, markup=False)
        if not candidate.faults:
            return candidate
        refused.append(f"{form}, {'; '.join(candidate.faults)}")
    file = "every form of the file" if asked == AUTO else "the file"
    raise UserError(
        f"{file} differs too much from Keras: {'; '.join(refused)}. Nothing was written. "
        f"{ways_out(asked, candidate.parities, _eliminates(plan.model))}"
    )


def _eliminates(model: TrainedModel) -> bool:
    return getattr(model.classifier.backbone, "retention", None) is not None


def _warnings(plan: Plan, chosen: Candidate) -> list[str]:
    """Of lengths for which the file answers differently on texts from elsewhere."""
    return [
        f"warning    length {length}: {parity.agreement_text(parity.elsewhere)} on {parity.elsewhere.texts} texts from "
        f"elsewhere ({plan.texts_source}), under {100 * MIN_AGREEMENT:g} %: on texts unlike the dev set the file may "
        "answer differently from the model more often. Measure it on texts of your own use (--check-texts FILE), "
        "or take a larger form, which is nearer to the model (--quantize float16)"
        for length, parity in chosen.parities.items()
        if not parity.elsewhere.share >= MIN_AGREEMENT
    ]


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
