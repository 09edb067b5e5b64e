"""Weight names and layouts of each checkpoint format: one table per format, one row per canonical weight."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

WeightShape = tuple[int, ...]


@dataclass(frozen=True)
class WeightLayout:
    """Layout in which a format stores a weight, relative to the canonical Keras layout.

    Attributes:
        stored_shape: Function (canonical shape, attention heads) -> shape in the file.
        transposed: Whether the axes are reversed; otherwise stored and canonical array differ at most by a reshape.
    """

    stored_shape: Callable[[WeightShape, int], WeightShape]
    transposed: bool = False

    def to_canonical(self, stored: np.ndarray, shape: WeightShape) -> np.ndarray:
        """Convert a stored array to the canonical array of `shape`."""
        return stored.T if self.transposed else stored.reshape(shape)

    def to_stored(self, canonical: np.ndarray, num_heads: int) -> np.ndarray:
        """Convert a canonical array to the array that the format stores."""
        return canonical.T if self.transposed else canonical.reshape(self.stored_shape(canonical.shape, num_heads))


SAME = WeightLayout(lambda shape, heads: shape)
TRANSPOSED = WeightLayout(lambda shape, heads: shape[::-1], transposed=True)
# Keras' MultiHeadAttention: (…, hidden) is (…, heads, head_dim), and the output kernel is (heads, head_dim, hidden).
HEADS_LAST = WeightLayout(lambda shape, heads: (*shape[:-1], heads, shape[-1] // heads))
HEADS_FIRST = WeightLayout(lambda shape, heads: (heads, shape[0] // heads, *shape[1:]))


@dataclass(frozen=True)
class Weight:
    """Row of a table: one canonical weight in a format. A template with `{block}` stands for one weight per block.

    Attributes:
        canonical: Canonical name.
        names: Accepted names in files, without prefix; the first one is written.
        layout: Layout in the file.
    """

    canonical: str
    names: tuple[str, ...]
    layout: WeightLayout = SAME

    @property
    def is_optional(self) -> bool:
        """Whether a checkpoint may lack the weight: encoders are often published without the pooler."""
        return self.canonical.startswith("pooler/")

    def at_block(self, block: int) -> "Weight":
        """Fill the block number into the row's templates."""
        return Weight(
            self.canonical.format(block=block), tuple(name.format(block=block) for name in self.names), self.layout
        )


@dataclass(frozen=True)
class WeightTable:
    """Table of all weights of a format.

    Attributes:
        prefixes: Accepted prefixes of all names; the first one is written.
        rows: One row per canonical weight, in the order of `CANONICAL_AXES`.
    """

    prefixes: tuple[str, ...]
    rows: tuple[Weight, ...]

    def expand(self, num_layers: int) -> Iterator[Weight]:
        """Iterate over the rows, with one row per block for each template."""
        for row in self.rows:
            if "{block}" in row.canonical:
                yield from (row.at_block(block) for block in range(num_layers))
            else:
                yield row

    def block_names(self, block: int) -> list[str]:
        """List all stored names of one block, without prefix."""
        return [name for row in self.rows if "{block}" in row.canonical for name in row.at_block(block).names]


# google-research/bert, modeling.py.
TF1 = WeightTable(
    prefixes=("bert/", ""),
    rows=(
        Weight("embeddings/token", ("embeddings/word_embeddings",)),
        Weight("embeddings/position", ("embeddings/position_embeddings",)),
        Weight("embeddings/segment", ("embeddings/token_type_embeddings",)),
        Weight("embeddings/norm/gamma", ("embeddings/LayerNorm/gamma",)),
        Weight("embeddings/norm/beta", ("embeddings/LayerNorm/beta",)),
        Weight("block_{block}/attention/query/kernel", ("encoder/layer_{block}/attention/self/query/kernel",)),
        Weight("block_{block}/attention/query/bias", ("encoder/layer_{block}/attention/self/query/bias",)),
        Weight("block_{block}/attention/key/kernel", ("encoder/layer_{block}/attention/self/key/kernel",)),
        Weight("block_{block}/attention/key/bias", ("encoder/layer_{block}/attention/self/key/bias",)),
        Weight("block_{block}/attention/value/kernel", ("encoder/layer_{block}/attention/self/value/kernel",)),
        Weight("block_{block}/attention/value/bias", ("encoder/layer_{block}/attention/self/value/bias",)),
        Weight("block_{block}/attention/output/kernel", ("encoder/layer_{block}/attention/output/dense/kernel",)),
        Weight("block_{block}/attention/output/bias", ("encoder/layer_{block}/attention/output/dense/bias",)),
        Weight("block_{block}/attention/norm/gamma", ("encoder/layer_{block}/attention/output/LayerNorm/gamma",)),
        Weight("block_{block}/attention/norm/beta", ("encoder/layer_{block}/attention/output/LayerNorm/beta",)),
        Weight("block_{block}/feed_forward/intermediate/kernel", ("encoder/layer_{block}/intermediate/dense/kernel",)),
        Weight("block_{block}/feed_forward/intermediate/bias", ("encoder/layer_{block}/intermediate/dense/bias",)),
        Weight("block_{block}/feed_forward/output/kernel", ("encoder/layer_{block}/output/dense/kernel",)),
        Weight("block_{block}/feed_forward/output/bias", ("encoder/layer_{block}/output/dense/bias",)),
        Weight("block_{block}/feed_forward/norm/gamma", ("encoder/layer_{block}/output/LayerNorm/gamma",)),
        Weight("block_{block}/feed_forward/norm/beta", ("encoder/layer_{block}/output/LayerNorm/beta",)),
        Weight("pooler/kernel", ("pooler/dense/kernel",)),
        Weight("pooler/bias", ("pooler/dense/bias",)),
    ),
)


def _torch_norm(scope: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a layer norm's gamma and beta; files of 2018 and 2019 use Google's names."""
    return (f"{scope}.weight", f"{scope}.gamma"), (f"{scope}.bias", f"{scope}.beta")


_EMBEDDINGS_GAMMA, _EMBEDDINGS_BETA = _torch_norm("embeddings.LayerNorm")
_ATTENTION_GAMMA, _ATTENTION_BETA = _torch_norm("encoder.layer.{block}.attention.output.LayerNorm")
_OUTPUT_GAMMA, _OUTPUT_BETA = _torch_norm("encoder.layer.{block}.output.LayerNorm")

# Hugging Face transformers, BertModel; torch's Linear stores its kernel as (out, in).
HUGGING_FACE = WeightTable(
    prefixes=("", "bert."),
    rows=(
        Weight("embeddings/token", ("embeddings.word_embeddings.weight",)),
        Weight("embeddings/position", ("embeddings.position_embeddings.weight",)),
        Weight("embeddings/segment", ("embeddings.token_type_embeddings.weight",)),
        Weight("embeddings/norm/gamma", _EMBEDDINGS_GAMMA),
        Weight("embeddings/norm/beta", _EMBEDDINGS_BETA),
        Weight(
            "block_{block}/attention/query/kernel", ("encoder.layer.{block}.attention.self.query.weight",), TRANSPOSED
        ),
        Weight("block_{block}/attention/query/bias", ("encoder.layer.{block}.attention.self.query.bias",)),
        Weight("block_{block}/attention/key/kernel", ("encoder.layer.{block}.attention.self.key.weight",), TRANSPOSED),
        Weight("block_{block}/attention/key/bias", ("encoder.layer.{block}.attention.self.key.bias",)),
        Weight(
            "block_{block}/attention/value/kernel", ("encoder.layer.{block}.attention.self.value.weight",), TRANSPOSED
        ),
        Weight("block_{block}/attention/value/bias", ("encoder.layer.{block}.attention.self.value.bias",)),
        Weight(
            "block_{block}/attention/output/kernel",
            ("encoder.layer.{block}.attention.output.dense.weight",),
            TRANSPOSED,
        ),
        Weight("block_{block}/attention/output/bias", ("encoder.layer.{block}.attention.output.dense.bias",)),
        Weight("block_{block}/attention/norm/gamma", _ATTENTION_GAMMA),
        Weight("block_{block}/attention/norm/beta", _ATTENTION_BETA),
        Weight(
            "block_{block}/feed_forward/intermediate/kernel",
            ("encoder.layer.{block}.intermediate.dense.weight",),
            TRANSPOSED,
        ),
        Weight("block_{block}/feed_forward/intermediate/bias", ("encoder.layer.{block}.intermediate.dense.bias",)),
        Weight("block_{block}/feed_forward/output/kernel", ("encoder.layer.{block}.output.dense.weight",), TRANSPOSED),
        Weight("block_{block}/feed_forward/output/bias", ("encoder.layer.{block}.output.dense.bias",)),
        Weight("block_{block}/feed_forward/norm/gamma", _OUTPUT_GAMMA),
        Weight("block_{block}/feed_forward/norm/beta", _OUTPUT_BETA),
        Weight("pooler/kernel", ("pooler.dense.weight",), TRANSPOSED),
        Weight("pooler/bias", ("pooler.dense.bias",)),
    ),
)

_LAYER = "transformer_layer_{block}"
_ATTENTION = f"{_LAYER}/self_attention_layer"

# keras-hub, BertBackbone: the paths of its variables.
KERAS_HUB = WeightTable(
    prefixes=("",),
    rows=(
        Weight("embeddings/token", ("token_embedding/embeddings",)),
        Weight("embeddings/position", ("position_embedding/embeddings",)),
        Weight("embeddings/segment", ("segment_embedding/embeddings",)),
        Weight("embeddings/norm/gamma", ("embeddings_layer_norm/gamma",)),
        Weight("embeddings/norm/beta", ("embeddings_layer_norm/beta",)),
        Weight("block_{block}/attention/query/kernel", (f"{_ATTENTION}/query/kernel",), HEADS_LAST),
        Weight("block_{block}/attention/query/bias", (f"{_ATTENTION}/query/bias",), HEADS_LAST),
        Weight("block_{block}/attention/key/kernel", (f"{_ATTENTION}/key/kernel",), HEADS_LAST),
        Weight("block_{block}/attention/key/bias", (f"{_ATTENTION}/key/bias",), HEADS_LAST),
        Weight("block_{block}/attention/value/kernel", (f"{_ATTENTION}/value/kernel",), HEADS_LAST),
        Weight("block_{block}/attention/value/bias", (f"{_ATTENTION}/value/bias",), HEADS_LAST),
        Weight("block_{block}/attention/output/kernel", (f"{_ATTENTION}/attention_output/kernel",), HEADS_FIRST),
        Weight("block_{block}/attention/output/bias", (f"{_ATTENTION}/attention_output/bias",)),
        Weight("block_{block}/attention/norm/gamma", (f"{_LAYER}/self_attention_layer_norm/gamma",)),
        Weight("block_{block}/attention/norm/beta", (f"{_LAYER}/self_attention_layer_norm/beta",)),
        Weight("block_{block}/feed_forward/intermediate/kernel", (f"{_LAYER}/feedforward_intermediate_dense/kernel",)),
        Weight("block_{block}/feed_forward/intermediate/bias", (f"{_LAYER}/feedforward_intermediate_dense/bias",)),
        Weight("block_{block}/feed_forward/output/kernel", (f"{_LAYER}/feedforward_output_dense/kernel",)),
        Weight("block_{block}/feed_forward/output/bias", (f"{_LAYER}/feedforward_output_dense/bias",)),
        Weight("block_{block}/feed_forward/norm/gamma", (f"{_LAYER}/feedforward_layer_norm/gamma",)),
        Weight("block_{block}/feed_forward/norm/beta", (f"{_LAYER}/feedforward_layer_norm/beta",)),
        Weight("pooler/kernel", ("pooled_dense/kernel",)),
        Weight("pooler/bias", ("pooled_dense/bias",)),
    ),
)
