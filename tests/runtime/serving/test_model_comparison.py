"""Comparison of models: measures as properties, the order of labels, CSV, what is compared with what."""

import asyncio
import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mutations import mutation_settings
from power_bert_runtime.serving.hosted_models import HostedModel, HostedModels, ProcessLost
from power_bert_runtime.serving.model_comparison import (
    Measured,
    check_comparable,
    compare_outputs,
    comparison,
    comparison_csv,
    measure_models,
)
from power_bert_runtime.serving.request_errors import RequestError
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings

Host = Callable[..., list[HostedModel]]


@pytest.fixture
def host() -> Host:
    """Hosts models under their names, without a queue that runs."""

    def make(**models: Any) -> list[HostedModel]:
        return list(HostedModels(models, ServerSettings(), ServerMetrics()))

    return make


@st.composite
def probabilities(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of probabilities of the same texts and labels."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 5)))
    weights = arrays(np.float64, shape, elements=st.floats(0.01, 1))
    one, other = draw(weights), draw(weights)
    return one / one.sum(axis=1, keepdims=True), other / other.sum(axis=1, keepdims=True)


@mutation_settings
@given(probabilities())
def test_measures_of_probabilities(both: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = both
    found, swapped = compare_outputs(one, other, False), compare_outputs(other, one, False)
    for name in ("agrees", "cosine", "total_variation"):
        assert found[name] == pytest.approx(swapped[name]), "neither model is special"
        assert found[name].shape == (len(one),)
        assert (found[name] >= 0).all() and (found[name] <= 1 + 1e-9).all()
    # Total variation is the largest difference in the probability of any set of labels: here, of those that gain.
    assert found["total_variation"] == pytest.approx(np.maximum(one - other, 0).sum(axis=1))
    same = compare_outputs(one, one, False)
    assert same["agrees"].all() and (same["total_variation"] == 0).all() and same["cosine"] == pytest.approx(1.0)


@mutation_settings
@given(arrays(np.float32, (3, 1), elements=st.floats(-5, 5, width=32)))
def test_scores_differ_absolutely(scores: np.ndarray) -> None:
    assert compare_outputs(scores, scores + 1, True)["difference"] == pytest.approx(1.0, abs=1e-5)
    assert compare_outputs(scores, scores, True)["difference"].tolist() == [0, 0, 0]


def test_outputs_of_zeros_have_a_cosine() -> None:
    assert compare_outputs(np.zeros((1, 2), np.float32), np.array([[0.5, 0.5]]), False)["cosine"].tolist() == [0.0]


def test_models_that_can_be_compared(host: Host, word_counter: Any) -> None:
    check_comparable(host(a=word_counter(), b=word_counter(labels=("long", "short")), c=word_counter(max_length=3)))
    check_comparable(host(a=word_counter(labels=()), b=word_counter(labels=())))
    check_comparable(host(alone=word_counter()))


def test_many_labels_are_named_in_short(host: Host, word_counter: Any) -> None:
    models = host(a=word_counter(labels=tuple("abcdefgh")), b=word_counter(labels=tuple("ABCDEFGHI")))
    with pytest.raises(RequestError) as raised:
        check_comparable(models)
    message = "a has the labels a, b, c, d, e, f, g, h, b has A, B, C, D, E, F, G, H, … (9): compare models of the same"
    assert raised.value.status_code == 422 and raised.value.detail.startswith(message)


def test_a_label_that_is_called_score_is_not_a_score(host: Host, word_counter: Any) -> None:
    with pytest.raises(RequestError, match="of a regression"):
        check_comparable(host(a=word_counter(labels=("score",)), b=word_counter(labels=())))


@pytest.mark.parametrize("is_single_first", [True, False])
def test_the_message_names_which_model_takes_what(host: Host, word_counter: Any, is_single_first: bool) -> None:
    models = host(one=word_counter(takes_pairs=not is_single_first), two=word_counter(takes_pairs=is_single_first))
    single, pairs = ("one", "two") if is_single_first else ("two", "one")
    with pytest.raises(RequestError, match=f"{single} classifies single texts, {pairs} pairs: compare models of"):
        check_comparable(models)


def measure(models: dict[str, Any], texts: list[Any], repetitions: int, truncate: bool = True) -> list[Measured]:
    async def run() -> list[Measured]:
        hosted = HostedModels(models, ServerSettings(), ServerMetrics())
        try:
            return await measure_models(list(hosted), texts, repetitions, truncate)
        finally:
            await hosted.stop()

    return asyncio.run(run())


@pytest.mark.parametrize("repetitions", [1, 4])
def test_each_text_runs_alone_and_one_time_more_than_is_counted(word_counter: Any, repetitions: int) -> None:
    models = {"a": word_counter(), "b": word_counter(max_length=5)}
    first, second = measure(models, ["one", "one two", "1 2 3 4 5 6"], repetitions)
    assert models["a"].batches == [[1], [2], [6]] * (1 + repetitions)
    assert models["b"].batches == [[1], [2], [5]] * (1 + repetitions)
    assert (first.hosted.name, second.hosted.name) == ("a", "b")
    assert first.outputs == pytest.approx(np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]]))
    assert second.outputs[2] == pytest.approx([0, 1])
    for each in (first, second):
        assert each.tokenizing_ms.shape == each.inference_ms.shape == (3,)
        assert each.total_ms == np.median(each.tokenizing_ms + each.inference_ms)


def test_models_take_turns(word_counter: Any) -> None:
    order: list[str] = []

    def watched(name: str) -> Any:
        model = word_counter()
        run = model.run
        model.run = lambda encoded: (order.append(f"{name}{encoded.lengths[0]}"), run(encoded))[1]
        return model

    measure({"a": watched("a"), "b": watched("b")}, ["x", "x y"], 1)
    assert order == ["a1", "b1", "a2", "b2"] * 2


def test_outputs_are_in_the_order_of_the_first_models_labels(word_counter: Any) -> None:
    models = {"a": word_counter(labels=("long", "short")), "b": word_counter()}
    for each in measure(models, ["one two"], 1):
        assert each.outputs == pytest.approx(np.array([[0.2, 0.8]]))


@pytest.mark.parametrize(
    ("error", "value", "status", "message"),
    [
        (ProcessLost("its process has ended"), None, 503, "b: its process has ended. It is started again"),
        (None, np.nan, 500, "b: an output is not a number"),
    ],
)
def test_the_model_that_cannot_compute_is_named(
    word_counter: Any, error: Any, value: Any, status: int, message: str
) -> None:
    broken = word_counter()
    broken.error = error
    if value is not None:
        broken.run = lambda encoded: np.full((1, 2), value, np.float32)
    with pytest.raises(RequestError) as raised:
        measure({"a": word_counter(), "b": broken}, ["one"], 1)
    assert raised.value.status_code == status and raised.value.detail.startswith(message)


def test_a_text_that_is_too_long_for_one_of_them(word_counter: Any) -> None:
    models = {"a": word_counter(), "b": word_counter(max_length=2)}
    with pytest.raises(RequestError, match="text 2 has 3 tokens; b takes 2"):
        measure(models, ["1 2", "1 2 3"], 1, truncate=False)
    assert len(measure(models, ["1 2", "1 2 3"], 1, truncate=True)) == 2


def measured(hosted: HostedModel, outputs: list[list[float]], tokenizing: list[float], inference: list[float]) -> Any:
    return Measured(hosted, np.array(outputs), np.array(tokenizing), np.array(inference))


def test_the_answer_by_hand(host: Host, word_counter: Any) -> None:
    teacher, student = host(teacher=word_counter(), student=word_counter())
    both = [
        measured(teacher, [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]], [1, 1, 1], [7, 9, 39]),
        measured(student, [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]], [1, 2, 3], [1, 2, 1]),
    ]
    answer = comparison(both, both[0], ["x", "y", "z"])
    assert answer["teacher"] == "teacher"
    assert answer["models"][1] == {
        **{"model": "student", "runtime": "counting", "size_bytes": 1000},
        **{"tokenizing_ms": 2.0, "inference_ms": 1.0},
        "speed_up": 10 / 4,  # medians of 8, 10, 40 and of 2, 4, 4
        "agreement": pytest.approx(1 / 3),  # of equal probabilities, the first label counts
        "cosine": pytest.approx((1 + 2 * 0.5 / np.sqrt(0.5 * 0.625)) / 3),
        "total_variation": pytest.approx((0 + 0.25 + 0.25) / 3),
    }
    assert answer["texts"][1]["results"][1] == {
        **{"model": "student", "label": "long", "probabilities": {"short": 0.25, "long": 0.75}},
        **{"tokenizing_ms": 2.0, "inference_ms": 2.0, "agrees": False},
        **{"cosine": pytest.approx(0.5 / np.sqrt(0.5 * 0.625)), "total_variation": 0.25},
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=15)


@mutation_settings
@example(["a\rb", "\r", "\n", "=1"], True)
@given(st.lists(TEXT, min_size=1, max_size=4), st.booleans())
def test_any_text_survives_the_csv(texts: list[str], are_pairs: bool) -> None:
    result = {"model": "m", "label": 'a,"b"', "probabilities": {'a,"b"': 0.75, "c": 0.25}, "agrees": True}
    inputs: list[Any] = [(text, text[::-1]) for text in texts] if are_pairs else list(texts)
    content = comparison_csv({"texts": [{"input": each, "results": [result, result]} for each in inputs]})
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [row["text"] for row in rows] == [text for text in texts for _ in range(2)]
    if are_pairs:
        assert [row["text_pair"] for row in rows] == [text[::-1] for text in texts for _ in range(2)]
    for row in rows:
        assert (row["label"], row["agrees"], row['p(a,"b")'], row["p(c)"]) == ('a,"b"', "True", "0.75", "0.25")
        assert ("text_pair" in row) == are_pairs and "probabilities" not in row
