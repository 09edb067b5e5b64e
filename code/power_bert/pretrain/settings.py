"""One frozen value describes one pre-training; it comes from a TOML file, from options, or from both."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from power_bert.config import CHOICES
from power_bert.errors import UserError, shorten
from power_bert.files import read_lines
from power_bert.folders import PACKAGE
from power_bert.parsing import parsing
from power_bert.pretrain.position_start import POSITION_STARTS
from power_bert.settings import Ranges, check_choices, check_ranges, check_types, settings_to_json

SCHEDULES = ("linear", "one-cycle")
PRECISIONS = ("float32", "bfloat16")
_CHOICES = {
    "similarity": CHOICES["similarity"],
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "position_start": POSITION_STARTS,
}
_LARGEST = 2**31 - 1
_RANGES: Ranges = {
    "layers": (1, 100, "1 to 100 encoder blocks"),
    "hidden": (1, 16384, "a width from 1 to 16384"),
    "heads": (0, 1024, "1 to 1024 attention heads, or 0 for one a width of 64"),
    "intermediate": (0, 65536, "a width from 1 to 65536, or 0 for four times the hidden width"),
    "positions": (0, 65536, "a number of positions, or 0 for the length of the corpus"),
    "steps": (1, _LARGEST, "a number of updates from 1"),
    "batch": (1, 2**20, "a number of records from 1"),
    "accumulate": (1, 2**20, "a number of parts from 1"),
    "learning_rate": (1e-9, 1.0, "a learning rate from 1e-9 to 1 (usual: 5e-4 to 2e-3)"),
    "warmup": (0.0, 0.99, "a share of the updates from 0 to 0.99"),
    "weight_decay": (0.0, 1.0, "0 to 1"),
    "clip_norm": (1e-6, 1e6, "a positive norm"),
    "masking_rate": (0.01, 0.5, "a share from 0.01 to 0.5 (usual: 0.15 to 0.3)"),
    "dropout": (0.0, 0.9, "a rate from 0 to 0.9"),
    "initializer_range": (0.0, 1.0, "a standard deviation up to 1, or 0 for 1 / √hidden"),
    "seed": (0, _LARGEST, "a whole number from 0"),
    "interval": (1, _LARGEST, "a number of updates from 1"),
    "evaluation_records": (1, _LARGEST, "a number of records from 1"),
    "devices": (1, 4096, "a number of devices from 1"),
}


@dataclass(frozen=True)
class PretrainingSettings:
    """Everything that decides the outcome of a pre-training.

    Attributes:
        corpus: folder of a prepared corpus.
        layers: encoder blocks.
        hidden: width; a multiple of the heads.
        heads: attention heads; 0 for one a width of 64, as BERT has them.
        intermediate: width of the feed-forward; 0 for four times the hidden width.
        positions: of the position table; 0 for the length of the corpus. Longer texts cannot be read later.
        similarity: attention similarity.
        steps: updates.
        batch: records of an update.
        accumulate: parts in which a batch is taken, to save memory; the outcome is the same up to rounding.
        learning_rate: the highest.
        schedule: "linear" (warm-up, then a linear fall to 0) or "one-cycle".
        warmup: share of the updates in which the rate rises.
        weight_decay: decoupled, per update and learning rate.
        clip_norm: largest global norm of the gradient.
        masking_rate: share of the tokens that are masked.
        whole_words: mask all word pieces of a word or none.
        dropout: while pre-training. What is written has BERT's 0.1, for fine-tuning.
        initializer_range: standard deviation of the random weights; 0 for 1 / √hidden. BERT's 0.02 is for widths of
            768 and more: in a narrow model the scores of attention, products of two such projections, start near 0.
        position_start: "sinusoidal" starts the position table with sines and cosines, in which a neighbour is a linear
            function of a position, so that attention soon finds it; "random" as BERT. The table is learned either way.
        precision: "bfloat16" computes in bfloat16 and keeps the weights in float32.
        seed: of weights, order, masks and dropout.
        interval: updates between evaluations, after each of which the state is stored to resume from.
        evaluation_records: of the test split, at most, in an evaluation.
        devices: on which a batch is spread.
    """

    corpus: str
    layers: int = 2
    hidden: int = 128
    heads: int = 0
    intermediate: int = 0
    positions: int = 0
    similarity: str = "dot"
    steps: int = 10_000
    batch: int = 64
    accumulate: int = 1
    learning_rate: float = 1e-3
    schedule: str = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    masking_rate: float = 0.15
    whole_words: bool = False
    dropout: float = 0.0
    initializer_range: float = 0.0
    position_start: str = "sinusoidal"
    precision: str = "float32"
    seed: int = 0
    interval: int = 500
    evaluation_records: int = 2000
    devices: int = 1

    def __post_init__(self) -> None:
        check_types(self, str)
        check_ranges(self, _RANGES, str)
        check_choices(self, _CHOICES, str)
        self._check_divisions()

    def _check_divisions(self) -> None:
        if self.hidden % self.num_heads:
            divisors = [str(heads) for heads in range(1, self.hidden + 1) if self.hidden % heads == 0]
            raise UserError(
                f"hidden={self.hidden} is not a multiple of heads={self.num_heads}; heads that divide it: "
                f"{', '.join(divisors)}"
            )
        if self.batch % (self.accumulate * self.devices):
            raise UserError(
                f"batch={self.batch} cannot be divided into accumulate={self.accumulate} parts on "
                f"devices={self.devices}; expected a multiple of {self.accumulate * self.devices}"
            )

    @property
    def num_heads(self) -> int:
        return self.heads or max(1, self.hidden // 64)

    @property
    def weight_deviation(self) -> float:
        """Standard deviation of the random weights."""
        return self.initializer_range or self.hidden**-0.5

    @property
    def intermediate_dim(self) -> int:
        return self.intermediate or 4 * self.hidden

    def to_json(self) -> str:
        return settings_to_json(self)


def resolve_settings(given: Mapping[str, Any], where: str = "") -> PretrainingSettings:
    """The settings from what a user gave; None means not given.

    Raises:
        UserError: An unknown name, a missing corpus, or a value that cannot be.
    """
    prefix = f"{where}: " if where else ""
    check_names(given, where)
    values = {name: value for name, value in given.items() if value is not None}
    if "corpus" not in values:
        raise UserError(f"{prefix}no corpus given; expected the folder of a prepared corpus (prepare-corpus makes one)")
    try:
        settings = PretrainingSettings(**values)
        return dataclasses.replace(settings, corpus=os.path.abspath(settings.corpus))
    except UserError as error:
        raise UserError(f"{prefix}{error}") from None


def check_names(given: Mapping[str, Any], where: str = "") -> None:
    """Raises a UserError, which names `where`, for a name that is no setting."""
    known = [field.name for field in dataclasses.fields(PretrainingSettings)]
    if unknown := sorted(set(given) - set(known)):
        prefix = f"{where}: " if where else ""
        raise UserError(f"{prefix}unknown settings {shorten(', '.join(unknown))}; known are {', '.join(known)}")


def read_toml(path: str | Path) -> dict[str, Any]:
    """The values of a TOML file; a relative path counts from the working folder, then from the package's own.

    Raises:
        UserError: There is no such file, or it is no TOML.
    """
    found = next((place for place in (Path(path), PACKAGE / path) if place.is_file()), None)
    if found is None:
        shipped = sorted(f"configs/{file.name}" for file in (PACKAGE / "configs").glob("*.toml"))
        raise UserError(f"{path}: no such file. With the program come {', '.join(shipped)}")
    text = "\n".join(read_lines(found))
    with parsing(found, "valid TOML", "Correct the file."):
        values = tomllib.loads(text)
        json.dumps(values, default=str)  # refuses hexadecimal numbers of thousands of digits: no message can show them
    return values
