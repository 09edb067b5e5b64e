"""README and docs: every command and option is one of the program, every path and link exists, pages are up to date."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from power_bert import cli
from power_bert.commands.shared_options import RUN_VARIABLES
from power_bert.config.experiment import Experiment
from power_bert.config.pretraining import read_toml
from power_bert.config.settings import check_setting, declared_settings
from power_bert.text.custom_task import CUSTOM
from power_bert.text.glue_tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "glue_data/README.md", "checkpoints/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
COMMANDS: dict[str, Any] = get_command(cli.app).commands  # type: ignore[attr-defined]
OPTIONS = {
    option for command in COMMANDS.values() for each in command.params for option in (*each.opts, *each.secondary_opts)
}
OF_RUN_SH = RUN_VARIABLES | {"BACKEND", "THREADS", "EXTRAS"} | {"POWER_BERT_VENV", "POWER_BERT_HOME"}
# Commands of run.sh itself → their options.
RUN_SH_COMMANDS = {"test": {"--all"}, "docs": {"--serve"}, "notebook": set()}
# Options that stand in place of a command.
PROGRAM_OPTIONS = {"--help", "--version"}
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Stands for bash, whose calls of run.sh it records with the settings before them; nothing else is found.
RECORDER = r"""
PATH=/nonexistent
command_not_found_handle() { :; }
bash() {
  local name
  printf 'call\0'
  for name in $SETTINGS; do [[ -z ${!name+x} ]] || printf '%s=%s\0' "$name" "${!name}"; done
  printf -- '--\0'
  (($# == 1)) || printf '%s\0' "${@:2}"
}
"""


@dataclass(frozen=True)
class Call:
    """One call of run.sh: the settings before it, and its arguments."""

    settings: dict[str, str]
    arguments: list[str]


def code_blocks(text: str) -> Iterator[str]:
    """Fenced blocks of shell code and indented blocks, without prompts."""
    for match in FENCE.finditer(text):
        if match[1] in ("", "bash", "console", "sh"):
            yield match[2].replace("$ bash", "bash")
    text = FENCE.sub("", text)
    for match in re.finditer(r"(?:(?<=\n\n)|\A)(?: {4}.*\n|\n(?= {4}))+", text):
        yield re.sub(r"(?m)^ {4}", "", match[0])


def calls(code: str, folder: Path) -> list[Call]:
    """Calls of run.sh in a block of code; bash itself reads it, but runs nothing."""
    environment = {"SETTINGS": " ".join(sorted(OF_RUN_SH))}
    command = ["/bin/bash", "--noprofile", "--norc", "-c", f"{RECORDER}\n{code}"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0 and ended.stderr == "", f"{code}\n{ended.stderr}"
    found = []
    for part in ended.stdout.split("call\0")[1:]:
        settings, _, arguments = part.rpartition("--\0") if part.endswith("--\0") else part.partition("--\0")
        pairs = (setting.partition("=") for setting in settings.split("\0") if setting)
        found.append(Call({name: value for name, _, value in pairs}, arguments.split("\0")[:-1]))
    return found


def routed(arguments: list[str]) -> tuple[str, list[str]]:
    """Return the command of a call and its arguments, as run.sh does: options without a command belong to `run`."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in PROGRAM_OPTIONS):
        return "run", arguments
    return arguments[0], arguments[1:]


def check_call(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parse a call as run.sh and the program do, up to the values of settings; a usage error fails the test."""
    name, arguments = routed(call.arguments)
    if name in PROGRAM_OPTIONS:
        assert not arguments, call
        return
    if name in RUN_SH_COMMANDS:
        assert set(arguments) <= RUN_SH_COMMANDS[name], call
        return
    if name == "COMMAND" or arguments == ["--help"]:
        return
    for setting, value in call.settings.items():
        monkeypatch.setenv(setting, value)
    with COMMANDS[name].make_context(name, list(arguments)) as context:
        given = context.params
    for recipe in (str(value) for value in given.values()):
        if recipe.startswith("recipes/"):
            read_toml(Path(recipe))
    if name == "run":
        assert given["task"] in (None, CUSTOM) or get_task(given["task"])
        for setting in declared_settings(Experiment):
            if given.get(setting) is not None and setting not in ("text_columns", "labels"):  # lists, given as text
                check_setting(Experiment, setting, given[setting])


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_blocks_of_code(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in code_blocks(page.read_text(encoding="utf-8")):
        if "bash run.sh" not in code or re.search(r"^Usage:|\[OPTIONS\]|COMMAND \[", code, flags=re.MULTILINE):
            continue
        found = calls(code, tmp_path)
        assert found, code
        for variable in re.findall(r"(?m)(?:^|\s)([A-Z_]{2,})=\S* (?:[A-Z_]+=\S* )*bash run\.sh", code):
            assert variable in OF_RUN_SH, code
        for call in found:
            with monkeypatch.context() as patch:
                check_call(call, patch)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_code_in_sentences(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands there may leave arguments out, so only names are compared."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for code in re.findall(r"`([^`]+)`", re.sub(r"(?m)^ {4}.*$", "", text)):
        code = " ".join(code.split())
        before, run_sh, after = code.partition("bash run.sh")
        if run_sh:
            name, rest = routed(after.split())
            known = RUN_SH_COMMANDS.get(name, set())
            assert name in {*COMMANDS, *RUN_SH_COMMANDS, *PROGRAM_OPTIONS, "COMMAND"}, code
            if name in COMMANDS:
                known = {option for each in COMMANDS[name].params for option in (*each.opts, *each.secondary_opts)}
            assert {word for word in rest if word.startswith("--")} <= known | {"--help"}, code
            assert {word.partition("=")[0] for word in before.split()} <= OF_RUN_SH, code
        elif code.startswith("--"):
            assert re.split(r"[ =]", code)[0] in OPTIONS | {"--all", "--serve"}, code
        elif re.fullmatch(r"(?:[A-Z_]+=\S* ?)+", code):
            assert {word.partition("=")[0] for word in code.split()} <= OF_RUN_SH, code


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_paths_and_links(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link
    top = "code|docs|notebooks|tests|glue_data|checkpoints"
    for name in re.findall(rf"`((?:{top})/[\w./-]+|[\w-]+\.(?:lock|toml|cff|sh))`", text):
        is_made = name.startswith(("glue_data/", "checkpoints/")) and not name.endswith("README.md")
        assert is_made or (ROOT / name).exists() or (page.parent / name).exists(), name
    for name in re.findall(r"`recipes/([a-z]\w*\.toml)`", text):
        assert (ROOT / "code/power_bert/recipes" / name).exists(), name


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub and mkdocs make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "pages.py"), str(tmp_path)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT / "code")}, check=True, timeout=300)
    for name in ("settings.md", "commands.md"):
        page = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert page == (tmp_path / name).read_text(encoding="utf-8"), f"docs/{name} is old: bash run.sh docs writes it"


def test_every_page_and_figure_is_used() -> None:
    used = {path for page in PAGES for path in re.findall(r"\]\((?:\.\./)?(figures/[^)]+)\)", page.read_text("utf-8"))}
    assert used == {f"figures/{path.name}" for path in (ROOT / "docs" / "figures").iterdir()}
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = set(re.findall(r"(?m)^ *- (?:[^#\n]*: )?([\w/-]+\.md)$", nav))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES if ROOT / "docs" in page.parents}


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") <= 150


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["authors"] and citation["references"][0]["year"] == 2020
