"""Serves the built page on this machine, with the headers that threads in the browser need."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote

from power_bert.errors import UserError, shorten
from power_bert.export.web.build import content_policy, model_urls, models_json

HOST = "127.0.0.1"
# Names under which a browser of this machine knows this server. The port is not compared: it is another one where a
# phone or another machine is forwarded to here, and the pages of a stranger never have these names.
_OWN_NAMES = frozenset({HOST, "localhost"})
# A connection that sends nothing is closed after this time.
_IDLE_TIMEOUT_S = 30.0

_HEADERS = {
    # Together they isolate the page from others, which browsers ask for before they share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A page that was built anew is seen at the next load.
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}


class _Handler(BaseHTTPRequestHandler):
    """Files of the page, and models from wherever they lie; nothing else."""

    server: PageServer
    timeout = _IDLE_TIMEOUT_S
    server_version, sys_version = "power-bert", ""
    # Errors in the first line are answered with a status line too, which HTTP/0.9 has not.
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the content."""
        self._answer(with_content=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error; an unknown method is a client's error here, as any other that is not allowed."""
        code = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        super().send_error(code, None, explain)

    def end_headers(self) -> None:
        """End the headers with those of every answer."""
        for name, value in self.server.answer_headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Show no requests."""

    def _answer(self, with_content: bool) -> None:
        if not self._asks_for_this_server():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        # The path alone: `?` and `#` begin what no file of the page reads, and a proxy's form of address is refused.
        path = unquote(self.path.partition("?")[0].partition("#")[0])
        name = path.removeprefix("/") or "index.html"
        try:
            file = self.server.open_file(name) if path.startswith("/") else None
        except (OSError, ValueError):  # ValueError: a name that no file can have
            file = None
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-type", _TYPES.get(Path(name).suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(file.seek(0, os.SEEK_END)))
            self.end_headers()
            file.seek(0)
            if with_content:
                shutil.copyfileobj(file, self.wfile)

    def _asks_for_this_server(self) -> bool:
        """Whether the address is of this machine, and not a name that a stranger's page made the browser look up."""
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and hosts[0].strip().lower().partition(":")[0] in _OWN_NAMES


class PageServer(ThreadingHTTPServer):
    """The server of a page.

    Args:
        site: Folder of the built page.
        models: Files that the page opens when it is loaded.
        port: 0 for any free one.

    Raises:
        UserError: The port is taken or not allowed.
    """

    def __init__(self, site: Path, models: Sequence[Path], port: int) -> None:
        self._site = site.resolve()
        self._models = {unquote(url): model for url, model in model_urls(models).items()}
        self._models_json = models_json(models).encode()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} cannot be used ({error}); choose another with --port") from error

    @cached_property
    def answer_headers(self) -> dict[str, str]:
        """What every answer has."""
        policy = content_policy((self._site / "index.html").read_text(encoding="utf-8"))
        return _HEADERS | {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}

    def open_file(self, name: str) -> BinaryIO | None:
        """Open a file of the page or a model; None where there is no such file, which a folder is not.

        Raises:
            OSError: It cannot be opened.
            ValueError: No file can have this name.
        """
        if name == "models.json":
            return io.BytesIO(self._models_json)
        path = self._models.get(name) or (self._site / name).resolve()
        is_served = name in self._models or path.is_relative_to(self._site)
        return open(path, "rb") if is_served and path.is_file() else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of an error in one line; a browser that leaves in the middle of a file is none."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"a request failed ({type(error).__name__}: {shorten(error)})", file=sys.stderr)

    @property
    def address(self) -> str:
        """What to open in the browser."""
        return f"http://{HOST}:{self.server_address[1]}/"


def serve(site: Path, models: Sequence[Path], port: int, announce: Callable[[str], None]) -> None:
    """Serves the page until Ctrl-C; arguments as for `PageServer`, and what is told of it goes to `announce`."""
    with PageServer(site, models, port) as server:
        announce(f"Open {server.address} in a browser; Ctrl-C ends the server.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            announce("stopped")
