"""What every request passes: token, host, id, log, metrics; and the pages."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from power_bert_runtime import UserError
from power_bert_runtime.serving.serve_command import TOKEN_VARIABLE, read_token
from power_bert_runtime.serving.server_process import JsonFormatter

Open = Callable[..., Any]
TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    "path", ["/predict", "/compare", "/models", "/metrics", "/v2", "/v2/models/counter", "/nothing"]
)
def test_a_token_is_needed(open_server: Open, path: str) -> None:
    client = open_server(token=TOKEN)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert TOKEN not in answer.text
    assert client.get(path, headers={"Authorization": f"Bearer {TOKEN}"}).status_code != 401


@pytest.mark.parametrize("path", ["/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json"])
def test_health_and_documentation_need_none(open_server: Open, path: str) -> None:
    assert open_server(token=TOKEN).get(path).status_code == 200


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) is None
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    file.write_text("fedcba9876543210\n", encoding="utf-8")
    assert read_token(file) == "fedcba9876543210"
    for content in ("", "short", "with a space in it", "ümläut-0123456789"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="token: the token must have at least 16 characters") as raised:
            read_token(file)
        assert not content or content not in str(raised.value)
    with pytest.raises(UserError, match="cannot be read"):
        read_token(tmp_path / "missing")


def test_other_host_names_are_refused(open_server: Open) -> None:
    """A page of another site could give 127.0.0.1 a name of its own (DNS rebinding)."""
    assert open_server().get("/models", headers={"Host": "evil.example"}).status_code == 400
    for host, name in (("localhost", "localhost:8080"), ("::1", "[::1]:8080"), ("127.0.0.1", "127.0.0.1:8080")):
        client = open_server(host=host)
        assert client.get("/models", headers={"Host": name}).status_code == 200
        assert client.get("/models", headers={"Host": "evil.example"}).status_code == 400, host
    assert open_server(host="0.0.0.0").get("/models", headers={"Host": "models.example"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1:evil", "x@localhost", "::1"]
)
def test_a_host_name_that_is_refused_is_an_error_like_others(open_server: Open, host: str) -> None:
    answer = open_server().get("/models", headers={"Host": host})
    assert (answer.status_code, answer.json()["error_type"]) == (400, "validation")
    assert answer.json()["error"] == (
        f"the header Host names {host!r}; use 127.0.0.1, [::1] or localhost in the address"
    )
    assert answer.headers["X-Request-ID"]


def test_health_can_be_asked_without_a_body(open_server: Open) -> None:
    client = open_server(token=TOKEN)
    assert client.head("/health").status_code == 200
    assert list(client.get("/openapi.json").json()["paths"]["/health"]) == ["get"]


def test_requests_are_logged_with_their_ids(open_server: Open, caplog: pytest.LogCaptureFixture) -> None:
    client = open_server()
    with caplog.at_level(logging.INFO, "power_bert_runtime.requests"):
        given = client.post("/predict", json={"inputs": "a secret text"}, headers={"X-Request-ID": "trace-1"})
        made = client.post("/predict", json={"inputs": 7}, headers={"X-Request-ID": "two words"})
        client.get("/health")
    assert given.headers["X-Request-ID"] == "trace-1"
    assert len(made.headers["X-Request-ID"]) == 32
    lines = [JsonFormatter().format(record) for record in caplog.records]
    first, second = map(json.loads, lines)
    assert (first["request_id"], first["path"], first["status"], first["model"]) == (
        "trace-1",
        "/predict",
        200,
        "counter",
    )
    assert first["ms"] > 0 and first["texts"] == 1
    assert (second["request_id"], second["status"]) == (made.headers["X-Request-ID"], 422)
    assert "inputs: 7" in second["error"]
    assert "secret" not in lines[0]


def test_metrics(open_server: Open) -> None:
    client = open_server()
    client.post("/predict", json={"inputs": [["one two"], ["three"]]})
    for path in ("/nothing/1", "/nothing/2"):
        client.get(path)
    text = client.get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["power_bert_requests_total", "/predict", "200", "POST"] == 1
    assert samples["power_bert_requests_total", "404", "other", "other"] == 2
    assert samples["power_bert_examples_total", "counter"] == 2
    assert samples["power_bert_tokens_total", "counter"] == 3
    assert samples["power_bert_queue_examples", "counter"] == 0
    assert ("process_resident_memory_bytes",) in samples


def test_the_documentation_loads_nothing_from_elsewhere(open_server: Open) -> None:
    client = open_server()
    page = client.get("/docs").text
    assert "swagger" in page and "https://" not in page
    operations = client.get("/openapi.json").json()["paths"]
    assert {"/predict", "/compare", "/v2/models/{name}/infer", "/health", "/metrics"} <= set(operations)
    answer = client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "docs")


def test_the_page(open_server: Open, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the page", encoding="utf-8")
    (tmp_path / "vendor").mkdir()
    (tmp_path / "vendor" / "code.mjs").write_text("1", encoding="utf-8")
    (tmp_path.parent / "secret.txt").write_text("secret", encoding="utf-8")
    client = open_server(tmp_path, token=TOKEN)
    answer = client.get("/")
    assert (answer.text, answer.headers["Cross-Origin-Embedder-Policy"]) == ("the page", "require-corp")
    assert client.get("/vendor/code.mjs").headers["Content-Type"].startswith("text/javascript")
    assert client.get("/models.json").json() == {"server": True}
    for path in ("/../secret.txt", "/%2e%2e/secret.txt", "/vendor", "/vendor/../../secret.txt"):
        assert client.get(path).status_code in (401, 404)
    with pytest.raises(UserError, match=r"no page there \(index.html\)"):
        open_server(tmp_path / "vendor")
