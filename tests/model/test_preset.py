"""Tests of power_bert.model.preset: a damaged preset is never taken for whole."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.masked_lm import PowerBertMaskedLM
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.model.pretrained import load_pretrained
from power_bert.model.students.bilstm import BiLstmBackbone, BiLstmTextClassifier
from power_bert.model.trained_classifier import load_own_classifier, load_trained_classifier
from power_bert.storage.folder_manifest import MANIFEST_FILE

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog", "sleeps"]
VOCABULARY = "assets/tokenizer/vocabulary.txt"
FILES = (
    *("config.json", "task.json", "preprocessor.json", "tokenizer.json", "metadata.json"),
    *("model.weights.h5", "task.weights.h5", VOCABULARY),
)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small preset: a student of eight words."""
    folder = tmp_path_factory.mktemp("student") / "model"
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(WORDS), 9)
    backbone = BiLstmBackbone(len(WORDS), embedding_dim=2, units=2, hidden_dim=3)
    BiLstmTextClassifier(backbone, 2, preprocessor, ("no", "yes")).save_to_preset(str(folder))
    return folder


@pytest.fixture
def copied(student: Path, tmp_path: Path) -> Path:
    return shutil.copytree(student, tmp_path / "model")


def without_manifest(folder: Path) -> Path:
    """The folder as an older version or another program leaves it."""
    (folder / MANIFEST_FILE).unlink()
    return folder


def make_bert() -> PowerBertTextClassifier:
    preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(WORDS), 9)
    return PowerBertTextClassifier(PowerBertBackbone(len(WORDS), 1, 2, 4, 6, 9), 3, preprocessor)


def weights(folder: Path) -> list[np.ndarray]:
    return [np.array(weight) for weight in load_own_classifier(folder).weights]


class TestManifest:
    @pytest.mark.parametrize("name", FILES)
    def test_a_missing_file_is_named(self, copied: Path, name: str) -> None:
        (copied / name).unlink()
        with pytest.raises(UserError, match=rf"model/{name}: missing"):
            load_own_classifier(copied)

    @pytest.mark.parametrize("name", FILES)
    def test_a_cut_file_is_named(self, copied: Path, name: str) -> None:
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[:-1])
        with pytest.raises(
            UserError, match=rf"model/{name}: {len(content) - 1} bytes, but {len(content)} were written"
        ):
            load_own_classifier(copied)

    def test_an_altered_file_is_named(self, copied: Path) -> None:
        task = copied / "task.json"
        task.write_text(task.read_text(encoding="utf-8").replace('"yes"', '"yep"'), encoding="utf-8")
        with pytest.raises(UserError, match=r"task\.json: altered since it was written"):
            load_own_classifier(copied)

    def test_cards_and_further_files_do_not_count(self, copied: Path, student: Path) -> None:
        (copied / "README.md").write_text("# edited", encoding="utf-8")
        (copied / ".DS_Store").write_bytes(b"x")
        for loaded, stored in zip(weights(copied), weights(student), strict=True):
            np.testing.assert_array_equal(loaded, stored)

    def test_a_tokenizer_saved_into_the_folder_counts(self, copied: Path) -> None:
        PowerBertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "cat"]).save_to_preset(str(copied))
        classifier = load_own_classifier(copied)
        assert classifier.preprocessor.tokenizer.get_vocabulary()[5:] == ["dog", "cat"]

    def test_an_encoder_is_checked_too(self, tmp_path: Path) -> None:
        make_bert().save_to_preset(str(tmp_path / "model"))
        with open(tmp_path / "model" / "model.weights.h5", "ab") as file:
            file.write(b"x")
        with pytest.raises(UserError, match=r"model\.weights\.h5: .* bytes, but .* were written"):
            load_pretrained(str(tmp_path / "model"))


class TestWithoutManifest:
    def test_it_loads(self, copied: Path, student: Path) -> None:
        for loaded, stored in zip(weights(without_manifest(copied)), weights(student), strict=True):
            np.testing.assert_array_equal(loaded, stored)

    @pytest.mark.parametrize(("name", "count"), [("task.weights.h5", 2), ("model.weights.h5", 6)])
    def test_no_weight_is_left_at_random(self, copied: Path, name: str, count: int) -> None:
        (without_manifest(copied) / name).unlink()
        with pytest.raises(UserError, match=rf"model/{name}: missing, so {count} weights would be random"):
            load_own_classifier(copied)

    def test_a_weight_that_no_file_fills_is_named(self, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("keras.layers.Dense.load_own_variables", lambda layer, store: None)
        with pytest.raises(UserError, match=r"task\.weights\.h5: no value for the weight .*kernel"):
            load_own_classifier(without_manifest(copied))

    def test_a_weight_that_is_not_finite_is_named(self, student: Path, tmp_path: Path) -> None:
        classifier = load_own_classifier(student)
        classifier.output_dense.bias.assign([0.0, np.nan])
        classifier.save_to_preset(str(tmp_path))
        with pytest.raises(UserError, match=r"task\.weights\.h5: no value for the weight .*bias, or one that is not"):
            load_own_classifier(tmp_path)

    def test_the_head_of_another_task_is_refused(self, tmp_path: Path) -> None:
        make_bert().save_to_preset(str(tmp_path))
        with pytest.raises(UserError, match=r"task\.weights\.h5: damaged, or not the weights of the model"):
            PowerBertMaskedLM.from_preset(str(tmp_path), preprocessor=None)

    def test_a_new_head_where_it_is_asked_for(self, tmp_path: Path) -> None:
        classifier = make_bert()
        classifier.save_to_preset(str(tmp_path))
        twin = PowerBertTextClassifier.from_preset(str(tmp_path), num_classes=5)
        assert twin.num_classes == 5 and np.isfinite(np.array(twin.output_dense.kernel)).all()
        np.testing.assert_array_equal(twin.backbone.weights[0], classifier.backbone.weights[0])

    @pytest.mark.parametrize(
        ("name", "old", "new", "message"),
        [
            ("task.json", '"num_classes": 2', '"num_classes": "two"', r"task\.json: damaged, or not the description"),
            ("task.json", '"no"', "1", r"task\.json: damaged, or not the description .*labels"),
            ("task.json", '"sequence_length": 9', '"sequence_length": "9"', r"task\.json: .*sequence_length='9'"),
            ("config.json", "BiLstmBackbone", "NoBackbone", r"config\.json: damaged, .*unknown class"),
            ("config.json", "{", "", r"config\.json, line 2: not valid JSON"),
            (VOCABULARY, "[SEP]\n", "", r"vocabulary\.txt: special tokens are missing: \[SEP\]"),
            (VOCABULARY, "cat", "cat\nmouse", r"the vocabulary has 9 tokens, but .* the encoder there has 8 rows"),
        ],
    )
    def test_an_edited_file_is_named(self, copied: Path, name: str, old: str, new: str, message: str) -> None:
        path = without_manifest(copied) / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(
            text.replace(old, new, 1) if name != "config.json" else text.replace(old, new), encoding="utf-8"
        )
        with pytest.raises(UserError, match=message):
            load_own_classifier(copied)


def test_a_hugging_face_head_on_an_encoder_without_a_pooler_is_refused(
    tmp_path: Path, write_checkpoint: Callable[..., Path]
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = write_checkpoint(tmp_path / "hf", WORDS, 1, 2, 4, 6)
    stored = load_file(folder / "model.safetensors")
    whole = {name: value for name, value in stored.items() if not name.startswith("pooler")}
    whole |= {"classifier.weight": np.ones((2, 4), np.float32), "classifier.bias": np.zeros(2, np.float32)}
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="has a head, but no pooler/kernel, pooler/bias, so its predictions would be"):
        load_trained_classifier(str(folder), 9)


@pytest.mark.parametrize("has_manifest", [True, False])
def test_any_damage_is_a_user_error(has_manifest: bool, copied: Path) -> None:
    """With a manifest the right weights or an error; without one at least nothing but a `UserError`."""
    expected = weights(copied)
    names = [*FILES, MANIFEST_FILE] if has_manifest else FILES
    contents = {name: (copied / name).read_bytes() for name in names}
    if not has_manifest:
        without_manifest(copied)

    @mutation_settings
    @given(st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), mutated(contents[name]))))
    def check(damaged: tuple[str, bytes]) -> None:
        name, content = damaged
        (copied / name).write_bytes(content)
        try:
            found = weights(copied)
        except UserError as error:
            assert str(copied) in str(error)
        else:
            if has_manifest:
                for loaded, stored in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(loaded, stored)
        finally:
            (copied / name).write_bytes(contents[name])

    check()
