"""`POST /predict`: answers as text-embeddings-inference gives them, errors with the right status."""

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from power_bert_runtime.serving.hosted_models import ProcessLost

Open = Callable[..., Any]
FOUR_WORDS = [{"score": pytest.approx(0.6), "label": "short"}, {"score": pytest.approx(0.4), "label": "long"}]
NINE_WORDS = [{"score": pytest.approx(0.9), "label": "long"}, {"score": pytest.approx(0.1), "label": "short"}]
NINE = "one two three four five six seven eight nine"


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ("one two three four", FOUR_WORDS),
        (["one two three four"], FOUR_WORDS),
        ([["one two three four"], [NINE]], [FOUR_WORDS, NINE_WORDS]),
    ],
)
def test_texts(open_server: Open, inputs: Any, expected: Any) -> None:
    answer = open_server().post("/predict", json={"inputs": inputs})
    assert (answer.status_code, answer.json()) == (200, expected)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [(["one two", "three four"], FOUR_WORDS), ([["one two", "three four"], ["", NINE]], [FOUR_WORDS, NINE_WORDS])],
)
def test_pairs(open_server: Open, word_counter: Any, inputs: Any, expected: Any) -> None:
    client = open_server(models={"pairs": word_counter(takes_pairs=True)})
    assert client.post("/predict", json={"inputs": inputs}).json() == expected


def test_a_regression_has_one_score(open_server: Open, word_counter: Any) -> None:
    client = open_server(models={"scores": word_counter(labels=())})
    assert client.post("/predict", json={"inputs": NINE}).json() == [{"score": pytest.approx(0.9), "label": "score"}]


def test_models_are_chosen_by_name(open_server: Open, word_counter: Any) -> None:
    client = open_server(models={"ten": word_counter(), "twenty": word_counter(max_length=20)})
    asked = [client.post("/predict", json={"inputs": NINE, "model": name}).json() for name in ("ten", "twenty", None)]
    assert [scores[0]["label"] for scores in asked] == ["long", "short", "long"]
    assert [model["name"] for model in client.get("/models").json()] == ["ten", "twenty"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{not JSON", 400, "the body is no JSON: "),
        (b"\xff", 400, "the body is no JSON in UTF-8"),
        (b"{}", 422, "inputs: Field required"),
        (b"[]", 422, "expected|valid"),
        (b'{"inputs": 7}', 422, "inputs: 7 is no text, pair, list of texts or list of pairs"),
        (b'{"inputs": [["a"], 7]}', 422, "is no text, pair, list"),
        (b'{"inputs": ["a", "b", "c"]}', 422, "is no text, pair, list"),
        (b'{"inputs": []}', 422, "no texts|is no text, pair"),
        (b'{"inputs": ["a", "b"]}', 422, "text 1 is a pair, and counter classifies single texts"),
        (b'{"inputs": "a", "input": "b"}', 422, "input: Extra inputs are not permitted"),
        (rb'{"inputs": "half a pair: \ud83d"}', 422, "text 1 is no Unicode: it has half of a surrogate pair"),
        (rb'{"inputs": "a", "model": "\ud83d"}', 404, "no model"),
        (b'{"inputs": "a", "raw_scores": true}', 422, "raw_scores: "),
        (b'{"inputs": "a", "raw_scores": true}', 422, "models end in probabilities, and logits are not available"),
        (b'{"inputs": "a", "truncation_direction": "Left"}', 422, "'Left'; texts are truncated at their end only"),
        (b'{"inputs": "a", "truncate": "often"}', 422, "truncate: "),
        (b'{"inputs": "a", "model": "other"}', 404, "no model 'other'; there are counter"),
        (b'{"inputs": "a a a a a a a a a a a"}', 413, "text 1 has 11 tokens; counter takes 10"),
        (b'{"inputs": [["a"], ["b"], ["c"], ["d"], ["e"]]}', 413, "5 texts; a request may have 4"),
        (json.dumps({"inputs": [["a"], ["b" * 101]]}).encode(), 413, "text 2 has 101 characters; 100 are allowed"),
        (json.dumps({"inputs": "b" * 2000}).encode(), 413, "the body is larger than 1000 bytes"),
    ],
)
def test_bad_requests(open_server: Open, body: bytes, status: int, message: str) -> None:
    client = open_server(max_texts=4, max_characters=100, max_body_bytes=1000)
    answer = client.post("/predict", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_type"}
    assert any(part in answer.json()["error"] for part in message.split("|")), answer.json()


@pytest.mark.parametrize(
    "further",
    [
        {"truncate": None},
        {"truncate": False},
        {"truncation_direction": "Right"},
        {"truncation_direction": "right", "truncate": True, "raw_scores": False},
    ],
)
def test_what_clients_of_text_embeddings_inference_send(open_server: Open, further: dict[str, Any]) -> None:
    answer = open_server().post("/predict", json={"inputs": "one two three four", **further})
    assert (answer.status_code, answer.json()) == (200, FOUR_WORDS)


def test_null_does_not_truncate(open_server: Open) -> None:
    client = open_server()
    body = {"inputs": NINE + NINE + NINE, "truncate": None}
    assert [client.post(path, json=body).status_code for path in ("/predict", "/compare")] == [413, 413]


def test_a_body_in_pieces_is_limited_too(open_server: Open) -> None:
    client = open_server(max_body_bytes=1000)
    pieces = (b"x" * 400 for _ in range(4))
    answer = client.post("/predict", content=pieces, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error_type"]) == (413, "validation")


def test_other_content_types_operations_and_methods(open_server: Open) -> None:
    client = open_server()
    assert client.post("/predict", content=b'{"inputs": "a"}').status_code == 415
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/predict", content=b'{"inputs": "a"}', headers=form).status_code == 415
    unknown, method = client.post("/embed", json={}), client.get("/predict")
    assert (unknown.status_code, method.status_code) == (404, 405)
    assert "/docs lists them" in unknown.json()["error"] and "error" in method.json()


def test_long_texts_are_truncated_if_asked(open_server: Open) -> None:
    answer = open_server().post("/predict", json={"inputs": NINE + NINE + NINE, "truncate": True})
    assert answer.json()[0] == {"score": pytest.approx(1.0), "label": "long"}


def test_requests_are_computed_together_by_length(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model}, batch_size=4, window_ms=50)
    model.allowed.clear()
    # Requests of threads arrive in any order: four are short and four long, whichever is the oldest.
    texts = ["a", "a b", NINE, NINE, NINE, "a", NINE, "a b"]
    with ThreadPoolExecutor(1 + len(texts)) as pool:
        first = pool.submit(client.post, "/predict", json={"inputs": "first"})
        assert model.is_running.wait(10)
        asked = [pool.submit(client.post, "/predict", json={"inputs": text}) for text in texts]
        _wait_for_queue(client, len(texts))
        model.allowed.set()
        answers = [each.result().json() for each in asked]
    assert first.result().status_code == 200
    assert [scores[0]["label"] for scores in answers] == ["long" if text == NINE else "short" for text in texts]
    assert model.batches[0] == [1] and sum(map(len, model.batches)) == 9 and len(model.batches) == 3
    assert sorted(map(sorted, model.batches[1:])) == [[1, 1, 2, 2], [9, 9, 9, 9]]


def _wait_for_queue(client: Any, length: int) -> None:
    for _ in range(500):
        if f'power_bert_queue_examples{{model="counter"}} {float(length)}' in client.get("/metrics").text:
            return
        time.sleep(0.01)
    raise AssertionError("the queue never had that length")


def test_a_full_queue_is_answered_429_and_loses_nothing(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model}, max_queue=3, window_ms=0)
    model.allowed.clear()
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.post, "/predict", json={"inputs": "a"})
        assert model.is_running.wait(10)
        waiting = pool.submit(client.post, "/predict", json={"inputs": [["a"], ["b"], ["c"]]})
        _wait_for_queue(client, 3)
        refused = client.post("/predict", json={"inputs": "a"})
        model.allowed.set()
        assert running.result().status_code == waiting.result().status_code == 200
    assert (refused.status_code, refused.json()["error_type"]) == (429, "overloaded")
    assert refused.headers["Retry-After"]
    assert client.post("/predict", json={"inputs": "a"}).status_code == 200


def test_a_request_that_the_empty_queue_has_no_room_for_is_answered_413(open_server: Open) -> None:
    client = open_server(max_queue=3)
    refused = client.post("/predict", json={"inputs": [["a"]] * 4})
    assert refused.status_code == 413
    assert refused.json()["error"] == "4 texts; the queue has room for 3. Send several requests"
    assert client.post("/predict", json={"inputs": [["a"]] * 3}).status_code == 200


def test_late_answers_are_504_and_leave_the_queue(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    client = open_server(models={"counter": model}, timeout_s=0.2, window_ms=0)
    model.allowed.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(client.post, "/predict", json={"inputs": "a"}) for _ in range(2)]
        assert [each.result().status_code for each in asked] == [504, 504]
    assert 'power_bert_queue_examples{model="counter"} 0.0' in client.get("/metrics").text
    model.allowed.set()
    assert client.post("/predict", json={"inputs": "a"}).status_code == 200
    assert len(model.batches) == 2, "the one that waited is not computed"


def test_failures_of_a_model(open_server: Open, word_counter: Any, caplog: pytest.LogCaptureFixture) -> None:
    model = word_counter()
    client = open_server(models={"counter": model})
    model.error = ProcessLost("its process was ended by SIGKILL")
    lost = client.post("/predict", json={"inputs": "a"})
    assert lost.status_code == 503 and "counter: its process was ended by SIGKILL" in lost.json()["error"]
    model.error = ZeroDivisionError("secret")
    with caplog.at_level(logging.ERROR, "power_bert_runtime.server"):
        failed = client.post("/predict", json={"inputs": "a"}, headers={"X-Request-ID": "mine-7"})
    assert failed.status_code == 500 and "secret" not in failed.text and "mine-7" in failed.json()["error"]
    assert failed.headers["X-Request-ID"] == "mine-7"
    assert caplog.records[0].exc_info is not None
    model.error, model.run = None, lambda encoded: np.full((len(encoded), 2), np.nan, np.float32)  # bound at the start
    assert client.post("/predict", json={"inputs": "a"}).status_code == 200


def test_an_output_that_is_no_number(open_server: Open, word_counter: Any) -> None:
    model = word_counter()
    model.run = lambda encoded: np.full((len(encoded), 2), np.nan, np.float32)
    answer = open_server(models={"counter": model}).post("/predict", json={"inputs": "a"})
    assert (answer.status_code, answer.json()["error_type"]) == (500, "inference")


def test_the_end_frees_the_models(word_counter: Any) -> None:
    from starlette.testclient import TestClient

    from power_bert_runtime.serving.application import create_app
    from power_bert_runtime.serving.server_settings import ServerSettings

    model = word_counter()
    with TestClient(create_app({"counter": model}, ServerSettings()), base_url="http://127.0.0.1") as client:
        assert client.get("/health").json() == {"status": "ok"}
    assert model.is_closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("models")]
