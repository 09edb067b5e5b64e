"""The classifier as its users see it: raw strings in, logits out, presets on disk."""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fixtures.tiny_models import logits_of
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.preprocessor import PowerBertTextClassifierPreprocessor, PowerBertTokenizer
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.wordpiece_vocabulary import Vocabulary
from power_bert_runtime.tokenizer_settings import AddedToken, TokenizerSettings

TEXTS = ["The cat sat on the mat.", "A dog ran away", "", "still flew very slowly over a rug and a bird"]
SECONDS = ["a bird flew", "the cat ran on and on and on", "dog", "?"]
LABELS = np.array([0, 2, 1, 1])


@pytest.fixture
def make_classifier(make_backbone: Any, vocabulary: list[str], randomize: Any) -> Any:
    def make(num_classes: int = 3, labels: Any = None, **changes: Any) -> PowerBertTextClassifier:
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        classifier = PowerBertTextClassifier(make_backbone(**changes), num_classes, preprocessor, labels, dropout=0.2)
        return randomize(classifier)  # type: ignore[no-any-return]

    return make


def arrays(vocabulary: list[str], first: list[str], second: list[str] | None = None) -> dict[str, np.ndarray]:
    encoded = WordPieceTokenizer(vocabulary, lowercase=True).encode(first, second, 9)
    inputs = {name: np.zeros((len(first), 9), "int32") for name in ("token_ids", "segment_ids", "padding_mask")}
    for row, (token_ids, segment_ids) in enumerate(zip(encoded.token_ids, encoded.segment_ids, strict=True)):
        inputs["token_ids"][row, : len(token_ids)] = token_ids
        inputs["segment_ids"][row, : len(token_ids)] = segment_ids
        inputs["padding_mask"][row, : len(token_ids)] = 1
    return inputs


class TestRawStrings:
    def test_predict_on_single_texts_and_on_pairs(self, make_classifier: Any, vocabulary: list[str]) -> None:
        classifier = make_classifier()
        single = classifier.predict(TEXTS, verbose=0)
        pairs = classifier.predict((TEXTS, SECONDS), verbose=0)
        assert single.shape == pairs.shape == (4, 3)
        np.testing.assert_allclose(single, classifier.predict(arrays(vocabulary, TEXTS), verbose=0), atol=1e-5)
        expected = np.asarray(classifier(arrays(vocabulary, TEXTS, SECONDS)))
        np.testing.assert_allclose(pairs, expected, atol=1e-5)
        assert np.abs(single - pairs).max() > 1e-3

    def test_fit_and_evaluate(self, make_classifier: Any) -> None:
        classifier = make_classifier(extraction="hard", retention=(5, 2))
        classifier.compile(keras.optimizers.SGD(0.1), jit_compile=False)
        before = [np.array(weight) for weight in classifier.weights]
        history = classifier.fit(TEXTS, LABELS, batch_size=4, epochs=1, verbose=0).history
        assert np.isfinite(history["loss"]).all() and "sparse_categorical_accuracy" in history
        moved = [bool(np.abs(old - new).max() > 0) for old, new in zip(before, classifier.weights, strict=True)]
        # Softmax does not see a bias of the keys, up to rounding.
        still = [weight.path for weight, has in zip(classifier.weights, moved, strict=True) if not has]
        assert all(path.endswith("key/bias") for path in still)
        assert np.isfinite(classifier.evaluate(TEXTS, LABELS, verbose=0)).all()

    def test_a_step_of_the_search_holds_the_retention_in_its_interval(self, make_classifier: Any) -> None:
        classifier = make_classifier(extraction="soft", retention_parameters=9)
        backbone = classifier.backbone
        backbone.search.set_regularization(10.0, tokens_per_example=6.0)
        classifier.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
        classifier.fit((TEXTS, SECONDS), LABELS, batch_size=4, verbose=0)
        first, _ = backbone.search.variables
        assert np.asarray(first).tolist() == [1.0] + [0.0] * 8  # the regularizer has overshot
        assert backbone.search.masses()[0] == 1.0

    def test_arrays_can_be_trained_on_too(self, make_classifier: Any, vocabulary: list[str]) -> None:
        classifier = make_classifier()
        classifier.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        assert np.isfinite(classifier.train_on_batch(arrays(vocabulary, TEXTS), LABELS)).all()


class TestPreprocessor:
    def test_pads_to_the_longest_of_the_batch(self, vocabulary: list[str]) -> None:
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        inputs = preprocessor(["the cat", "a dog ran away"])
        expected = arrays(vocabulary, ["the cat", "a dog ran away"])
        for name, values in inputs.items():
            assert values.shape == (2, 6) and values.dtype == np.int32
            np.testing.assert_array_equal(values, expected[name][:, :6])

    def test_a_single_string_is_one_text(self, vocabulary: list[str]) -> None:
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        for name, values in preprocessor("the cat").items():
            np.testing.assert_array_equal(values, preprocessor(["the cat"])[name])

    def test_pairs(self, vocabulary: list[str]) -> None:
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        expected = arrays(vocabulary, TEXTS, SECONDS)
        for inputs in (preprocessor((TEXTS, SECONDS), None), preprocessor((TEXTS, SECONDS), LABELS)[0]):
            assert inputs["segment_ids"].max() == 1
            for name, values in inputs.items():
                np.testing.assert_array_equal(values, expected[name])

    def test_labels_and_weights_pass_through(self, vocabulary: list[str]) -> None:
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary))
        inputs, labels, weights = preprocessor(np.array(TEXTS), LABELS, np.ones(4))
        assert inputs["token_ids"].shape[0] == 4
        np.testing.assert_array_equal(labels, LABELS)
        np.testing.assert_array_equal(weights, np.ones(4))

    @pytest.mark.parametrize("paired", [False, True])
    def test_inside_a_tf_data_pipeline(self, vocabulary: list[str], paired: bool) -> None:
        tf = pytest.importorskip("tensorflow")
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(vocabulary), sequence_length=9)
        first = ["Café, the CAFÉ", *TEXTS[:3]]
        texts = (first, SECONDS) if paired else first
        dataset = tf.data.Dataset.from_tensor_slices((texts, LABELS)).batch(2).map(preprocessor)
        for start, (inputs, labels) in zip((0, 2), dataset, strict=True):
            rows = slice(start, start + 2)
            expected = preprocessor((first[rows], SECONDS[rows]) if paired else first[rows], None)
            assert sorted(inputs) == sorted(expected)
            for name, values in expected.items():
                np.testing.assert_array_equal(inputs[name], values)
            np.testing.assert_array_equal(labels, LABELS[rows])

    def test_tokenizer(self, vocabulary: list[str]) -> None:
        tokenizer = PowerBertTokenizer(vocabulary)
        assert tokenizer.get_vocabulary() == vocabulary and tokenizer.vocabulary_size() == 31
        ids = [vocabulary.index(token) for token in ("[CLS]", "the", "cat", "[SEP]")]
        assert [row.tolist() for row in tokenizer.tokenize(["The cat"])] == [ids]
        assert tokenizer.tokenize("The cat").tolist() == ids
        with pytest.raises(ValueError, match="no vocabulary yet"):
            PowerBertTokenizer().get_vocabulary()


def test_a_regressor_is_trained_on_squared_error(make_classifier: Any) -> None:
    classifier = make_classifier(num_classes=1, dropout=0.0, attention_dropout=0.0)
    assert classifier.is_regressor and isinstance(classifier.loss, keras.losses.MeanSquaredError)
    targets = np.array([0.0, 2.5, 5.0, 1.2], "float32")
    classifier.run_eagerly = True
    predicted = logits_of(classifier, TEXTS)
    assert predicted.shape == (4, 1)
    assert classifier.evaluate(TEXTS, targets, verbose=0) == pytest.approx(((predicted[:, 0] - targets) ** 2).mean())


def test_outputs_are_float32_logits_in_mixed_precision(make_classifier: Any) -> None:
    predicted = logits_of(make_classifier(dtype="mixed_bfloat16"), TEXTS)
    assert predicted.dtype == np.float32 and np.isfinite(predicted).all()


def test_labels_must_fit_the_classes(make_classifier: Any) -> None:
    with pytest.raises(ValueError, match="2 labels for num_classes=3"):
        make_classifier(labels=["no", "yes"])


class TestPresets:
    def test_through_keras_hub_and_with_a_cased_vocabulary(self, tmp_path: Path, make_backbone: Any) -> None:
        import keras_hub

        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Cat", "cat", "Café"]
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(words, lowercase=False))
        PowerBertTextClassifier(make_backbone(), 2, preprocessor).save_to_preset(str(tmp_path))
        twin = keras_hub.models.TextClassifier.from_preset(str(tmp_path))
        assert isinstance(twin, PowerBertTextClassifier)
        assert twin.preprocessor.tokenizer.lowercase is False
        assert twin.preprocessor.tokenizer.tokenize(["Cat cat Café cafe"])[0].tolist() == [2, 5, 6, 7, 1, 3]

    @pytest.mark.parametrize("form", ["preset", "keras"])
    def test_tokenizer_settings_survive(self, tmp_path: Path, make_backbone: Any, form: str) -> None:
        settings = TokenizerSettings(
            lowercase=True,
            strip_accents=False,
            tokenize_chinese_chars=False,
            unk_token="<unk>",
            added_tokens=(AddedToken("[E]"),),
        )
        words = Vocabulary(["[PAD]", "<unk>", "[CLS]", "[SEP]", "caf\u00e9", "cafe", "\u4e2d\u56fd", "[E]"], settings)
        preprocessor = PowerBertTextClassifierPreprocessor(PowerBertTokenizer(words))
        classifier = PowerBertTextClassifier(make_backbone(), 2, preprocessor)
        if form == "preset":
            classifier.save_to_preset(str(tmp_path))
            twin = PowerBertTextClassifier.from_preset(str(tmp_path))
            assert PowerBertTokenizer.from_preset(str(tmp_path)).settings == settings
        else:
            classifier.save(tmp_path / "model.keras")
            twin = keras.saving.load_model(tmp_path / "model.keras")
        assert twin.preprocessor.tokenizer.settings == settings
        assert twin.preprocessor.tokenizer.tokenize("CAF\u00c9 \u4e2d\u56fd cafe[E]x").tolist() == [2, 4, 6, 5, 7, 1, 3]

    def test_the_usual_settings_leave_no_trace_in_a_preset(self, vocabulary: list[str]) -> None:
        assert "settings" not in PowerBertTokenizer(vocabulary).get_config()
        assert PowerBertTokenizer(vocabulary).lowercase and PowerBertTokenizer().lowercase

    def test_no_optimizer_state_in_a_preset(self, tmp_path: Path, make_classifier: Any) -> None:
        classifier = make_classifier()
        classifier.save_to_preset(str(tmp_path / "untrained"))
        classifier.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
        classifier.fit(TEXTS, LABELS, batch_size=4, verbose=0)
        classifier.save_to_preset(str(tmp_path / "trained"))
        sizes = {
            folder: {path.name: path.stat().st_size for path in (tmp_path / folder).rglob("*.h5")}
            for folder in ("untrained", "trained")
        }
        assert sizes["trained"].keys() == sizes["untrained"].keys() and sizes["trained"]
        for name, size in sizes["trained"].items():
            assert size < sizes["untrained"][name] + 2000, name
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            twin = PowerBertTextClassifier.from_preset(str(tmp_path / "trained"))
        np.testing.assert_allclose(logits_of(twin, TEXTS), logits_of(classifier, TEXTS), atol=1e-6)
