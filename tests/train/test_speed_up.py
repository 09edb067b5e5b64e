"""Search and re-training of a classifier that was fine-tuned in Keras."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

import power_bert
from fixtures.tiny_runs import sentences
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.reports.finish_run import finish_run
from power_bert.runs.run_dir import RunDir
from power_bert.train.speed_up import speed_up

TEXTS = sentences(40, 0, 9)
NAMES = ["first" if number % 2 else "second" for number in range(40)]
QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "verbose": False}


@pytest.fixture
def classifier(make_classifier: Callable[..., Any]) -> Any:
    return make_classifier(labels=("first", "second"))


@pytest.mark.slow
class TestRuns:
    @pytest.fixture(scope="class")
    def run(self, make_classifier: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A run that `speed_up` has left."""
        folder = tmp_path_factory.mktemp("speed_up") / "run"
        classifier = make_classifier(labels=("first", "second"))
        before = classifier.predict(TEXTS[:3], verbose=0)
        fast = speed_up(classifier, (TEXTS, NAMES), (TEXTS[:9], NAMES[:9]), 1.5, folder, **QUICK)
        assert fast.backbone.extraction == "hard" and fast.labels == ("first", "second")
        assert min(fast.backbone.retention.values) < 1
        np.testing.assert_array_equal(classifier.predict(TEXTS[:3], verbose=0), before)
        return folder

    def test_it_is_a_whole_run(self, run: Path) -> None:
        finish_run(RunDir(run))
        assert "accuracy" in (run / "summary.txt").read_text(encoding="utf-8")

    def test_keras_hub_loads_it(self, run: Path) -> None:
        expected = PowerBertTextClassifier.from_preset(str(run / "3_retrain" / "model")).predict(TEXTS[:5], verbose=0)
        assert power_bert.PowerBertTextClassifier is PowerBertTextClassifier
        for folder in (run, run / "3_retrain", run / "3_retrain" / "model"):
            loaded = keras_hub.models.TextClassifier.from_preset(str(folder))
            np.testing.assert_array_equal(loaded.predict(TEXTS[:5], verbose=0), expected)
        first = keras_hub.models.TextClassifier.from_preset(str(run / "1_fine_tune"))
        assert first.backbone.extraction is None

    def test_a_new_head_on_a_run(self, run: Path) -> None:
        classifier = PowerBertTextClassifier.from_preset(str(run), labels=["a", "b", "c"], sequence_length=11)
        assert (classifier.num_classes, classifier.labels) == (3, ("a", "b", "c"))
        assert classifier.preprocessor is not None and classifier.preprocessor.sequence_length == 11

    def test_scores_of_pairs_and_a_model_that_eliminates_already(
        self, make_classifier: Callable[..., Any], tmp_path: Path
    ) -> None:
        regressor = make_classifier(labels=None, extraction="hard", retention=(0.5, 0.2))
        pairs, scores = (TEXTS, TEXTS[::-1]), np.linspace(0, 5, 40)
        fast = speed_up(regressor, (pairs, scores), (pairs, scores), 1.5, **QUICK)
        assert fast.is_regressor and fast.backbone.extraction == "hard"
        assert regressor.backbone.retention.values == (0.5, 0.2)


def test_bad_arguments(classifier: Any, make_backbone: Any, tmp_path: Path) -> None:
    good = (TEXTS, NAMES)
    with pytest.raises(UserError, match="label 'third': expected one of first, second, or an index below 2"):
        speed_up(classifier, (TEXTS, ["third"] * 40), good, **QUICK)
    with pytest.raises(UserError, match="label 2: expected one of first, second"):
        speed_up(classifier, good, (TEXTS, [2] * 40), **QUICK)
    with pytest.raises(UserError, match="example 0 of the train data is"):
        speed_up(classifier, ([3] * 40, NAMES), good, **QUICK)
    with pytest.raises(UserError, match="unknown settings epoch; known are"):
        speed_up(classifier, good, good, epoch=3)
    with pytest.raises(UserError, match=r"SPEEDUP=0\.5 is out of range"):
        speed_up(classifier, good, good, 0.5)
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="not empty; give the path of a new folder as output_dir"):
        speed_up(classifier, good, good, output_dir=tmp_path)
    with pytest.raises(UserError, match="takes a classifier with a preprocessor"):
        speed_up(PowerBertTextClassifier(make_backbone(), 2), good, good)


class TestKerasHabits:
    def test_texts_are_shuffled_and_keep_their_labels(self, classifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(keras_hub.models.Task, "fit", lambda self, x, y, **more: seen.append((x, y, more)))
        pairs, indices = (TEXTS, TEXTS[::-1]), classifier.class_indices(NAMES)
        classifier.fit(pairs, indices, epochs=2, sample_weight=np.arange(40))
        (first, second), y, more = seen[0]
        assert first != TEXTS and sorted(first) == sorted(TEXTS) and more.pop("epochs") == 2
        order = more.pop("sample_weight")
        assert [TEXTS[row] for row in order] == first and [TEXTS[::-1][row] for row in order] == second
        assert (indices[order] == y).all() and more == {"shuffle": False}
        classifier.fit(TEXTS, indices, shuffle=False)
        assert seen[1][0] == TEXTS
        classifier.fit(np.array(TEXTS), indices, validation_split=0.25)
        assert seen[2][0][30:].tolist() == TEXTS[30:] and seen[2][0][:30].tolist() != TEXTS[:30]

    def test_predict_labels(self, classifier: Any) -> None:
        labels, probabilities = classifier.predict_labels(TEXTS, batch_size=7)
        logits = classifier.predict(TEXTS, verbose=0)
        expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
        assert labels == [("first", "second")[index] for index in expected.argmax(-1)]
        pairs = classifier.predict_labels((TEXTS[:3], TEXTS[3:6])).probabilities
        assert np.abs(pairs - probabilities[:3]).max() > 1e-4
        assert classifier.predict_labels([]).probabilities.shape == (0, 2)

    def test_predict_labels_without_names_and_of_scores(self, make_classifier: Callable[..., Any]) -> None:
        unnamed = make_classifier()
        unnamed.labels = None
        assert set(unnamed.predict_labels(TEXTS).labels) <= {"0", "1"}
        with pytest.raises(ValueError, match="the classes have no names"):
            unnamed.class_indices(["a"])
        with pytest.raises(ValueError, match="a regressor has no labels"):
            make_classifier(labels=None).predict_labels(TEXTS)

    def test_labels_that_are_texts(self, classifier: Any) -> None:
        with pytest.raises(ValueError, match="'third' is none of the labels first, second"):
            classifier.class_indices(["first", "third"])
        with pytest.raises(ValueError, match="give class indices, which `class_indices` makes of names"):
            classifier.fit(TEXTS, NAMES)

    def test_a_keras_file_loads_without_warnings_and_keeps_its_optimizer(
        self, classifier: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
    ) -> None:
        classifier.save(tmp_path / "untrained.keras")
        assert keras.saving.load_model(tmp_path / "untrained.keras").compiled
        classifier.compile(keras.optimizers.Adam(3e-4))
        classifier.fit(TEXTS, classifier.class_indices(NAMES), verbose=0)
        classifier.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        # "__array__ … copy" is Keras' own under NumPy 2.
        messages = [str(warning.message) for warning in recwarn.list if "power_bert" not in str(warning.filename)]
        assert [message for message in messages if not message.startswith("__array__")] == []
        assert float(loaded.optimizer.learning_rate) == pytest.approx(3e-4)
        assert int(loaded.optimizer.iterations) == int(classifier.optimizer.iterations) == 2
        assert loaded.predict_labels(TEXTS).labels == classifier.predict_labels(TEXTS).labels
