"""Fixtures of the commands: calls of the command line, and stand-ins for the work that is tested in other folders."""

import importlib
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from power_bert import cli
from power_bert.commands.shared_options import RUN_VARIABLES
from power_bert.errors import UserError

Call = Callable[..., tuple[int, str]]
Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the program; returns exit status and output, and passes a UserError on. Keywords are the environment."""
    for name in (*RUN_VARIABLES, "THREADS"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object, **environment: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """Calls the program, which must end with a UserError; returns its message."""

    def run(*arguments: object, **environment: str) -> str:
        with pytest.raises(UserError) as caught:
            call(*arguments, **environment)
        return str(caught.value)

    return run


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Replaces a function by one that does nothing but record the arguments of its calls and return a value."""

    def replace(place: str, returned: Any = None) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        calls: Calls = []

        def record(*arguments: Any, **options: Any) -> Any:
            calls.append((arguments, options))
            return returned

        module, _, name = place.rpartition(".")
        monkeypatch.setattr(importlib.import_module(module), name, record)
        return calls

    return replace
