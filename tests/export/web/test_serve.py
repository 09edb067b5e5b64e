"""Tests of the server of the page and of the command."""

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from power_bert.commands.web import web
from power_bert.errors import UserError
from power_bert.export.web.serve import HOST, PageServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    """A running server of a page with one model."""
    site = tmp_path / "site"
    (site / "vendor").mkdir(parents=True)
    (site / "index.html").write_text("<title>page</title>")
    for name in ("app.js", "vendor/t.mjs", "vendor/t.wasm"):
        (site / name).write_text(name)
    (site / "models.json").write_text("[]")
    (tmp_path / "my model.tflite").write_bytes(b"TFL3")
    (tmp_path / "secret.txt").write_text("mine")
    with PageServer(site, [tmp_path / "my model.tflite"], 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _get(server: PageServer, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=30)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def test_the_page_may_use_threads(server: PageServer) -> None:
    status, headers, content = _get(server, "/")
    assert status == 200 and content == b"<title>page</title>"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/app.js", "text/javascript"), ("/vendor/t.mjs", "text/javascript"), ("/vendor/t.wasm", "application/wasm")],
)
def test_kinds_of_files(path: str, kind: str, server: PageServer) -> None:
    status, headers, _ = _get(server, path)
    assert status == 200 and headers["Content-type"] == kind


def test_models_are_served_from_where_they_lie(server: PageServer) -> None:
    (entry,) = json.loads(_get(server, "/models.json")[2])
    assert entry["name"] == "my model.tflite"
    status, headers, content = _get(server, "/" + entry["url"])
    assert status == 200 and content == b"TFL3" and headers["Content-Length"] == "4"


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/models/1/secret.txt", "/models/2/x.tflite"])
def test_nothing_else_is_served(path: str, server: PageServer) -> None:
    assert _get(server, path)[0] == 404


def test_a_browser_that_leaves_is_not_reported(
    server: PageServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my model.tflite").write_bytes(bytes(50_000_000))
    with socket.create_connection((HOST, server.server_address[1])) as connection:
        connection.sendall(b"GET /models/1/my%20model.tflite HTTP/1.0\r\n\r\n")
        connection.recv(10)
        # Closed with unread data, and at once: the server's next write fails.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert _get(server, "/")[0] == 200
    server.shutdown()
    server.server_close()  # waits for the threads of all requests
    assert capfd.readouterr().err == ""


def test_a_port_that_is_taken(server: PageServer, tmp_path: Path) -> None:
    port = server.server_address[1]
    with pytest.raises(UserError, match=rf"port {port} cannot be used .* --port"):
        PageServer(tmp_path, [], port)


def test_a_port_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="port 99999 cannot be used"):
        PageServer(tmp_path, [], 99999)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.tflite: no such file.*bash run.sh export"):
        web([tmp_path / "none.tflite"])
