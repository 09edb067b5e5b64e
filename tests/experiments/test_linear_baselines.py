"""Linear models without a teacher."""

from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.experiments.gains import LEAST_SQUARES, LOGISTIC
from power_bert.experiments.linear_baselines import (
    baselines_text,
    predict_with_baselines,
    score_linear_baselines,
    write_baselines,
)
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import get_task


def test_words_tell_the_classes() -> None:
    texts = ["red apple", "red cherry", "green leaf", "green grass", "blue sky", "blue sea"] * 3
    labels = np.array([0, 0, 4, 4, 2, 2] * 3)
    scored = Examples(["a blue thing", "red things", "green"], None, None)
    predictions = predict_with_baselines(Examples(texts, None, labels), labels, scored)
    assert set(predictions) == {LEAST_SQUARES, LOGISTIC}
    for classes in predictions.values():
        np.testing.assert_array_equal(classes, [2, 0, 4])


def test_both_texts_of_a_pair_are_read() -> None:
    first, second = ["one"] * 12, ["red", "blue"] * 6
    labels = np.array([1, 0] * 6)
    scored = Examples(["one", "one"], ["blue", "red"], None)
    for classes in predict_with_baselines(Examples(first, second, labels), labels, scored).values():
        np.testing.assert_array_equal(classes, [0, 1])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = "".join(f"{text}\t{label}\n" for text, label in (("red rose", 1), ("blue sky", 0), ("red hat", 1)) * 5)
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text(f"sentence\tlabel\n{rows}")
    return tmp_path


def test_scores_have_the_metrics_of_a_comparison(data: Path) -> None:
    scores = score_linear_baselines(get_task("sst-2"), str(data), "dev")
    assert list(scores) == [LEAST_SQUARES, LOGISTIC]
    assert all(of_it == {"accuracy": 1.0, "macro_f1": 1.0} for of_it in scores.values())
    some = score_linear_baselines(get_task("sst-2"), str(data), "dev", train_examples=12)
    assert some.keys() == scores.keys()


def test_text_and_table(tmp_path: Path) -> None:
    scores = {LEAST_SQUARES: {"accuracy": 0.5, "macro_f1": 0.25}, LOGISTIC: {"accuracy": 1.0, "macro_f1": 1.0}}
    path = write_baselines(tmp_path, scores, "dev")
    assert path.read_text() == baselines_text(scores, "dev")
    assert path.read_text().splitlines()[0] == "least squares         dev  accuracy 50.00  macro_f1 25.00"
    table = (tmp_path / "linear_baselines.csv").read_text()
    assert table.splitlines()[:2] == ["baseline,split,accuracy,macro_f1", "least squares,dev,0.5,0.25"]


def test_a_task_of_scores_has_no_classifier(data: Path) -> None:
    with pytest.raises(UserError, match=r"^sts-b has scores, not classes: there is no linear classifier"):
        score_linear_baselines(get_task("sts-b"), str(data), "dev")
