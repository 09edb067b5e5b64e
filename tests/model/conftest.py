"""Tiny models of odd sizes, their inputs, and an encoder in plain NumPy that drops words by leaving them out."""

import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

SIZES = {
    "vocabulary_size": 31,
    "num_layers": 2,
    "num_heads": 3,
    "hidden_dim": 12,
    "intermediate_dim": 17,
    "max_sequence_length": 80,
}
LENGTHS = (7, 4, 6)
# The constructor arguments of every form of extraction.
MODES: dict[str, dict[str, Any]] = {
    "none": {},
    "soft_visibility": {"extraction": "soft", "gate": "visibility", "retention_parameters": 7},
    "soft_visibility_tokens": {
        "extraction": "soft",
        "gate": "visibility",
        "retention_parameters": 7,
        "retention_unit": "tokens",
    },
    "soft_scale": {"extraction": "soft", "gate": "scale", "retention_parameters": 7},
    "hard_tokens": {"extraction": "hard", "retention": (5, 3)},
    "hard_fraction": {"extraction": "hard", "retention": (0.7, 0.4)},
}

Arrays = dict[str, np.ndarray]


@pytest.fixture(params=["dot", "cosine", "euclidean", "gaussian"])
def similarity(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(MODES))
def extraction_mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


@pytest.fixture(scope="session")
def all_modes() -> dict[str, dict[str, Any]]:
    return MODES


@pytest.fixture(scope="session")
def sizes() -> dict[str, int]:
    return SIZES


@pytest.fixture
def randomize() -> Callable[..., Any]:
    """Gives a model weights far from their start, so that no attention is uniform; retention parameters descend.

    A weight depends on the seed and its own path alone: encoders that differ in their extraction have the same ones.
    """

    def assign(model: Any, seed: int = 1, retention: bool = True) -> Any:
        for variable in model.weights:
            generator = np.random.default_rng([seed, zlib.crc32(variable.path.encode())])
            value = generator.normal(0.0, 0.5, variable.shape)
            if variable.name == "similarity_scale":
                value = generator.uniform(0.5, 1.5, variable.shape)
            elif variable.name == "gamma":
                value = 1.0 + 0.4 * value
            elif variable.name == "retention":
                value = np.sort(generator.uniform(0.0, 1.0, variable.shape))[::-1].copy()
                value[0] = 1.0
            if retention or variable.name != "retention":
                variable.assign(value.astype("float32"))
        return model

    return assign


@pytest.fixture
def make_backbone(randomize: Callable[..., Any]) -> Callable[..., Any]:
    """A tiny encoder with random weights; retention parameters are 1."""

    def make(seed: int = 1, **changes: Any) -> Any:
        from power_bert.model.backbone import PowerBertBackbone

        return randomize(PowerBertBackbone(**{**SIZES, **changes}), seed, retention=False)

    return make


@pytest.fixture
def set_retention() -> Callable[..., None]:
    """Assigns retention parameters: one array for all blocks, or one a block."""

    def assign(backbone: Any, values: Any) -> None:
        variables = backbone.retention_variables
        rows = np.broadcast_to(np.asarray(values, "float32"), (len(variables), variables[0].shape[0]))
        for variable, row in zip(variables, rows, strict=True):
            variable.assign(row)

    return assign


@pytest.fixture
def make_inputs() -> Callable[..., Arrays]:
    """Inputs of examples with `lengths` words; more `padding` leaves the words as they are."""

    def make(lengths: tuple[int, ...] = LENGTHS, padding: int = 0, seed: int = 2) -> Arrays:
        generator = np.random.default_rng(seed)
        shape = (len(lengths), max(lengths) + padding)
        inputs = {name: np.zeros(shape, "int32") for name in ("token_ids", "segment_ids", "padding_mask")}
        for row, length in enumerate(lengths):
            inputs["token_ids"][row, :length] = generator.integers(1, SIZES["vocabulary_size"], length)
            inputs["segment_ids"][row, length // 2 : length] = 1
            inputs["padding_mask"][row, :length] = 1
        return inputs

    return make


@pytest.fixture
def pooled() -> Callable[..., np.ndarray]:
    """The pooled output of an encoder, float32 (batch, hidden)."""

    def compute(backbone: Any, inputs: Arrays) -> np.ndarray:
        from keras import ops

        return np.asarray(ops.convert_to_numpy(ops.cast(backbone(inputs)["pooled_output"], "float32")))

    return compute


@pytest.fixture(scope="session")
def gradients() -> Callable[..., list[np.ndarray]]:
    """Gradients of a scalar function of float arrays, on the backend that Keras runs on."""

    def compute(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
        import keras

        if keras.backend.backend() == "jax":
            import jax

            values = [jax.numpy.asarray(array) for array in arrays]
            return [np.asarray(value) for value in jax.grad(function, argnums=tuple(range(len(arrays))))(*values)]
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            result = function(*tensors)
        # A gradient through `take` is sparse until it is converted.
        return [tf.convert_to_tensor(value).numpy() for value in tape.gradient(result, tensors)]

    return compute


@pytest.fixture(scope="session")
def reference_scores() -> Callable[..., np.ndarray]:
    """Similarity scores in float64, pair by pair: (heads, query, d) and (heads, key, d) → (heads, query, key)."""

    def compute(name: str, query: np.ndarray, key: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
        query, key = (np.asarray(array, np.float64) for array in (query, key))
        factor = 1.0 if scale is None else np.maximum(np.asarray(scale, np.float64), 0.01)[:, None, None]
        dots = np.einsum("...qd,...kd->...qk", query, key)
        difference = query[..., :, None, :] - key[..., None, :, :]
        squared = (difference**2).sum(-1)
        if name == "dot":
            return dots / math.sqrt(query.shape[-1])
        if name == "cosine":
            norms = np.linalg.norm(query, axis=-1)[..., :, None] * np.linalg.norm(key, axis=-1)[..., None, :]
            return np.divide(dots, norms, out=np.zeros_like(dots), where=norms > 0) / factor
        return -np.sqrt(squared) * factor if name == "euclidean" else -squared / (2 * factor**2)

    return compute


@pytest.fixture
def reference_pooled(reference_scores: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """What PoWER-BERT computes for `[CLS]`, without gathering anything: eliminated words are hidden as keys.

    All hidden states are computed to the end, for each example without padding, in float64. A hidden word gets no
    attention and its own attention does not count in the significance of others.
    """

    def compute(backbone: Any, inputs: Arrays, kept: Callable[[int, int], int]) -> np.ndarray:
        from power_bert.model.pretrained import canonical_variables

        weights = {name: np.asarray(variable, np.float64) for name, variable in canonical_variables(backbone).items()}
        scales = [block.attention.scale for block in backbone.blocks]
        rows = []
        for token_ids, segment_ids, mask in zip(*(inputs[name] for name in inputs), strict=True):
            words = int(mask.sum())
            hidden = _encode(backbone, weights, scales, token_ids[:words], segment_ids[:words], kept)
            rows.append(np.tanh(hidden[0] @ weights["pooler/kernel"] + weights["pooler/bias"]))
        return np.stack(rows)

    def _encode(backbone: Any, weights: Any, scales: Any, token_ids: Any, segment_ids: Any, kept: Any) -> np.ndarray:
        def dense(x: np.ndarray, name: str) -> Any:
            return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

        def norm(x: np.ndarray, name: str) -> Any:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + backbone.layer_norm_epsilon)
            return x * weights[f"{name}/norm/gamma"] + weights[f"{name}/norm/beta"]

        def heads(x: np.ndarray) -> np.ndarray:
            return x.reshape(len(x), backbone.num_heads, -1).swapaxes(0, 1)

        words = len(token_ids)
        seen = np.ones(words, bool)
        hidden = weights["embeddings/token"][token_ids] + weights["embeddings/position"][:words]
        hidden = norm(hidden + weights["embeddings/segment"][segment_ids], "embeddings")
        for number, scale in enumerate(scales):
            name = f"block_{number}/attention"
            query, key, value = (heads(dense(hidden, f"{name}/{part}")) for part in ("query", "key", "value"))
            weight = np.exp(reference_scores(backbone.similarity, query, key, scale)) * seen
            weight /= weight.sum(-1, keepdims=True)
            hidden = norm(hidden + dense((weight @ value).swapaxes(0, 1).reshape(hidden.shape), f"{name}/output"), name)
            received = weight.sum(0) * (1 - np.eye(words))
            significance = np.where(seen, received[seen].sum(0), -1.0)
            significance[0] = np.inf
            best = np.argsort(-significance)[: min(kept(number, words), seen.sum())]
            seen = np.isin(np.arange(words), best)
            name = f"block_{number}/feed_forward"
            inner = dense(hidden, f"{name}/intermediate")
            inner *= 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
            hidden = norm(hidden + dense(inner, f"{name}/output"), name)
        return hidden

    return compute


@pytest.fixture(scope="session")
def vocabulary() -> list[str]:
    tokens = (
        "[PAD] [UNK] [CLS] [SEP] [MASK] . ? x y z the a cat dog sat ran on over mat rug bird "
        "flew away still very fast slow ly and but café"
    )
    return tokens.split(" ")
