"""Export of a trained model to .tflite files for phones and browsers: convert, quantize, check, describe, write."""

from __future__ import annotations

import time
from pathlib import Path

import keras
from rich.console import Console

from power_bert.errors import UserError
from power_bert.export.candidate import Candidate, Plan, build_candidate
from power_bert.export.description import class_labels, mediapipe_differences
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter_checks import check_writable, eliminates, elsewhere_warning
from power_bert.export.forms import AUTO, FORMS, ways_out
from power_bert.export.reference import CheckSets, Reference
from power_bert.export.writing import write_files
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.model.pretrained import check_max_length
from power_bert.result_tables import wrap_value
from power_bert.runs.trained_model import TrainedModel, task_and_data
from power_bert.storage.locks import writes

_SHORTEST_LENGTH = 5


@writes(lambda model, out, *_, **__: out)
def export(model: TrainedModel, out: Path, options: ExportOptions, console: Console) -> list[Path]:
    """Export a model; files appear only if every one of them agrees with Keras.

    Args:
        model: Model to export, with a task and its data: the dev set checks the files, the training set calibrates
            int8.
        out: The .tflite file. With several lengths it holds the longest; the others lie beside it, with the length in
            the file name.
        options: What the user asked for.
        console: Shows progress and results.

    Returns:
        The files that were written, `out` first.

    Raises:
        UserError: The options do not fit the model, the model cannot be converted, a file differs too much from Keras,
            or the target cannot be written.
    """
    started = time.perf_counter()
    task_and_data(model)
    lengths = _descending_lengths(model, options.lengths)
    labels = class_labels(model, options.labels)
    groups = (
        {out: lengths} if options.one_file else {_sibling(out, length, lengths[0]): (length,) for length in lengths}
    )
    check_writable(list(groups))
    if options.surviving_tokens and not eliminates(model.classifier):
        raise UserError(f"--surviving-tokens: {model.source} eliminates no tokens; leave the option out")
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            "--format litert needs TensorFlow: leave BACKEND empty, or set BACKEND=tensorflow. ONNX and OpenVINO are "
            "exported with any backend"
        )
    lines = [f"model      {model.source}", *wrap_value("retention  ", model.retention)]
    console.print("\n".join(lines), markup=False)
    settings = plain_tokenizer(model.classifier).settings
    if differences := mediapipe_differences(settings, options.surviving_tokens):
        console.print(f"MediaPipe cannot open the file: {'; '.join(differences)}. Use LiteRT or the page", markup=False)
    sets = CheckSets.of(model, options.check_texts)
    references = {lengths[0]: Reference(model, lengths[0], sets)}
    references |= {length: Reference(model, length, sets.fitting(model, length)) for length in lengths[1:]}
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
    """Build the requested form, or for `AUTO` the smallest form that agrees with Keras.

    Raises:
        UserError: The requested form, or every form, differs too much.
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
        f"{ways_out(asked, candidate.parities, eliminates(plan.model.classifier))}"
    )


def _warnings(plan: Plan, chosen: Candidate) -> list[str]:
    """Return a warning for each length at which the label agreement on texts from elsewhere is low."""
    warnings = [elsewhere_warning(length, parity, plan.texts_source) for length, parity in chosen.parities.items()]
    return [warning for warning in warnings if warning]


def _descending_lengths(model: TrainedModel, asked: tuple[int, ...]) -> tuple[int, ...]:
    lengths = tuple(sorted(set(asked or (model.max_length,)), reverse=True))
    if lengths[-1] < _SHORTEST_LENGTH:
        raise UserError(f"length {lengths[-1]}: expected at least {_SHORTEST_LENGTH} tokens")
    check_max_length(lengths[0], model.classifier.backbone)
    return lengths


def _sibling(out: Path, length: int, longest: int) -> Path:
    """Return the path for one of several lengths: model.tflite for the longest, model-64.tflite for length 64."""
    return out if length == longest else out.with_name(f"{out.stem}-{length}{out.suffix}")
