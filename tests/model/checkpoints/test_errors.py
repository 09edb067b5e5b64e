"""Checkpoints that cannot be read: each says what is wrong, where, and what was expected."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from power_bert.errors import UserError
from power_bert.model.checkpoints import (
    BertArchitecture,
    Checkpoint,
    canonical_shapes,
    checkpoint_kind,
    locate_checkpoint,
    read_checkpoint,
    write_hugging_face,
    write_tf1_checkpoint,
)
from power_bert.model.checkpoints.checkpoint_vocabulary import check_vocabulary_fits, padding_notes
from power_bert.model.checkpoints.classification_head import read_classification_head, read_labels
from power_bert.model.checkpoints.keras_hub_tokenizer import read_keras_hub_tokenizer
from power_bert.text.wordpiece_vocabulary import is_lowercase

ARCHITECTURE = BertArchitecture(
    vocabulary_size=53, num_layers=2, num_heads=3, hidden_dim=12, intermediate_dim=37, activation="gelu_tanh"
)
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(48))]


def checkpoint() -> Checkpoint:
    weights = {name: np.ones(shape, np.float32) for name, shape in canonical_shapes(ARCHITECTURE).items()}
    return Checkpoint("made by the test", ARCHITECTURE, weights, (), VOCABULARY, lowercase=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_hugging_face(tmp_path / "model", checkpoint())
    return tmp_path / "model"


def change_weights(folder: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def message(path: Path | str, *arguments: Path | None) -> str:
    with pytest.raises(UserError) as caught:
        read_checkpoint(str(path), *arguments)
    return str(caught.value)


def test_missing_weight(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("encoder.layer.1.intermediate.dense.weight"))
    text = message(folder)
    assert "block_1/feed_forward/intermediate/kernel is missing" in text
    assert "encoder.layer.1.intermediate.dense.weight of shape (37, 12)" in text


def test_half_a_pooler(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("pooler.dense.bias"))
    assert "pooler/bias is missing" in message(folder)


def test_misshapen_weight(folder: Path) -> None:
    name = "encoder.layer.0.output.dense.weight"
    change_weights(folder, lambda weights: weights.update({name: np.zeros((12, 36), np.float32)}))
    text = message(folder)
    assert name in text and "block_0/feed_forward/output/kernel" in text
    assert "(12, 36)" in text and "(12, 37)" in text


def test_quantized_weight(folder: Path) -> None:
    name = "embeddings.word_embeddings.weight"
    change_weights(folder, lambda weights: weights.update({name: np.zeros((53, 12), np.int8)}))
    assert "int8" in message(folder)


@pytest.mark.parametrize(
    ("value", "type_name", "found"),
    [(np.nan, "float32", "nan"), (-np.inf, "float16", "-inf"), (1e300, "float64", "inf")],
)
def test_a_weight_that_is_not_finite_is_named(folder: Path, value: float, type_name: str, found: str) -> None:
    name = "encoder.layer.1.output.dense.weight"

    def change(weights: dict[str, np.ndarray]) -> None:
        weights[name] = weights[name].astype(type_name)
        weights[name][3, 5] = weights[name][7, 0] = value

    change_weights(folder, change)
    text = message(folder)
    assert f"{folder}: the weight {name} is not finite at 2 of 444 places, the first is {found} at (3, 5)" in text


def test_more_blocks_than_configured(folder: Path) -> None:
    change_json(folder / "config.json", num_hidden_layers=1)
    assert "encoder.layer.1." in message(folder)


def test_weights_of_something_else(folder: Path) -> None:
    save_file({"roberta.embeddings.word_embeddings.weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    text = message(folder)
    assert "bert.embeddings.word_embeddings.weight" in text and "found roberta.embeddings" in text


@pytest.mark.parametrize("keep", [0, 4, 60, -5])
def test_truncated_safetensors(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    text = message(folder)
    assert str(path) in text and "download it again" in text


def test_corrupt_safetensors(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(b"<html>not found</html>" + path.read_bytes())
    assert "cannot be read as safetensors" in message(folder)


def test_shard_missing(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    assert "model-00001-of-00002.safetensors" in message(folder)
    index.write_text("{}")
    assert "weight_map" in message(folder)


def test_only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    text = message(folder)
    assert "pytorch_model.bin" in text and "save_pretrained" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": "roberta"}, '"model_type" is "roberta"'),
        ({"position_embedding_type": "relative_key"}, '"position_embedding_type" is "relative_key"'),
        ({"is_decoder": True}, '"is_decoder" is true'),
        ({"hidden_act": "mish"}, '"hidden_act" is "mish"'),
        ({"hidden_size": "12"}, '"hidden_size" is "12"'),
        ({"num_hidden_layers": 0}, '"num_hidden_layers" is 0'),
        ({"num_attention_heads": 5}, "multiple of the heads"),
        ({"hidden_dropout_prob": 1.5}, '"hidden_dropout_prob" is 1.5'),
        ({"vocab_size": None}, '"vocab_size" is null'),
        ({"hidden_size": -12}, '"hidden_size" is -12'),
        ({"hidden_size": 10**12}, '"hidden_size" is 1000000000000'),
        ({"hidden_size": [12]}, '"hidden_size" is a list'),
        ({"hidden_size": True}, '"hidden_size" is true'),
        ({"num_hidden_layers": 10**6}, '"num_hidden_layers" is 1000000'),
        ({"layer_norm_eps": float("inf")}, '"layer_norm_eps" is Infinity'),
        ({"hidden_dropout_prob": float("nan")}, '"hidden_dropout_prob" is NaN'),
    ],
)
def test_config_of_something_else(folder: Path, changes: dict[str, object], expected: str) -> None:
    change_json(folder / "config.json", **changes)
    text = message(folder)
    assert str(folder / "config.json") in text and expected in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden_size": 12 * 10**6}, "has shape (53, 12), but the config asks for (53, 12000000)"),
        ({"num_hidden_layers": 4096}, "block_2/attention/query/kernel is missing"),
        ({"type_vocab_size": 1}, "has shape (2, 12), but the config asks for (1, 12)"),
    ],
)
def test_config_of_other_weights(folder: Path, changes: dict[str, object], expected: str) -> None:
    change_json(folder / "config.json", **changes)
    text = message(folder)
    assert text.startswith(str(folder)) and expected in text


def test_config_missing_damaged_or_incomplete(folder: Path, tmp_path: Path) -> None:
    (folder / "config.json").write_text('{\n"model_type": "bert",\n}')
    assert "config.json, line 3" in message(folder)
    for damage, reason in (("[" * 10**5, "nested too deeply"), ('{"a": ' + "1" * 5000 + "}", "thousands of digits")):
        (folder / "config.json").write_text(damage)
        assert f"{folder / 'config.json'}" in message(folder) and reason in message(folder)
    (folder / "config.json").write_text('[{"model_type": "bert"}]')
    assert "config.json: holds a list. Expected an object" in message(folder)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert '"vocab_size" is missing' in message(folder)
    (folder / "config.json").unlink()
    assert "config.json" in message(folder)
    assert "other.json" in message(folder, tmp_path / "other.json")


def test_vocabulary(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    assert str(path) in message(folder, None, path)
    path.write_bytes(b"[PAD]\n[UNK]\n\xff\n")
    assert "line 3" in message(folder, None, path)
    path.write_text("\n".join(VOCABULARY[3:]))
    assert "[CLS], [PAD], [UNK]" in message(folder, None, path)
    path.write_text("\n".join([*VOCABULARY, "one more"]))
    text = message(folder, None, path)
    assert "does not fit the checkpoint" in text and str(path) in text and str(folder) in text
    path.write_text("\n".join(VOCABULARY[:-3]))  # the embedding has three rows of padding
    assert read_checkpoint(str(folder), None, path).vocabulary == VOCABULARY[:-3]


def test_rows_without_tokens_are_noted_where_padding_does_not_explain_them() -> None:
    assert not padding_notes(VOCABULARY, "vocab.txt", 53) and not padding_notes(VOCABULARY, "vocab.txt", 54)
    assert not padding_notes(VOCABULARY, "vocab.txt", 64)
    (note,) = padding_notes(VOCABULARY, "vocab.txt", 66)
    assert note.startswith("vocab.txt has 53 tokens, and the token embedding 66 rows: 13 rows have no token.")


def test_an_embedding_may_be_padded_but_not_by_another_vocabulary() -> None:
    check_vocabulary_fits(VOCABULARY, "vocab.txt", 53 + 1023, "model")
    with pytest.raises(UserError, match="does not fit"):
        check_vocabulary_fits(VOCABULARY, "vocab.txt", 53 + 1024, "model")


def test_case(folder: Path) -> None:
    assert is_lowercase(VOCABULARY) and is_lowercase(["[unused1]", "[UNK]", "été", "##3", "["])
    assert not is_lowercase([*VOCABULARY, "Über"])
    change_json(folder / "tokenizer_config.json", do_lower_case=False)
    assert read_checkpoint(str(folder)).lowercase is False  # what the tokenizer says counts, not the guess
    change_json(folder / "tokenizer_config.json", do_lower_case=None)
    assert read_checkpoint(str(folder)).lowercase is True
    change_json(folder / "tokenizer_config.json", do_lower_case="yes")
    assert "do_lower_case" in message(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").unlink()
    assert read_checkpoint(str(folder)).lowercase is None


def test_nothing_that_is_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"class_name": ["BertBackbone"]}')
    assert "a preset of a list" in message(tmp_path)
    (tmp_path / "config.json").unlink()
    for given in (tmp_path, tmp_path / "absent" / "bert_model.ckpt", "", "gs://bucket/bert"):
        assert "model.safetensors, vocab.txt" in message(given)
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "GemmaBackbone"}))
    assert "GemmaBackbone" in message(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "PowerBertBackbone"}))
    assert "PowerBertBackbone.from_preset" in message(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    assert checkpoint_kind(tmp_path) == "hugging_face"


def test_unknown_preset_name() -> None:
    pytest.importorskip("keras_hub")
    with pytest.raises(UserError, match="bert_tiny_en_uncased"):
        locate_checkpoint("bert_tiny_uncased")


def test_tf1(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    prefix = tmp_path / "bert_model.ckpt"
    write_tf1_checkpoint(prefix, checkpoint())
    change_json(tmp_path / "bert_config.json", intermediate_size=36)
    text = message(prefix)
    assert "bert/encoder/layer_0/intermediate/dense/kernel" in text and "(12, 37)" in text and "(12, 36)" in text
    change_json(tmp_path / "bert_config.json", intermediate_size=37)
    data = tmp_path / "bert_model.ckpt.data-00000-of-00001"
    whole = data.read_bytes()
    for broken in (whole[:2000], whole[:-2000] + bytes(2000)):
        data.write_bytes(broken)
        assert "download it again" in message(prefix)
    data.unlink()
    assert "download it again" in message(prefix)
    data.write_bytes(whole)
    (tmp_path / "bert_config.json").unlink()
    assert "bert_config.json" in message(prefix)
    for name in ("a.ckpt.index", "b.ckpt.index"):
        prefix.with_name(name).touch()
    Path(f"{prefix}.index").unlink()
    assert "2 checkpoints" in message(tmp_path)
    assert "TensorFlow checkpoint" in message(tmp_path / "a.ckpt", write_config(tmp_path))


def write_config(folder: Path) -> Path:
    write_tf1_checkpoint(folder / "other" / "bert_model.ckpt", checkpoint())
    return folder / "other" / "bert_config.json"


def test_tf1_has_no_exact_gelu(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    exact = dataclasses.replace(checkpoint(), architecture=dataclasses.replace(ARCHITECTURE, activation="gelu"))
    with pytest.raises(UserError, match='no name for the activation "gelu"'):
        write_tf1_checkpoint(tmp_path / "bert_model.ckpt", exact)
    assert not list(tmp_path.iterdir())


def test_keras_hub(tmp_path: Path) -> None:
    keras_hub = pytest.importorskip("keras_hub")
    sizes = {"vocabulary_size": 53, "num_layers": 1, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 37}
    keras_hub.models.BertBackbone(**sizes).save_to_preset(str(tmp_path))
    assert read_checkpoint(str(tmp_path)).vocabulary is None
    assert "Leave the config path empty" in message(tmp_path, tmp_path / "config.json")
    weights = tmp_path / "model.weights.h5"
    whole = weights.read_bytes()
    for broken in (whole[:3000], b""):
        weights.write_bytes(broken)
        assert str(tmp_path) in message(tmp_path)
    weights.unlink()
    assert str(tmp_path) in message(tmp_path)
    weights.write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["intermediate_dim"] = 36
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert str(tmp_path) in message(tmp_path)
    config["config"]["hidden_dim"] = 3 * 10**8  # would take more memory than there is
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "weights, but model.weights.h5 has only" in message(tmp_path)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"suffix_indicator": "@"}, '"suffix_indicator" is "@"'),
        ({"split": False}, '"split" is false'),
        ({"oov_token": "?"}, '"oov_token" is "?"'),
        ({"lowercase": "yes"}, '"lowercase" is "yes"'),
        ({"lowercase": True}, "vocabulary.txt: cannot be read"),
        (3, 'no object "config"'),
    ],
)
def test_tokenizer_of_keras_hub(tmp_path: Path, config: object, expected: str) -> None:
    (tmp_path / "assets" / "tokenizer").mkdir(parents=True)
    if "vocabulary.txt" not in expected:
        (tmp_path / "assets" / "tokenizer" / "vocabulary.txt").write_text("\n".join(VOCABULARY))
    (tmp_path / "tokenizer.json").write_text(json.dumps({"config": config}))
    with pytest.raises(UserError) as caught:
        read_keras_hub_tokenizer(tmp_path, None)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("problem", "outputs", "is_refused"),
    [
        (None, 2, False),
        ("single_label_classification", 3, False),
        ("regression", 1, False),
        ("multi_label_classification", 3, True),
        ("multi_label_classification", 1, True),
        ("regression", 2, True),
        (["regression"], 1, True),
    ],
)
def test_problem_type(folder: Path, problem: object, outputs: int, is_refused: bool) -> None:
    head = {"classifier.weight": np.zeros((outputs, 12), np.float32), "classifier.bias": np.zeros(outputs, np.float32)}
    change_weights(folder, lambda weights: weights.update(head))
    change_json(folder / "config.json", problem_type=problem)
    if not is_refused:
        assert read_classification_head(folder) is not None
        return
    with pytest.raises(UserError, match=r'config\.json: "problem_type" is .* trains a new head'):
        read_classification_head(folder)
    assert read_checkpoint(str(folder)).unused == tuple(sorted(head))  # as a start it is fine


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], "a name for each of the 2 classes"),
        ({"0": "a"}, "a name for each of the 2 classes"),
        ({"0": "a", "1": None}, "names class 1 null"),
        ({"0": "a", "1": {}}, "names class 1 an object"),
        ({"0": " ", "1": "b"}, 'names class 0 " "'),
        ({"0": "a", "1": "a"}, 'gives two classes the name "a"'),
    ],
)
def test_names_of_classes(names: object, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        read_labels({"id2label": names}, 2, Path("config.json"))
    assert read_labels({"id2label": {"1": "b", "0": 0}}, 2, Path("config.json")) == ("0", "b")


@pytest.mark.parametrize("shapes", [((2, 12), (3,)), ((12,), (2,)), ((0, 12), (0,)), ((2, 12), (2, 1))])
def test_misshapen_head(folder: Path, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    kernel, bias = (np.zeros(shape, np.float32) for shape in shapes)
    change_weights(folder, lambda weights: weights.update({"classifier.weight": kernel, "classifier.bias": bias}))
    with pytest.raises(UserError, match=r"classifier\.weight has shape"):
        read_classification_head(folder)
