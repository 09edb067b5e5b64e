"""Host names of a server that only its own machine can reach."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from power_bert_runtime.serving.request_errors import RequestError
from power_bert_runtime.serving.request_guard import error_answer

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# As a browser writes them in the header Host.
_OWN_HOST = re.compile(r"(127\.0\.0\.1|\[::1\]|localhost)(:\d+)?", re.ASCII | re.IGNORECASE)


class OwnHosts:
    """ASGI middleware that refuses other host names: a page of another site could give 127.0.0.1 one (DNS rebinding).

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application, or answer it."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not _OWN_HOST.fullmatch(host):
                message = f"the header Host names {host[:100]!r}; use 127.0.0.1, [::1] or localhost in the address"
                scope["state"]["error"] = message
                await error_answer(RequestError(400, "validation", message))(scope, receive, send)
                return
        await self._app(scope, receive, send)
