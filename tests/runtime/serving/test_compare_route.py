"""`POST /compare`: predictions, times and agreement of several models on the same texts."""

import csv
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from power_bert_runtime.serving.model_comparison import compare_outputs

Open = Callable[..., Any]
NINE = "one two three four five six seven eight nine"


@pytest.fixture
def ten_and_twenty(open_server: Open, word_counter: Any) -> Any:
    """Two models with the same labels in another order."""
    models = {"ten": word_counter(), "twenty": word_counter(labels=("long", "short"), max_length=20)}
    return open_server(models=models)


def test_each_model_is_held_to_the_teacher(ten_and_twenty: Any) -> None:
    body = {"inputs": [["one"], [NINE]], "teacher": "twenty", "repetitions": 2}
    answer = ten_and_twenty.post("/compare", json=body).json()
    assert answer["teacher"] == "twenty"
    ten, twenty = answer["models"]
    assert (ten["model"], ten["agreement"], twenty["agreement"]) == ("ten", 0.5, 1.0)
    assert ten["total_variation"] == pytest.approx((0.05 + 0.45) / 2)
    assert (twenty["total_variation"], twenty["cosine"], twenty["speed_up"]) == (0.0, pytest.approx(1.0), 1.0)
    expected = np.mean([_cosine([0.1, 0.9], [0.05, 0.95]), _cosine([0.9, 0.1], [0.45, 0.55])])
    assert ten["cosine"] == pytest.approx(expected)
    assert all(model[key] > 0 for model in (ten, twenty) for key in ("tokenizing_ms", "inference_ms", "size_bytes"))
    first, second = answer["texts"]
    assert (first["input"], second["input"]) == ("one", NINE)
    assert [result["label"] for result in second["results"]] == ["long", "short"]
    assert [result["agrees"] for result in second["results"]] == [False, True]
    for result in second["results"]:
        assert result["probabilities"]["long"] == pytest.approx(0.9 if result["model"] == "ten" else 0.45)


def _cosine(one: list[float], other: list[float]) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


def test_the_list_as_csv(ten_and_twenty: Any) -> None:
    body = {"inputs": [['one, "two"'], ["three"]], "models": ["twenty", "ten"]}
    answer = ten_and_twenty.post("/compare", json=body, headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["text"], row["model"]) for row in rows] == [
        *(('one, "two"', "twenty"), ('one, "two"', "ten")),
        *(("three", "twenty"), ("three", "ten")),
    ]
    assert float(rows[0]["p(short)"]) == pytest.approx(0.9) and rows[0]["agrees"] == "True"


def test_the_first_model_named_is_the_teacher_and_each_runs_once(open_server: Open, word_counter: Any) -> None:
    models = {name: word_counter() for name in "abc"}
    client = open_server(models=models)
    answer = client.post("/compare", json={"inputs": "one two", "models": ["c", "a", "c"], "repetitions": 3}).json()
    assert answer["teacher"] == "c" and [each["model"] for each in answer["models"]] == ["c", "a"]
    assert models["a"].batches == models["c"].batches == [[2]] * 4 and models["b"].batches == []
    assert client.post("/compare", json={"inputs": "one", "repetitions": 1}).json()["teacher"] == "a"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("application/xml, text/csv;q=0.9", "text/csv; charset=utf-8"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
    ],
)
def test_json_unless_csv_is_asked_for(ten_and_twenty: Any, accept: str, kind: str) -> None:
    answer = ten_and_twenty.post("/compare", json={"inputs": "a"}, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    saved = 'attachment; filename="comparison.csv"' if kind.startswith("text/csv") else None
    assert answer.headers.get("Content-Disposition") == saved


def test_errors_are_json_even_if_csv_is_asked_for(ten_and_twenty: Any) -> None:
    answer = ten_and_twenty.post("/compare", json={"inputs": "a", "models": ["no"]}, headers={"Accept": "text/csv"})
    assert answer.json() == {"error": "no model 'no'; there are ten, twenty", "error_type": "not_found"}


def test_a_comparison_that_failed_makes_room_for_the_next(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model})
    model.error = ZeroDivisionError("boom")
    assert client.post("/compare", json={"inputs": "a"}).status_code == 500
    model.error = None
    assert client.post("/compare", json={"inputs": "a"}).status_code == 200


def test_pairs_and_scores(open_server: Open, word_counter: Any) -> None:
    models = {
        name: word_counter((), takes_pairs=True, max_length=length) for name, length in {"a": 10, "b": 20}.items()
    }
    client = open_server(models=models)
    answer = client.post("/compare", json={"inputs": ["one two", "three four"]}).json()
    assert answer["models"][1]["difference"] == pytest.approx(0.2) and "agreement" not in answer["models"][1]
    assert answer["texts"][0]["results"][0]["score"] == pytest.approx(0.4)
    rows = client.post("/compare", json={"inputs": ["one", "two"]}, headers={"Accept": "text/csv"}).text
    assert rows.startswith("text,text_pair,model,score,")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"inputs": "a", "models": ["ten", "no"]}, 404, "no model 'no'"),
        ({"inputs": "a", "models": ["ten"], "teacher": "twenty"}, 422, "the teacher twenty is not among the models"),
        ({"inputs": "a", "models": ["ten", "other"]}, 422, "ten has the labels short, long, other has bad, good"),
        ({"inputs": "a", "models": ["ten", "scores"]}, 422, "scores has of a regression (none)"),
        ({"inputs": "a", "models": ["ten", "pairs"]}, 422, "ten classifies single texts, pairs pairs"),
        ({"inputs": "a", "models": []}, 422, "models: "),
        ({"inputs": "a", "repetitions": 0}, 422, "repetitions: "),
        ({"inputs": "a", "repetitions": 51}, 422, "repetitions: "),
        ({"inputs": "a", "models": ["ten"], "teachers": "ten"}, 422, "teachers: Extra inputs are not permitted"),
        ({"inputs": ["a", "b"], "models": ["ten"]}, 422, "text 1 is a pair, and ten classifies single texts"),
        ({"inputs": NINE + NINE, "models": ["ten"]}, 413, "text 1 has 17 tokens; ten takes 10"),
    ],
)
def test_bad_requests(open_server: Open, word_counter: Any, body: Any, status: int, message: str) -> None:
    models = {"ten": word_counter(), "twenty": word_counter(max_length=20), "other": word_counter(("bad", "good"))}
    models |= {"scores": word_counter(()), "pairs": word_counter(takes_pairs=True)}
    answer = open_server(models=models).post("/compare", json=body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.json()


def test_predictions_go_on_meanwhile_and_a_second_comparison_waits(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model})
    model.allowed.clear()
    with ThreadPoolExecutor(2) as pool:
        comparing = pool.submit(client.post, "/compare", json={"inputs": [["a"]] * 20})
        assert model.is_running.wait(10)
        second = client.post("/compare", json={"inputs": "a"})
        predicting = pool.submit(client.post, "/predict", json={"inputs": "one two three"})
        threading.Timer(0.2, model.allowed.set).start()
        assert (second.status_code, second.json()["error_type"]) == (429, "overloaded")
        assert predicting.result().status_code == comparing.result().status_code == 200
    place = model.batches.index([3])
    assert 0 < place < len(model.batches) - 1, "between two runs of the comparison"


def test_a_comparison_that_takes_too_long(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model}, compare_timeout_s=0.1)
    model.allowed.clear()
    assert client.post("/compare", json={"inputs": "a"}).status_code == 504
    model.allowed.set()
    assert client.post("/compare", json={"inputs": "a"}).status_code == 200


def test_measures_by_hand() -> None:
    outputs, teacher = np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([[0.4, 0.6], [1.0, 0.0]])
    found = compare_outputs(outputs, teacher, is_regression=False)
    assert found["agrees"].tolist() == [False, True]
    assert found["total_variation"] == pytest.approx([0.1, 0.0])
    assert found["cosine"] == pytest.approx([0.5 / (np.sqrt(0.5) * np.sqrt(0.52)), 1.0])
    assert compare_outputs(np.array([[1.5]]), np.array([[2.0]]), True)["difference"].tolist() == [0.5]
