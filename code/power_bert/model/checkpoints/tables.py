"""Weight names and layouts of each checkpoint format: one table a format, one row a canonical weight."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """How a format stores a weight, against the canonical Keras layout.

    Attributes:
        stored_shape: (canonical shape, attention heads) -> shape in the file.
        transposed: Whether the axes are reversed; otherwise stored and canonical differ by a reshape at most.
    """

    stored_shape: Callable[[Shape, int], Shape]
    transposed: bool = False

    def to_canonical(self, stored: np.ndarray, shape: Shape) -> np.ndarray:
        """Stored array -> canonical array of `shape`."""
        return stored.T if self.transposed else stored.reshape(shape)

    def to_stored(self, canonical: np.ndarray, num_heads: int) -> np.ndarray:
        """Canonical array -> the array as the format stores it."""
        return canonical.T if self.transposed else canonical.reshape(self.stored_shape(canonical.shape, num_heads))


SAME = Layout(lambda shape, heads: shape)
TRANSPOSED = Layout(lambda shape, heads: shape[::-1], transposed=True)
# Keras' MultiHeadAttention: (…, hidden) is (…, heads, head size), and the output kernel is (heads, head size, hidden).
HEADS_LAST = Layout(lambda shape, heads: (*shape[:-1], heads, shape[-1] // heads))
HEADS_FIRST = Layout(lambda shape, heads: (heads, shape[0] // heads, *shape[1:]))


@dataclass(frozen=True)
class Row:
    """One canonical weight in a format; templates with `{block}` stand for one weight a block.

    Attributes:
        canonical: Canonical name.
        names: The names under which files have it, without prefix; the first one is written.
        layout: Its layout in the file.
    """

    canonical: str
    names: tuple[str, ...]
    layout: Layout = SAME

    @property
    def is_optional(self) -> bool:
        """Whether a checkpoint may lack it: encoders are often published without the pooler."""
        return self.canonical.startswith("pooler/")

    def at_block(self, block: int) -> "Row":
        """The row with the block's number put in."""
        return Row(
            self.canonical.format(block=block), tuple(name.format(block=block) for name in self.names), self.layout
        )


@dataclass(frozen=True)
class Table:
    """All rows of a format.

    Attributes:
        prefixes: What may stand before every name; the first one is written.
        rows: One a canonical weight, in the order of `CANONICAL_AXES`.
    """

    prefixes: tuple[str, ...]
    rows: tuple[Row, ...]

    def expand(self, num_layers: int) -> Iterator[Row]:
        """Rows with the block numbers put in."""
        for row in self.rows:
            if "{block}" in row.canonical:
                yield from (row.at_block(block) for block in range(num_layers))
            else:
                yield row

    def block_names(self, block: int) -> list[str]:
        """All stored names of one block, without prefix."""
        return [name for row in self.rows if "{block}" in row.canonical for name in row.at_block(block).names]


# google-research/bert, modeling.py.
TF1 = Table(
    prefixes=("bert/", ""),
    rows=(
        Row("embeddings/token", ("embeddings/word_embeddings",)),
        Row("embeddings/position", ("embeddings/position_embeddings",)),
        Row("embeddings/segment", ("embeddings/token_type_embeddings",)),
        Row("embeddings/norm/gamma", ("embeddings/LayerNorm/gamma",)),
        Row("embeddings/norm/beta", ("embeddings/LayerNorm/beta",)),
        Row("block_{block}/attention/query/kernel", ("encoder/layer_{block}/attention/self/query/kernel",)),
        Row("block_{block}/attention/query/bias", ("encoder/layer_{block}/attention/self/query/bias",)),
        Row("block_{block}/attention/key/kernel", ("encoder/layer_{block}/attention/self/key/kernel",)),
        Row("block_{block}/attention/key/bias", ("encoder/layer_{block}/attention/self/key/bias",)),
        Row("block_{block}/attention/value/kernel", ("encoder/layer_{block}/attention/self/value/kernel",)),
        Row("block_{block}/attention/value/bias", ("encoder/layer_{block}/attention/self/value/bias",)),
        Row("block_{block}/attention/output/kernel", ("encoder/layer_{block}/attention/output/dense/kernel",)),
        Row("block_{block}/attention/output/bias", ("encoder/layer_{block}/attention/output/dense/bias",)),
        Row("block_{block}/attention/norm/gamma", ("encoder/layer_{block}/attention/output/LayerNorm/gamma",)),
        Row("block_{block}/attention/norm/beta", ("encoder/layer_{block}/attention/output/LayerNorm/beta",)),
        Row("block_{block}/feed_forward/intermediate/kernel", ("encoder/layer_{block}/intermediate/dense/kernel",)),
        Row("block_{block}/feed_forward/intermediate/bias", ("encoder/layer_{block}/intermediate/dense/bias",)),
        Row("block_{block}/feed_forward/output/kernel", ("encoder/layer_{block}/output/dense/kernel",)),
        Row("block_{block}/feed_forward/output/bias", ("encoder/layer_{block}/output/dense/bias",)),
        Row("block_{block}/feed_forward/norm/gamma", ("encoder/layer_{block}/output/LayerNorm/gamma",)),
        Row("block_{block}/feed_forward/norm/beta", ("encoder/layer_{block}/output/LayerNorm/beta",)),
        Row("pooler/kernel", ("pooler/dense/kernel",)),
        Row("pooler/bias", ("pooler/dense/bias",)),
    ),
)


def _torch_norm(scope: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of a layer norm's gamma and beta; files of 2018 and 2019 have Google's names for them."""
    return (f"{scope}.weight", f"{scope}.gamma"), (f"{scope}.bias", f"{scope}.beta")


_EMBEDDINGS_GAMMA, _EMBEDDINGS_BETA = _torch_norm("embeddings.LayerNorm")
_ATTENTION_GAMMA, _ATTENTION_BETA = _torch_norm("encoder.layer.{block}.attention.output.LayerNorm")
_OUTPUT_GAMMA, _OUTPUT_BETA = _torch_norm("encoder.layer.{block}.output.LayerNorm")

# Hugging Face transformers, BertModel; torch's Linear has its kernel as (out, in).
HUGGING_FACE = Table(
    prefixes=("", "bert."),
    rows=(
        Row("embeddings/token", ("embeddings.word_embeddings.weight",)),
        Row("embeddings/position", ("embeddings.position_embeddings.weight",)),
        Row("embeddings/segment", ("embeddings.token_type_embeddings.weight",)),
        Row("embeddings/norm/gamma", _EMBEDDINGS_GAMMA),
        Row("embeddings/norm/beta", _EMBEDDINGS_BETA),
        Row("block_{block}/attention/query/kernel", ("encoder.layer.{block}.attention.self.query.weight",), TRANSPOSED),
        Row("block_{block}/attention/query/bias", ("encoder.layer.{block}.attention.self.query.bias",)),
        Row("block_{block}/attention/key/kernel", ("encoder.layer.{block}.attention.self.key.weight",), TRANSPOSED),
        Row("block_{block}/attention/key/bias", ("encoder.layer.{block}.attention.self.key.bias",)),
        Row("block_{block}/attention/value/kernel", ("encoder.layer.{block}.attention.self.value.weight",), TRANSPOSED),
        Row("block_{block}/attention/value/bias", ("encoder.layer.{block}.attention.self.value.bias",)),
        Row(
            "block_{block}/attention/output/kernel",
            ("encoder.layer.{block}.attention.output.dense.weight",),
            TRANSPOSED,
        ),
        Row("block_{block}/attention/output/bias", ("encoder.layer.{block}.attention.output.dense.bias",)),
        Row("block_{block}/attention/norm/gamma", _ATTENTION_GAMMA),
        Row("block_{block}/attention/norm/beta", _ATTENTION_BETA),
        Row(
            "block_{block}/feed_forward/intermediate/kernel",
            ("encoder.layer.{block}.intermediate.dense.weight",),
            TRANSPOSED,
        ),
        Row("block_{block}/feed_forward/intermediate/bias", ("encoder.layer.{block}.intermediate.dense.bias",)),
        Row("block_{block}/feed_forward/output/kernel", ("encoder.layer.{block}.output.dense.weight",), TRANSPOSED),
        Row("block_{block}/feed_forward/output/bias", ("encoder.layer.{block}.output.dense.bias",)),
        Row("block_{block}/feed_forward/norm/gamma", _OUTPUT_GAMMA),
        Row("block_{block}/feed_forward/norm/beta", _OUTPUT_BETA),
        Row("pooler/kernel", ("pooler.dense.weight",), TRANSPOSED),
        Row("pooler/bias", ("pooler.dense.bias",)),
    ),
)

_LAYER = "transformer_layer_{block}"
_ATTENTION = f"{_LAYER}/self_attention_layer"

# keras-hub, BertBackbone: the paths of its variables.
KERAS_HUB = Table(
    prefixes=("",),
    rows=(
        Row("embeddings/token", ("token_embedding/embeddings",)),
        Row("embeddings/position", ("position_embedding/embeddings",)),
        Row("embeddings/segment", ("segment_embedding/embeddings",)),
        Row("embeddings/norm/gamma", ("embeddings_layer_norm/gamma",)),
        Row("embeddings/norm/beta", ("embeddings_layer_norm/beta",)),
        Row("block_{block}/attention/query/kernel", (f"{_ATTENTION}/query/kernel",), HEADS_LAST),
        Row("block_{block}/attention/query/bias", (f"{_ATTENTION}/query/bias",), HEADS_LAST),
        Row("block_{block}/attention/key/kernel", (f"{_ATTENTION}/key/kernel",), HEADS_LAST),
        Row("block_{block}/attention/key/bias", (f"{_ATTENTION}/key/bias",), HEADS_LAST),
        Row("block_{block}/attention/value/kernel", (f"{_ATTENTION}/value/kernel",), HEADS_LAST),
        Row("block_{block}/attention/value/bias", (f"{_ATTENTION}/value/bias",), HEADS_LAST),
        Row("block_{block}/attention/output/kernel", (f"{_ATTENTION}/attention_output/kernel",), HEADS_FIRST),
        Row("block_{block}/attention/output/bias", (f"{_ATTENTION}/attention_output/bias",)),
        Row("block_{block}/attention/norm/gamma", (f"{_LAYER}/self_attention_layer_norm/gamma",)),
        Row("block_{block}/attention/norm/beta", (f"{_LAYER}/self_attention_layer_norm/beta",)),
        Row("block_{block}/feed_forward/intermediate/kernel", (f"{_LAYER}/feedforward_intermediate_dense/kernel",)),
        Row("block_{block}/feed_forward/intermediate/bias", (f"{_LAYER}/feedforward_intermediate_dense/bias",)),
        Row("block_{block}/feed_forward/output/kernel", (f"{_LAYER}/feedforward_output_dense/kernel",)),
        Row("block_{block}/feed_forward/output/bias", (f"{_LAYER}/feedforward_output_dense/bias",)),
        Row("block_{block}/feed_forward/norm/gamma", (f"{_LAYER}/feedforward_layer_norm/gamma",)),
        Row("block_{block}/feed_forward/norm/beta", (f"{_LAYER}/feedforward_layer_norm/beta",)),
        Row("pooler/kernel", ("pooled_dense/kernel",)),
        Row("pooler/bias", ("pooled_dense/bias",)),
    ),
)
