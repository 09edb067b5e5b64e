"""Canonical form of a pretrained BERT encoder, independent of its file format."""

from dataclasses import dataclass

import numpy as np

# Canonical weight name -> its axes, each a field of `BertArchitecture`. Keras layout: kernels are (in, out).
CANONICAL_AXES: dict[str, tuple[str, ...]] = {
    "embeddings/token": ("vocabulary_size", "hidden_dim"),
    "embeddings/position": ("max_sequence_length", "hidden_dim"),
    "embeddings/segment": ("num_segments", "hidden_dim"),
    "embeddings/norm/gamma": ("hidden_dim",),
    "embeddings/norm/beta": ("hidden_dim",),
    "block_{block}/attention/query/kernel": ("hidden_dim", "hidden_dim"),
    "block_{block}/attention/query/bias": ("hidden_dim",),
    "block_{block}/attention/key/kernel": ("hidden_dim", "hidden_dim"),
    "block_{block}/attention/key/bias": ("hidden_dim",),
    "block_{block}/attention/value/kernel": ("hidden_dim", "hidden_dim"),
    "block_{block}/attention/value/bias": ("hidden_dim",),
    "block_{block}/attention/output/kernel": ("hidden_dim", "hidden_dim"),
    "block_{block}/attention/output/bias": ("hidden_dim",),
    "block_{block}/attention/norm/gamma": ("hidden_dim",),
    "block_{block}/attention/norm/beta": ("hidden_dim",),
    "block_{block}/feed_forward/intermediate/kernel": ("hidden_dim", "intermediate_dim"),
    "block_{block}/feed_forward/intermediate/bias": ("intermediate_dim",),
    "block_{block}/feed_forward/output/kernel": ("intermediate_dim", "hidden_dim"),
    "block_{block}/feed_forward/output/bias": ("hidden_dim",),
    "block_{block}/feed_forward/norm/gamma": ("hidden_dim",),
    "block_{block}/feed_forward/norm/beta": ("hidden_dim",),
    "pooler/kernel": ("hidden_dim", "hidden_dim"),
    "pooler/bias": ("hidden_dim",),
}


@dataclass(frozen=True)
class BertArchitecture:
    """Architecture of a BERT encoder: sizes and constants.

    Attributes:
        vocabulary_size: Rows of the token embedding table; may exceed the vocabulary if the checkpoint is padded.
        num_layers: Number of encoder blocks.
        num_heads: Number of attention heads per block; `hidden_dim` is a multiple of it.
        hidden_dim: Dimension of the hidden states.
        intermediate_dim: Inner dimension of the feed-forward layers.
        max_sequence_length: Rows of the position embedding table.
        num_segments: Rows of the segment embedding table.
        dropout: Dropout rate after embeddings, attention and feed-forward layers, in [0, 1).
        attention_dropout: Dropout rate of the attention probabilities, in [0, 1).
        activation: Feed-forward activation: "gelu" (exact), "gelu_tanh" (tanh approximation) or a Keras activation.
        layer_norm_epsilon: Constant added to the variance of each layer normalization.
        initializer_range: Standard deviation of the initialization of new weights.
    """

    vocabulary_size: int
    num_layers: int
    num_heads: int
    hidden_dim: int
    intermediate_dim: int
    max_sequence_length: int = 512
    num_segments: int = 2
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    layer_norm_epsilon: float = 1e-12
    initializer_range: float = 0.02


@dataclass(frozen=True)
class Checkpoint:
    """Pretrained BERT encoder in canonical form.

    Attributes:
        source: File or folder it was read from, for messages.
        architecture: Sizes and constants of the encoder.
        weights: Canonical name (`canonical_shapes`) -> float32 array. The two weights of the pooler may be absent.
        unused: Stored names that are not part of the encoder: heads, optimizer slots, counters.
        vocabulary: Tokens in the order of their ids, or a `Vocabulary` if the tokenizer has settings of its own; None
            if the checkpoint has none.
        lowercase: Whether the vocabulary is uncased; None if there is no vocabulary.
        notes: Remarks for the user about the checkpoint.
    """

    source: str
    architecture: BertArchitecture
    weights: dict[str, np.ndarray]
    unused: tuple[str, ...] = ()
    vocabulary: list[str] | None = None
    lowercase: bool | None = None
    notes: tuple[str, ...] = ()


def expand_blocks(template: str, num_layers: int) -> list[str]:
    """Expand a template with `{block}` to one name per block; a name without it is returned alone."""
    if "{block}" not in template:
        return [template]
    return [template.format(block=block) for block in range(num_layers)]


def canonical_shapes(architecture: BertArchitecture) -> dict[str, tuple[int, ...]]:
    """Map the name of each canonical weight of an encoder, pooler included, to its shape."""
    return {
        name: tuple(getattr(architecture, axis) for axis in axes)
        for template, axes in CANONICAL_AXES.items()
        for name in expand_blocks(template, architecture.num_layers)
    }
