"""Tests of the server of the page and of the command."""

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
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


def _get(
    server: PageServer, path: str, host: str | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=30)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), response.read()


def _send(server: PageServer, request: bytes) -> bytes:
    """The server's whole answer to these bytes."""
    with socket.create_connection((HOST, server.server_address[1]), timeout=30) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))
        except OSError:  # it has answered, and closed, before it has read everything
            return b""


def _end(server: PageServer) -> None:
    """End the server when all requests are answered."""
    server.shutdown()
    server.server_close()


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


@pytest.mark.parametrize(
    "path",
    [
        *("/../secret.txt", "/%2e%2e/secret.txt", "/models/1/secret.txt", "/models/2/x.tflite", "//secret.txt"),
        *(
            "/vendor",
            "/vendor/",
            "/models/",
            "/%00",
            "/" + "a" * 5000,
            "/app.js/x",
            "/%ff%fe",
            "*",
            "http://127.0.0.1/",
        ),
    ],
)
def test_nothing_else_is_served_and_no_folder_listed(
    path: str, server: PageServer, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, content = _get(server, path)
    assert status == 404 and b"t.mjs" not in content and b"mine" not in content
    _end(server)
    assert capfd.readouterr().err == ""


def test_a_link_out_of_the_page_is_not_followed(server: PageServer, tmp_path: Path) -> None:
    (tmp_path / "site" / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert _get(server, "/link.txt")[0] == 404


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9"])
def test_its_own_names(host: str, server: PageServer) -> None:
    assert _get(server, "/", host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/models.json", "/models/1/my%20model.tflite"])
def test_a_strange_name_that_leads_here(host: str, path: str, server: PageServer) -> None:
    status, _, content = _get(server, path, host)
    assert status == 421 and b"page</title>" not in content and b"TFL3" not in content and b"tflite" not in content


@pytest.mark.parametrize(
    ("host", "is_own"),
    [
        ("192.168.1.7:8000", True),
        ("localhost", True),
        (socket.gethostname(), True),
        ("evil.example", False),
        ("1.2", False),
    ],
)
def test_other_devices_reach_it_by_address(host: str, is_own: bool, tmp_path: Path) -> None:
    with PageServer(tmp_path, [], 0, "0.0.0.0") as everywhere:
        assert everywhere.is_own_name(host.lower()) is is_own
        assert everywhere.address == f"http://127.0.0.1:{everywhere.server_address[1]}/"


def test_a_host_of_another_machine(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"8\.8\.8\.8:0 cannot be used .* --host"):
        PageServer(tmp_path, [], 0, "8.8.8.8")


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: evil.example\r\n"])
def test_no_name_or_several(hosts: bytes, server: PageServer) -> None:
    assert _send(server, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n").startswith(b"HTTP/1.0 421 ")


def test_headers_of_every_answer(server: PageServer) -> None:
    for path, status in (("/", 200), ("/models.json", 200), ("/models/1/my%20model.tflite", 200), ("/none", 404)):
        found, headers, _ = _get(server, path)
        assert found == status and headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe-inline" not in policy


def test_head_and_other_methods(server: PageServer) -> None:
    status, headers, content = _get(server, "/app.js", method="HEAD")
    assert status == 200 and headers["Content-Length"] == "6" and content == b""
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"):
        assert _get(server, "/app.js", method=method)[0] == 405


REQUEST = b"GET /models/1/my%20model.tflite?x=1 HTTP/1.1\r\nHost: localhost:8000\r\nAccept: */*\r\n\r\n"
PUBLIC = (b"TFL3", b"<title>page</title>", b"app.js", b"vendor/t.mjs", b"vendor/t.wasm", b'"url"')


def test_malformed_requests(server: PageServer, capfd: pytest.CaptureFixture[str]) -> None:
    statuses = set()

    @mutation_settings
    @given(mutated(REQUEST))
    def check(request: bytes) -> None:
        answer = _send(server, request)
        assert not answer or answer.startswith(b"HTTP/1.0 "), answer[:100]
        statuses.add(answer[9:12])
        if answer.startswith(b"HTTP/1.0 200 "):
            assert answer.endswith(PUBLIC) or any(part in answer for part in PUBLIC)
        assert b"mine" not in answer

    check()
    assert _get(server, "/")[0] == 200, "the server lives"
    _end(server)
    assert capfd.readouterr().err == ""
    assert {b"400", b"421"} <= statuses <= {b"", b"200", b"400", b"404", b"405", b"414", b"421", b"431", b"505"}


def test_a_browser_that_leaves_is_not_reported(
    server: PageServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my model.tflite").write_bytes(bytes(50_000_000))
    with socket.create_connection((HOST, server.server_address[1])) as connection:
        connection.sendall(b"GET /models/1/my%20model.tflite HTTP/1.0\r\nHost: localhost\r\n\r\n")
        connection.recv(10)
        # Closed with unread data, and at once: the server's next write fails.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert _get(server, "/")[0] == 200
    _end(server)
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
