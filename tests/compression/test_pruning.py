"""Pruning and clustering of small models while they train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError

UPDATES, DIM = 40, 40


@pytest.fixture
def fit() -> Callable[..., Any]:
    """Trains a network with callbacks on the same data each time, and returns it."""

    def run(model: Any, *callbacks: Any, updates: int = UPDATES) -> Any:
        generator = np.random.default_rng(0)
        inputs = generator.normal(size=(8 * updates, DIM)).astype("float32")
        targets = np.sin(inputs @ generator.normal(size=(DIM, 3))).astype("float32")
        model.fit(inputs, targets, batch_size=8, shuffle=False, verbose=0, callbacks=list(callbacks))
        return model

    return run


@pytest.fixture
def make_network() -> Callable[[], Any]:
    def make() -> Any:
        import keras

        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((DIM,)), keras.layers.Dense(64, "relu"), keras.layers.Dense(3)])
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        return model

    return make


def test_the_asked_share_of_weights_is_zero_and_the_largest_stay(
    fit: Callable[..., Any], make_network: Callable[[], Any]
) -> None:
    from power_bert.compression.pruning import MagnitudePruning
    from power_bert.compression.weights import measure_compression

    model = make_network()
    fit(model, MagnitudePruning(model, 0.8, ramp_steps=UPDATES // 2))
    kernel, head = model.layers[0].kernel, model.layers[1].kernel
    assert measure_compression([kernel]).sparsity == pytest.approx(0.8, abs=1e-3)
    assert measure_compression([head]).sparsity == 0  # too small to be worth it
    # The weights that stay have been trained on.
    assert np.abs(np.asarray(kernel)).max() > 0.1


def test_the_sparsity_rises_by_the_cubic_schedule(fit: Callable[..., Any], make_network: Callable[[], Any]) -> None:
    import keras

    from power_bert.compression.pruning import MagnitudePruning

    shares = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            shares.append(float((np.asarray(self.model.layers[0].kernel) == 0).mean()))

    model = make_network()
    fit(model, MagnitudePruning(model, 0.6, ramp_steps=20), Watch())
    expected = [0.6 * (1 - (1 - min(update, 20) / 20) ** 3) for update in range(1, UPDATES + 1)]
    assert shares == pytest.approx(expected, abs=1e-3)


def test_blocks_become_zero_together(fit: Callable[..., Any], make_network: Callable[[], Any]) -> None:
    from power_bert.compression.pruning import MagnitudePruning

    model = make_network()
    fit(model, MagnitudePruning(model, 0.5, ramp_steps=10, block=(1, 16)))
    blocks = np.asarray(model.layers[0].kernel).reshape(40, 4, 16)
    zeros = (blocks == 0).all(axis=-1)
    assert zeros.mean() == pytest.approx(0.5, abs=0.01)
    assert not ((blocks == 0).any(axis=-1) & ~zeros).any()


def test_a_resumed_training_keeps_its_zeros(fit: Callable[..., Any], make_network: Callable[[], Any]) -> None:
    from power_bert.compression.pruning import MagnitudePruning

    model = make_network()
    fit(model, MagnitudePruning(model, 0.7, ramp_steps=10))
    zeros = np.asarray(model.layers[0].kernel) == 0
    fit(model, MagnitudePruning(model, 0.7, ramp_steps=10, first_step=UPDATES))
    assert ((np.asarray(model.layers[0].kernel) == 0) == zeros).all()


def test_clusters(fit: Callable[..., Any], make_network: Callable[[], Any]) -> None:
    from power_bert.compression.clustering import WeightClustering
    from power_bert.compression.weights import measure_compression

    first, model = make_network(), make_network()
    fit(first, WeightClustering(first, 8, begin_step=UPDATES // 2), updates=UPDATES // 2)
    tied = np.unique(np.asarray(first.layers[0].kernel))
    fit(model, WeightClustering(model, 8, begin_step=UPDATES // 2))
    assert measure_compression([model.layers[0].kernel]).most_values == len(tied) == 8
    # The centroids are trained on after the weights were tied.
    assert np.abs(np.unique(np.asarray(model.layers[0].kernel)) - tied).max() > 1e-3
    # A resumed training finds the clusters again.
    fit(model, WeightClustering(model, 8, begin_step=UPDATES // 2, first_step=UPDATES))
    assert measure_compression([model.layers[0].kernel]).most_values == 8


def test_a_training_that_was_stopped_where_weights_are_tied_goes_on_alike(make_network: Callable[[], Any]) -> None:
    from power_bert.compression.clustering import WeightClustering

    def move(model: Any, update: int) -> None:
        kernel = model.layers[0].kernel
        noise = np.random.default_rng(update).normal(0, 0.05, kernel.shape)
        kernel.assign_add(noise.astype("float32"))

    whole, stopped = make_network(), make_network()
    one = WeightClustering(whole, 4, begin_step=2)
    one.on_train_begin()
    parts = (WeightClustering(stopped, 4, begin_step=2), WeightClustering(stopped, 4, begin_step=2, first_step=2))
    for update in range(4):
        move(whole, update)
        one.on_train_batch_end(update)
        if update % 2 == 0:
            parts[update // 2].on_train_begin()
        move(stopped, update)
        parts[update // 2].on_train_batch_end(update)
    np.testing.assert_array_equal(np.asarray(stopped.layers[0].kernel), np.asarray(whole.layers[0].kernel))


def test_clustering_keeps_the_zeros_of_pruning(fit: Callable[..., Any], make_network: Callable[[], Any]) -> None:
    from power_bert.compression.clustering import WeightClustering
    from power_bert.compression.pruning import MagnitudePruning
    from power_bert.compression.weights import measure_compression

    model = make_network()
    fit(model, MagnitudePruning(model, 0.5, ramp_steps=10), WeightClustering(model, 8, begin_step=20))
    measured = measure_compression([model.layers[0].kernel])
    assert measured.sparsity == pytest.approx(0.5, abs=1e-3)
    assert measured.most_values <= 8


def test_centroids_are_near_the_values() -> None:
    from power_bert.compression.clustering import find_centroids, nearest

    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(center, 0.01, 500) for center in (-1.0, 0.5, 2.0)]).astype("float32")
    centroids = find_centroids(values, 3)
    assert centroids == pytest.approx([-1.0, 0.5, 2.0], abs=0.01)
    assert (nearest(values, centroids) == np.repeat([0, 1, 2], 500)).all()


def test_a_model_of_small_tensors_is_refused() -> None:
    import keras

    from power_bert.compression.clustering import WeightClustering
    from power_bert.compression.pruning import MagnitudePruning

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    for make in (lambda: MagnitudePruning(model, 0.5, 10), lambda: WeightClustering(model, 8, 10)):
        with pytest.raises(UserError, match="all its tensors are small"):
            make()


@pytest.mark.parametrize("text", ["", "16", "1x", "0x4", "axb", "1x2x3"])
def test_a_block_that_is_none(text: str) -> None:
    from power_bert.config.distillation import Distillation
    from power_bert.config.settings import check_setting
    from power_bert.config.values import SparsityBlock

    assert SparsityBlock.parse("4x16") == (4, 16)
    with pytest.raises(UserError, match=r"^--block .*such as 1x16"):
        check_setting(Distillation, "block", text)


def test_sparse_files_are_smaller_zipped(tmp_path: Path) -> None:
    from power_bert.compression.weights import zipped_bytes

    values = np.random.default_rng(0).normal(size=10_000).astype("float32")
    (tmp_path / "dense").write_bytes(values.tobytes())
    (tmp_path / "sparse").write_bytes(np.where(np.abs(values) < 1.3, 0, values).tobytes())
    assert zipped_bytes(tmp_path / "sparse") < 0.4 * zipped_bytes(tmp_path / "dense")
