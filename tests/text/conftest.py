"""A file server on this machine that behaves well or badly."""

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator

import pytest


class FileServer:
    """Serves `files`, with ranges.

    Attributes:
        files: Name -> content.
        asked: Name and Range header of each request.
        break_after: Bytes after which a connection breaks; None never breaks.
        with_ranges: Whether ranges are understood.
        says_length: Whether answers have a Content-Length.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.with_ranges = True
        self.says_length = True
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        # Ends soon after it is asked to.
        arguments = {"poll_interval": 0.02}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=arguments, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FileServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name, wanted = self.path.strip("/"), self.headers.get("Range")
                owner.asked.append((name, wanted))
                if name not in owner.files:
                    self.send_error(404)
                    return
                content, start = owner.files[name], 0
                if wanted and owner.with_ranges:
                    start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
                if start and start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                if owner.says_length:
                    self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                end = None if owner.break_after is None else start + owner.break_after
                with contextlib.suppress(ConnectionError):  # the client has enough
                    self.wfile.write(content[start:end])

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server
