"""What the commands' options have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from power_bert.errors import UserError

# Named here so that `--help` need not read the task table.
TASK_NAMES = "cola, sst-2, mrpc, sts-b, qqp, mnli-m, mnli-mm, qnli, rte, wnli"
LABELLED_NAMES = "emotion, massive, 20newsgroups, acceptability-sample"
# Of commands that write a folder over a long time, by themselves.
Wait = Annotated[bool, typer.Option("--wait", help="wait while another process writes the same folder, do not stop")]
LOGITS_HELP = "folder of the teachers' cached logits; default: checkpoints/teacher_logits"
PAPER_DEFAULT = "empty: the task's own, for GLUE the paper's"


def option(variable: str, help_text: str) -> Any:
    """An option that can also come from the environment variable of run.sh with that name."""
    return typer.Option(f"--{variable.lower().replace('_', '-')}", envvar=variable, help=help_text)


def variables_of(command: Callable[..., None]) -> frozenset[str]:
    """The environment variables that options of a command can come from."""
    hints = get_type_hints(command, include_extras=True).values()
    options = [option for hint in hints for option in getattr(hint, "__metadata__", ())]
    return frozenset(option.envvar for option in options if option.envvar)


def parse_cased(value: str | None) -> bool | None:
    """CASED of run.sh: None for "" and "auto"."""
    choices = {None: None, "": None, "auto": None, "1": True, "true": True, "0": False, "false": False}
    if value is not None and value.lower() not in choices:
        raise UserError(f"CASED={value!r} is unknown: expected 1 (cased), 0 (uncased) or auto")
    return choices[value.lower() if value else value]
