"""Writes the generated pages: settings.md from the declarations of the settings, commands.md from the command line.

    PYTHONPATH=code python docs/pages.py [FOLDER]

`bash run.sh docs` calls it; a test fails if a committed page differs from what it writes.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["POWER_BERT_PROGRAM"] = "bash run.sh"  # before the package is imported: pages name the program of a checkout

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from power_bert import cli
from power_bert.config.setting_texts import settings_page

_INTRODUCTION = """# Commands

This page is generated from the command line; a test compares the two. Options without a command belong to `run`.

`bash run.sh --version` shows the version. Installed with `pip install .`, the program is called `power-bert`; without a
command it shows its help, so the main job is `power-bert run`. `power-bert --install-completion` lets your shell
complete its commands and options.
"""


def commands_page() -> str:
    """Render docs/commands.md: one section per group of `--help`, with its commands."""
    return "\n".join([_INTRODUCTION, *_sections()]).rstrip() + "\n"


def _sections() -> Iterator[str]:
    program = get_command(cli.app)
    context, group = typer.Context(program, info_name="bash run.sh"), None
    for name, command in program.commands.items():  # type: ignore[attr-defined]
        if command.rich_help_panel != group:
            group = command.rich_help_panel
            yield f"## {group}\n"
        text = get_docs_for_click(obj=command, ctx=context, name=name, call_prefix="bash run.sh", indent=2)
        text = text.replace(f"### `bash run.sh {name}`", f"### {name}", 1)
        text = text.replace("* `--help`: Show this message and exit.\n", "").replace("\n\n**Options**:\n\n\n", "\n")
        text = re.sub(r"(?m)^(    .*)\n\n(?=    )", r"\1\n", text)  # examples are one block
        yield re.sub(r"\n    --", r" \\\n      --", text).strip() + "\n"


def main(folder: Path) -> None:
    """Write both pages into a folder."""
    (folder / "settings.md").write_text(settings_page(), encoding="utf-8")
    (folder / "commands.md").write_text(commands_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
