"""Which tokens are left after each encoder block: the choice of the classifier's own extraction layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from keras import ops
from scipy.special import softmax

from power_bert.elimination.extraction import HardExtraction
from power_bert.elimination.significance import significance
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer
from power_bert.predict.predict_texts import check_outputs
from power_bert.runs.trained_model import TrainedModel
from power_bert_runtime.padding import pad_batch

# Classes whose probabilities are shown.
_MOST_CLASSES = 6


@dataclass(frozen=True)
class Survival:
    """Tokens that are left in a batch, and the outputs of the same forward pass.

    Attributes:
        kept: Whether each token is left after each block, bool (batch, blocks, length); False for padding.
        outputs: Logits (batch, classes), or scores (batch, 1).
    """

    kept: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True)
class Explanation:
    """A prediction, and the tokens that were left for it after each block.

    Attributes:
        tokens: Tokens of the text, with [CLS] and [SEP].
        kept: Whether each token is left after each block, bool (blocks, length).
        names: Names of the classes; None for a regressor.
        outputs: Probabilities (classes,), or the score (1,).
        truncated: Whether the text was longer than the max length.
    """

    tokens: tuple[str, ...]
    kept: np.ndarray
    names: tuple[str, ...] | None
    outputs: np.ndarray
    truncated: bool = False

    @property
    def dropped_by(self) -> np.ndarray:
        """Number of the block that dropped each token, from 1; blocks + 1 for a token that is left at the end."""
        return self.kept.sum(axis=0) + 1


def surviving_tokens(classifier: PowerBertTextClassifier, inputs: Mapping[str, np.ndarray]) -> Survival:
    """Run a classifier and follow the positions of its tokens through its extraction layers.

    Each extraction layer selects the positions as it selects the hidden states, so these are the tokens that the
    feed-forward layer of its block and all later blocks work on, besides the fused token. In the last block, whose
    other tokens do not reach the head, they are those of `sequence_output`.

    Args:
        classifier: Classifier on a `PowerBertBackbone`, with hard extraction or none.
        inputs: Inputs of the backbone, int32 (batch, length) each.
    """
    backbone, padding_mask = classifier.backbone, inputs["padding_mask"]
    batch, length = padding_mask.shape
    kept = np.zeros((batch, backbone.num_layers, length), bool)
    hidden_states = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"])  # (batch, length, hidden)
    visibility = ops.cast(padding_mask, hidden_states.dtype)  # (batch, length)
    positions = ops.broadcast_to(ops.arange(length, dtype="int32"), (batch, length))
    for number, block in enumerate(backbone.blocks):
        entering = hidden_states, visibility, padding_mask
        hidden_states, visibility, probabilities = block.encode(*entering)
        left = visibility > 0  # (batch, kept)
        if isinstance(block.extraction, HardExtraction) and not block.extraction.keeps_cls_alone:
            scores = significance(probabilities, entering[1])  # (batch, length)
            chosen, left = block.extraction.select(entering[1], scores, padding_mask)  # (batch, kept) each
            positions = ops.take_along_axis(positions, chosen, axis=1)  # (batch, kept)
        positions = positions[:, : left.shape[1]]
        rows, slots = np.nonzero(ops.convert_to_numpy(left))
        kept[rows, number, ops.convert_to_numpy(positions)[rows, slots]] = True
    cls_output, _ = backbone.blocks[-1](*entering, cls_alone=True)
    logits = classifier.logits_of(backbone.pooler(cls_output[:, 0, :]))
    return Survival(kept, np.asarray(ops.convert_to_numpy(logits)))


def explain_text(model: TrainedModel, first: str, second: str | None = None) -> Explanation:
    """Predict a text and tell which of its tokens are left after each block.

    Args:
        model: Model that predicts.
        first: The text.
        second: The second text of a pair.

    Raises:
        UserError: The model has no tokens to drop, the task takes another number of texts, or an output is not finite.
    """
    classifier = model.classifier
    if not isinstance(classifier.backbone, PowerBertBackbone):
        raise UserError(
            f"{model.source}: a student that is no BERT, whose encoder has no tokens to drop; give the run of a BERT"
        )
    if model.task is not None and model.task.is_pair != (second is not None):
        expected, advice = ("two texts", "give both") if model.task.is_pair else ("one text", "leave the second out")
        raise UserError(f"{model.source}: {model.task.name} classifies {expected} at a time; {advice}")
    tokenizer = plain_tokenizer(classifier)
    seconds = None if second is None else [second]
    encoded = tokenizer.encode([first], seconds, model.max_length)
    inputs = pad_batch(encoded, np.array([0]), int(encoded.lengths[0]))
    survival = surviving_tokens(classifier, inputs)
    check_outputs(survival.outputs, [first])
    outputs = survival.outputs[0].astype(np.float64)
    indices = tuple(str(index) for index in range(classifier.num_classes))
    whole = sum(map(len, tokenizer.token_ids([first, *(seconds or [])]))) + (2 if second is None else 3)
    return Explanation(
        tuple(tokenizer.vocabulary[index] for index in encoded.ids),
        survival.kept[0],
        None if classifier.is_regressor else classifier.labels or indices,
        outputs if classifier.is_regressor else softmax(outputs),
        whole > len(encoded.ids),
    )


def format_prediction(explanation: Explanation) -> str:
    """Return the label with the probabilities of the most probable classes and the number of others, or the score."""
    if explanation.names is None:
        return f"score {explanation.outputs[0]:.4g}"
    order = np.argsort(-explanation.outputs, kind="stable")
    shown = order[:_MOST_CLASSES]
    probabilities = [f"p({explanation.names[index]}) {explanation.outputs[index]:.4f}" for index in shown]
    others = [f"{len(order) - len(shown)} more"] if len(order) > len(shown) else []
    return f"{explanation.names[order[0]]}  ({', '.join([*probabilities, *others])})"
