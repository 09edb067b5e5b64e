"""Exported files in one form, built and compared with Keras but not yet written."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from rich.console import Console

from power_bert.export.calibration import observe
from power_bert.export.calibration_examples import calibration_examples
from power_bert.export.conversion import convert
from power_bert.export.description import Checked, files_inside, pack_described
from power_bert.export.export_options import ExportOptions
from power_bert.export.exporter_checks import eliminates
from power_bert.export.inference_graph import inference_function
from power_bert.export.model_file import ModelFile
from power_bert.export.parity import Limits, Parity
from power_bert.export.quantization import dense_activations, quantize
from power_bert.export.quantization_report import quantization_report
from power_bert.export.reference import Reference
from power_bert.export.signatures import merge_signatures
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.rows_progress import rows_progress
from power_bert.runs.trained_model import TrainedModel, task_and_data
from power_bert.text.examples import read_examples
from power_bert_runtime.contents import signature_key


@dataclass(frozen=True)
class Plan:
    """Inputs of an export that are the same for all forms.

    Attributes:
        model: The trained model.
        labels: Names of the classes; empty for a regression.
        groups: File → sequence lengths of its signatures, the longest first.
        references: Length → outputs of Keras.
        texts_source: Where the texts from elsewhere come from.
        options: What the user asked for.
        float_models: Length → the model in float32, once it is converted.
    """

    model: TrainedModel
    labels: Sequence[str]
    groups: Mapping[Path, tuple[int, ...]]
    references: Mapping[int, Reference]
    texts_source: str
    options: ExportOptions
    float_models: dict[int, schema.ModelT] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """The files of an export in one form: a single file, or one for each length.

    Attributes:
        form: One of `power_bert.export.forms.FORMS`.
        files: Path → content.
        parities: Length → comparison with Keras.
        limits: Limits that the comparison has to meet.
        report: Lines for the user: what was quantized and what was not.
    """

    form: str
    files: Mapping[Path, ModelFile]
    parities: Mapping[int, Parity]
    limits: Limits
    report: Sequence[str]

    @property
    def faults(self) -> list[str]:
        """Descriptions of what exceeds the limits; empty if the candidate passes."""
        return [
            f"length {length}: {', '.join(faults)}"
            for length, parity in self.parities.items()
            if (faults := parity.faults(self.limits))
        ]

    def lines(self) -> list[str]:
        """Lines for the user, one for each length: model size, verdict and comparison."""
        megabytes = sum(len(file.model) + sum(map(len, file.files.values())) for file in self.files.values()) / 1e6
        several = f" in {len(self.files)} files" if len(self.files) > 1 else ""
        return [
            f"tried      {self.form}, {megabytes:.1f} MB{several}, length {length}: {self._verdict(parity)}; {parity}"
            for length, parity in self.parities.items()
        ]

    def _verdict(self, parity: Parity) -> str:
        faults = parity.faults(self.limits)
        return f"refused, {', '.join(faults)}" if faults else "passes"


def build_candidate(plan: Plan, form: str, console: Console) -> Candidate:
    """Convert, quantize and check a model in one form.

    Args:
        plan: Inputs of the export that are the same for all forms.
        form: One of `power_bert.export.forms.FORMS`.
        console: Shows progress.
    """
    limits = Limits.of(form, plan.options.min_agreement, eliminates(plan.model.classifier))
    files: dict[Path, ModelFile] = {}
    parities: dict[int, Parity] = {}
    report: list[str] = []
    for target, lengths in plan.groups.items():
        keys = {length: signature_key(length, lengths[0]) for length in lengths}
        merged = merge_signatures([(keys[length], _build(plan, length, form, console)) for length in lengths])
        packed = pack_described(
            *(merged, plan.model, plan.labels, lengths[0]), plan.options.description, plan.options.surviving_tokens
        )
        of_file = {length: plan.references[length].compare(packed, keys[length], console) for length in lengths}
        checked = Checked(of_file, plan.texts_source, limits)
        sha256 = hashlib.sha256(packed).hexdigest()
        files[target] = ModelFile(packed, files_inside(sha256, plan.model, plan.labels, checked, form))
        parities |= of_file
        report = quantization_report(merged, form)
    return Candidate(form, files, parities, limits, report)


def _build(plan: Plan, length: int, form: str, console: Console) -> schema.ModelT:
    """Convert and quantize the model for one length."""
    with _stage(console, f"converting to {form} for {length} tokens"):
        converted = _convert(plan, length, form)
    if form == "dynamic":
        quantize(converted)
    elif form == "int8":
        task, data_dir = task_and_data(plan.model)
        chosen = calibration_examples(read_examples(task, "train", data_dir), plan.options.seed)
        encoded = plain_tokenizer(plan.model.classifier).encode(chosen.first, chosen.second, length)
        with rows_progress(console, f"calibrating for {length} tokens") as advance:
            quantize(converted, observe(converted, dense_activations(converted), encoded, advance))
        console.print(f"calibrated on {len(chosen)} training examples, seed {plan.options.seed}", markup=False)
    return converted


def _convert(plan: Plan, length: int, form: str) -> schema.ModelT:
    """Convert the model; the forms other than float16, which the converter makes itself, use one conversion."""
    function = inference_function(plan.model.classifier, plan.options.surviving_tokens)
    if form == "float16":
        return convert(function, length, float16=True)
    if length not in plan.float_models:
        plan.float_models[length] = convert(function, length, float16=False)
    # A copy, because quantization and merging change a model in place.
    return copy.deepcopy(plan.float_models[length])


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    """Show the title while the stage runs, and afterwards how long it took."""
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"{title}: {time.perf_counter() - started:.1f} s", markup=False)
