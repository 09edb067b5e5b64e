"""Folders in which the program keeps what it makes and downloads.

In a checkout these are `checkpoints/` and `glue_data/` beside run.sh. Installed with pip, the program uses the current
folder for the user's work and the user's cache folder for downloads; it never writes beside the installed package.
`POWER_BERT_HOME` replaces both.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
# Folder of run.sh; None if the package is installed.
CHECKOUT = PACKAGE.parents[1] if (PACKAGE.parents[1] / "run.sh").is_file() else None
_HOME = os.environ.get("POWER_BERT_HOME") or CHECKOUT or ""

# Folder of the user's work, and folder of what can be made or downloaded again.
_WORK = Path(_HOME).absolute()
_CACHE = _WORK if _HOME else platformdirs.user_cache_path("power-bert")

GLUE_FOLDER = _WORK / "glue_data"
RUNS_FOLDER = _WORK / "checkpoints" / "runs"
STUDIES_FOLDER = _WORK / "checkpoints" / "studies"
LOGITS_FOLDER = _CACHE / "checkpoints" / "teacher_logits"
DEFAULT_CHECKPOINT = _CACHE / "checkpoints" / "all-MiniLM-L6-v2"
# POWER_BERT_HOME does not move it: a build of the browser page depends on the program alone.
BUILD_FOLDER = (CHECKOUT or _CACHE) / "build"

# Folders of a run, one for each phase. A finished phase has a DONE file and its model, a preset, in MODEL_FOLDER.
PHASES = ("1_fine_tune", "2_search", "3_retrain")
# The only phase of a distilled run or of an ensemble.
DISTILL = "4_distill"
# Fine-tuning that goes on for as many epochs as search and re-training took: what elimination is compared with.
BASELINE = "baseline"
MODEL_FOLDER = "model"
DONE = "DONE"

# Arguments that make Python run this program in another process, after the options of Python itself.
PROGRAM = (str(CHECKOUT / "code"),) if CHECKOUT else ("-m", "power_bert")
