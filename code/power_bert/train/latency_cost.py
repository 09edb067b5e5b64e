"""Cost of an encoder in measured time, for a search with SPEEDUP_BY=latency (as in ZipLM, Kurtić et al. 2023).

What a smaller block saves on the clock differs from what it saves in FLOPs: layer norms, softmax and gathers do not get
narrower, and small matrices run at a lower rate. So attention and feed-forward layer of blocks of several sizes are
timed once per run, each alone, at several lengths, with the threads that one of several batches has
(`power_bert.predict.parallel_batches`); sizes between are interpolated.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.interpolate import RegularGridInterpolator

from power_bert.elimination.allocation import NEURON_MULTIPLE
from power_bert.elimination.extraction import HardExtraction
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.encoder_block import EncoderBlock
from power_bert.model.trained_classifier import load_own_classifier
from power_bert.predict.forward import compiled_forward
from power_bert.predict.parallel_batches import measure_in_own_process, threads_of_operations
from power_bert.runs.run_dir import write_run_json
from power_bert.runs.run_documents import read_object
from power_bert.storage.json_form import NUMBER
from power_bert.train.reporting import Reporter

Tensor = Any
# Texts of a batch, as in `compare_on_clock`.
BATCH_SIZE = 32
_REPEATS = 7
# Sizes that are timed: fractions of the heads and neurons, and tokens up to the longest example.
_UNIT_LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
_LENGTHS = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# Fraction of tokens that attention with a ranking keeps while it is timed.
_KEPT = 0.5


@dataclass(frozen=True)
class LatencyTable:
    """Seconds that parts of an encoder take for one text in a batch of `BATCH_SIZE`.

    Attributes:
        tokens: Lengths that were timed, ascending.
        heads: Numbers of heads that were timed, ascending.
        neurons: Numbers of neurons that were timed, ascending.
        attention: Attention without a ranking of tokens, heads × tokens.
        attention_and_ranking: Attention with extraction, heads × tokens.
        attention_of_cls: Attention of ``[CLS]`` alone, heads × tokens.
        feed_forward: Feed-forward layer, neurons × tokens.
        ends: Embeddings, for each length.
    """

    tokens: list[int]
    heads: list[int]
    neurons: list[int]
    attention: list[list[float]]
    attention_and_ranking: list[list[float]]
    attention_of_cls: list[list[float]]
    feed_forward: list[list[float]]
    ends: list[float]


_FORM = {
    **{name: [int] for name in ("tokens", "heads", "neurons")},
    **{name: [[NUMBER]] for name in ("attention", "attention_and_ranking", "attention_of_cls", "feed_forward")},
    "ends": [NUMBER],
}


class LatencyCost:
    """`power_bert.elimination.allocation.EncoderCost` in seconds.

    Args:
        table: Measured times.
        lengths: Tokens of the training examples, (examples,).
    """

    fewer = "less time"

    def __init__(self, table: LatencyTable, lengths: np.ndarray) -> None:
        self.lengths, counts = np.unique(lengths.astype(np.int64), return_counts=True)
        self._weights = counts / counts.sum()
        self._attention, self._with_ranking, self._of_cls = (
            _interpolated(table.heads, table.tokens, seconds)
            for seconds in (table.attention, table.attention_and_ranking, table.attention_of_cls)
        )
        self._feed_forward = _interpolated(table.neurons, table.tokens, table.feed_forward)
        self.ends = float(self._weights @ np.interp(self.lengths, table.tokens, table.ends))

    def attention(self, heads: np.ndarray, entering: np.ndarray, cls_alone: bool, ranks: bool) -> np.ndarray:
        seconds = self._of_cls if cls_alone else self._with_ranking if ranks else self._attention
        return self._mean(seconds, heads, entering)

    def feed_forward(self, neurons: np.ndarray, left: np.ndarray) -> np.ndarray:
        return self._mean(self._feed_forward, neurons, left)

    def _mean(self, seconds: RegularGridInterpolator, units: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Average over the examples: (options,)."""
        grid = np.stack(np.meshgrid(units, tokens, indexing="ij"), axis=-1)  # (options, lengths, 2)
        return np.asarray(seconds(grid) @ self._weights)


def _interpolated(units: Sequence[int], tokens: Sequence[int], seconds: Sequence[Sequence[float]]) -> Any:
    """Interpolate linearly; noise never makes a larger size look faster."""
    rising = np.maximum.accumulate(np.maximum.accumulate(np.array(seconds), axis=0), axis=1)
    # Outside: a length of 1 alone is timed, or a number of units below the fewest.
    return RegularGridInterpolator((units, tokens), rising, bounds_error=False, fill_value=None)


def latency_table(
    preset: Path, path: Path, longest: int, reporter: Reporter, fuse_dropped: bool = False
) -> LatencyTable:
    """Read the table of a run, or measure and write it.

    Args:
        preset: Classifier that eliminates nothing.
        path: File of the table.
        longest: Tokens of the longest example.
        reporter: Reporter of the run.
        fuse_dropped: Whether extraction is timed with the fusing of dropped tokens.

    Raises:
        UserError: The file is damaged.
    """
    if not path.exists():
        reporter.say(f"2 search: timing blocks of several sizes, in batches of {BATCH_SIZE}")
        path.parent.mkdir(parents=True, exist_ok=True)
        measure_in_own_process(_write_table, preset, path, longest, fuse_dropped)
    stored = read_object(path, _FORM)
    return LatencyTable(**{name: stored[name] for name in _FORM})


def _write_table(preset: Path, path: Path, longest: int, fuse_dropped: bool) -> None:
    table = _measure(load_own_classifier(preset).backbone, longest, fuse_dropped)
    write_run_json(path, {"batch_size": BATCH_SIZE, "threads": threads_of_operations(), **asdict(table)})


def _measure(backbone: PowerBertBackbone, longest: int, fuse_dropped: bool) -> LatencyTable:
    block, hidden_dim = backbone.blocks[0], backbone.hidden_dim
    tokens = sorted({1, *(length for length in _LENGTHS if length < longest), longest})
    heads, neurons = _sizes(block.num_heads, 1), _sizes(block.intermediate_dim, NEURON_MULTIPLE)
    empty = compiled_forward(_Part(block, hidden_dim, lambda *inputs: inputs[0][:, :1]))
    overhead = [_seconds(empty, hidden_dim, length) for length in tokens]

    def times(part: Callable[..., Tensor], **sizes: Any) -> list[float]:
        sized = EncoderBlock.from_config({**block.get_config(), "extraction": None, **sizes})
        sized.build((None, None, hidden_dim))
        forward = compiled_forward(_Part(sized, hidden_dim, lambda *inputs: part(sized, *inputs)[:, :1]))
        return [
            max(_seconds(forward, hidden_dim, length) - nothing, 0.0) / BATCH_SIZE
            for length, nothing in zip(tokens, overhead, strict=True)
        ]

    def attend(sized: EncoderBlock, hidden: Tensor, visibility: Tensor, mask: Tensor) -> Tensor:
        return sized.attend(hidden, visibility, mask)[0]

    def attend_cls(sized: EncoderBlock, hidden: Tensor, visibility: Tensor, mask: Tensor) -> Tensor:
        return sized.attend(hidden, visibility, mask, cls_alone=True)[0]

    def feed_forward(sized: EncoderBlock, hidden: Tensor, *_: Tensor) -> Tensor:
        return sized.feed_forward(hidden)

    head_dim = block.head_dim or hidden_dim // block.num_heads
    extraction = keras.saving.serialize_keras_object(HardExtraction(_KEPT, fuse=fuse_dropped))
    return LatencyTable(
        tokens,
        heads,
        neurons,
        attention=[times(attend, num_heads=number, head_dim=head_dim) for number in heads],
        attention_and_ranking=[
            times(attend, num_heads=number, head_dim=head_dim, extraction=extraction) for number in heads
        ],
        attention_of_cls=[times(attend_cls, num_heads=number, head_dim=head_dim) for number in heads],
        feed_forward=[times(feed_forward, intermediate_dim=number) for number in neurons],
        ends=_times_of_embeddings(backbone, tokens),
    )


def _sizes(units: int, multiple: int) -> list[int]:
    """Return the numbers of units to time, ascending."""
    return sorted({min(max(round(units * level / multiple), 1) * multiple, units) for level in _UNIT_LEVELS})


def _times_of_embeddings(backbone: PowerBertBackbone, tokens: Sequence[int]) -> list[float]:
    token_ids, segment_ids = (backbone.input[name] for name in ("token_ids", "segment_ids"))
    forward = compiled_forward(keras.Model(backbone.input, backbone.embeddings(token_ids, segment_ids)))
    ones = [np.ones((BATCH_SIZE, length), np.int32) for length in tokens]
    return [_median_seconds(forward, dict.fromkeys(backbone.input, each)) / BATCH_SIZE for each in ones]


class _Part(keras.Model):
    """Part of a block, as a function of hidden states, visibility and padding mask."""

    def __init__(self, block: EncoderBlock, hidden_dim: int, part: Callable[..., Tensor]) -> None:
        super().__init__(name="part")
        self.block, self.hidden_dim, self.part = block, hidden_dim, part
        self.built = True

    @property
    def input(self) -> dict[str, Any]:
        """Symbolic inputs, by name."""
        return {
            "hidden": keras.Input((None, self.hidden_dim)),
            "visibility": keras.Input((None,)),
            "padding_mask": keras.Input((None,), dtype="int32"),
        }

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        return self.part(inputs["hidden"], inputs["visibility"], inputs["padding_mask"])


def _seconds(forward: Callable[..., Any], hidden_dim: int, length: int) -> float:
    """Time a part on a batch of texts of one length."""
    random = np.random.default_rng(0).standard_normal((BATCH_SIZE, length, hidden_dim), np.float32)
    ones = np.ones((BATCH_SIZE, length))
    arrays = {"hidden": random, "visibility": ones.astype(np.float32), "padding_mask": ones.astype(np.int32)}
    inputs = {name: ops.convert_to_tensor(array) for name, array in arrays.items()}
    return _median_seconds(forward, inputs)


def _median_seconds(forward: Callable[..., Any], inputs: dict[str, Any]) -> float:
    """Return the median of several calls after one that compiles and warms up."""
    seconds = []
    for _ in itertools.repeat(None, _REPEATS + 1):
        started = time.perf_counter()
        np.asarray(forward(inputs))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
