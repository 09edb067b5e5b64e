"""Tests of power_bert.model.masked_lm: only the masked positions, tied embeddings, presets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.masked_lm import PowerBertMaskedLM

POSITIONS = np.array([[0, 5, 2], [1, 1, 3], [4, 0, 0]], "int32")


@pytest.fixture
def make_masked_lm(make_backbone: Callable[..., Any], randomize: Callable[..., Any]) -> Callable[..., Any]:
    def make(**changes: Any) -> PowerBertMaskedLM:
        return randomize(PowerBertMaskedLM(make_backbone(**changes)))  # type: ignore[no-any-return]

    return make


@pytest.fixture
def inputs(make_inputs: Callable[..., Any]) -> dict[str, np.ndarray]:
    return {**make_inputs(), "mask_positions": POSITIONS}


def logits_of(model: PowerBertMaskedLM, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(model(inputs)))


def test_against_numpy(make_masked_lm: Callable[..., Any], inputs: dict[str, np.ndarray]) -> None:
    model = make_masked_lm(activation="relu")
    hidden = ops.convert_to_numpy(
        model.backbone({name: inputs[name] for name in model.backbone.input})["sequence_output"]
    )
    head = {name: ops.convert_to_numpy(variable) for name, variable in model.head.canonical_variables.items()}
    selected = np.take_along_axis(hidden, POSITIONS[:, :, None], axis=1)
    inner = np.maximum(selected @ head["transform/kernel"] + head["transform/bias"], 0)
    inner = (inner - inner.mean(-1, keepdims=True)) / inner.std(-1, keepdims=True)
    inner = inner * head["norm/gamma"] + head["norm/beta"]
    expected = inner @ ops.convert_to_numpy(model.backbone.embeddings.token).T + head["bias"]
    assert np.abs(logits_of(model, inputs) - expected).max() < 1e-4


def test_the_token_table_is_tied(make_masked_lm: Callable[..., Any]) -> None:
    model = make_masked_lm()
    own = {variable.path for variable in model.weights} - {variable.path for variable in model.backbone.weights}
    assert own == {f"masked_lm_head/{name}" for name in
                   ("transform/kernel", "transform/bias", "norm/gamma", "norm/beta", "bias")}  # fmt: skip


def test_bfloat16_gives_float32_logits(make_masked_lm: Callable[..., Any], inputs: dict[str, np.ndarray]) -> None:
    exact, mixed = make_masked_lm(), make_masked_lm(dtype="mixed_bfloat16")
    result = mixed(inputs)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    expected = logits_of(exact, inputs)
    assert np.abs(ops.convert_to_numpy(result) - expected).max() < 0.1 * np.abs(expected).max()


def test_preset(
    make_masked_lm: Callable[..., Any], inputs: dict[str, np.ndarray], similarity: str, tmp_path: Path
) -> None:
    model = make_masked_lm(similarity=similarity)
    model.save_to_preset(str(tmp_path))
    loaded = PowerBertMaskedLM.from_preset(str(tmp_path))
    assert loaded.backbone.similarity == similarity
    assert np.abs(logits_of(loaded, inputs) - logits_of(model, inputs)).max() == 0
    encoder = PowerBertBackbone.from_preset(str(tmp_path))
    assert [variable.shape for variable in encoder.weights] == [variable.shape for variable in model.backbone.weights]


def test_no_elimination(make_backbone: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="without extraction"):
        PowerBertMaskedLM(make_backbone(extraction="hard", retention=(5, 3)))
