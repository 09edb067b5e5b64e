"""Export of a trained model for servers: ONNX, OpenVINO or SavedModel, with dynamic batch and length."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from power_bert.errors import UserError
from power_bert.export.calibration_examples import calibration_examples
from power_bert.export.description import Checked, class_labels, files_inside
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter_checks import check_writable, eliminates, elsewhere_warning
from power_bert.export.forms import AUTO, ways_out
from power_bert.export.parity import Limits, Parity
from power_bert.export.reference import CheckSets, Reference
from power_bert.export.server_formats import SERVER_FORMATS, ServerFormat
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.model.pretrained import check_max_length
from power_bert.result_tables import wrap_value
from power_bert.runs.trained_model import TrainedModel, task_and_data
from power_bert.storage.files import atomic_directory, atomic_file
from power_bert.storage.locks import writes
from power_bert.text.examples import read_examples
from power_bert_runtime.encoded_texts import EncodedTexts


@dataclass(frozen=True)
class _Candidate:
    """The model in one form, compared with Keras.

    Attributes:
        form: Form of quantization.
        protects: Whether what chooses the tokens stays in float32.
        converted: The model in its format.
        parity: Comparison with Keras.
        limits: Limits that the comparison has to meet.
    """

    form: str
    protects: bool
    converted: Any
    parity: Parity
    limits: Limits

    @property
    def faults(self) -> list[str]:
        return self.parity.faults(self.limits)

    def __str__(self) -> str:
        verdict = f"refused, {', '.join(self.faults)}" if self.faults else "passes"
        protected = ", what chooses the tokens in float32" if self.protects else ""
        return f"tried      {self.form}{protected}: {verdict}; {self.parity}"


@writes(lambda model, out, *_, **__: out)
def export_for_servers(
    model: TrainedModel, out: Path, format_name: str, options: ExportOptions, console: Console
) -> list[Path]:
    """Export a model in a format for servers; files appear only if they agree with Keras.

    Args:
        model: Model to export, with a task and its data: the dev set checks the file, the training set calibrates int8.
        out: File or, for a SavedModel, folder to write.
        format_name: "onnx", "openvino" or "saved_model".
        options: What the user asked for; several lengths are refused, because the length is dynamic, and surviving
            tokens.
        console: Shows progress and results.

    Returns:
        The files or folders that were written.

    Raises:
        UserError: The options do not fit the format or the model, a package is not installed, the file differs too much
            from Keras, or the target cannot be written.
    """
    started = time.perf_counter()
    kind = SERVER_FORMATS[format_name]
    forms = _forms(kind, options, out)
    task_and_data(model)
    labels = class_labels(model, options.labels)
    check_writable([out], is_folder=not kind.suffix)
    length = options.lengths[0] if options.lengths else model.max_length
    check_max_length(length, model.classifier.backbone)
    lines = [f"model      {model.source}", *wrap_value("retention  ", model.retention)]
    console.print("\n".join(lines), markup=False)
    sets = CheckSets.of(model, options.check_texts)
    reference = Reference(model, length, sets)
    chosen = _choose(kind, model, forms, length, reference, options, console)
    lines, further = kind.report(chosen.converted, model.classifier)
    if warning := elsewhere_warning(length, chosen.parity, sets.texts_source):
        lines.append(warning)
    checked = Checked({length: chosen.parity}, sets.texts_source, chosen.limits)
    further |= {
        "format_name": kind.name,
        "protects_choice": chosen.protects,
        "description": asdict(options.description),
    }
    checksum = kind.checksum(chosen.converted)
    files = files_inside(checksum, model, labels, checked, chosen.form, further)
    for line in lines:
        console.print(line, markup=False)
    written = _write(kind, chosen.converted, files, out)
    for path in written:
        size = sum(part.stat().st_size for part in ([path] if path.is_file() else path.rglob("*")) if part.is_file())
        console.print(f"wrote      {path}  {size / 1e6:.1f} MB", markup=False)
    console.print(f"done in {time.perf_counter() - started:.0f} s", markup=False)
    return written


def _forms(kind: ServerFormat, options: ExportOptions, out: Path) -> Sequence[str]:
    """Return the forms to try, in their order."""
    if options.one_file or len(options.lengths) > 1:
        raise UserError(
            f"--format {kind.name} has a dynamic length: every text costs its own length. Leave --one-file out, and "
            "give --lengths one number, the maximum, or nothing"
        )
    if options.surviving_tokens:
        raise UserError(f"--surviving-tokens: --format {kind.name} has no such output; leave the option out")
    if out.suffix != kind.suffix:
        wanted = f"a file that ends in {kind.suffix}" if kind.suffix else "a folder, whose name has no extension"
        raise UserError(f"--out {out}: --format {kind.name} writes {wanted}; change --out")
    if options.quantize == AUTO:
        return kind.forms
    if options.quantize not in kind.forms:
        raise UserError(
            f"--quantize {options.quantize}: --format {kind.name} has {', '.join((*kind.forms, AUTO))}; choose one"
        )
    return (options.quantize,)


def _choose(
    kind: ServerFormat,
    model: TrainedModel,
    forms: Sequence[str],
    length: int,
    reference: Reference,
    options: ExportOptions,
    console: Console,
) -> _Candidate:
    """Build the forms until one agrees with Keras; an int8 form that does not is tried again with the choice protected.

    Raises:
        UserError: None agrees, or a package is not installed.
    """
    refused, parity = [], {}
    limits = {form: Limits.of(form, options.min_agreement, eliminates(model.classifier)) for form in forms}
    for form in forms:
        is_int8 = form in ("dynamic", "int8")
        for protects in (False, True) if is_int8 and eliminates(model.classifier) else (False,):
            encoded = _calibration(model, length, options, console) if form == "int8" else None
            with _stage(console, f"converting to {kind.name}, {form}"), _packages(kind.name):
                converted = kind.convert(model.classifier, form, encoded, protects)
                run = kind.open(converted)
            with _stage(console, "comparing with Keras"):
                parity = {length: reference.compare_outputs(run)}
            candidate = _Candidate(form, protects, converted, parity[length], limits[form])
            console.print(str(candidate), markup=False)
            if not candidate.faults:
                return candidate
        refused.append(f"{form}, {'; '.join(candidate.faults)}")
    raise UserError(
        f"the file differs too much from Keras: {'; '.join(refused)}. Nothing was written. "
        f"{ways_out(options.quantize, parity, eliminates(model.classifier), kind.forms)}"
    )


def _calibration(model: TrainedModel, length: int, options: ExportOptions, console: Console) -> EncodedTexts:
    task, data_dir = task_and_data(model)
    chosen = calibration_examples(read_examples(task, "train", data_dir), options.seed)
    console.print(f"calibrates on {len(chosen)} training examples, seed {options.seed}", markup=False)
    return plain_tokenizer(model.classifier).encode(chosen.first, chosen.second, length)


def _write(kind: ServerFormat, converted: Any, files: dict[str, bytes], out: Path) -> list[Path]:
    """Write the model beside its target, check it, and move its files into place, the one with the settings last."""
    try:
        if not kind.suffix:
            with atomic_directory(out) as folder:
                kind.write(converted, files, folder)
                _check_readable(kind, folder, out, files)
            return [out]
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}.") as folder:
            made = kind.write(converted, files, Path(folder) / out.name)
            _check_readable(kind, made[-1], out, files)
            for path in made:
                with atomic_file(out.with_suffix(path.suffix)) as file:
                    file.write(path.read_bytes())
        return [out.with_suffix(path.suffix) for path in reversed(made)]
    except OSError as error:
        raise UserError(f"{out} cannot be written ({error.strerror or error}); change --out") from None


def _check_readable(kind: ServerFormat, written: Path, target: Path, files: dict[str, bytes]) -> None:
    """Open what was written as its users do, before it is moved into place."""
    from power_bert_runtime.contents import SETTINGS_FILE
    from power_bert_runtime.stored_settings import parse_settings

    try:
        found = kind.read_back(written)
    except UserError as error:
        raise UserError(f"{target}: the written file cannot be read back: {error}") from error
    expected = parse_settings(files[SETTINGS_FILE], SETTINGS_FILE, "")
    if found | {"model_sha256": ""} != expected | {"model_sha256": ""}:
        raise UserError(f"{target}: the settings in the written file are not those that were put in; check the disk")


@contextmanager
def _packages(name: str) -> Iterator[None]:
    """Explain an import that fails."""
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"--format {name} needs packages that are not installed ({error}). Install them: EXTRAS={name} bash run.sh "
            f"export …, or pip install 'power-bert[{name}]'"
        ) from None


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"{title}: {time.perf_counter() - started:.1f} s", markup=False)
