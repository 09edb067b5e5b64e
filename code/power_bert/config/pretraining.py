"""Settings of a pre-training, from a TOML file, from options, or from both."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic.dataclasses import dataclass

from power_bert.config.settings import LARGEST, STRICT, Setting, Settings, check_names, declared_settings, given_values
from power_bert.config.shared_settings import CLIP_NORM, Similarity, Warmup, WeightDecay
from power_bert.errors import UserError
from power_bert.folders import PACKAGE
from power_bert.storage.files import read_lines
from power_bert_runtime.parsing import parsing

# Initialization of the position table with sines and cosines.
SINUSOIDAL: Literal["sinusoidal"] = "sinusoidal"


@dataclass(frozen=True, config=STRICT)
class PretrainingSettings(Settings):
    """Settings that determine the outcome of a pre-training."""

    corpus: Annotated[str, Setting("Folder of a prepared corpus (prepare-corpus)")]
    layers: Annotated[int, Setting("Encoder blocks", "encoder blocks", 1, 100)] = 2
    hidden: Annotated[
        int,
        Setting(
            "Hidden dimension, a multiple of the heads",
            "",
            1,
            16384,
            expected="a hidden dimension from {low} to {high}",
        ),
    ] = 128
    heads: Annotated[
        int,
        Setting(
            "Attention heads",
            low=0,
            high=1024,
            expected="1 to {high} attention heads, or 0 for heads of dimension 64",
            default_text="heads of dimension 64, as in BERT",
        ),
    ] = 0
    intermediate: Annotated[
        int,
        Setting(
            "Dimension of the feed-forward layers",
            low=0,
            high=65536,
            expected="a dimension from 1 to {high}, or 0 for four times the hidden dimension",
            default_text="four times the hidden dimension",
        ),
    ] = 0
    # The model can never read longer texts than this.
    positions: Annotated[
        int,
        Setting(
            "Rows of the position table: the max sequence length of the model",
            low=0,
            high=65536,
            expected="a number of positions, or 0 for the length of the corpus",
            default_text="the length of the corpus",
        ),
    ] = 0
    similarity: Annotated[Similarity, Setting("Similarity of the attention")] = "dot"
    steps: Annotated[
        int, Setting("Training steps", low=1, high=LARGEST, expected="a number of training steps from {low}")
    ] = 10_000
    batch: Annotated[
        int, Setting("Records per training step", low=1, high=2**20, expected="a number of records from {low}")
    ] = 64
    # The result is the same up to rounding.
    accumulate: Annotated[
        int,
        Setting(
            "Gradient accumulation: parts into which a batch is split to save memory",
            low=1,
            high=2**20,
            expected="a number of parts from {low}",
        ),
    ] = 1
    learning_rate: Annotated[
        float,
        Setting(
            "Peak learning rate",
            low=1e-9,
            high=1.0,
            expected="a learning rate from {low} to {high}",
            usual="5e-4 to 2e-3",
        ),
    ] = 1e-3
    schedule: Annotated[
        Literal["linear", "one-cycle"],
        Setting(
            "Learning rate schedule",
            meanings={"linear": "warm-up, then linear to 0", "one-cycle": "rises and falls along a cosine"},
        ),
    ] = "linear"
    warmup: Warmup = 0.1
    weight_decay: WeightDecay = 0.01
    clip_norm: Annotated[float, CLIP_NORM] = 1.0
    masking_rate: Annotated[
        float,
        Setting(
            "Fraction of tokens that are masked",
            low=0.01,
            high=0.5,
            expected="a fraction from {low} to {high}",
            usual="0.15 to 0.3",
        ),
    ] = 0.15
    whole_words: Annotated[
        bool,
        Setting(
            "Mask all tokens of a word or none",
            option="whole-words/--word-pieces",
            default_text="single tokens",
        ),
    ] = False
    # The written model has BERT's 0.1, for fine-tuning.
    dropout: Annotated[
        float,
        Setting("Dropout rate during pre-training", low=0.0, high=0.9, expected="a rate from {low} to {high}"),
    ] = 0.0
    # BERT's 0.02 is for widths of 768 and more. In a narrow model it makes the attention scores, products of two
    # projections, start near 0.
    initializer_range: Annotated[
        float,
        Setting(
            "Standard deviation of the random weights",
            low=0.0,
            high=1.0,
            expected="a standard deviation up to {high}, or 0 for 1 / √hidden",
            default_text="1 / √hidden",
        ),
    ] = 0.0
    # With sines and cosines a neighboring position is a linear function of a position, so attention soon finds it. The
    # table is learned in both cases.
    position_start: Annotated[
        Literal["sinusoidal", "random"],
        Setting(
            "Initialization of the position table", meanings={"sinusoidal": "sines and cosines", "random": "as in BERT"}
        ),
    ] = SINUSOIDAL
    precision: Annotated[
        Literal["float32", "bfloat16"],
        Setting("Precision", meanings={"float32": "everywhere", "bfloat16": "mixed, with weights in float32"}),
    ] = "float32"
    seed: Annotated[
        int,
        Setting(
            "Random seed for weights, data order, masks and dropout",
            low=0,
            high=LARGEST,
            expected="a whole number from {low}",
        ),
    ] = 0
    interval: Annotated[
        int,
        Setting(
            "Training steps between evaluations; each evaluation also stores the state for resuming",
            low=1,
            high=LARGEST,
            expected="a number of training steps from {low}",
        ),
    ] = 500
    evaluation_records: Annotated[
        int,
        Setting(
            "Largest number of records of the test split in an evaluation",
            low=1,
            high=LARGEST,
            expected="a number of records from {low}",
        ),
    ] = 2000
    devices: Annotated[
        int,
        Setting("Devices over which a batch is split", low=1, high=4096, expected="a number of devices from {low}"),
    ] = 1

    def __post_init__(self) -> None:
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


def resolve_settings(given: Mapping[str, Any], where: str = "") -> PretrainingSettings:
    """Create the settings from the values of a user; None means not given.

    Raises:
        UserError: A name is unknown, the corpus is missing, or a value has the wrong type or is out of range.
    """
    prefix = f"{where}: " if where else ""
    check_names(given, declared_settings(PretrainingSettings), prefix)
    try:
        values = given_values(PretrainingSettings, given)
        if "corpus" not in values:
            raise UserError("no corpus given; expected the folder of a prepared corpus (prepare-corpus makes one)")
        settings = PretrainingSettings(**values)
        return dataclasses.replace(settings, corpus=os.path.abspath(settings.corpus))
    except UserError as error:
        raise UserError(f"{prefix}{error}") from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; a relative path is looked up in the working folder, then in the package.

    Raises:
        UserError: There is no such file, or it is not TOML.
    """
    found = next((place for place in (Path(path), PACKAGE / path) if place.is_file()), None)
    if found is None:
        shipped = sorted(file.relative_to(PACKAGE).as_posix() for file in (PACKAGE / "recipes").rglob("*.toml"))
        raise UserError(f"{path}: no such file. With the program come {', '.join(shipped)}")
    text = "\n".join(read_lines(found))
    with parsing(found, "valid TOML", "Correct the file."):
        values = tomllib.loads(text)
        json.dumps(values, default=str)  # refuses hexadecimal numbers of thousands of digits: no message can show them
    return values
