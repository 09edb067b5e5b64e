"""From checkpoints to classifiers, and from one form of a classifier to another."""

from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import (
    BertArchitecture,
    Checkpoint,
    canonical_shapes,
    write_hugging_face,
    write_tf1_checkpoint,
)
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_classifier, plain_tokenizer, rebuild_classifier
from power_bert.model.pretrained import (
    backbone_from_checkpoint,
    canonical_variables,
    check_max_length,
    load_pretrained,
    rebuild_backbone,
)

TEXTS = ["the cat sat on a mat", "a bird flew away ?"]


@pytest.fixture
def checkpoint(vocabulary: list[str], sizes: dict[str, int]) -> Checkpoint:
    architecture = BertArchitecture(**sizes, dropout=0.15, activation="relu", layer_norm_epsilon=1e-9)
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(0.1, 0.5, shape).astype("float32")
        for name, shape in canonical_shapes(architecture).items()
    }
    return Checkpoint("made by the test", architecture, weights, (), vocabulary, lowercase=True)


@pytest.fixture
def hugging_face(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    write_hugging_face(tmp_path / "hugging_face", checkpoint)
    return tmp_path / "hugging_face"


class TestCanonicalVariables:
    @pytest.mark.parametrize("mode", ["none", "soft_scale", "hard_tokens"])
    def test_every_weight_has_a_name(
        self, mode: str, similarity: str, all_modes: dict[str, Any], make_backbone: Any, checkpoint: Checkpoint
    ) -> None:
        backbone = make_backbone(similarity=similarity, **all_modes[mode])
        variables = canonical_variables(backbone)
        assert {name: tuple(variable.shape) for name, variable in variables.items()} == canonical_shapes(
            checkpoint.architecture
        )
        named = {id(variable) for variable in variables.values()}
        assert len(named) == len(variables)
        others = {weight.name for weight in backbone.weights if id(weight) not in named}
        assert others <= {"retention", "similarity_scale"}

    def test_every_weight_is_loaded(self, checkpoint: Checkpoint) -> None:
        backbone = backbone_from_checkpoint(checkpoint)
        for name, variable in canonical_variables(backbone).items():
            np.testing.assert_array_equal(variable, checkpoint.weights[name], err_msg=name)
        assert (backbone.activation, backbone.layer_norm_epsilon, backbone.dropout) == ("relu", 1e-9, 0.15)


class TestLoad:
    def test_hugging_face_folder(self, hugging_face: Path, checkpoint: Checkpoint, vocabulary: list[str]) -> None:
        loaded = load_pretrained(str(hugging_face), dropout=0.3)
        np.testing.assert_array_equal(loaded.backbone.embeddings.token, checkpoint.weights["embeddings/token"])
        assert (loaded.backbone.similarity, loaded.backbone.dropout) == ("dot", 0.3)
        assert loaded.tokenizer.get_vocabulary() == vocabulary and loaded.tokenizer.lowercase
        assert len(loaded.notes) == 1
        assert "2 blocks, hidden 12, 3 heads, activation relu" in loaded.notes[0]

    def test_another_similarity_is_said(self, hugging_face: Path) -> None:
        loaded = load_pretrained(str(hugging_face), similarity="euclidean")
        assert loaded.backbone.similarity == "euclidean"
        assert "pretrained with dot attention and is loaded into euclidean attention" in loaded.notes[-1]
        assert "expect a lower score" in loaded.notes[-1]

    @pytest.mark.parametrize(("cased", "lowercase"), [(None, True), (True, False), (False, True)])
    def test_cased_flag(self, hugging_face: Path, cased: bool | None, lowercase: bool) -> None:
        assert load_pretrained(str(hugging_face), cased=cased).tokenizer.lowercase is lowercase

    def test_a_cased_checkpoint_is_asked(self, tmp_path: Path, checkpoint: Checkpoint) -> None:
        write_hugging_face(tmp_path, Checkpoint(**{**vars(checkpoint), "lowercase": False}))
        assert load_pretrained(str(tmp_path)).tokenizer.lowercase is False

    def test_unused_weights_are_said_but_for_position_ids(self, hugging_face: Path) -> None:
        path = hugging_face / "model.safetensors"
        position_ids = {"embeddings.position_ids": np.arange(17)[None]}
        save_file({**load_file(path), **position_ids}, path)
        assert not any("no place" in note for note in load_pretrained(str(hugging_face)).notes)
        save_file({**load_file(path), "lm.bias": np.zeros(3, np.float32)}, path)
        notes = load_pretrained(str(hugging_face)).notes
        assert "weights of the checkpoint that an encoder has no place for: lm.bias" in notes

    def test_a_missing_pooler_is_said(self, tmp_path: Path, checkpoint: Checkpoint) -> None:
        weights = {name: value for name, value in checkpoint.weights.items() if not name.startswith("pooler/")}
        write_hugging_face(tmp_path, Checkpoint(**{**vars(checkpoint), "weights": weights}))
        loaded = load_pretrained(str(tmp_path))
        assert loaded.notes[-1] == "the checkpoint has no pooler: it starts from random values"
        assert np.abs(np.asarray(loaded.backbone.pooler.kernel)).max() > 0

    def test_a_missing_vocabulary_says_what_to_do(self, tmp_path: Path, checkpoint: Checkpoint) -> None:
        write_hugging_face(tmp_path, Checkpoint(**{**vars(checkpoint), "vocabulary": None, "lowercase": None}))
        with pytest.raises(UserError, match=r"(?i)vocab"):
            load_pretrained(str(tmp_path))


class TestNewHead:
    """`PowerBertTextClassifier.from_preset` on an encoder of any kind."""

    @pytest.fixture(params=["hugging_face", "tf1", "keras_hub"])
    def encoder(self, request: pytest.FixtureRequest, tmp_path: Path, checkpoint: Checkpoint) -> str:
        folder = tmp_path / "encoder"
        if request.param == "hugging_face":
            write_hugging_face(folder, checkpoint)
        elif request.param == "tf1":
            write_tf1_checkpoint(folder / "bert_model.ckpt", checkpoint)
            return str(folder / "bert_model.ckpt")
        else:
            sizes = {name: getattr(checkpoint.architecture, name) for name in ("num_layers", "num_heads", "hidden_dim")}
            size = checkpoint.architecture
            keras_hub.models.BertBackbone(
                size.vocabulary_size, intermediate_dim=size.intermediate_dim, max_sequence_length=80, **sizes
            ).save_to_preset(str(folder))
            keras_hub.tokenizers.BertTokenizer(checkpoint.vocabulary, lowercase=True).save_to_preset(str(folder))
        return str(folder)

    def test_with_the_weights_of_the_encoder(self, encoder: str) -> None:
        classifier = PowerBertTextClassifier.from_preset(encoder, labels=["no", "so", "yes"], dropout=0.3)
        assert (classifier.num_classes, classifier.labels, classifier.dropout) == (3, ("no", "so", "yes"), 0.3)
        assert classifier.preprocessor is not None and classifier.preprocessor.sequence_length == 80
        expected = canonical_variables(load_pretrained(encoder).backbone)
        for name, variable in canonical_variables(classifier.backbone).items():
            np.testing.assert_array_equal(variable, expected[name], err_msg=name)
        regressor = PowerBertTextClassifier.from_preset(encoder, num_classes=1, sequence_length=7)
        assert regressor.is_regressor and regressor.preprocessor is not None
        assert regressor.preprocessor.sequence_length == 7

    def test_what_cannot_be(self, hugging_face: Path) -> None:
        with pytest.raises(UserError, match=r"without a classification head.*Give num_classes or labels in Python"):
            PowerBertTextClassifier.from_preset(str(hugging_face))
        with pytest.raises(UserError, match="MAX_LENGTH=81 is over the 80 positions"):
            PowerBertTextClassifier.from_preset(str(hugging_face), num_classes=2, sequence_length=81)
        with pytest.raises(ValueError, match="load_weights=False is for presets of this project"):
            PowerBertTextClassifier.from_preset(str(hugging_face), load_weights=False, num_classes=2)
        with pytest.raises(ValueError, match="2 labels for num_classes=3"):
            PowerBertTextClassifier.from_preset(str(hugging_face), num_classes=3, labels=["no", "yes"])


class TestOwnPreset:
    @pytest.fixture
    def preset(self, tmp_path: Path, hugging_face: Path, randomize: Any) -> Path:
        classifier = build_classifier(load_pretrained(str(hugging_face)), 2, ["no", "yes"], 9)
        randomize(classifier)
        rebuild_classifier(classifier, extraction="hard", retention=(5, 1)).save_to_preset(str(tmp_path / "preset"))
        return tmp_path / "preset"

    def test_loads_without_its_extraction(self, preset: Path, vocabulary: list[str], make_inputs: Any) -> None:
        loaded = load_pretrained(str(preset))
        assert (loaded.backbone.extraction, loaded.backbone.retention) == (None, None)
        assert loaded.tokenizer.get_vocabulary() == vocabulary
        assert len(loaded.notes) == 1 and "a preset of this project, 2 blocks" in loaded.notes[0]
        stored = canonical_variables(PowerBertTextClassifier.from_preset(str(preset)).backbone)
        for name, variable in canonical_variables(loaded.backbone).items():
            np.testing.assert_array_equal(variable, stored[name], err_msg=name)

    def test_a_new_head_keeps_the_encoder_and_its_extraction(self, preset: Path) -> None:
        old, new = (PowerBertTextClassifier.from_preset(str(preset), labels=names) for names in (None, ["a", "b", "c"]))
        assert (new.labels, new.backbone.retention, new.preprocessor.sequence_length) == (
            ("a", "b", "c"),
            old.backbone.retention,
            9,
        )
        for name, variable in canonical_variables(new.backbone).items():
            np.testing.assert_array_equal(variable, canonical_variables(old.backbone)[name], err_msg=name)
        assert PowerBertTextClassifier.from_preset(str(preset), sequence_length=5).preprocessor.sequence_length == 5
        old.backbone.save_to_preset(str(preset.parent / "encoder"))
        with pytest.raises(UserError, match="without a classification head"):
            PowerBertTextClassifier.from_preset(str(preset.parent / "encoder"))

    @pytest.mark.parametrize("given", [{"vocab_path": "v.txt"}, {"bert_config_path": "c.json"}, {"cased": True}])
    def test_nothing_can_replace_what_it_holds(self, given: dict[str, Any], preset: Path) -> None:
        with pytest.raises(UserError, match="has its own vocabulary and configuration; leave VOCAB_PATH"):
            load_pretrained(str(preset), **given)

    def test_another_similarity_is_loaded_and_said(self, preset: Path) -> None:
        loaded = load_pretrained(str(preset), similarity="cosine")
        assert loaded.backbone.similarity == "cosine"
        np.testing.assert_allclose(loaded.backbone.blocks[0].attention.scale, 0.1)
        assert "pretrained with dot attention and is loaded into cosine attention" in loaded.notes[-1]
        stored = canonical_variables(PowerBertBackbone.from_preset(str(preset)))
        for name, variable in canonical_variables(loaded.backbone).items():
            np.testing.assert_array_equal(variable, stored[name], err_msg=name)


class TestRebuild:
    def test_the_same_outputs_where_nothing_is_dropped(
        self, similarity: str, hugging_face: Path, make_inputs: Any, randomize: Any
    ) -> None:
        loaded = load_pretrained(str(hugging_face), similarity=similarity)
        classifier = randomize(build_classifier(loaded, 3, ["a", "b", "c"], 9))
        expected = np.asarray(classifier(make_inputs()))
        for changes in (
            {"extraction": "soft", "retention_parameters": 9},
            {"extraction": "soft", "retention_parameters": 9, "retention_profile": "threshold"},
            {"extraction": "hard", "retention": (9, 9)},
            {},
        ):
            twin = rebuild_classifier(classifier, **changes)
            assert (twin.labels, twin.num_classes, twin.dropout) == (("a", "b", "c"), 3, classifier.dropout)
            assert twin.preprocessor.tokenizer.get_vocabulary() == loaded.tokenizer.get_vocabulary()
            np.testing.assert_allclose(twin(make_inputs()), expected, atol=1e-5)

    def test_weights_are_copies(self, make_backbone: Any) -> None:
        backbone = make_backbone()
        twin = rebuild_backbone(backbone, extraction="hard", retention=(5, 3))
        before = np.array(backbone.embeddings.token)
        twin.embeddings.token.assign(before + 1)
        np.testing.assert_array_equal(backbone.embeddings.token, before)

    def test_retention_parameters_start_anew(self, make_backbone: Any, set_retention: Any) -> None:
        soft = make_backbone(extraction="soft", retention_parameters=7)
        set_retention(soft, 0.5)
        assert rebuild_backbone(soft, retention_parameters=9).search.masses() == [9.0, 9.0]

    def test_learned_scales_go_with_their_similarity_only(self, make_backbone: Any) -> None:
        backbone = make_backbone(similarity="gaussian")
        backbone.blocks[0].attention.scale.assign([0.5, 0.6, 0.7])
        same, other = (rebuild_backbone(backbone, similarity=name) for name in ("gaussian", "cosine"))
        np.testing.assert_allclose(same.blocks[0].attention.scale, [0.5, 0.6, 0.7])
        np.testing.assert_allclose(other.blocks[0].attention.scale, [0.1, 0.1, 0.1])


class TestBuildClassifier:
    def test_maximum_length_over_the_positions(self, hugging_face: Path) -> None:
        loaded = load_pretrained(str(hugging_face))
        with pytest.raises(UserError, match=r"MAX_LENGTH=81 is over the 80 positions .* set MAX_LENGTH to 80 or less"):
            build_classifier(loaded, 2, None, 81)
        check_max_length(80, loaded.backbone)

    def test_takes_raw_strings(self, hugging_face: Path, vocabulary: list[str]) -> None:
        classifier = build_classifier(load_pretrained(str(hugging_face)), 2, ["no", "yes"], 9)
        assert classifier(classifier.preprocessor(TEXTS)).shape == (2, 2)
        assert classifier.preprocessor.sequence_length == 9
        assert plain_tokenizer(classifier).vocabulary == vocabulary

    def test_no_preprocessor_no_tokenizer(self, make_backbone: Any) -> None:
        with pytest.raises(ValueError, match="no tokenizer"):
            plain_tokenizer(PowerBertTextClassifier(make_backbone(), 2))
