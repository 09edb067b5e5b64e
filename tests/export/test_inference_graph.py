"""The graph for LiteRT computes what the Keras model computes, for every true length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fixtures.tiny_models import fusing

LENGTH = 9
RETENTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "shares": {"extraction": "hard", "retention": (0.7, 0.4)},
    "cls_alone": {"extraction": "hard", "retention": (0.6, 0.01)},
    "later": {"extraction": "hard", "retention": (1.0, 0.5)},
    "the_same_twice": {"extraction": "hard", "retention": (0.5, 0.5)},
    "tokens": {"extraction": "hard", "retention": (5, 3)},
    "more_tokens_than_words": {"extraction": "hard", "retention": (30, 4)},
}
FUSED: dict[str, tuple[int | float, ...]] = {
    "fractions": (0.7, 0.4, 0.2),
    "later": (1.0, 0.5, 0.3),
    "the_same_twice": (0.5, 0.5, 0.0001),
    "one_word_beside_the_fused_token": (0.1, 0.1, 0.0001),
    "cls_alone": (0.6, 0.0001, 0.0001),
    "cls_alone_after_one_word": (0.1, 0.0001, 0.0001),
    "tokens": (6, 3, 1),
    "more_tokens_than_words": (30, 4, 2),
}
RETENTIONS |= fusing(FUSED)


def inputs_of(words: int, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng([seed, words])
    ids = np.where(np.arange(LENGTH) < words, generator.integers(5, 40, LENGTH), 0)[None].astype(np.int32)
    mask = (np.arange(LENGTH) < words).astype(np.int32)[None]
    segment_ids = mask * (np.arange(LENGTH) >= words // 2).astype(np.int32)[None]
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": segment_ids}


def largest_difference(classifier: Any) -> float:
    import keras
    import tensorflow as tf

    from power_bert.export.inference_graph import inference_function

    spec = tf.TensorSpec((1, LENGTH), tf.int32)
    function = tf.function(inference_function(classifier), input_signature=[spec] * 3)
    differences = []
    for words in range(1, LENGTH + 1):
        inputs = inputs_of(words)
        # Keras gets the words alone: the graph's padding must not matter.
        expected = classifier({name: values[:, :words] for name, values in inputs.items()}, training=False)
        expected = expected if classifier.is_regressor else keras.ops.softmax(expected)
        found = function(inputs["token_ids"], inputs["padding_mask"], inputs["segment_ids"])
        differences.append(np.abs(np.asarray(expected) - found["probabilities"].numpy()).max())
    return float(max(differences))


@pytest.mark.parametrize("retention", list(RETENTIONS))
def test_equal_to_keras_at_every_true_length(make_exportable: Callable[..., Any], retention: str) -> None:
    assert largest_difference(make_exportable(**RETENTIONS[retention])) < 1e-5


@pytest.mark.parametrize("retention", [name for name in RETENTIONS if name != "none"])
def test_the_surviving_tokens_are_those_of_explain(make_exportable: Callable[..., Any], retention: str) -> None:
    import tensorflow as tf

    from power_bert.export.inference_graph import inference_function
    from power_bert.predict.surviving_tokens import surviving_tokens

    classifier = make_exportable(**RETENTIONS[retention])
    spec = tf.TensorSpec((1, LENGTH), tf.int32)
    function = tf.function(inference_function(classifier, surviving_tokens=True), input_signature=[spec] * 3)
    for words in range(1, LENGTH + 1):
        inputs = inputs_of(words)
        found = function(inputs["token_ids"], inputs["padding_mask"], inputs["segment_ids"])["surviving_tokens"]
        np.testing.assert_array_equal(found, surviving_tokens(classifier, inputs).kept)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "gaussian"])
def test_other_similarities(make_exportable: Callable[..., Any], similarity: str) -> None:
    assert largest_difference(make_exportable(similarity=similarity, **RETENTIONS["shares"])) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "gelu_tanh"},
        {"activation": "relu"},
        {"layer_norm_epsilon": 1e-3},
        {"num_segments": 1},
        {"num_heads": (2, 1), "head_dim": 4, "intermediate_dim": (5, 9), **RETENTIONS["shares"]},
    ],
)
def test_other_checkpoints(make_exportable: Callable[..., Any], changes: dict[str, Any]) -> None:
    assert largest_difference(make_exportable(**changes)) < 1e-5


def test_a_regression_gives_its_score(make_exportable: Callable[..., Any]) -> None:
    assert largest_difference(make_exportable(labels=None)) < 1e-4  # of a score that is not between 0 and 1


def test_kept_tokens_of_blocks(make_exportable: Callable[..., Any]) -> None:
    from power_bert.export.inference_graph import kept_tokens_of_blocks

    backbone = make_exportable(**RETENTIONS["the_same_twice"]).backbone
    first, second = kept_tokens_of_blocks(backbone, 6)
    assert first is not None and first.tolist() == [1, 1, 2, 2, 3, 3]
    assert second is None  # nothing is left to eliminate
