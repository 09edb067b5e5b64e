"""The command line of the server: what becomes of its options, and errors of one line."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from power_bert_runtime import UserError
from power_bert_runtime.serving import serve_command, server_process
from power_bert_runtime.serving.serve_command import TOKEN_VARIABLE
from power_bert_runtime.serving.server_settings import ServerSettings

TOKEN = "0123456789abcdef"
Run = Callable[..., Any]


class Served:
    """What the server was started with, and what was opened."""

    settings: ServerSettings | None = None
    page: Path | None = None
    models: Any = None

    def __init__(self) -> None:
        self.opened: list[tuple[str, int | None]] = []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """In place of a server that listens."""
    seen = Served()

    def serve(load: Any, settings: ServerSettings, page: Path | None) -> None:
        seen.settings, seen.page, seen.models = settings, page, load()

    monkeypatch.setattr(server_process, "serve", serve)
    for name in (TOKEN_VARIABLE, "PORT", "THREADS"):
        monkeypatch.delenv(name, raising=False)
    return seen


@pytest.fixture
def run(served: Served) -> Run:
    def start(*arguments: str, page: Path | None = None) -> Any:
        def open_model(path: str, threads: int | None) -> Any:
            served.opened.append((path, threads))
            return f"model of {path}"

        app = typer.Typer()
        app.command()(serve_command.serve_command(open_model, lambda: page, "Help of it."))
        return CliRunner(env={"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}).invoke(app, arguments)

    return start


def test_without_options_the_settings_are_the_defaults(run: Run, served: Served) -> None:
    assert run("a.onnx").exit_code == 0
    assert served.settings == ServerSettings() and served.page is None
    assert served.models == {"a": "model of a.onnx"} and served.opened == [("a.onnx", None)]


@pytest.mark.parametrize(
    ("option", "value", "setting", "expected"),
    [
        ("--host", "0.0.0.0", "host", "0.0.0.0"),
        ("--port", "0", "port", 0),
        ("--port", "65535", "port", 65535),
        ("--batch-size", "1", "batch_size", 1),
        ("--window-ms", "0", "window_ms", 0.0),
        ("--window-ms", "7.5", "window_ms", 7.5),
        ("--max-queue", "9", "max_queue", 9),
        ("--max-texts", "9", "max_texts", 9),
        ("--max-characters", "9", "max_characters", 9),
        ("--max-body-bytes", "9", "max_body_bytes", 9),
        ("--timeout", "0.5", "timeout_s", 0.5),
        ("--compare-timeout", "0.5", "compare_timeout_s", 0.5),
        ("--shutdown", "0", "shutdown_s", 0.0),
    ],
)
def test_each_option_sets_its_setting_alone(
    run: Run, served: Served, option: str, value: str, setting: str, expected: object
) -> None:
    assert run("a.onnx", option, value).exit_code == 0
    assert served.settings == dataclasses.replace(ServerSettings(), **{setting: expected})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--port", "65536"),
        ("--port", "-1"),
        ("--threads", "0"),
        ("--batch-size", "0"),
        ("--window-ms", "-1"),
        ("--window-ms", "1001"),
        ("--max-queue", "0"),
        ("--max-texts", "0"),
        ("--max-characters", "0"),
        ("--max-body-bytes", "0"),
        ("--timeout", "0"),
        ("--compare-timeout", "0"),
        ("--shutdown", "-1"),
        ("--port", "http"),
    ],
)
def test_values_out_of_range_are_refused(run: Run, served: Served, option: str, value: str) -> None:
    result = run("a.onnx", option, value)
    assert result.exit_code == 2 and f"Invalid value for '{option}'" in result.output
    assert served.settings is None


def test_models_are_required(run: Run, served: Served) -> None:
    result = run()
    assert result.exit_code == 2 and "Missing argument 'MODEL…'" in result.output


def test_threads_reach_every_model(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    run("x=a.onnx", "b.tflite", "--threads", "3")
    assert served.opened == [("a.onnx", 3), ("b.tflite", 3)] and list(served.models) == ["x", "b"]
    monkeypatch.setenv("THREADS", "2")
    monkeypatch.setenv("PORT", "81")
    run("a.onnx")
    assert served.opened[-1] == ("a.onnx", 2)
    assert served.settings is not None and served.settings.port == 81


def test_tokens_are_read_and_never_an_option(
    run: Run, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("fedcba9876543210\n", encoding="utf-8")
    run("a.onnx", "--token-file", str(file))
    assert served.settings == ServerSettings(token="fedcba9876543210")
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    run("a.onnx")
    assert served.settings == ServerSettings(token=TOKEN)
    run("a.onnx", "--token-file", str(file))  # the file counts before the environment
    assert served.settings == ServerSettings(token="fedcba9876543210")
    assert run("a.onnx", "--token", TOKEN).exit_code == 2


def test_the_given_page_counts_before_the_built_one(run: Run, served: Served, tmp_path: Path) -> None:
    run("a.onnx", page=tmp_path / "built")
    assert served.page == tmp_path / "built"
    run("a.onnx", "--page", str(tmp_path / "given"), page=tmp_path / "built")
    assert served.page == tmp_path / "given"


def test_help_is_that_of_the_caller_with_all_options(run: Run, served: Served) -> None:
    text = run("--help").output
    assert "Help of it." in text
    for field in dataclasses.fields(ServerSettings):
        name = field.name.removesuffix("_s").replace("_", "-")
        assert f"--{'token-file' if name == 'token' else name}" in text


def test_help_of_the_server_without_tensorflow_shows_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["power-bert-serve", "--help"])
    with pytest.raises(SystemExit):
        serve_command.main()
    assert "carry [default:" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_what_is_not_installed_is_named(run: Run, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "power_bert_runtime.serving.server_process", None)
    result = run("a.onnx")
    assert isinstance(result.exception, UserError)
    assert "is not installed, which the server needs: EXTRAS=serve bash run.sh serve" in str(result.exception)


def test_the_program_ends_with_one_line(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["power-bert-serve", str(tmp_path / "none.onnx")])
    with pytest.raises(SystemExit) as ended:
        serve_command.main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path}/none.onnx: cannot be read (No such file")


def test_a_token_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff" * 20)
    with pytest.raises(UserError, match=r"token: cannot be read .*; give another --token-file"):
        serve_command.read_token(file)


@pytest.mark.parametrize(
    ("token", "is_taken"), [("x" * 15, False), ("x" * 16, True), ("x" * 15 + "\x7f", False), (" " + "x" * 16, True)]
)
def test_lengths_and_characters_of_tokens(tmp_path: Path, token: str, is_taken: bool) -> None:
    file = tmp_path / "token"
    file.write_text(token, encoding="utf-8")
    if is_taken:
        assert serve_command.read_token(file) == token.strip()
    else:
        with pytest.raises(UserError, match="at least 16 characters, ASCII without spaces"):
            serve_command.read_token(file)
