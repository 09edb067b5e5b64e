"""How much the outputs of a classifier change if one encoder block keeps fewer tokens, heads or neurons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.elimination.allocation import NEURON_MULTIPLE, LossCurves
from power_bert.elimination.extraction import fuse_tokens
from power_bert.elimination.retention import CLS_ALONE
from power_bert.elimination.significance import ranks, significance
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_without_elimination
from power_bert.model.encoder_block import EncoderBlock, UnitGates
from power_bert.model.importance import Importance, mask_of
from power_bert.predict.forward import compiled_forward
from power_bert.predict.predict_texts import EVALUATION_BATCH_SIZE
from power_bert.text.batches import evaluation_batches
from power_bert_runtime.encoded_texts import EncodedTexts

Tensor = Any
# What is measured, as fractions of what a block keeps now; curves are interpolated between. Twice as many levels take
# twice as long, and on SST-2 chose configurations whose loss is lower by 0.001 to 0.003 of the variance of the logits.
_TOKEN_LEVELS = (0.8, 0.5, 0.2, 0.0)
_UNIT_LEVELS = (0.55, 0.1)
_SMALLEST_VARIANCE = 1e-8
_ROUNDING = 0.03  # as `Retention.left_after`


class Sensitivity:
    """Measurement of the `LossCurves` of a classifier.

    The loss is the mean squared error of the logits to given ones, relative to their variance. The hidden states that
    enter a block are computed once; each point of a curve costs a forward pass of that block and all later ones.

    Args:
        classifier: Classifier, with or without token elimination.
        encoded: Examples to measure on.
        logits: Logits to compare with, (examples, outputs).
        max_length: Max length in tokens.
        fuse_dropped: Whether blocks fuse the tokens that they drop.
    """

    def __init__(
        self,
        classifier: PowerBertTextClassifier,
        encoded: EncodedTexts,
        logits: np.ndarray,
        max_length: int,
        fuse_dropped: bool = False,
    ) -> None:
        plain = build_without_elimination(classifier)
        backbone, retention = plain.backbone, classifier.backbone.retention
        values = (1.0,) * backbone.num_layers if retention is None else retention.values
        self._settings = [
            _Kept.everything(block, fraction) for block, fraction in zip(backbone.blocks, values, strict=True)
        ]
        self._forwards = [
            compiled_forward(_MaskedBlock(block, backbone.hidden_dim, fuse_dropped)) for block in backbone.blocks
        ]
        self._head = compiled_forward(_head_model(plain))
        self._variance = float(np.var(logits, axis=0).mean()) + _SMALLEST_VARIANCE
        embed = compiled_forward(_embeddings_model(backbone))
        self._batches = []
        for batch in evaluation_batches(encoded, EVALUATION_BATCH_SIZE, max_length):
            mask = batch.inputs["padding_mask"]
            states = [(np.asarray(embed(batch.inputs)), mask.astype(np.float32))]
            if fuse_dropped:  # a place for the fused token, which is invisible at first
                states = [(np.pad(states[0][0], ((0, 0), (0, 1), (0, 0))), np.pad(states[0][1], ((0, 0), (0, 1))))]
            for number in range(backbone.num_layers):
                states.append(self._run(number, *states[-1], mask, self._settings[number]))
            self._batches.append((mask, states, logits[batch.rows]))

    def loss(self, first: int | None = None, kept: _Kept | None = None) -> float:
        """Return the loss if block `first` keeps less than now; without arguments, the loss now."""
        error, first = 0.0, len(self._forwards) if first is None else first
        for mask, states, expected in self._batches:
            hidden, visibility = states[first]
            for number in range(first, len(self._forwards)):
                setting = kept if number == first and kept is not None else self._settings[number]
                hidden, visibility = self._run(number, hidden, visibility, mask, setting)
            logits = np.asarray(self._head({"hidden": hidden}))  # (batch, outputs)
            error += float(np.square(logits - expected).mean(axis=1).sum())
        return error / sum(len(expected) for *_, expected in self._batches) / self._variance

    def curves(self, importance: Sequence[Importance], advance: Callable[[], None] = lambda: None) -> list[LossCurves]:
        """Measure the curves of all blocks.

        Args:
            importance: Importance of the units of each block: the least important ones go first.
            advance: Called after each block.
        """
        now, curves = self.loss(), []
        for number, of_block in enumerate(importance):
            curves.append(self._curves_of(number, of_block, now))
            advance()
        return curves

    def _curves_of(self, number: int, importance: Importance, now: float) -> LossCurves:
        kept, is_last = self._settings[number], number == len(self._settings) - 1
        tokens = [(kept.fraction, now)]
        for level in () if is_last else _TOKEN_LEVELS:
            fraction = kept.fraction * level
            tokens.append((fraction, self.loss(number, replace(kept, fraction=fraction))))
        heads = [(len(importance.heads), now)]
        for units in _fewer(len(importance.heads), 1):
            heads.append((units, self.loss(number, replace(kept, heads=mask_of(importance.heads, units)))))
        neurons = [(len(importance.neurons), now)]
        for units in _fewer(len(importance.neurons), NEURON_MULTIPLE):
            neurons.append((units, self.loss(number, replace(kept, neurons=mask_of(importance.neurons, units)))))
        return LossCurves(tuple(tokens), tuple(heads), tuple(neurons))

    def _run(
        self, number: int, hidden: np.ndarray, visibility: np.ndarray, mask: np.ndarray, kept: _Kept
    ) -> tuple[Any, Any]:
        return self._forwards[number](
            {
                "hidden": hidden,
                "visibility": visibility,
                "padding_mask": mask,
                "fraction": np.array([kept.fraction], np.float32),
                "head_gates": kept.heads,
                "neuron_gates": kept.neurons,
            }
        )


@dataclass(frozen=True)
class _Kept:
    """What a block keeps during a measurement.

    Attributes:
        fraction: Fraction of each example's tokens.
        heads: 1 for each attention head that is kept, else 0, (heads,).
        neurons: 1 for each feed-forward neuron that is kept, else 0, (neurons,).
    """

    fraction: float
    heads: np.ndarray
    neurons: np.ndarray

    @classmethod
    def everything(cls, block: EncoderBlock, fraction: float) -> _Kept:
        return cls(fraction, np.ones(block.num_heads, np.float32), np.ones(block.intermediate_dim, np.float32))


def _fewer(units: int, multiple: int) -> list[int]:
    """Return the numbers of units to measure, in descending order."""
    numbers = {max(round(units * level / multiple), 1) * multiple for level in _UNIT_LEVELS}
    return sorted((number for number in numbers if number < units), reverse=True)


class _MaskedBlock(keras.Model):
    """Encoder block that hides what it does not keep instead of shortening its tensors.

    With `fuse_dropped` the last position of the sequence is that of the fused token.
    """

    def __init__(self, block: EncoderBlock, hidden_dim: int, fuse_dropped: bool) -> None:
        super().__init__(name="masked_block")
        self.block, self.hidden_dim, self.fuse_dropped = block, hidden_dim, fuse_dropped
        self.built = True

    @property
    def input(self) -> dict[str, Any]:
        """Symbolic inputs, by name."""
        return {
            "hidden": keras.Input((None, self.hidden_dim)),
            "visibility": keras.Input((None,)),
            "padding_mask": keras.Input((None,), dtype="int32"),
            "fraction": keras.Input(batch_shape=(1,)),
            "head_gates": keras.Input(batch_shape=(self.block.num_heads,)),
            "neuron_gates": keras.Input(batch_shape=(self.block.intermediate_dim,)),
        }

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Return hidden states (batch, length, hidden), and visibility (batch, length), 0 for what is not kept."""
        visibility, padding_mask = inputs["visibility"], inputs["padding_mask"]  # (batch, length)
        gates = UnitGates(inputs["head_gates"], inputs["neuron_gates"])
        hidden, _, probabilities = self.block.attend(inputs["hidden"], visibility, padding_mask, head_gates=gates.heads)
        # A head that is removed no longer counts in the ranking either.
        attention = probabilities * ops.cast(gates.heads, probabilities.dtype)[:, None, None]
        scores = significance(attention, visibility)  # (batch, length)
        tokens = ops.sum(ops.cast(padding_mask, "float32"), axis=1, keepdims=True)  # (batch, 1)
        kept = ops.maximum(ops.ceil(inputs["fraction"] * tokens - _ROUNDING), 1.0)
        ranked = visibility
        if self.fuse_dropped:
            ranked = ops.concatenate([visibility[:, :-1], ops.zeros_like(visibility[:, -1:])], axis=1)
        rank = ranks(scores, ranked)  # (batch, length)
        left = ranked * ops.cast(ops.cast(rank, "float32") < kept, visibility.dtype)
        if self.fuse_dropped:
            fused, is_there = fuse_tokens(hidden, scores, visibility > left)
            hidden = ops.concatenate([hidden[:, :-1], fused], axis=1)
            more_than_cls = ops.cast(inputs["fraction"] > CLS_ALONE, visibility.dtype)  # (1,)
            left = ops.concatenate([left[:, :-1], ops.cast(is_there, visibility.dtype) * more_than_cls], axis=1)
        return self.block.feed_forward(hidden, gates.neurons), left


def _embeddings_model(backbone: PowerBertBackbone) -> keras.Model:
    inputs = {name: each for name, each in backbone.input.items()}
    return keras.Model(inputs, backbone.embeddings(inputs["token_ids"], inputs["segment_ids"]))


def _head_model(classifier: PowerBertTextClassifier) -> keras.Model:
    hidden = keras.Input((None, classifier.backbone.hidden_dim), name="hidden")
    return keras.Model({"hidden": hidden}, classifier.logits_of(classifier.backbone.pooler(hidden[:, 0, :])))
