"""Every layer of the package goes through one harness, and none is forgotten."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from layer_harness import run_layer_test
from power_bert.elimination.extraction import HardExtraction
from power_bert.elimination.search import SoftExtraction
from power_bert.folders import PACKAGE
from power_bert.model.attention import SimilarityAttention
from power_bert.model.backbone import BertEmbeddings
from power_bert.model.encoder_block import EncoderBlock
from power_bert.model.fast_layers import ByteDropout, LayerNorm, TokenDense, gelu
from power_bert.model.masked_lm import MaskedLMHead
from power_bert.model.students.bag import TfidfBag
from power_bert.model.students.lstm import BidirectionalLstm, TwoDirectionCell
from power_bert.pretrain.masked_lm_evaluation import _Counts

RNG = np.random.default_rng(0)
MASK = (np.arange(7) < np.array([[7], [4], [6]])).astype("int32")  # (batch 3, length 7)
VISIBILITY = MASK.astype("float32")
TOKEN_IDS = RNG.integers(1, 11, MASK.shape).astype("int32") * MASK
SEGMENT_IDS = (np.arange(7) > 2).astype("int32") * MASK
HIDDEN_STATES = RNG.normal(size=(3, 7, 6)).astype("float32")
KEY_BIAS = np.where(MASK > 0, 0.0, -1e9).astype("float32")
SCORES = RNG.uniform(0, 9, MASK.shape).astype("float32")
POSITIONS = np.array([[0, 5, 2], [1, 1, 3], [4, 0, 0]], "int32")
PROJECTED = RNG.normal(size=(4, 8)).astype("float32")  # (2 directions of batch 2, 4 gates of 2 units)
STATE = RNG.normal(size=(4, 2)).astype("float32")
LOGITS = RNG.normal(size=(3, 3, 11)).astype("float32")


@dataclass(frozen=True)
class Case:
    """What the harness is told of a layer; see `run_layer_test`."""

    make: Callable[[str], Any]
    inputs: tuple[Any, ...]
    num_weights: int
    options: dict[str, Any] = field(default_factory=dict)


def attention(similarity: str) -> Callable[[str], Any]:
    return lambda dtype: SimilarityAttention(3, similarity, dtype=dtype)


def encoder_block(extraction: Callable[[str], Any] = lambda dtype: None, **arguments: Any) -> Callable[[str], Any]:
    fixed = {"dropout": 0.0, "attention_dropout": 0.0}
    return lambda dtype: EncoderBlock(3, 5, extraction=extraction(dtype), dtype=dtype, **fixed, **arguments)


def masked_lm_head(dtype: str) -> MaskedLMHead:
    embeddings = BertEmbeddings(11, 6, 9, dtype=dtype, name="embeddings")
    embeddings.build(MASK.shape)
    return MaskedLMHead(embeddings, dtype=dtype)


ENCODING = (HIDDEN_STATES, VISIBILITY, MASK)
ELIMINATION = (HIDDEN_STATES, VISIBILITY, SCORES, MASK)
# Softmax does not see what a bias of the keys adds to all scores of a query.
NO_KEY_BIAS = {"unmoved": ("key/bias",)}
OTHER_EMBEDDINGS = tuple(f"embeddings/{name}" for name in ("position", "segment", "norm/gamma", "norm/beta"))
CASES = {
    "attention-dot": Case(attention("dot"), (HIDDEN_STATES, KEY_BIAS), 8, NO_KEY_BIAS),
    **{name: Case(attention(name), (HIDDEN_STATES, KEY_BIAS), 9) for name in ("cosine", "euclidean", "gaussian")},
    "encoder_block": Case(encoder_block(), ENCODING, 16, NO_KEY_BIAS),
    "encoder_block-soft": Case(
        encoder_block(lambda dtype: SoftExtraction(7, dtype=dtype), fades=True, similarity="cosine"), ENCODING, 18
    ),
    "encoder_block-hard": Case(
        encoder_block(lambda dtype: HardExtraction(0.5, dtype=dtype), activation="relu"), ENCODING, 16, NO_KEY_BIAS
    ),
    "soft_extraction-visibility": Case(lambda dtype: SoftExtraction(7, dtype=dtype), ELIMINATION, 1),
    "soft_extraction-scale": Case(lambda dtype: SoftExtraction(9, "scale", "tokens", dtype=dtype), ELIMINATION, 1),
    "soft_extraction-step": Case(lambda dtype: SoftExtraction(9, profile="step", dtype=dtype), ELIMINATION, 1),
    "hard_extraction-tokens": Case(lambda dtype: HardExtraction(4, dtype=dtype), ELIMINATION, 0),
    "hard_extraction-fraction": Case(lambda dtype: HardExtraction(0.5, 0.2, dtype=dtype), ELIMINATION, 0),
    "hard_extraction-fuse": Case(lambda dtype: HardExtraction(0.5, fuse=True, dtype=dtype), ELIMINATION, 0),
    "hard_extraction-fuse_again": Case(
        lambda dtype: HardExtraction(3, fuse=True, after_fused=True, dtype=dtype), ELIMINATION, 0
    ),
    "bert_embeddings": Case(
        lambda dtype: BertEmbeddings(11, 6, 9, dropout=0.0, dtype=dtype), (TOKEN_IDS, SEGMENT_IDS), 5
    ),
    # Their configuration alone does not make them: the head shares the token table of an encoder, and counts are never
    # saved. tests/model/test_masked_lm.py saves the head as part of its model.
    "masked_lm_head": Case(
        masked_lm_head,
        (HIDDEN_STATES, POSITIONS),
        10,
        {"has_config": False, "output_dtype": "float32", "unmoved": OTHER_EMBEDDINGS},
    ),
    "counts": Case(
        lambda dtype: _Counts(dtype="float32"), (LOGITS, POSITIONS, VISIBILITY[:, :3]), 0, {"has_config": False}
    ),
    "token_dense": Case(lambda dtype: TokenDense(4, gelu, dtype=dtype), (HIDDEN_STATES,), 2),
    "layer_norm": Case(lambda dtype: LayerNorm(epsilon=1e-5, dtype=dtype), (HIDDEN_STATES,), 2),
    "byte_dropout": Case(lambda dtype: ByteDropout(0.2, dtype=dtype), (HIDDEN_STATES,), 0),
    "tfidf_bag": Case(
        lambda dtype: TfidfBag(11, 4, initial_range=0.1, dtype=dtype), (TOKEN_IDS, MASK), 2, {"num_fixed_weights": 1}
    ),
    "two_direction_cell": Case(lambda dtype: TwoDirectionCell(2, dtype=dtype), (PROJECTED, [STATE, STATE]), 1),
    "bidirectional_lstm": Case(lambda dtype: BidirectionalLstm(2, dtype=dtype), (HIDDEN_STATES, MASK), 3),
}


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", CASES)
def test_layer(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    run_layer_test(case.make, case.inputs, tmp_path, case.num_weights, **case.options)


def all_subclasses(base: type) -> Iterator[type]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from all_subclasses(subclass)


def test_no_layer_of_the_package_is_left_out() -> None:
    """Models and preprocessors, which are layers to Keras too, have their own harness: tests/model/test_models.py."""
    for path in PACKAGE.rglob("*.py"):
        if "keras" in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(("power_bert", *path.relative_to(PACKAGE).with_suffix("").parts)))
    with_another_harness = (keras.Model, keras_hub.models.Preprocessor, keras_hub.tokenizers.Tokenizer)
    layers = {
        subclass
        for subclass in all_subclasses(keras.layers.Layer)
        if subclass.__module__.startswith("power_bert.") and not issubclass(subclass, with_another_harness)
    }
    assert layers == {type(case.make("float32")) for case in CASES.values()}
