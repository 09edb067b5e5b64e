"""Whatever is done to the files of a checkpoint: the right kind of value, or an error that the user can read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutation_settings
from power_bert.errors import UserError
from power_bert.model.checkpoints import (
    BertArchitecture,
    Checkpoint,
    canonical_shapes,
    read_checkpoint,
    write_hugging_face,
    write_tf1_checkpoint,
)
from power_bert.model.checkpoints.classification_head import read_classification_head
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.tokenizer_files import read_tokenizer

ARCHITECTURE = BertArchitecture(12, 1, 1, 2, 3, 4, activation="gelu_tanh")
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "naïve", "中", "[E]", "x"]
TOKENIZER_CONFIG = {
    "do_lower_case": True,
    "strip_accents": False,
    "tokenizer_class": "BertTokenizer",
    "cls_token": {"content": "[CLS]", "lstrip": False},
    "added_tokens_decoder": {"10": {"content": "[E]", "special": True}},
    "never_split": None,
}
TOKENIZER_JSON = {
    "version": "1.0",
    "added_tokens": [{"id": 2, "content": "[CLS]", "single_word": False, "normalized": False, "special": True}],
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "strip_accents": None, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "post_processor": {"type": "BertProcessing", "cls": ["[CLS]", 2], "sep": ["[SEP]", 3]},
    "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {token: id for id, token in enumerate(TOKENS)}},
}
# Longer than what a user reads of a file is quoted nowhere.
LONGEST_MESSAGE = 1200
changes = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "delete", "cut", "repeat"]), st.floats(0, 1), st.binary(max_size=6)),
    min_size=1,
    max_size=4,
)


def mutated(data: bytes, operations: list[tuple[str, float, bytes]]) -> bytes:
    for operation, where, new in operations:
        place = int(where * len(data))
        if operation == "set":
            data = data[:place] + new + data[place + len(new) :]
        elif operation == "insert":
            data = data[:place] + new + data[place:]
        elif operation == "delete":
            data = data[:place] + data[place + len(new) + 1 :]
        elif operation == "repeat":
            data = data[:place] + data[place : place + 40] * 3 + data[place:]
        else:
            data = data[:place]
    return data


values = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 3, 10**12, 10**30, 1e-9, 1e300, "", "[CLS]", "cat", "x\ny", "\ufeff", [], {}]
    ),
    st.sampled_from(
        [[None], [0, "x"], {"content": "new"}, {"content": "[E]", "normalized": 3}, {"type": "BertNormalizer"}]
    ),
    st.text(max_size=3),
)


def with_value(data: Any, steps: list[int], value: Any) -> Any:
    """The data with another value at a place inside it, to which the steps lead."""
    if not steps or not isinstance(data, dict | list) or not data:
        return value
    key = list(data)[steps[0] % len(data)] if isinstance(data, dict) else steps[0] % len(data)
    changed = data.copy()
    changed[key] = with_value(data[key], steps[1:], value)
    return changed


def checkpoint() -> Checkpoint:
    weights = {name: np.full(shape, 0.5, np.float32) for name, shape in canonical_shapes(ARCHITECTURE).items()}
    return Checkpoint("made by the test", ARCHITECTURE, weights, (), TOKENS, lowercase=True)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated") / "model"
    write_hugging_face(folder, checkpoint())
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER_CONFIG))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER_JSON))
    (folder / "special_tokens_map.json").write_text(json.dumps({"sep_token": "[SEP]", "mask_token": "[MASK]"}))
    (folder / "added_tokens.json").write_text(json.dumps({"[E]": 10}))
    return folder


def check_outcome(read: Callable[[], Any], check: Callable[[Any], None], folder: Path) -> None:
    try:
        value = read()
    except UserError as error:
        assert str(folder) in str(error) and len(str(error)) < LONGEST_MESSAGE
    else:
        check(value)


def check_checkpoint(read: Checkpoint) -> None:
    shapes = canonical_shapes(read.architecture)
    assert {name: weight.shape for name, weight in read.weights.items()} == {
        name: shapes[name] for name in read.weights
    }
    assert all(np.isfinite(weight).all() and weight.dtype == np.float32 for weight in read.weights.values())
    if read.vocabulary is not None:
        check_tokenizer(read.vocabulary)


def check_tokenizer(vocabulary: Any) -> None:
    tokenizer = WordPieceTokenizer(vocabulary)
    encoded = tokenizer.encode(["the CATS naïve 中 [E] x\u0000"], None, 30)
    assert encoded.ids.min() >= 0 and encoded.ids.max() < len(vocabulary)


def with_mutation(path: Path, operations: Any, check: Callable[[], None]) -> None:
    """Calls `check` while the file is mutated."""
    whole = path.read_bytes()
    path.write_bytes(mutated(whole, operations))
    try:
        check()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "name",
    [
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ],
)
@mutation_settings
@given(operations=changes)
def test_tokenizer_files(hugging_face: Path, name: str, operations: Any) -> None:
    def read() -> Any:
        check_outcome(lambda: read_tokenizer(hugging_face), check_tokenizer, hugging_face)

    with_mutation(hugging_face / name, operations, read)


JSON_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"]


@pytest.mark.parametrize("name", JSON_FILES)
@mutation_settings
@given(steps=st.lists(st.integers(0, 20), min_size=1, max_size=5), value=values)
def test_values_in_json(hugging_face: Path, name: str, steps: list[int], value: Any) -> None:
    path = hugging_face / name
    whole = path.read_bytes()
    path.write_text(json.dumps(with_value(json.loads(whole), steps, value)))
    try:
        check_outcome(lambda: read_checkpoint(str(hugging_face)), check_checkpoint, hugging_face)
    finally:
        path.write_bytes(whole)


@mutation_settings
@given(operations=changes)
def test_a_vocabulary_inside_tokenizer_json(hugging_face: Path, tmp_path: Path, operations: Any) -> None:
    data = mutated(json.dumps(TOKENIZER_JSON).encode(), operations)
    (tmp_path / "tokenizer.json").write_bytes(data)
    check_outcome(lambda: read_tokenizer(tmp_path), check_tokenizer, tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@mutation_settings
@given(operations=changes)
def test_hugging_face(hugging_face: Path, name: str, operations: Any) -> None:
    def read() -> Any:
        check_outcome(lambda: read_checkpoint(str(hugging_face)), check_checkpoint, hugging_face)

    with_mutation(hugging_face / name, operations, read)


@mutation_settings
@given(operations=changes)
def test_head_of_a_classifier(tmp_path_factory: pytest.TempPathFactory, operations: Any) -> None:
    folder = tmp_path_factory.mktemp("head")
    config = {"id2label": {"0": "bad", "1": "good"}, "problem_type": "single_label_classification"}
    (folder / "config.json").write_bytes(mutated(json.dumps(config).encode(), operations))
    from safetensors.numpy import save_file

    head = {"classifier.weight": np.zeros((2, 3), np.float32), "classifier.bias": np.zeros(2, np.float32)}
    save_file(head, folder / "model.safetensors")

    def check(read: Any) -> None:
        assert len(read.labels) == len(set(read.labels)) == 2

    check_outcome(lambda: read_classification_head(folder), check, folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tf1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("mutated_tf1")
    write_tf1_checkpoint(folder / "bert_model.ckpt", checkpoint())
    return folder


@pytest.mark.parametrize("name", ["bert_config.json", "bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"])
@mutation_settings
@given(operations=changes)
def test_tf1(tf1: Path, name: str, operations: Any) -> None:
    def read() -> Any:
        check_outcome(lambda: read_checkpoint(str(tf1 / "bert_model.ckpt")), check_checkpoint, tf1)

    with_mutation(tf1 / name, operations, read)


@pytest.fixture(scope="module")
def keras_hub_preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keras_hub = pytest.importorskip("keras_hub")
    folder = tmp_path_factory.mktemp("mutated_keras_hub")
    sizes = {"vocabulary_size": 12, "num_layers": 1, "num_heads": 1, "hidden_dim": 2, "intermediate_dim": 3}
    keras_hub.models.BertBackbone(**sizes, max_sequence_length=4).save_to_preset(str(folder))
    keras_hub.tokenizers.BertTokenizer(TOKENS, lowercase=True).save_to_preset(str(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "assets/tokenizer/vocabulary.txt", "model.weights.h5"]
)
@mutation_settings
@given(operations=changes)
def test_keras_hub(keras_hub_preset: Path, name: str, operations: Any) -> None:
    def read() -> Any:
        check_outcome(lambda: read_checkpoint(str(keras_hub_preset)), check_checkpoint, keras_hub_preset)

    with_mutation(keras_hub_preset / name, operations, read)
