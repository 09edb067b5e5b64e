"""Checkpoints of every format: what is read, that round trips are exact, and that the layouts mean what they should."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from power_bert.model.checkpoints import (
    BertArchitecture,
    Checkpoint,
    canonical_shapes,
    checkpoint_kind,
    locate_checkpoint,
    read_checkpoint,
    tables,
    write_hugging_face,
    write_tf1_checkpoint,
)
from power_bert.model.checkpoints.mapping import to_stored_weights
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Odd sizes, so that swapped axes cannot hide. The square kernels are told apart by their values.
ARCHITECTURE = BertArchitecture(
    vocabulary_size=53,
    num_layers=2,
    num_heads=3,
    hidden_dim=12,
    intermediate_dim=37,
    max_sequence_length=17,
    num_segments=2,
    dropout=0.15,
    attention_dropout=0.05,
    activation="gelu_tanh",
    layer_norm_epsilon=1e-11,
    initializer_range=0.03,
)


def tiny_checkpoint(**changes: Any) -> Checkpoint:
    architecture = dataclasses.replace(ARCHITECTURE, **changes)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(0.5, 0.5, shape).astype(np.float32) for name, shape in canonical_shapes(architecture).items()
    }
    vocabulary = SPECIAL_TOKENS + [f"w{index}" for index in range(architecture.vocabulary_size - len(SPECIAL_TOKENS))]
    return Checkpoint("made by the test", architecture, weights, (), vocabulary, lowercase=True)


def assert_same(read: Checkpoint, written: Checkpoint) -> None:
    assert read.architecture == written.architecture
    assert read.weights.keys() == written.weights.keys()
    for name, weight in read.weights.items():
        assert weight.dtype == np.float32 and weight.flags.c_contiguous
        np.testing.assert_array_equal(weight, written.weights[name], err_msg=name)
    assert (read.vocabulary, read.lowercase) == (written.vocabulary, written.lowercase)


def test_there_is_a_row_for_every_canonical_weight_in_every_table() -> None:
    expected = list(canonical_shapes(ARCHITECTURE))
    for table in (tables.TF1, tables.HUGGING_FACE, tables.KERAS_HUB):
        assert sorted(row.canonical for row in table.expand(2)) == sorted(expected)


@pytest.mark.parametrize("given", ["bert_model.ckpt", "bert_model.ckpt.index", "."])
def test_tf1_round_trip(tmp_path: Path, given: str) -> None:
    pytest.importorskip("tensorflow")
    write_tf1_checkpoint(tmp_path / "bert_model.ckpt", tiny_checkpoint())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bert_config.json",
        "bert_model.ckpt.data-00000-of-00001",
        "bert_model.ckpt.index",
        "vocab.txt",
    ]
    assert checkpoint_kind(tmp_path / given) == "tf1"
    read = read_checkpoint(str(tmp_path / given))
    assert_same(read, tiny_checkpoint())
    assert read.unused == ()


def test_tf1_files_elsewhere_and_unused_names(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    checkpoint = tiny_checkpoint(layer_norm_epsilon=1e-12)
    weights = to_stored_weights(checkpoint, tables.TF1)
    slots = {f"{name}/adam_{moment}": np.zeros_like(weight) for name, weight in weights.items() for moment in "mv"}
    extra = slots | {"global_step": np.int64(7), "cls/seq_relationship/output_bias": np.zeros(2, np.float32)}
    stored = weights | extra
    prefix = tmp_path / "model.ckpt-7"
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(stored),
        shape_and_slices=[""] * len(stored),
        tensors=[tf.constant(value) for value in stored.values()],
    )
    config: dict[str, Any] = {"vocab_size": 53, "num_hidden_layers": 2, "num_attention_heads": 3, "hidden_size": 12}
    config |= {"intermediate_size": 37, "max_position_embeddings": 17, "type_vocab_size": 2, "hidden_act": "gelu"}
    config |= {"hidden_dropout_prob": 0.15, "attention_probs_dropout_prob": 0.05, "initializer_range": 0.03}
    (tmp_path / "elsewhere").mkdir()
    config_path, vocabulary_path = tmp_path / "elsewhere" / "config.json", tmp_path / "elsewhere" / "words.txt"
    config_path.write_text(json.dumps(config))
    vocabulary_path.write_text("\n".join(checkpoint.vocabulary or []))
    read = read_checkpoint(str(prefix), config_path, vocabulary_path)
    assert_same(read, checkpoint)  # Google's gelu is the tanh one
    assert read.unused == tuple(sorted(extra))


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh", "relu", "silu"])
def test_hugging_face_round_trip(tmp_path: Path, activation: str) -> None:
    checkpoint = tiny_checkpoint(activation=activation)
    write_hugging_face(tmp_path / "model", checkpoint)
    assert checkpoint_kind(str(tmp_path / "model")) == "hugging_face"
    read = read_checkpoint(str(tmp_path / "model"))
    assert_same(read, checkpoint)
    assert read.unused == ()


@pytest.mark.parametrize("kind", ["hugging_face", "tf1"])
def test_tokenizer_settings_round_trip(tmp_path: Path, kind: str) -> None:
    settings = TokenizerSettings(
        lowercase=True,
        strip_accents=False,
        tokenize_chinese_chars=False,
        sep_token="</s>",
        added_tokens=(AddedToken("w7"), AddedToken("w47", normalized=True)),
    )
    tokens = ["</s>" if token == "[SEP]" else token for token in tiny_checkpoint().vocabulary or []]
    checkpoint = dataclasses.replace(tiny_checkpoint(), vocabulary=Vocabulary(tokens, settings))
    if kind == "tf1":
        pytest.importorskip("tensorflow")
        write_tf1_checkpoint(tmp_path / "model" / "bert_model.ckpt", checkpoint)
    else:
        write_hugging_face(tmp_path / "model", checkpoint)
    read = read_checkpoint(str(tmp_path / "model"))
    assert_same(read, checkpoint)
    assert isinstance(read.vocabulary, Vocabulary) and read.vocabulary.settings == settings


@pytest.mark.parametrize(
    ("stored_name", "expected"),
    [("gelu", "gelu"), ("gelu_new", "gelu_tanh"), ("gelu_fast", "gelu_tanh"), ("swish", "silu")],
)
def test_hugging_face_activations(tmp_path: Path, stored_name: str, expected: str) -> None:
    write_hugging_face(tmp_path / "model", tiny_checkpoint())
    config_path = tmp_path / "model" / "config.json"
    config_path.write_text(json.dumps(json.loads(config_path.read_text()) | {"hidden_act": stored_name}))
    assert read_checkpoint(str(tmp_path / "model")).architecture.activation == expected


def test_hugging_face_kernels_are_transposed(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    write_hugging_face(tmp_path / "model", checkpoint)
    stored = load_file(tmp_path / "model" / "model.safetensors")
    for stored_name, name in {
        "encoder.layer.1.attention.self.query.weight": "block_1/attention/query/kernel",
        "encoder.layer.0.attention.output.dense.weight": "block_0/attention/output/kernel",
        "encoder.layer.1.intermediate.dense.weight": "block_1/feed_forward/intermediate/kernel",
        "pooler.dense.weight": "pooler/kernel",
    }.items():
        np.testing.assert_array_equal(stored[stored_name], checkpoint.weights[name].T)


def test_hugging_face_with_prefix_old_norm_names_heads_and_several_files(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint()
    folder = tmp_path / "model"
    write_hugging_face(folder, checkpoint)
    renamed = {
        "bert." + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): weight
        for name, weight in load_file(folder / "model.safetensors").items()
        if not name.startswith("pooler")
    }
    heads: dict[str, np.ndarray] = {
        "cls.predictions.bias": np.zeros(53, np.float32),
        "bert.embeddings.position_ids": np.arange(17)[None],
    }
    renamed |= heads
    names = sorted(renamed)
    files = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, members in files.items():
        save_file({name: renamed[name] for name in members}, folder / file)
    weight_map = {name: file for file, members in files.items() for name in members}
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    read = read_checkpoint(str(folder))
    without_pooler = {name: weight for name, weight in checkpoint.weights.items() if not name.startswith("pooler/")}
    assert_same(read, dataclasses.replace(checkpoint, weights=without_pooler))
    assert read.unused == tuple(sorted(heads))


@pytest.mark.parametrize("type_name", ["float16", "bfloat16", "float64"])
def test_other_float_types_become_float32(tmp_path: Path, type_name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, type_name, type_name))
    checkpoint = tiny_checkpoint()
    rounded = {name: weight.astype(dtype).astype(np.float32) for name, weight in checkpoint.weights.items()}
    write_hugging_face(tmp_path / "model", checkpoint)
    path = tmp_path / "model" / "model.safetensors"
    save_file({name: weight.astype(dtype) for name, weight in load_file(path).items()}, path)
    assert_same(read_checkpoint(str(tmp_path / "model")), dataclasses.replace(checkpoint, weights=rounded))


def test_keras_hub_preset_and_what_it_computes(tmp_path: Path) -> None:
    """The canonical weights, in plain numpy, give what keras-hub's own BERT gives: so head axes are in order."""
    keras_hub = pytest.importorskip("keras_hub")
    sizes = {"vocabulary_size": 53, "num_layers": 2, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 37}
    backbone = keras_hub.models.BertBackbone(**sizes, max_sequence_length=17, dropout=0.15)
    rng = np.random.default_rng(1)
    for variable in backbone.weights:
        variable.assign(rng.normal(0.2, 0.5, variable.shape))
    backbone.save_to_preset(str(tmp_path))
    vocabulary = tiny_checkpoint().vocabulary
    keras_hub.tokenizers.BertTokenizer(vocabulary, lowercase=True).save_to_preset(str(tmp_path))

    assert checkpoint_kind(tmp_path) == "keras_hub"
    read = read_checkpoint(str(tmp_path))
    assert read.architecture == dataclasses.replace(
        ARCHITECTURE, attention_dropout=0.15, layer_norm_epsilon=1e-12, initializer_range=0.02
    )
    assert (read.vocabulary, read.lowercase, read.unused) == (vocabulary, True, ())
    token_ids = rng.integers(0, 53, (1, 7))
    inputs = {
        "token_ids": token_ids,
        "segment_ids": (np.arange(7) > 3).astype("int32")[None],
        "padding_mask": np.ones((1, 7), "int32"),
    }
    outputs = backbone(inputs)
    sequence = bert_in_numpy(read, token_ids[0], inputs["segment_ids"][0])
    pooled = np.tanh(sequence[0] @ read.weights["pooler/kernel"] + read.weights["pooler/bias"])
    expected = {name: np.asarray(value)[0] for name, value in outputs.items()}
    assert np.abs(sequence - expected["sequence_output"]).max() < 1e-4
    assert np.abs(pooled - expected["pooled_output"]).max() < 1e-4


def test_a_preset_of_the_projects_own_backbone_is_recognized(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"class_name": "PowerBertBackbone", "config": {}}))
    assert checkpoint_kind(tmp_path) == "power_bert"


def test_remote_checkpoints_go_to_the_right_place(tmp_path: Path) -> None:
    asked = []

    def hub(repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
        asked.append((repository, revision, "model.safetensors" in patterns or "*.safetensors" in patterns))
        return tmp_path

    def kaggle(handle: str) -> Path:
        asked.append((handle, None, True))
        return tmp_path

    assert locate_checkpoint("hf://owner/name", hub, kaggle) == tmp_path
    assert locate_checkpoint("hf://owner/name@v2", hub, kaggle) == tmp_path
    assert locate_checkpoint("kaggle://keras/bert/keras/bert_tiny_en_uncased/3", hub, kaggle) == tmp_path
    pytest.importorskip("keras_hub")
    assert locate_checkpoint("bert_tiny_en_uncased", hub, kaggle) == tmp_path
    assert asked[:2] == [("owner/name", None, True), ("owner/name", "v2", True)]
    assert asked[2][0] == "keras/bert/keras/bert_tiny_en_uncased/3"
    assert asked[3][0].startswith("keras/bert/keras/bert_tiny_en_uncased")


@pytest.mark.slow
def test_minilm_is_used_entirely_and_gives_the_published_similarities(minilm: Path) -> None:
    """Cosines that the authors of sentence-transformers print in their quick start for this model."""
    checkpoint = read_checkpoint(str(minilm))
    assert checkpoint.unused == ("embeddings.position_ids",)
    assert checkpoint.weights.keys() == canonical_shapes(checkpoint.architecture).keys()
    assert (checkpoint.architecture.activation, checkpoint.lowercase) == ("gelu", True)
    assert checkpoint.vocabulary is not None
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    encoded = WordPieceTokenizer(checkpoint.vocabulary, lowercase=True).encode(sentences, None, 64)
    pairs = zip(encoded.token_ids, encoded.segment_ids, strict=True)
    means = np.stack([bert_in_numpy(checkpoint, ids, segments).mean(axis=0) for ids, segments in pairs])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    published = np.array([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    assert np.abs(means @ means.T - published).max() < 1e-3


def bert_in_numpy(checkpoint: Checkpoint, token_ids: np.ndarray, segment_ids: np.ndarray) -> Any:
    """The last hidden states (length, hidden) of one unpadded example, as Devlin et al. have them."""
    weights, architecture = checkpoint.weights, checkpoint.architecture

    def norm(x: np.ndarray, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + architecture.layer_norm_epsilon)
        return x * weights[f"{name}/norm/gamma"] + weights[f"{name}/norm/beta"]

    def dense(x: np.ndarray, name: str) -> Any:
        return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), architecture.num_heads, -1).swapaxes(0, 1)

    hidden = weights["embeddings/token"][token_ids] + weights["embeddings/position"][: len(token_ids)]
    hidden = norm(hidden + weights["embeddings/segment"][segment_ids], "embeddings")
    for block in range(architecture.num_layers):
        attention = f"block_{block}/attention"
        query, key, value = (heads(dense(hidden, f"{attention}/{name}")) for name in ("query", "key", "value"))
        scores = np.exp(query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1]))
        context = (scores / scores.sum(-1, keepdims=True)) @ value
        context = context.swapaxes(0, 1).reshape(hidden.shape)
        hidden = norm(hidden + dense(context, f"{attention}/output"), attention)
        feed_forward = f"block_{block}/feed_forward"
        inner = gelu(dense(hidden, f"{feed_forward}/intermediate"), architecture.activation)
        hidden = norm(hidden + dense(inner, f"{feed_forward}/output"), feed_forward)
    return hidden


def gelu(x: np.ndarray, activation: str) -> Any:
    if activation == "gelu_tanh":
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    special = pytest.importorskip("scipy.special")
    return 0.5 * x * (1 + special.erf(x / np.sqrt(2)))
