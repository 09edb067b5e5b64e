"""The guard around applications written by hand: sizes at their edges, answers that have begun, other protocols."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from power_bert_runtime.serving.request_errors import RequestError, overloaded
from power_bert_runtime.serving.request_guard import RequestGuard, error_answer
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings

TOKEN = "0123456789abcdef"
NO_PAGE: frozenset[str] = frozenset()


async def read_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of bytes of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": str(size).encode()})


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise ZeroDivisionError("a secret of the server")


async def fail_in_the_middle(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise ZeroDivisionError("a secret of the server")


def guarded(
    app: ASGIApp,
    pieces: Sequence[bytes] = (b"",),
    headers: dict[str, str] | None = None,
    metrics: ServerMetrics | None = None,
    page_files: frozenset[str] = NO_PAGE,
    *,
    path: str = "/predict",
    **settings: Any,
) -> list[Message]:
    """Send one request through the guard and return the messages of the answer."""
    sent: list[Message] = []
    waiting = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    named = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": named, "client": ("10.0.0.7", 5)}
    guard = RequestGuard(app, ServerSettings(**settings), metrics or ServerMetrics(), page_files)
    try:
        asyncio.run(guard(scope, receive, send))
    except ZeroDivisionError:
        sent.append({"type": "raised"})
    return sent


def status_and_error(sent: list[Message]) -> tuple[int, str]:
    return sent[0]["status"], json.loads(sent[1]["body"])["error"]


def header(sent: list[Message], name: bytes) -> str:
    return dict(sent[0]["headers"])[name].decode()


@pytest.mark.parametrize("pieces", [[b"x" * 100], [b"x" * 60, b"x" * 40], [b"x"] * 100, [b""], [b"", b"x" * 100, b""]])
def test_a_body_of_the_limit_passes(pieces: list[bytes]) -> None:
    sent = guarded(read_all, pieces, {"Content-Length": "100"}, max_body_bytes=100)
    assert sent[0]["status"] == 200 and int(sent[1]["body"]) == sum(map(len, pieces))
    assert header(sent, b"x-own") == "1"


@pytest.mark.parametrize("length", ["101", "9" * 30, "9" * 5000, "0101"])
def test_a_length_over_the_limit_is_refused_before_the_body_is_read(length: str) -> None:
    """Python refuses to read a number of more than 4300 digits."""
    sent = guarded(read_all, [], {"Content-Length": length}, max_body_bytes=100)
    assert status_and_error(sent) == (413, "the body is larger than 100 bytes; send several requests")


@pytest.mark.parametrize("length", [None, "5", "-1", "many", ""])
def test_a_body_over_the_limit_is_refused_whatever_its_length_says(length: str | None) -> None:
    caught: list[RequestError] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await read_all(scope, receive, send)
        except RequestError as error:
            caught.append(error)
            await error_answer(error)(scope, receive, send)

    headers = {} if length is None else {"Content-Length": length}
    sent = guarded(answer, [b"x" * 60, b"x" * 41, b"never read"], headers, max_body_bytes=100)
    assert sent[0]["status"] == 413 and len(caught) == 1


def test_a_failure_is_answered_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "power_bert_runtime"):
        sent = guarded(fail, headers={"X-Request-ID": "mine"})
    assert status_and_error(sent) == (
        500,
        "unexpected ZeroDivisionError; the log of the server has more, at request mine",
    )
    assert header(sent, b"x-request-id") == "mine"
    failed, request = caplog.records
    assert failed.exc_info is not None and failed.levelname == "ERROR"
    assert failed.fields == {"request_id": "mine"}  # type: ignore[attr-defined]
    assert request.fields["status"] == 500  # type: ignore[attr-defined]


def test_an_answer_that_has_begun_is_broken_off() -> None:
    sent = guarded(fail_in_the_middle)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body", "raised"]
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [
        ("a", True),
        ("A_z.9:/+=-", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ('{"a":1}', False),
        ("é", False),
        ("a\u2028b", False),
    ],
)
def test_ids_that_could_confuse_who_reads_the_log_are_replaced(given: str, is_kept: bool) -> None:
    found = header(guarded(read_all, headers={"X-Request-ID": given}), b"x-request-id")
    if is_kept:
        assert found == given
    else:
        assert len(found) == 32 and int(found, 16) >= 0
        assert header(guarded(read_all, headers={"X-Request-ID": given}), b"x-request-id") != found


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"BEARER  {TOKEN} ", 200),
        (TOKEN, 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN.upper()}", 401),
        ("Bearer é" + TOKEN, 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
def test_tokens(authorization: str, status: int) -> None:
    sent = guarded(read_all, headers={"Authorization": authorization}, token=TOKEN)
    assert sent[0]["status"] == status
    if status == 401:
        assert json.loads(sent[1]["body"])["error_type"] == "unauthorized"
        assert "send the header Authorization: Bearer TOKEN" in status_and_error(sent)[1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/health", 200),
        ("/docs", 200),
        ("/v2/health/ready", 200),
        ("/static-offline-docs/x.js", 200),
        ("/vendor/code.mjs", 200),
        ("/health/", 401),
        ("/healthy", 401),
        ("/v2/health", 401),
        ("/docs/x", 401),
        ("/vendor", 401),
        ("//health", 401),
        ("/health\n", 401),
    ],
)
def test_only_these_paths_need_no_token(path: str, status: int) -> None:
    page = frozenset({"/vendor/code.mjs"})
    assert guarded(read_all, page_files=page, path=path, token=TOKEN)[0]["status"] == status
    assert guarded(read_all, page_files=page, path=path)[0]["status"] == 200


def test_other_protocols_pass_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def nothing() -> Message:
        return {}

    async def ignore(message: Message) -> None: ...

    guard = RequestGuard(app, ServerSettings(token=TOKEN), ServerMetrics(), NO_PAGE)
    scope = {"type": "lifespan"}
    asyncio.run(guard(scope, nothing, ignore))
    assert seen == [(scope, nothing, ignore)]


def test_the_log_says_who_asked_and_what_was_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] |= {"model": "it", "texts": 3, "other": "not logged"}
        await read_all(scope, receive, send)

    with caplog.at_level(logging.INFO, "power_bert_runtime.requests"):
        guarded(app, headers={"X-Request-ID": "mine"})
        guarded(read_all, token=TOKEN)
    first, second = (record.fields for record in caplog.records)  # type: ignore[attr-defined]
    assert first.pop("ms") >= 0
    assert first == {
        **{"request_id": "mine", "method": "POST", "path": "/predict", "status": 200},
        **{"model": "it", "texts": 3, "client": "10.0.0.7"},
    }
    assert second["status"] == 401 and "model" not in second


@pytest.mark.parametrize(
    ("path", "app", "level"),
    [
        ("/health", read_all, "DEBUG"),
        ("/metrics", read_all, "DEBUG"),
        ("/v2/health/live", read_all, "DEBUG"),
        ("/health", fail, "INFO"),
        ("/predict", read_all, "INFO"),
    ],
)
def test_what_is_asked_all_the_time_is_logged_only_if_it_fails(
    caplog: pytest.LogCaptureFixture, path: str, app: ASGIApp, level: str
) -> None:
    with caplog.at_level(logging.DEBUG, "power_bert_runtime.requests"):
        guarded(app, path=path)
    (record,) = [record for record in caplog.records if record.name == "power_bert_runtime.requests"]
    assert record.levelname == level


def counted_requests(text: str) -> dict[tuple[str, str, str], float]:
    return {
        (sample.labels["method"], sample.labels["path"], sample.labels["status"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "power_bert_requests_total"
    }


def test_requests_are_counted_by_the_route_and_not_by_the_path() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/nowhere":
            scope["route"] = SimpleNamespace(path=scope["path"].replace("/a", "/{name}").replace("/b", "/{name}"))
        await read_all(scope, receive, send)

    metrics = ServerMetrics()
    page = frozenset({"/index.html", "/code.mjs"})
    for path in ("/models/a", "/models/b", "/index.html", "/code.mjs", "/nowhere"):
        guarded(app, metrics=metrics, page_files=page, path=path)
    assert counted_requests(metrics.text().decode()) == {
        ("POST", "/models/{name}", "200"): 2,
        ("POST", "/", "200"): 2,
        ("other", "other", "200"): 1,
    }


def test_the_page_and_the_documentation_are_counted_by_name(open_server: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the page", encoding="utf-8")
    client = open_server(tmp_path)
    for path in ("/", "/index.html", "/models.json", "/docs", "/openapi.json", "/nothing"):
        client.get(path)
    counted = counted_requests(client.get("/metrics").text)
    assert counted == {
        ("GET", "/", "200"): 3,
        ("GET", "/docs", "200"): 1,
        ("GET", "/openapi.json", "200"): 1,
        ("other", "other", "404"): 1,
    }


def test_a_request_that_is_canceled_at_the_end_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def canceled(scope: Scope, receive: Receive, send: Send) -> None:
        raise asyncio.CancelledError

    with caplog.at_level(logging.INFO, "power_bert_runtime"):
        sent = guarded(canceled)
    assert status_and_error(sent) == (503, "the server is ending; send the request again")
    (request,) = caplog.records
    assert request.exc_info is None and request.fields["status"] == 503  # type: ignore[attr-defined]


def test_clients_cannot_add_to_the_number_of_metrics(open_server: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("the page", encoding="utf-8")
    client = open_server(tmp_path)
    for number in range(3):
        client.request(f"METHOD{number}", "/predict")
        client.request(f"METHOD{number}", "/")
        client.request(f"METHOD{number}", "/", headers={"Content-Length": "9" * 30})
        client.request(f"METHOD{number}", f"/v2/models/{number}")
        client.get(f"/v2/models/{number}")
    counted = counted_requests(client.get("/metrics").text)
    assert counted["GET", "/v2/models/{name}", "404"] == 3
    assert not any("METHOD" in method for method, _, _ in counted), counted


def test_answers_of_errors_have_their_headers() -> None:
    answer = error_answer(overloaded("later"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert json.loads(answer.body) == {"error": "later", "error_type": "overloaded"}
