"""A file in one form: built, compared with Keras, and not yet written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema
from rich.console import Console

from power_bert.export.calibration import calibration_examples, observe
from power_bert.export.conversion import PRIMARY_SIGNATURE, convert
from power_bert.export.description import Checked, files_inside, pack_described
from power_bert.export.inference_graph import inference_function
from power_bert.export.model_file import ModelFile
from power_bert.export.options import ExportOptions
from power_bert.export.parity import Limits, Parity
from power_bert.export.quantization import dense_activations, quantize
from power_bert.export.quantization_report import quantization_report
from power_bert.export.reference import Reference
from power_bert.export.signatures import merge_signatures
from power_bert.model.pretrained import plain_tokenizer
from power_bert.text.examples import read_examples
from power_bert.train.rows_progress import rows_progress
from power_bert.train.trained_model import TrainedModel, task_and_data


@dataclass(frozen=True)
class Plan:
    """What is exported, whatever the form.

    Attributes:
        model: The trained model.
        labels: Names of the classes; empty for a regression.
        groups: File → lengths of its signatures, the longest first.
        references: Length → what Keras gives.
        texts_source: Where the texts from elsewhere come from.
        options: What is wanted.
    """

    model: TrainedModel
    labels: Sequence[str]
    groups: Mapping[Path, tuple[int, ...]]
    references: Mapping[int, Reference]
    texts_source: str
    options: ExportOptions


@dataclass(frozen=True)
class Candidate:
    """One file, or one a length, in a form.

    Attributes:
        form: One of `power_bert.export.forms.FORMS`.
        files: Path → what it will hold.
        parities: Length → how it compares with Keras.
        limits: What is demanded.
        report: What was quantized, for the user.
    """

    form: str
    files: Mapping[Path, ModelFile]
    parities: Mapping[int, Parity]
    limits: Limits
    report: Sequence[str]

    @property
    def faults(self) -> list[str]:
        """What is out of limits, in words; empty where all is well."""
        return [
            f"length {length}: {', '.join(faults)}"
            for length, parity in self.parities.items()
            if (faults := parity.faults(self.limits))
        ]

    def lines(self) -> list[str]:
        """What was tried, a line a length."""
        megabytes = sum(len(file.model) + sum(map(len, file.files.values())) for file in self.files.values()) / 1e6
        return [
            f"tried      {self.form}, {megabytes:.1f} MB, length {length}: {self._verdict(parity)}; {parity}"
            for length, parity in self.parities.items()
        ]

    def _verdict(self, parity: Parity) -> str:
        faults = parity.faults(self.limits)
        return f"refused, {', '.join(faults)}" if faults else "passes"


def build_candidate(plan: Plan, form: str, console: Console) -> Candidate:
    """Convert, quantize and check a model in one form."""
    limits = Limits.of(form, plan.options.min_agreement)
    files: dict[Path, ModelFile] = {}
    parities: dict[int, Parity] = {}
    report: list[str] = []
    for target, lengths in plan.groups.items():
        keys = {length: PRIMARY_SIGNATURE if length == lengths[0] else f"length_{length}" for length in lengths}
        merged = merge_signatures([(keys[length], _build(plan, length, form, console)) for length in lengths])
        packed = pack_described(merged, plan.model, plan.labels, lengths[0], plan.options.description)
        of_file = {length: plan.references[length].compare(packed, keys[length], console) for length in lengths}
        checked = Checked(of_file, plan.texts_source, limits)
        files[target] = ModelFile(packed, files_inside(packed, plan.model, plan.labels, checked, form))
        parities |= of_file
        report = quantization_report(merged, form)
    return Candidate(form, files, parities, limits, report)


def _build(plan: Plan, length: int, form: str, console: Console) -> schema.ModelT:
    """The model for one length, converted and quantized."""
    with _stage(console, f"converting to {form} for {length} tokens"):
        converted = convert(inference_function(plan.model.classifier), length, float16=form == "float16")
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


@contextmanager
def _stage(console: Console, title: str) -> Iterator[None]:
    """Says what is going on, and afterwards how long it took."""
    started = time.perf_counter()
    with console.status(title):
        yield
    console.print(f"{title}: {time.perf_counter() - started:.1f} s", markup=False)
