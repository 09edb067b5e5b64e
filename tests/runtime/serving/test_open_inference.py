"""Open Inference Protocol V2, by hand and with NVIDIA's client."""

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

Open = Callable[..., Any]
URL = "/v2/models/counter/infer"
NINE = "one two three four five six seven eight nine"


def text_input(*texts: str, **changes: Any) -> dict[str, Any]:
    return {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **changes}


def test_health_and_metadata(open_server: Open, word_counter: Any) -> None:
    client = open_server(models={"counter": word_counter(), "scores": word_counter((), takes_pairs=True)})
    for path in (
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/counter/ready",
        "/v2/models/counter/versions/1/ready",
    ):
        assert client.get(path).status_code == 200
    assert client.get("/v2").json()["extensions"] == ["binary_tensor_data"]
    assert client.get("/v2/models/counter").json() == {
        **{"name": "counter", "versions": ["1"], "platform": "counting"},
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
        ],
    }
    scores = client.get("/v2/models/scores/versions/1").json()
    assert [each["name"] for each in scores["inputs"]] == ["text", "text_pair"]
    assert scores["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [-1]}]
    for path in ("/v2/models/other", "/v2/models/counter/versions/2", "/v2/models/other/ready"):
        assert client.get(path).status_code == 404


def test_readiness_while_the_process_of_a_model_is_gone(
    open_server: Open, counting_process: Any, word_counter: Any
) -> None:
    keras = counting_process()
    client = open_server(models={"counter": word_counter(), "keras": keras})
    paths = ("/v2/health/ready", "/v2/models/keras/ready", "/v2/models/keras/versions/1/ready")
    assert [client.get(path).status_code for path in paths] == [200, 200, 200]
    keras.is_ready = False
    for path in paths:
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error_type"]) == (503, "unhealthy")
        assert answer.json()["error"] == "not ready: keras, whose process has ended and is started again"
    for path in ("/v2/models/counter/ready", "/v2/health/live", "/health"):
        assert client.get(path).status_code == 200
    keras.is_ready = True
    assert [client.get(path).status_code for path in paths] == [200, 200, 200]


def test_inference(open_server: Open) -> None:
    answer = open_server().post(URL, json={"id": "7", "inputs": [text_input("one two", NINE)]}).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("counter", "1", "7")
    probabilities, labels = answer["outputs"]
    assert probabilities == {
        **{"name": "probabilities", "shape": [2, 2], "datatype": "FP32"},
        "data": pytest.approx([0.8, 0.2, 0.1, 0.9]),
    }
    assert labels == {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["short", "long"]}


def test_pairs_scores_and_chosen_outputs(open_server: Open, word_counter: Any) -> None:
    models = {"counter": word_counter(), "pairs": word_counter((), takes_pairs=True)}
    client = open_server(models=models)
    inputs = [text_input("one two"), text_input("three four", name="text_pair")]
    answer = client.post("/v2/models/pairs/infer", json={"inputs": inputs}).json()
    assert answer["outputs"] == [{"name": "score", "shape": [1], "datatype": "FP32", "data": pytest.approx([0.4])}]
    body = {"inputs": [text_input("one", shape=[1, 1])], "outputs": [{"name": "label"}]}
    assert [each["name"] for each in client.post(URL, json=body).json()["outputs"]] == ["label"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ({}, "inputs: Field required"),
        ({"inputs": []}, "inputs: none; counter takes text"),
        ({"inputs": [text_input("a", name="ids")]}, "inputs: ids; counter takes text"),
        ({"inputs": [text_input("a", datatype="INT64")]}, "text: expected datatype BYTES and strings"),
        ({"inputs": [text_input("a", data=[1])]}, "text: expected datatype BYTES and strings"),
        ({"inputs": [text_input("a", data=None)]}, "text: expected datatype BYTES and strings"),
        ({"inputs": [text_input("a", shape=[2])]}, "text: shape [2] does not fit 1 strings"),
        ({"inputs": [text_input("a")], "outputs": [{"name": "logits"}]}, "outputs: counter has no 'logits'"),
        ({"inputs": [text_input("a", parameters={"binary_data_size": 5})]}, "binary_data_size 5 is not what follows"),
    ],
)
def test_bad_requests_are_400(open_server: Open, body: Any, message: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = open_server().post(URL, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and message in answer.json()["error"], answer.json()


def test_limits_have_the_same_status_as_elsewhere(open_server: Open) -> None:
    client = open_server(max_texts=2)
    assert client.post(URL, json={"inputs": [text_input("a", "b", "c")]}).status_code == 413
    assert client.post(URL, json={"inputs": [text_input(NINE + NINE)]}).status_code == 413
    truncated = {"inputs": [text_input(NINE + NINE)], "parameters": {"truncate": True}}
    assert client.post(URL, json=truncated).status_code == 200
    assert client.post("/v2/models/other/infer", json={"inputs": [text_input("a")]}).status_code == 404


@pytest.mark.parametrize("damage", ["length", "text", "header"])
def test_damaged_binary_data(open_server: Open, damage: str) -> None:
    strings = struct.pack("<I", 9 if damage == "length" else 1) + (b"\xff" if damage == "text" else b"a")
    tensor = text_input("a", data=None, parameters={"binary_data_size": len(strings)})
    head = json.dumps({"inputs": [tensor]}).encode()
    length = "many" if damage == "header" else str(len(head))
    headers = {"Inference-Header-Content-Length": length, "Content-Type": "application/octet-stream"}
    answer = open_server().post(URL, content=head + strings, headers=headers)
    assert answer.status_code == 400, answer.json()


def test_binary_data_both_ways(open_server: Open) -> None:
    strings = struct.pack("<I", 3) + b"one" + struct.pack("<I", len(NINE)) + NINE.encode()
    tensor = text_input("a", "b", parameters={"binary_data_size": len(strings)})
    del tensor["data"]
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = open_server().post(URL, content=head + strings, headers=headers)
    end = int(answer.headers["Inference-Header-Content-Length"])
    probabilities, labels = json.loads(answer.content[:end])["outputs"]
    size = probabilities["parameters"]["binary_data_size"]
    assert np.frombuffer(answer.content[end : end + size], "<f4") == pytest.approx([0.9, 0.1, 0.1, 0.9])
    assert answer.content[end + size :] == struct.pack("<I", 5) + b"short" + struct.pack("<I", 4) + b"long"
    assert labels["parameters"]["binary_data_size"] == 17
