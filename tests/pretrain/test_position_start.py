"""Tests of the sinusoidal start of the position table."""

from collections.abc import Callable

import numpy as np
import pytest
from keras import ops

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus
from power_bert.pretrain.masked_lm_training import make_model
from power_bert.pretrain.position_start import sinusoidal_positions


def test_values() -> None:
    table = sinusoidal_positions(positions=7, width=6, amplitude=2.0)
    assert table.shape == (7, 6) and table.dtype == np.float32
    np.testing.assert_allclose(table[0], [0, 0, 0, 2, 2, 2])
    frequencies = [1, 0.1, 0.01]
    np.testing.assert_allclose(
        table[5], 2 * np.concatenate([np.sin(5 * np.array(frequencies)), np.cos(5 * np.array(frequencies))]), rtol=1e-6
    )


def test_odd_width() -> None:
    np.testing.assert_array_equal(sinusoidal_positions(4, 5, 1.0), sinusoidal_positions(4, 6, 1.0)[:, :5])


def test_a_shift_is_one_rotation_for_all_positions() -> None:
    table = sinusoidal_positions(40, 8, 1.0).astype(float)
    shift, *_ = np.linalg.lstsq(table[:-3], table[3:], rcond=None)
    np.testing.assert_allclose(table[:-3] @ shift, table[3:], atol=1e-4)


@pytest.mark.parametrize("start", ["sinusoidal", "random"])
def test_model(start: str, make_settings: Callable[..., PretrainingSettings], tiny_corpus: Corpus) -> None:
    settings = make_settings(hidden=48, heads=3, initializer_range=0.1, position_start=start)
    backbone = make_model(settings, tiny_corpus).masked_lm.backbone
    token, position = (ops.convert_to_numpy(part) for part in (backbone.embeddings.token, backbone.embeddings.position))
    assert token.std() == pytest.approx(0.1, rel=0.15)
    if start == "sinusoidal":
        np.testing.assert_array_equal(position, sinusoidal_positions(*position.shape, amplitude=0.3))
    else:
        assert position.std() == pytest.approx(0.1, rel=0.15)


def test_the_deviation_follows_the_width(make_settings: Callable[..., PretrainingSettings]) -> None:
    assert make_settings(hidden=64, heads=1).weight_deviation == 0.125
    assert make_settings(hidden=64, heads=1, initializer_range=0.02).weight_deviation == 0.02
