"""Tests of power_bert.train.training_state."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from keras import ops

from mutations import mutated, mutation_settings
from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.train.training import compile_for_phase
from power_bert.train.training_state import load_training_state, save_training_state

PROGRESS = {"history": [{"epoch": 1, "scores": {"spearman": 0.25}}], "best_epoch": None}


@pytest.fixture(scope="module")
def make_model(make_experiment: Callable[..., Experiment]) -> Callable[..., PowerBertTextClassifier]:
    """Compiled models with retention parameters and dropout, each with other random values."""

    def make(seed: int = 0, **changes: Any) -> PowerBertTextClassifier:
        keras.utils.set_random_seed(seed)
        sizes = {"num_layers": 2, "num_heads": 3, "hidden_dim": 6, "intermediate_dim": 10, "max_sequence_length": 9}
        settings: dict[str, Any] = sizes | {"extraction": "soft"} | changes
        model = PowerBertTextClassifier(PowerBertBackbone(11, **settings), 2)
        compile_for_phase(make_experiment(Path("run")), model, total_steps=10)
        generator = np.random.default_rng(seed)
        for variable in (*model.variables, *model.optimizer.variables):
            if "int" in str(variable.dtype):
                variable.assign(generator.integers(1, 1000, variable.shape))
            else:
                variable.assign(generator.normal(size=variable.shape))
        return model

    return make


def state(model: PowerBertTextClassifier) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in (*model.variables, *model.optimizer.variables)]


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    return len(left) == len(right) and all(map(np.array_equal, left, right))


@pytest.fixture(scope="module")
def model(make_model: Callable[..., PowerBertTextClassifier]) -> PowerBertTextClassifier:
    """A model that no test changes."""
    return make_model()


@pytest.fixture(scope="module")
def saved_bytes(make_model: Callable[..., PowerBertTextClassifier], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("state") / "training_state.npz"
    save_training_state(path, make_model(1), PROGRESS)
    return path.read_bytes()


@pytest.fixture
def saved(tmp_path: Path, saved_bytes: bytes) -> Path:
    path = tmp_path / "training_state.npz"
    path.write_bytes(saved_bytes)
    return path


def test_everything_comes_back_exactly(make_model: Callable[..., PowerBertTextClassifier], tmp_path: Path) -> None:
    model, path = make_model(1), tmp_path / "training_state.npz"
    save_training_state(path, model, PROGRESS)
    other = make_model(2)
    assert not equal(state(model), state(other))
    assert load_training_state(path, other) == PROGRESS
    assert equal(state(model), state(other))
    assert [entry.name for entry in tmp_path.iterdir()] == ["training_state.npz"], "no temporary file is left"


def test_seeds_moments_and_updates_are_among_it(model: PowerBertTextClassifier) -> None:
    paths = [variable.path for variable in (*model.variables, *model.optimizer.variables)]
    # Embeddings, both places of each block and its attention, head.
    assert sum("seed_generator_state" in path for path in paths) >= 6
    assert sum("iteration" in path for path in paths) == 1
    assert sum("momentum" in path or "velocity" in path for path in paths) >= 2 * len(model.trainable_variables)


def test_dropout_goes_on_where_it_was(make_model: Callable[..., PowerBertTextClassifier], tmp_path: Path) -> None:
    model, other, path = make_model(1, dropout=0.5), make_model(2, dropout=0.5), tmp_path / "training_state.npz"
    inputs = {
        "token_ids": np.arange(10).reshape(2, 5),
        "segment_ids": np.zeros((2, 5)),
        "padding_mask": np.ones((2, 5)),
    }
    inputs = {name: values.astype(np.int32) for name, values in inputs.items()}
    model(inputs, training=True)
    save_training_state(path, model, PROGRESS)
    expected = [ops.convert_to_numpy(model(inputs, training=True)) for _ in range(2)]
    load_training_state(path, other)
    assert equal(expected, [ops.convert_to_numpy(other(inputs, training=True)) for _ in range(2)])
    assert not np.array_equal(*expected)


def test_nothing_to_restore(model: PowerBertTextClassifier, tmp_path: Path) -> None:
    before = state(model)
    assert load_training_state(tmp_path / "absent.npz", model) is None
    assert equal(before, state(model))


@pytest.mark.parametrize("changes", [{"hidden_dim": 9}, {"num_layers": 1}, {"extraction": None}])
def test_another_model(
    changes: dict[str, Any], saved: Path, make_model: Callable[..., PowerBertTextClassifier]
) -> None:
    model = make_model(**changes)
    before = state(model)
    with pytest.raises(UserError, match=r"training_state\.npz: belongs to another model. Delete it"):
        load_training_state(saved, model)
    assert equal(before, state(model)), "nothing was overwritten"


def _array_alone() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def _without_progress() -> bytes:
    file = io.BytesIO()
    np.savez(file, model_0=np.zeros(3))
    return file.getvalue()


def _flip_a_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "text": lambda data: b"not an archive\n",
    "zeros": lambda data: bytes(len(data)),
    "a byte differs": _flip_a_byte,
    "an array and no archive": lambda data: _array_alone(),
    "no progress": lambda data: _without_progress(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file(damage: str, saved: Path, model: PowerBertTextClassifier) -> None:
    saved.write_bytes(DAMAGES[damage](saved.read_bytes()))
    before = state(model)
    with pytest.raises(UserError, match=r"training_state\.npz: (damaged.*|belongs to another model)\. Delete it"):
        load_training_state(saved, model)
    assert equal(before, state(model)), "nothing was overwritten"


def test_a_folder_in_its_place(tmp_path: Path, model: PowerBertTextClassifier) -> None:
    (tmp_path / "training_state.npz").mkdir()
    with pytest.raises(UserError, match="damaged"):
        load_training_state(tmp_path / "training_state.npz", model)


def test_any_damage_is_a_user_error(tmp_path: Path) -> None:
    path = tmp_path / "training_state.npz"
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), "mse")
    save_training_state(path, model, PROGRESS)
    expected = [np.array(variable) for variable in model.variables]

    @mutation_settings
    @given(mutated(path.read_bytes()))
    def check(damaged: bytes) -> None:
        path.write_bytes(damaged)
        try:
            assert load_training_state(path, model) == PROGRESS
        except UserError as error:
            assert str(path) in str(error)
        for variable, value in zip(model.variables, expected, strict=True):
            np.testing.assert_array_equal(variable, value)

    check()
