"""`measure-distillation --config`: a TOML file gives the defaults of the other options."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from power_bert import cli
from power_bert.config.pretraining import read_toml
from power_bert.errors import UserError
from power_bert.folders import PACKAGE

RECIPES = sorted((PACKAGE / "recipes" / "distillation").glob("*.toml"))


def parse(config: Path, *options: str) -> dict[str, Any]:
    command = get_command(cli.app).commands["measure-distillation"]  # type: ignore[attr-defined]
    arguments = ["emotion=data", "--out", "study", *options, "--config", str(config)]
    with command.make_context("measure-distillation", arguments) as context:
        return dict(context.params)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes(recipe: Path) -> None:
    given, values = parse(recipe), read_toml(recipe)
    assert {name: type(value)(given[name]) for name, value in values.items()} == values
    assert given["seeds"] == "0,1,2", "what the file does not name keeps its default"


def test_options_replace_the_file() -> None:
    assert parse(RECIPES[0], "--students", "cnn")["students"] == "cnn"
    assert parse(Path("recipes/distillation/emotion_bilstm.toml"))["loss"] == "mse"


def test_an_unknown_name(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("student = 'bilstm'\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"recipe\.toml: unknown settings student; known are .*students"):
        parse(tmp_path / "recipe.toml")
