"""The linear student is exactly a linear model of scikit-learn's TF-IDF vector."""

from typing import Any

import numpy as np
import pytest
from keras import ops
from sklearn.feature_extraction.text import TfidfTransformer

from power_bert.model.students.tfidf import count_in_text, inverse_document_frequency, position_weights
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert_runtime.padding import pad_batch

TRAINING = ["the cat sat on the mat the", "a dog ran", "the the bird flew away on the mat", "cat cat cat dog"]
UNSEEN = ["the rug flew flew slowly", "", "cat cat mat the the the bird", "rug"]


@pytest.fixture
def tokenizer(vocabulary: list[str]) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary, lowercase=True)


@pytest.fixture
def idf(tokenizer: WordPieceTokenizer) -> np.ndarray:
    special = range(5)
    return inverse_document_frequency(tokenizer.encode(TRAINING, None, 30), tokenizer.vocabulary_size, special)


def counts(tokenizer: WordPieceTokenizer, texts: list[str]) -> np.ndarray:
    """Counts of the tokens that occur in the training texts, (texts, vocabulary)."""
    rows = [
        np.bincount(ids, minlength=tokenizer.vocabulary_size) for ids in tokenizer.encode(texts, None, 30).token_ids
    ]
    table = np.stack(rows)
    table[:, :5] = 0
    return table


def reference(tokenizer: WordPieceTokenizer, sublinear: bool) -> np.ndarray:
    training, unseen = counts(tokenizer, TRAINING), counts(tokenizer, UNSEEN)
    known = training.sum(axis=0) > 0
    transformer = TfidfTransformer(sublinear_tf=sublinear).fit(training[:, known])
    vectors = np.zeros(unseen.shape)
    vectors[:, known] = transformer.transform(unseen[:, known]).toarray()
    return vectors


def batch(tokenizer: WordPieceTokenizer, padding: int = 0) -> dict[str, np.ndarray]:
    encoded = tokenizer.encode(UNSEEN, None, 30)
    return pad_batch(encoded, np.arange(len(UNSEEN)), int(encoded.lengths.max()) + padding)


@pytest.mark.parametrize("sublinear", [False, True])
def test_weights_are_those_of_scikit_learn(sublinear: bool, tokenizer: WordPieceTokenizer, idf: np.ndarray) -> None:
    inputs = batch(tokenizer, padding=3)
    weights = np.asarray(position_weights(inputs["token_ids"], inputs["padding_mask"], ops.array(idf), sublinear))
    vectors = np.zeros((len(UNSEEN), len(idf)))
    for row, position in np.ndindex(*weights.shape):
        vectors[row, inputs["token_ids"][row, position]] += weights[row, position]
    np.testing.assert_allclose(vectors, reference(tokenizer, sublinear), atol=1e-6)


@pytest.mark.parametrize("sublinear", [False, True])
def test_the_student_is_a_linear_model_of_the_vector(
    sublinear: bool, tokenizer: WordPieceTokenizer, idf: np.ndarray, make_student: Any
) -> None:
    classifier = make_student("linear", sublinear=sublinear)
    bag = classifier.backbone.bag
    bag.set_idf(idf)
    expected = reference(tokenizer, sublinear) @ np.asarray(bag.table) + np.asarray(bag.bias)
    np.testing.assert_allclose(np.asarray(classifier(batch(tokenizer))), expected, atol=1e-5)
    assert not bag.idf.trainable


def test_counts(vocabulary: list[str]) -> None:
    ids = np.array([[7, 7, 3, 7], [3, 9, 9, 9]], "int32")
    mask = np.array([[1, 1, 1, 0], [1, 1, 1, 1]], "float32")
    result = np.asarray(count_in_text(ids, mask, len(vocabulary)))
    assert result.tolist() == [[2, 2, 1, 2], [1, 3, 3, 3]]


def test_pieces_that_do_not_count(idf: np.ndarray, vocabulary: list[str]) -> None:
    assert idf[vocabulary.index("rug")] == 0 == idf[vocabulary.index("[CLS]")]
    assert idf[vocabulary.index("the")] == pytest.approx(np.log(5 / 3) + 1)
    assert idf[vocabulary.index("dog")] == pytest.approx(np.log(5 / 3) + 1)
    assert idf[vocabulary.index("bird")] == pytest.approx(np.log(5 / 2) + 1)
