"""Serves the built page on this machine, with the headers that threads in the browser need."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from power_bert.errors import UserError
from power_bert.export.web.build import model_urls, models_json

HOST = "127.0.0.1"
HEADERS = {
    # Together they isolate the page from others, which browsers ask for before they share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    # A page that was built anew is seen at the next load.
    "Cache-Control": "no-cache",
}


class _Handler(SimpleHTTPRequestHandler):
    """Files of the page, and models from wherever they lie."""

    server: PageServer
    extensions_map = {  # noqa: RUF012 - as in the base class
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def do_GET(self) -> None:
        if urlsplit(self.path).path != "/models.json":
            super().do_GET()
            return
        content = models_json(self.server.models).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def translate_path(self, path: str) -> str:
        model = model_urls(self.server.models).get(urlsplit(path).path.removeprefix("/"))
        return str(model) if model is not None else super().translate_path(path)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Requests are not shown."""


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
        self.models = models

        def handler(*arguments: Any) -> _Handler:
            return _Handler(*arguments, directory=str(site))

        try:
            super().__init__((HOST, port), handler)
        except (OSError, OverflowError) as error:
            raise UserError(f"port {port} cannot be used ({error}); choose another with --port") from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle of a file is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

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
