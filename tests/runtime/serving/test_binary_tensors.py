"""Tensors of the Open Inference Protocol in binary form: round trips, bounds and damage."""

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutated, mutation_settings

Open = Callable[..., Any]
URL = "/v2/models/counter/infer"
LENGTH = "Inference-Header-Content-Length"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def packed(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def tensor(name: str, count: int, size: object) -> dict[str, Any]:
    return {"name": name, "shape": [count], "datatype": "BYTES", "parameters": {"binary_data_size": size}}


def send(client: Any, body: dict[str, Any], binary: bytes, url: str = URL) -> Any:
    head = json.dumps(body).encode()
    return client.post(url, content=head + binary, headers={LENGTH: str(len(head))})


def read(answer: Any) -> dict[str, Any]:
    """Name → values of an answer in JSON, binary form, or both."""
    assert answer.status_code == 200, answer.text
    end = int(answer.headers.get(LENGTH, len(answer.content)))
    described, rest = json.loads(answer.content[:end])["outputs"], answer.content[end:]
    values: dict[str, Any] = {}
    for output in described:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values[output["name"]] = output["data"]
            continue
        part, rest = rest[:size], rest[size:]
        if output["datatype"] == "FP32":
            values[output["name"]] = np.frombuffer(part, "<f4").tolist()
            continue
        strings = []
        while part:
            (length,) = struct.unpack("<I", part[:4])
            strings.append(part[4 : 4 + length].decode())
            part = part[4 + length :]
        values[output["name"]] = strings
    assert rest == b""
    return values


@pytest.fixture(scope="module")
def echo() -> Any:
    """Client of a model of pairs whose score is the number of characters of both texts, and that keeps the texts."""
    from starlette.testclient import TestClient

    from power_bert_runtime.encoded_texts import EncodedTexts
    from power_bert_runtime.serving.application import create_app
    from power_bert_runtime.serving.server_settings import ServerSettings

    class Echo:
        runtime, labels, is_regression, takes_pairs = "echo", (), True, True
        max_length, size_bytes, metadata = 10_000, 1, {}
        seen: Any = None

        def encode(self, texts: Any, truncate: bool = True) -> EncodedTexts:
            self.seen = texts
            lengths = [len(first) + len(second) + 1 for first, second in texts]
            return EncodedTexts.from_rows([[1] * length for length in lengths], lengths)

        def run(self, encoded: EncodedTexts) -> np.ndarray:
            return encoded.lengths[:, None].astype(np.float32) - 1

        def close(self) -> None: ...

    model = Echo()
    app = create_app({"counter": model}, ServerSettings(window_ms=0))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client, model


@mutation_settings
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), st.booleans(), st.booleans())
def test_any_texts_arrive_as_they_were_sent(
    echo: Any, pairs: list[tuple[str, str]], is_second_first: bool, is_binary_answer: bool
) -> None:
    client, model = echo
    columns = [("text", [first for first, _ in pairs]), ("text_pair", [second for _, second in pairs])]
    if is_second_first:
        columns.reverse()
    inputs = [tensor(name, len(texts), len(packed(texts))) for name, texts in columns]
    body = {"inputs": inputs, "parameters": {"binary_data_output": is_binary_answer}}
    answer = send(client, body, b"".join(packed(texts) for _, texts in columns))
    assert read(answer) == {"score": [len(first) + len(second) for first, second in pairs]}
    assert model.seen == pairs
    assert (LENGTH in answer.headers) == is_binary_answer


@mutation_settings
@given(mutated(packed(["one", "two words", ""])))
def test_damaged_strings_are_read_or_answered_400(echo: Any, binary: bytes) -> None:
    client, model = echo
    head = {
        "inputs": [
            tensor("text", 3, len(binary)),
            {"name": "text_pair", "shape": [3], "datatype": "BYTES", "data": ["", "", ""]},
        ]
    }
    answer = send(client, head, binary)
    if answer.status_code == 200:
        assert packed([first for first, _ in model.seen]) == binary
    else:
        assert answer.status_code == 400 and answer.json()["error"].startswith("text: ")


def test_one_input_in_json_and_one_in_binary_form(echo: Any) -> None:
    client, model = echo
    inputs = [
        {"name": "text_pair", "shape": [2], "datatype": "BYTES", "data": ["x", "yz"]},
        tensor("text", 2, len(packed(["a", "bc"]))),
    ]
    assert read(send(client, {"inputs": inputs}, packed(["a", "bc"]))) == {"score": [2.0, 4.0]}
    assert model.seen == [("a", "x"), ("bc", "yz")]


def test_each_output_in_the_form_that_it_is_asked_in(open_server: Open) -> None:
    client = open_server()
    both = {"probabilities": pytest.approx([0.8, 0.2]), "label": ["short"]}
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["one two"]}
    for default in (True, False):
        for of_label in (True, False, None):
            parameters = {} if of_label is None else {"binary_data": of_label}
            outputs = [{"name": "label", "parameters": parameters}, {"name": "probabilities"}]
            body = {"inputs": [text], "outputs": outputs, "parameters": {"binary_data_output": default}}
            answer = client.post(URL, json=body)
            assert read(answer) == both
            is_binary = default if of_label is None else of_label
            end = int(answer.headers.get(LENGTH, len(answer.content)))
            label, probabilities = json.loads(answer.content[:end])["outputs"]
            assert ("data" in label, "data" in probabilities) == (not is_binary, not default)
            kind = "application/octet-stream" if is_binary or default else "application/json"
            assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize("size", [-1, 9, "4", 4.5, [4], {}])
def test_sizes_that_do_not_fit_what_follows(open_server: Open, size: object) -> None:
    answer = send(open_server(), {"inputs": [tensor("text", 1, size)]}, packed(["abcd"])[:8])
    assert answer.status_code == 400
    assert f"text: binary_data_size {size} is not what follows the JSON" in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "+5", "many", "100000", "9" * 5000, ""])
def test_lengths_of_the_json_that_are_none(open_server: Open, length: str) -> None:
    """Python refuses to read a number of more than 4300 digits."""
    answer = open_server().post(URL, content=b'{"inputs": []}', headers={LENGTH: length})
    assert answer.status_code == 400, answer.text
    assert f"{LENGTH}: {length[:100]!r}; expected a number of bytes up to 14" in answer.json()["error"]


@pytest.mark.parametrize(
    ("binary", "reason"),
    [
        (b"\x01\0\0", "text: the binary data are no strings"),  # half of a length
        (b"\xff\xff\xff\xffa", "it ends too early"),
        (struct.pack(">I", 1) + b"a", "it ends too early"),  # big-endian
        (packed(["a"]) + b"\0", "text: the binary data are no strings"),
        (struct.pack("<I", 1) + b"\xe9", "can't decode byte 0xe9"),
        (struct.pack("<I", 3) + b"\xed\xa0\x80", "can't decode byte 0xed"),  # half of a surrogate pair
        (b"", "text: shape [1] does not fit 0 strings"),
        (packed(["a", "b"]), "text: shape [1] does not fit 2 strings"),
    ],
)
def test_binary_data_that_are_no_strings(open_server: Open, binary: bytes, reason: str) -> None:
    answer = send(open_server(), {"inputs": [tensor("text", 1, len(binary))]}, binary)
    assert (answer.status_code, answer.json()["error_type"]) == (400, "validation")
    assert reason in answer.json()["error"]


def test_pairs_of_different_numbers_of_texts(echo: Any) -> None:
    inputs = [
        {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": texts}
        for name, texts in (("text", ["a", "b"]), ("text_pair", ["a"]))
    ]
    answer = echo[0].post(URL, json={"inputs": inputs})
    assert (answer.status_code, answer.json()["error"]) == (400, "2 text but 1 text_pair")
    answer = echo[0].post(URL, json={"inputs": inputs[:1]})
    assert (answer.status_code, answer.json()["error"]) == (400, "inputs: text; counter takes text and text_pair")


def test_no_texts_are_refused_as_elsewhere(open_server: Open) -> None:
    answer = open_server().post(URL, json={"inputs": [{"name": "text", "shape": [0], "datatype": "BYTES", "data": []}]})
    assert (answer.status_code, answer.json()["error"]) == (422, "no texts; send at least one")


def test_the_id_is_returned_and_one_that_is_no_text_refused(open_server: Open) -> None:
    client = open_server()
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    assert client.post(URL, json={"id": "ä-1", "inputs": [text]}).json()["id"] == "ä-1"
    assert "id" not in client.post(URL, json={"inputs": [text]}).json()
    answer = client.post(URL, json={"id": 7, "inputs": [text]})
    assert answer.status_code == 400 and answer.json()["error"].startswith("id: ")


@pytest.mark.parametrize("version", ["2", "", "1.0", "latest"])
def test_a_model_has_one_version(open_server: Open, version: str) -> None:
    text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    client = open_server()
    assert client.post(f"/v2/models/counter/versions/{version}/infer", json={"inputs": [text]}).status_code == 404
    assert client.post("/v2/models/counter/versions/1/infer", json={"inputs": [text]}).status_code == 200


def test_a_large_body_is_refused_here_too(open_server: Open) -> None:
    client = open_server(max_body_bytes=200)
    pieces = (b"x" * 150 for _ in range(3))
    assert client.post(URL, content=pieces).status_code == 413
    assert client.post(URL, content=b"x" * 201).status_code == 413
    assert client.post(URL, content=b"x" * 200).status_code == 400  # read, and no JSON
