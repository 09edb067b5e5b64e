"""How the user started the program: as `bash run.sh` from a checkout, or as `power-bert` once it is installed."""

from __future__ import annotations

import os
import re

_RUN_SH = "bash run.sh"
PROGRAM_NAME = os.environ.get("POWER_BERT_PROGRAM", "power-bert")  # run.sh sets the variable
# Without a command, run.sh means `run`.
_CALL = re.compile(rf'(EXTRAS=(?:\w+|"[\w ]+") )?{_RUN_SH}( (?:[a-z]|COMMAND|--))?')


def as_typed(text: str, program: str = PROGRAM_NAME) -> str:
    """Return a text in which commands start with the name under which the user started the program.

    Calls that install extras keep the name of run.sh, which alone does that.
    """

    def typed(call: re.Match[str]) -> str:
        return call[0] if call[1] else f"{program}{call[2] or ' run'}"

    return text if program == _RUN_SH else _CALL.sub(typed, text)
