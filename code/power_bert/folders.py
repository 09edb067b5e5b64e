"""Where the program keeps what it makes and fetches.

In a checkout: `checkpoints/` and `glue_data/` beside run.sh. Installed with pip: in the current folder, and what any
project can share in the user's cache folder; never beside the installed package. `POWER_BERT_HOME` names another folder
for all of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = PACKAGE.parents[1]
_IS_CHECKOUT = (_CHECKOUT / "run.sh").is_file()
_HOME = os.environ.get("POWER_BERT_HOME") or (_CHECKOUT if _IS_CHECKOUT else "")

# Of what belongs to the user's work, and of what can be made or fetched again.
_WORK = Path(_HOME).absolute()
_CACHE = _WORK if _HOME else platformdirs.user_cache_path("power-bert")

GLUE_FOLDER = _WORK / "glue_data"
RUNS_FOLDER = _WORK / "checkpoints" / "runs"
STUDIES_FOLDER = _WORK / "checkpoints" / "studies"
LOGITS_FOLDER = _CACHE / "checkpoints" / "teacher_logits"
DEFAULT_CHECKPOINT = _CACHE / "checkpoints" / "all-MiniLM-L6-v2"
# Not moved by POWER_BERT_HOME: a build of the browser page depends on nothing but the program.
BUILD_FOLDER = (_CHECKOUT if _IS_CHECKOUT else _CACHE) / "build"

# What Python is given to run this program in a process of its own, after its options.
PROGRAM = (str(_CHECKOUT / "code"),) if _IS_CHECKOUT else ("-m", "power_bert")
