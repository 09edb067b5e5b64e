"""What every request passes: its id, the bearer token, the limit of its size, the log and the metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from power_bert_runtime.serving.request_errors import RequestError, too_large, unavailable
from power_bert_runtime.serving.server_metrics import ServerMetrics
from power_bert_runtime.serving.server_settings import ServerSettings

_log = logging.getLogger("power_bert_runtime.requests")
_server_log = logging.getLogger("power_bert_runtime.server")
# A client's id is kept if it cannot confuse who reads the log.
_REQUEST_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)
# What needs no token: health for orchestrators, and the page with its documentation, which hold no data.
_OPEN_PATHS = re.compile(r"/(health|v2/health/(live|ready)|docs|openapi\.json|static-offline-docs/.*)?")
_DOCUMENTATION = frozenset({"/docs", "/openapi.json"})
_METHODS = frozenset({"GET", "HEAD", "POST"})
_LOGGED_AS_DEBUG = re.compile(r"/(health|metrics|v2/health/.*)")


class RequestGuard:
    """ASGI middleware around the whole application.

    Args:
        app: The application.
        settings: Token and limits.
        metrics: Metrics of the server.
        page_files: Paths of the page's files, which need no token.
    """

    def __init__(
        self, app: ASGIApp, settings: ServerSettings, metrics: ServerMetrics, page_files: frozenset[str]
    ) -> None:
        self._app, self._settings, self._metrics, self._page_files = app, settings, metrics, page_files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            if refused := self._refusal(scope["path"], headers):
                await error_answer(refused)(scope, receive, send_with_id)
            else:
                await self._app(scope, self._limited(receive), send_with_id)
        except asyncio.CancelledError:
            # The time for accepted requests is over at the end of the server; nobody else cancels a request.
            if status:  # the answer has begun
                raise
            await error_answer(unavailable("the server is ending; send the request again"))(
                scope, receive, send_with_id
            )
        except Exception as error:
            fields = {"request_id": request_id}
            _server_log.error("request failed", exc_info=error, extra={"fields": fields})
            if status:  # the answer has begun
                raise
            message = f"unexpected {type(error).__name__}; the log of the server has more, at request {request_id}"
            await error_answer(RequestError(500, "internal", message))(scope, receive, send_with_id)
        finally:
            self._record(scope, status, time.perf_counter() - start)

    def _refusal(self, path: str, headers: Headers) -> RequestError | None:
        """Return why a request is refused before it is read."""
        is_open = _OPEN_PATHS.fullmatch(path) or path in self._page_files
        if self._settings.token is not None and not is_open:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            # The comparison takes as long wherever the tokens differ.
            if scheme.lower() != "bearer" or not hmac.compare_digest(
                token.strip().encode(), self._settings.token.encode()
            ):
                message = "the bearer token is missing or wrong; send the header Authorization: Bearer TOKEN"
                return RequestError(401, "unauthorized", message, {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        # Python refuses to convert a number of thousands of digits.
        if length.isdecimal() and (len(length) > 18 or int(length) > self._settings.max_body_bytes):
            return self._body_too_large()
        return None

    def _body_too_large(self) -> RequestError:
        return too_large(f"the body is larger than {self._settings.max_body_bytes} bytes; send several requests")

    def _limited(self, receive: Receive) -> Receive:
        """Count the bytes of a body that does not say its length, or says a wrong one."""
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._settings.max_body_bytes:
                raise self._body_too_large()
            return message

        return receive_limited

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        # The path of the route, not of the request: a client could make any number of those.
        path = getattr(scope.get("route"), "path", "other")
        if path in self._page_files or scope["path"] in self._page_files:
            path = "/"
        elif scope["path"] in _DOCUMENTATION:  # whose routes the framework does not name
            path = scope["path"]
        # Nor a method that the route does not have.
        is_known = path != "other" and status != 405 and scope["method"] in _METHODS
        method = scope["method"] if is_known else "other"
        self._metrics.count_request(method, path, status, seconds)
        fields: dict[str, Any] = {
            "request_id": scope["state"]["request_id"],
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(1e3 * seconds, 3),
        }
        fields |= {name: scope["state"][name] for name in ("model", "texts", "error") if name in scope["state"]}
        if scope.get("client"):
            fields["client"] = scope["client"][0]
        level = logging.DEBUG if status < 400 and _LOGGED_AS_DEBUG.fullmatch(scope["path"]) else logging.INFO
        _log.log(level, "request", extra={"fields": fields})


def error_answer(error: RequestError) -> JSONResponse:
    """Return the answer of an error."""
    body = {"error": error.detail, "error_type": error.kind}
    return JSONResponse(body, error.status_code, dict(error.headers or {}))
