"""Linear models without a teacher."""

import numpy as np

from power_bert.analysis.gains import LEAST_SQUARES, LOGISTIC
from power_bert.analysis.linear_baselines import predict_with_baselines
from power_bert.text.examples import Examples


def test_words_tell_the_classes() -> None:
    texts = ["red apple", "red cherry", "green leaf", "green grass", "blue sky", "blue sea"] * 3
    labels = np.array([0, 0, 4, 4, 2, 2] * 3)
    scored = Examples(["a blue thing", "red things", "green"], None, None)
    predictions = predict_with_baselines(Examples(texts, None, labels), labels, scored)
    assert set(predictions) == {LEAST_SQUARES, LOGISTIC}
    for classes in predictions.values():
        np.testing.assert_array_equal(classes, [2, 0, 4])
