"""The page at `/`: types and headers of its files, and what is not served."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from power_bert_runtime.serving.page_files import PageFiles
from power_bert_runtime.serving.page_headers import PAGE_HEADERS

Open = Callable[..., Any]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "vendor" / "deep").mkdir(parents=True)
    for name in ("index.html", "app.js", "a b.css", "vendor/x.mjs", "vendor/deep/x.wasm", "model.onnx", "x.svg"):
        (folder / name).write_bytes(f"content of {name}".encode())
    (folder / "models.json").write_text("the list of the page alone")
    return folder


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/a%20b.css", "text/css; charset=utf-8"),
        ("/vendor/x.mjs", "text/javascript; charset=utf-8"),
        ("/vendor/deep/x.wasm", "application/wasm"),
        ("/model.onnx", "application/octet-stream"),
        ("/x.svg", "image/svg+xml"),
    ],
)
def test_files_have_the_types_and_headers_that_browsers_need(
    open_server: Open, page: Path, path: str, kind: str
) -> None:
    answer = open_server(page).get(path)
    name = {"/": "index.html", "/a%20b.css": "a b.css"}.get(path, path[1:])
    assert (answer.status_code, answer.text) == (200, f"content of {name}")
    assert answer.headers["Content-Type"] == kind
    assert PAGE_HEADERS.items() <= {name: answer.headers[name] for name in PAGE_HEADERS}.items()
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_the_list_of_models_is_the_servers(open_server: Open, page: Path) -> None:
    answer = open_server(page).get("/models.json")
    assert answer.json() == {"server": True} and answer.headers["Cache-Control"] == "no-cache"


def test_a_file_of_the_page_does_not_hide_an_operation(open_server: Open, page: Path) -> None:
    for name in ("health", "metrics", "predict"):
        (page / name).write_text("of the page")
    client = open_server(page)
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/metrics").text.startswith("# HELP")
    assert client.post("/predict", json={"inputs": "a"}).status_code == 200


def test_what_came_after_the_start_is_not_served(open_server: Open, page: Path) -> None:
    client = open_server(page)
    (page / "later.js").write_text("later")
    assert client.get("/later.js").status_code == 404


def test_only_reading(open_server: Open, page: Path) -> None:
    client = open_server(page)
    head = client.head("/app.js")
    assert (head.status_code, head.text, head.headers["Content-Length"]) == (200, "", "17")
    for method in ("POST", "PUT", "DELETE"):
        assert client.request(method, "/app.js").status_code == 405
    assert (page / "app.js").exists()


def test_paths_of_the_page(page: Path) -> None:
    assert PageFiles(page).paths == {
        *("/", "/index.html", "/app.js", "/a b.css", "/vendor/x.mjs", "/vendor/deep/x.wasm", "/model.onnx"),
        *("/x.svg", "/models.json"),
    }
    assert PageFiles(None).paths == {"/", "/models.json"}
