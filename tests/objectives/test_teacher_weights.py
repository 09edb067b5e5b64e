import numpy as np

from power_bert.objectives.teacher_weights import by_confidence, by_loss, by_squared_error

# Two examples, three teachers, three classes: sure and right, sure and wrong, unsure.
LOGITS = np.array([[[9, 0, 0], [0, 9, 0], [0, 0, 0]]] * 2, "float32")


def test_confidence() -> None:
    weights = np.asarray(by_confidence(LOGITS))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(weights[0, 0], weights[0, 1], atol=1e-6)
    entropy = np.array([0.0, 0.0, 1.0])
    np.testing.assert_allclose(weights[0], np.exp(-entropy) / np.exp(-entropy).sum(), atol=3e-3)


def test_loss() -> None:
    weights = np.asarray(by_loss(LOGITS, np.array([0, -1], "int32")))
    assert weights[0, 0] > weights[0, 2] > weights[0, 1]
    np.testing.assert_allclose(weights[0, 0] / weights[0, 2], 3, rtol=1e-2)
    np.testing.assert_allclose(weights[1], 1 / 3, atol=1e-6)


def test_squared_error() -> None:
    scores = np.array([[2.0, 3.0, 2.0], [1.0, 5.0, 0.0]], "float32")
    weights = np.asarray(by_squared_error(scores, np.array([2.0, np.nan], "float32")))
    expected = np.exp([0.0, -1.0, 0.0])
    np.testing.assert_allclose(weights[0], expected / expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(weights[1], 1 / 3, rtol=1e-5)
