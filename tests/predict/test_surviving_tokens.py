"""Tests of power_bert.predict.surviving_tokens: the tokens told are those that the classifier's own forward keeps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from power_bert.elimination import extraction
from power_bert.errors import UserError
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.surviving_tokens import explain_text, format_prediction, surviving_tokens
from power_bert.runs.trained_model import TrainedModel
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import get_task
from power_bert_runtime.padding import pad_batch

TEXTS = ["the cat saw a big dog under the tree .", "a mouse ran .", "not very big and quickly today , the dog sat"]
RETENTIONS = [(0.7, 0.4), (5, 3), (1.0, 0.0001), (0.6, 0.6), (0.0001, 0.0001)]


def batch_of(classifier: Any, texts: list[str], padding: int = 0) -> dict[str, np.ndarray]:
    encoded = classifier.preprocessor.tokenizer.word_pieces.encode(texts, None, 24)
    return pad_batch(encoded, np.arange(len(texts)), int(encoded.lengths.max()) + padding)


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the extraction layers select, as they select it: positions and whether each slot is filled."""
    found, select = [], extraction.select_words

    def remember(*arguments: Any) -> Any:
        selected = select(*arguments)
        found.append(tuple(map(np.asarray, selected)))
        return selected

    monkeypatch.setattr(extraction, "select_words", remember)
    return found


@pytest.mark.parametrize("fuse_dropped", [False, True])
@pytest.mark.parametrize("retention", RETENTIONS)
def test_kept_are_the_tokens_that_the_forward_gathers(
    retention: tuple[float, ...],
    fuse_dropped: bool,
    make_classifier: Callable[..., Any],
    gathered: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    classifier = make_classifier(extraction="hard", retention=retention, fuse_dropped=fuse_dropped)
    inputs = batch_of(classifier, TEXTS)
    gathered.clear()
    logits = np.asarray(classifier(inputs))
    selections = list(gathered)
    survival = surviving_tokens(classifier, inputs)
    np.testing.assert_allclose(survival.outputs, logits, rtol=1e-5, atol=1e-6)
    for row, length in enumerate(inputs["padding_mask"].sum(axis=1)):
        selected, left = iter(selections), list(range(length))
        for block, value in enumerate(retention):
            if value == 0.0001:
                left = [0]
            elif value != 1.0:
                positions, filled = next(selected)
                left = [left[position] for position in positions[row][filled[row]]]
            assert np.flatnonzero(survival.kept[row, block]).tolist() == left
            assert len(left) == classifier.backbone.retention.left_after(block, int(length))


@pytest.mark.parametrize("fuse_dropped", [False, True])
def test_padding_changes_nothing(fuse_dropped: bool, make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier(extraction="hard", retention=(0.7, 0.4), fuse_dropped=fuse_dropped)
    whole = surviving_tokens(classifier, batch_of(classifier, TEXTS, padding=9))
    for row, text in enumerate(TEXTS):
        inputs = batch_of(classifier, [text])
        alone = surviving_tokens(classifier, inputs)
        length = inputs["token_ids"].shape[1]
        np.testing.assert_array_equal(whole.kept[row, :, :length], alone.kept[0])
        assert not whole.kept[row, :, length:].any()
        np.testing.assert_allclose(whole.outputs[row], alone.outputs[0], rtol=1e-4, atol=1e-5)


def test_a_text_is_explained_as_it_is_predicted(make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier(("bad", "good"), extraction="hard", retention=(0.7, 0.2))
    explanation = explain_text(TrainedModel("run", classifier, get_task("cola"), None, 24, ""), TEXTS[0])
    assert explanation.tokens == ("[CLS]", *TEXTS[0].split(), "[SEP]") and not explanation.truncated
    expected = Predictor(classifier, 24).probabilities(Examples([TEXTS[0]], None, None))
    np.testing.assert_allclose(explanation.outputs, expected[0], rtol=1e-5)
    dropped = explanation.dropped_by
    assert dropped[0] == 3 and [(dropped > block).sum() for block in (1, 2)] == [9, 3]
    label = ("bad", "good")[expected[0].argmax()]
    assert format_prediction(explanation).startswith(f"{label}  (p({label}) {expected[0].max():.4f}, p(")


def test_without_elimination_all_tokens_stay(make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier(None)
    explanation = explain_text(TrainedModel("run", classifier, None, None, 6, ""), TEXTS[0])
    assert explanation.kept.all() and explanation.kept.shape == (2, 6) and explanation.truncated
    assert format_prediction(explanation) == f"score {explanation.outputs[0]:.4g}"


def test_pairs(make_classifier: Callable[..., Any]) -> None:
    model = TrainedModel("run", make_classifier(), get_task("mrpc"), None, 24, "")
    assert explain_text(model, "the cat", "a dog").tokens == ("[CLS]", "the", "cat", "[SEP]", "a", "dog", "[SEP]")
    with pytest.raises(UserError, match="mrpc classifies two texts at a time; give both"):
        explain_text(model, "the cat")
    with pytest.raises(UserError, match="cola classifies one text at a time; leave the second out"):
        explain_text(TrainedModel("run", model.classifier, get_task("cola"), None, 24, ""), "the cat", "a dog")


def test_weights_that_are_not_finite(make_classifier: Callable[..., Any]) -> None:
    classifier = make_classifier()
    classifier.output_bias.assign(np.full(2, np.nan))
    with pytest.raises(UserError, match="the model's output for 'the cat' is not a number"):
        explain_text(TrainedModel("run", classifier, None, None, 24, ""), "the cat")
