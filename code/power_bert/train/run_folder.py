"""Whether a run folder may be used for an experiment, and what of it is done; needs no Keras."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from power_bert.config import Experiment
from power_bert.distill_config import Distillation, Ensemble
from power_bert.errors import UserError
from power_bert.files import is_empty
from power_bert.run_dir import BASELINE, DISTILL, NOTHING_ELIMINATED, PHASES, PhaseDir, RunDir
from power_bert.run_documents import read_environment
from power_bert.settings import TrainingSettings, differing_settings, list_differences, read_settings_values
from power_bert.text.examples import data_fingerprint
from power_bert.text.task import Task
from power_bert.text.task_family import predictable_test_sets

_FINE_TUNE, _SEARCH, _RETRAIN = PHASES
# Phases whose models predict the test sets; the search only leads from one to the other.
PREDICTING_PHASES = (_FINE_TUNE, _RETRAIN)


def folder_setting(settings: TrainingSettings) -> str:
    """The run folder as the user gives it, for messages."""
    return f"{_folder_name(settings)}{'=' if isinstance(settings, Experiment) else ' '}{settings.output_dir}"


def _folder_name(settings: TrainingSettings) -> str:
    return "OUTPUT_DIR" if isinstance(settings, Experiment) else "--out"


def _start_anew(settings: TrainingSettings) -> str:
    return "RESUME=0" if isinstance(settings, Experiment) else "--no-resume"


def choose_folder(experiment: Experiment, only_existing: bool = False) -> Experiment:
    """The experiment with the folder that it gets where the user names none.

    That is NAME, or the first free one of NAME-2, NAME-3 and so on. A folder is free that holds no begun run, or one
    with the same settings, which then goes on. So after a setting was edited, `bash run.sh` makes a new run, and once
    it is edited back the old one is met again.

    Args:
        experiment: in the folder NAME.
        only_existing: NAME itself where no folder holds a run with these settings.

    Raises:
        UserError: a config.json on the way is damaged.
    """
    base = Path(experiment.output_dir)
    numbered = (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))
    folders = (RunDir(path) for path in itertools.chain([base], numbered))
    chosen = next(folder for folder in folders if _is_free(folder) or _holds_same_run(folder, experiment))
    if only_existing and _is_free(chosen):
        return experiment
    return dataclasses.replace(experiment, output_dir=str(chosen.path))


def _is_free(run_dir: RunDir) -> bool:
    if not run_dir.path.exists() or (run_dir.path.is_dir() and is_empty(run_dir.path)):
        return True
    return _describes_run(run_dir.config) and not _is_begun(run_dir)


def _is_begun(run_dir: RunDir) -> bool:
    return any(run_dir.phase(name).path.exists() for name in (*PHASES, DISTILL))


def _holds_same_run(run_dir: RunDir, experiment: Experiment) -> bool:
    return _describes_run(run_dir.config) and not differing_run_settings(run_dir, experiment)


def check_run_dir(experiment: TrainingSettings, resume: bool) -> RunDir:
    """The run folder, if this experiment may use it; writes nothing.

    Without `resume` it may hold any older run, which `set_aside` then moves out of the way.

    Raises:
        UserError: the folder holds another run, or something that is no run.
    """
    run_dir = RunDir(Path(experiment.output_dir))
    if run_dir.path.is_file():
        raise UserError(f"{folder_setting(experiment)} is a file; expected a folder or nothing there")
    if not run_dir.path.exists() or is_empty(run_dir.path):
        return run_dir
    if not _describes_run(run_dir.config):
        raise UserError(
            f"{folder_setting(experiment)} is not empty and holds no run of this project (no config.json of one); "
            f"choose another {_folder_name(experiment)}"
        )
    if resume and _is_begun(run_dir):
        _refuse_other_run(experiment, run_dir)
    return run_dir


def _describes_run(config: Path) -> bool:
    """Whether it is the config.json of a run; checkpoints have one of their own."""
    if not config.is_file():
        return False
    values = read_settings_values(config.read_bytes(), str(config))
    return {"task", "output_dir"} <= values.keys()


def read_settings(run_dir: RunDir) -> Experiment | Distillation | Ensemble:
    """The settings of a stored run of any kind.

    Raises:
        UserError: the folder holds no run, or its config.json is damaged.
    """
    if not run_dir.config.is_file():
        raise UserError(f"{run_dir.path}: no run there (no config.json); expected the OUTPUT_DIR of a run")
    text, source = run_dir.config.read_bytes(), str(run_dir.config)
    kinds: dict[str, type[Distillation | Ensemble]] = {"distill": Distillation, "ensemble": Ensemble}
    cls = kinds.get(str(read_settings_values(text, source).get("kind")), Experiment)
    return cls.from_json(text, source)


def read_experiment(run_dir: RunDir) -> Experiment:
    """The settings of a stored run of the three phases.

    Raises:
        UserError: the folder holds no run, a run of another kind, or its config.json is damaged.
    """
    settings = read_settings(run_dir)
    if not isinstance(settings, Experiment):
        raise UserError(
            f"{run_dir.path}: a distilled run or an ensemble, not one of the three phases of `bash run.sh`; give the "
            "folder of such a run"
        )
    return settings


def set_aside(run_dir: RunDir) -> None:
    """Rename the folder of an older run, if there is one, to its name with the present time."""
    if run_dir.config.exists():
        os.rename(run_dir.path, run_dir.path.with_name(f"{run_dir.path.name}.{time.strftime('%Y%m%d-%H%M%S')}"))


def is_set_aside(folder: Path) -> bool:
    """Whether the name of a folder is one that `set_aside` gives."""
    return re.search(r"\.\d{8}-\d{6}$", folder.name) is not None


def _refuse_other_run(experiment: TrainingSettings, run_dir: RunDir) -> None:
    stored = read_settings(run_dir)
    folder, anew = _folder_name(experiment), _start_anew(experiment)
    if type(stored) is not type(experiment):
        raise UserError(
            f"{folder_setting(experiment)} holds a run of another kind (its settings: {run_dir.config}). "
            f"Choose another {folder}, or set {anew} to set that run aside and start anew"
        )
    if different := differing_run_settings(run_dir, experiment):
        raise UserError(
            f"{folder_setting(experiment)} holds another run ({list_differences(different)}). Choose another {folder}, "
            f"or set {anew} to set that run aside and start anew"
        )
    recorded = read_environment(run_dir.environment).get("data_sha256")
    if recorded is None:
        return
    for name, digest in data_fingerprint(experiment.task_definition, experiment.data_dir).items():
        if recorded.get(name, digest) != digest:
            raise UserError(
                f"{Path(experiment.data_dir) / name} has changed since the run in {run_dir.path} began; "
                f"restore it, choose another {folder}, or set {anew} to start anew"
            )


def differing_run_settings(
    run_dir: RunDir, settings: TrainingSettings, may_move: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Setting → its value in the stored run and now, where they differ; its folder and those of `may_move` need not."""
    stored, present = json.loads(read_settings(run_dir).to_json()), json.loads(settings.to_json())
    return differing_settings(stored, present, but_for=["output_dir", *may_move])


def phases_of(experiment: Experiment) -> tuple[str, ...]:
    """The phases of a run: without the search where the retention configuration is given."""
    return PHASES if experiment.retention_config is None else (_FINE_TUNE, _RETRAIN)


def baseline_epochs(experiment: Experiment) -> int:
    """Epochs of the baseline after phase 1: as many as search and re-training take together."""
    return experiment.epochs + (experiment.search_epochs if _SEARCH in phases_of(experiment) else 0)


def prediction_path(phase_dir: PhaseDir, run_task: str, task: Task) -> Path:
    """The file of a phase with the predictions of a test set: of the run's task, or of another one of its family."""
    return phase_dir.predictions("test" if task.name == run_task else f"test_{task.name}")


def missing_predictions(experiment: TrainingSettings, phase_dir: PhaseDir) -> dict[Path, tuple[Task, str]]:
    """Files of test predictions that a phase has not written yet → their test set and its DATA_DIR."""
    paths = {
        prediction_path(phase_dir, experiment.task, task): (task, data_dir)
        for task, data_dir in predictable_test_sets(experiment.task_definition, experiment.data_dir)
    }
    return {path: test_set for path, test_set in paths.items() if not path.exists()}


def finished_run(experiment: Experiment, predict_test: bool, baseline: bool = False) -> RunDir | None:
    """The run folder where nothing of the experiment is left to do; None otherwise.

    A run of an earlier version, whose model was not scored with nothing eliminated, has that left to do.

    Raises:
        UserError: as `check_run_dir`.
    """
    run_dir = check_run_dir(experiment, resume=True)
    phase_dirs = [run_dir.phase(name) for name in (*phases_of(experiment), *([BASELINE] if baseline else []))]
    if not all(phase_dir.is_done for phase_dir in phase_dirs) or not run_dir.summary.exists():
        return None
    if not run_dir.phase(_RETRAIN).predictions(NOTHING_ELIMINATED).exists():
        return None
    if predict_test and any(missing_predictions(experiment, run_dir.phase(name)) for name in PREDICTING_PHASES):
        return None
    return run_dir
