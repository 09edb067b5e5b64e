"""Local web server for the built page, which sends the headers that threads in the browser need."""

from __future__ import annotations

import io
import ipaddress
import os
import shutil
import socket
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
from power_bert_runtime.serving.page_headers import OTHER_TYPE, PAGE_HEADERS, PAGE_TYPES

HOST = "127.0.0.1"
# Host names under which a browser reaches this server. The port is not compared: it differs if another device is
# forwarded to this machine, and pages of other sites never have these names.
_LOCAL_NAMES = frozenset({HOST, "localhost"})
# A connection that sends nothing for this long is closed.
_IDLE_TIMEOUT_S = 30.0


class _Handler(BaseHTTPRequestHandler):
    """Answers requests for files of the page and for its models, and nothing else."""

    server: PageServer
    timeout = _IDLE_TIMEOUT_S
    server_version, sys_version = "power-bert", ""
    # With HTTP/0.9, the default, an error in the request line would be answered without a status line.
    default_request_version = "HTTP/1.0"

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(with_content=True)

    def do_HEAD(self) -> None:
        """Answer as for GET, but without the content."""
        self._answer(with_content=False)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with an error; an unknown method is answered like any other method that is not allowed."""
        code = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        super().send_error(code, None, explain)

    def end_headers(self) -> None:
        """Add the headers of every answer and end the headers."""
        for name, value in self.server.answer_headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Log no requests."""

    def _answer(self, with_content: bool) -> None:
        if not self._asks_for_this_server():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        # No file of the page reads a query (`?`) or fragment (`#`). A proxy's absolute URL as path is refused.
        path = unquote(self.path.partition("?")[0].partition("#")[0])
        name = path.removeprefix("/") or "index.html"
        try:
            file = self.server.open_file(name) if path.startswith("/") else None
        except (OSError, ValueError):  # ValueError: no file can have this name
            file = None
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-type", PAGE_TYPES.get(Path(name).suffix, OTHER_TYPE))
            self.send_header("Content-Length", str(file.seek(0, os.SEEK_END)))
            self.end_headers()
            file.seek(0)
            if with_content:
                shutil.copyfileobj(file, self.wfile)

    def _asks_for_this_server(self) -> bool:
        """Return whether the Host header names this server, which prevents DNS rebinding by pages of other sites."""
        hosts = self.headers.get_all("Host", [])
        return len(hosts) == 1 and self.server.is_own_name(hosts[0].strip().lower())


class PageServer(ThreadingHTTPServer):
    """Server of a page and its models.

    Args:
        site: Folder of the built page.
        models: Model files that the page opens when it is loaded.
        port: Port to listen on; 0 for any free port.
        host: Address to listen on, an IPv4 address or a host name; 0.0.0.0 for all of this machine.

    Raises:
        UserError: Host or port are in use or not allowed.
    """

    def __init__(self, site: Path, models: Sequence[Path], port: int, host: str = HOST) -> None:
        self._host, self._site = host, site.resolve()
        self._models = {unquote(url): model for url, model in model_urls(models).items()}
        self._models_json = models_json(models).encode()
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            place = f"port {port}" if host == HOST else f"{host}:{port}"
            raise UserError(f"{place} cannot be used ({error}); choose another with --port or --host") from error

    @cached_property
    def answer_headers(self) -> dict[str, str]:
        """Headers of every answer."""
        policy = content_policy((self._site / "index.html").read_text(encoding="utf-8"))
        return PAGE_HEADERS | {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}

    def open_file(self, name: str) -> BinaryIO | None:
        """Open a file of the page or a model; None if there is no such file.

        Raises:
            OSError: The file cannot be opened.
            ValueError: No file can have this name.
        """
        if name == "models.json":
            return io.BytesIO(self._models_json)
        path = self._models.get(name) or (self._site / name).resolve()
        is_served = name in self._models or path.is_relative_to(self._site)
        return open(path, "rb") if is_served and path.is_file() else None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error in one line; a browser that closes a connection early is not an error."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"a request failed ({type(error).__name__}: {shorten(error)})", file=sys.stderr)

    def is_own_name(self, name: str) -> bool:
        """Return whether a browser on an allowed device reaches this server under a host name.

        Beyond this machine that is any IP address, which no page of another site can be rebound to, and its own name.
        """
        name = name.partition(":")[0]
        if name in _LOCAL_NAMES:
            return True
        if self._host in _LOCAL_NAMES:
            return False
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            return name in (self._host.lower(), socket.gethostname().lower())
        return True

    @property
    def address(self) -> str:
        """URL to open in the browser."""
        host = HOST if self._host == "0.0.0.0" else self._host
        return f"http://{host}:{self.server_address[1]}/"


def serve(site: Path, models: Sequence[Path], port: int, host: str, announce: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C.

    Args:
        site: Folder of the built page.
        models: Model files that the page opens when it is loaded.
        port: Port to listen on; 0 for any free port.
        host: Address to listen on.
        announce: Callback that gets lines for the user.
    """
    with PageServer(site, models, port, host) as server:
        announce(f"Open {server.address} in a browser; Ctrl-C ends the server.")
        if host not in _LOCAL_NAMES:
            announce("Other devices get one thread: browsers share memory between threads on https and localhost only.")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            announce("stopped")
