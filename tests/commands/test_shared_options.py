"""Options that are built from the declarations of settings."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic.dataclasses import dataclass
from typer.testing import CliRunner

from power_bert.commands.shared_options import RUN_VARIABLES, OptionGroup, takes_settings
from power_bert.config.experiment import Experiment, RunFlags
from power_bert.config.settings import STRICT, Setting, Settings


@dataclass(frozen=True, config=STRICT)
class Tea(Settings):
    """Settings of all types that an option can have."""

    leaves: Annotated[str, Setting("Leaves", default="green")]
    minutes: Annotated[float, Setting("Minutes", "minutes", 0, 10)] = 3.0
    cups: Annotated[int | None, Setting("Cups", variable="POTS")] = None
    sweet: Annotated[bool, Setting("Sweet", option="sweet/--unsweetened")] = False
    mode: Annotated[Literal["hot", "cold"], Setting("Mode", meanings={"cold": "over night"})] = "hot"
    guests: Annotated[tuple[str, ...], Setting("Guests", option="guest", is_repeatable=True)] = ()
    secret: Annotated[int, Setting("Secret", has_option=False)] = 0


def program(**groups: OptionGroup) -> Callable[..., tuple[int, Any, str]]:
    """A program with these options, which returns exit status, settings and output of a call."""
    app, got = typer.Typer(rich_markup_mode="markdown"), []  # as the program has it

    @app.command()
    @takes_settings(**groups)
    def brew(given: dict[str, Any], place: Annotated[str, typer.Argument()], count: int = 1) -> None:
        got.append((given, place, count))

    def run(*arguments: str, **environment: str) -> tuple[int, Any, str]:
        got.clear()
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200", **environment})
        return result.exit_code, got[0] if got else None, re.sub(r"[\s│]+", " ", result.output)

    return run


NOT_GIVEN = dict.fromkeys(("leaves", "minutes", "cups", "sweet", "mode", "guests"))


def test_what_is_not_given_is_none_and_not_the_default() -> None:
    assert program(given=OptionGroup(Tea))("here")[:2] == (0, (NOT_GIVEN, "here", 1))


def test_options_have_the_type_of_their_setting() -> None:
    options = ("--leaves", "black", "--minutes", "2", "--pots", "3", "--sweet", "--mode", "cold")
    status, got, _ = program(given=OptionGroup(Tea))(
        "there", *options, "--guest", "Ann", "--guest", "Bo", "--count", "2"
    )
    expected = {"leaves": "black", "minutes": 2.0, "cups": 3, "sweet": True, "mode": "cold", "guests": ["Ann", "Bo"]}
    assert (status, got) == (0, (expected, "there", 2))


def test_a_flag_can_be_switched_off() -> None:
    _, (given, *_), _ = program(given=OptionGroup(Tea))("here", "--unsweetened")
    assert given["sweet"] is False


def test_an_option_beats_its_variable_and_an_empty_variable_is_none() -> None:
    run = program(given=OptionGroup(Tea, has_variables=True))
    given = run("here", "--minutes", "1", MINUTES="9", POTS="4", SWEET="1", LEAVES="")[1][0]
    assert given == {**NOT_GIVEN, "minutes": 1.0, "cups": 4, "sweet": True}
    status, got, output = run("here", POTS="many")
    assert (status, got) == (2, None) and "'POTS'" in output and "integer" in output


def test_variables_are_for_commands_that_ask_for_them() -> None:
    assert program(given=OptionGroup(Tea))("here", MINUTES="9", POTS="many")[1][0] == NOT_GIVEN


def test_some_settings_with_a_prefix() -> None:
    group = OptionGroup(Tea, only=("minutes", "sweet"), prefix="second_", whose="Second: ", defaults={"minutes": "4"})
    run = program(given=group)
    assert run("here", "--second-minutes", "5")[1][0] == {"minutes": 5.0, "sweet": None}
    output = run("--help")[2]
    assert "Second: Minutes [default: 4]." in output and "--leaves" not in output


def test_help_shows_choices_defaults_and_no_hidden_setting() -> None:
    output = program(given=OptionGroup(Tea))("--help")[2]
    assert "Mode: hot, cold (over night) [default: hot]." in output and "Leaves [default: green]." in output
    assert "--secret" not in output and "None" not in output


def test_a_setting_without_an_option_is_refused() -> None:
    status, got, output = program(given=OptionGroup(Tea))("here", "--secret", "1")
    assert (status, got) == (2, None) and "No such option: --secret" in output


def test_the_flags_of_a_call_have_their_defaults() -> None:
    flags = program(given=OptionGroup(RunFlags, has_variables=True))
    assert RunFlags(**flags("here")[1][0]) == RunFlags()
    assert RunFlags(**flags("here", "--no-resume", BASELINE="1")[1][0]) == RunFlags(baseline=True, resume=False)


@pytest.mark.parametrize("name", ["TASK", "EPOCH", "LAMBDA", "RESUME", "EVAL_ONLY"])
def test_the_variables_of_run(name: str) -> None:
    assert name in RUN_VARIABLES
    assert not {"KIND", "REGULARIZATION", "THREADS"} & RUN_VARIABLES
    assert Experiment.spelled("regularization") == "LAMBDA"
