"""What a pretrained BERT encoder is, whatever file format it came from."""

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
    """Sizes and constants of a BERT encoder.

    Attributes:
        vocabulary_size: Rows of the token embedding (may exceed the vocabulary where a checkpoint is padded).
        num_layers: Encoder blocks.
        num_heads: Attention heads of a block; `hidden_dim` is a multiple of it.
        hidden_dim: Width of a word-vector.
        intermediate_dim: Width inside the feed-forward.
        max_sequence_length: Rows of the position embedding.
        num_segments: Rows of the segment embedding.
        dropout: Rate after embeddings, attention and feed-forward, in [0, 1).
        attention_dropout: Rate on the attention probabilities, in [0, 1).
        activation: Of the feed-forward: "gelu" (exact), "gelu_tanh" (tanh approximation) or a Keras activation name.
        layer_norm_epsilon: Added to the variance in each layer norm.
        initializer_range: Standard deviation with which new weights start.
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
    """A pretrained BERT encoder in canonical form.

    Attributes:
        source: Where it came from, for messages.
        architecture: Sizes and constants.
        weights: Canonical name (`canonical_shapes`) -> float32 array. The pooler's two may be absent.
        unused: Names stored in the checkpoint that have no place in an encoder: heads, optimizer slots, counters.
        vocabulary: Tokens in the order of their ids, a `Vocabulary` where the tokenizer has settings of its own; None
            where the checkpoint has none.
        lowercase: Whether the vocabulary is uncased; None where there is no vocabulary.
        notes: What the user should know about it.
    """

    source: str
    architecture: BertArchitecture
    weights: dict[str, np.ndarray]
    unused: tuple[str, ...] = ()
    vocabulary: list[str] | None = None
    lowercase: bool | None = None
    notes: tuple[str, ...] = ()


def expand_blocks(template: str, num_layers: int) -> list[str]:
    """The names that a template with `{block}` stands for, one a block; a template without it stands for itself."""
    if "{block}" not in template:
        return [template]
    return [template.format(block=block) for block in range(num_layers)]


def canonical_shapes(architecture: BertArchitecture) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every canonical weight of an encoder, its pooler included."""
    return {
        name: tuple(getattr(architecture, axis) for axis in axes)
        for template, axes in CANONICAL_AXES.items()
        for name in expand_blocks(template, architecture.num_layers)
    }
