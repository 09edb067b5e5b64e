"""Whether a run folder may be used for an experiment, and what of it is done; needs no Keras."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

from power_bert.config import Experiment
from power_bert.distill_config import Distillation, Ensemble
from power_bert.errors import UserError
from power_bert.run_dir import DISTILL, PHASES, PhaseDir, RunDir, read_json
from power_bert.settings import TrainingSettings, read_settings_values
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


def check_run_dir(experiment: TrainingSettings, resume: bool) -> RunDir:
    """The run folder, if this experiment may use it; writes nothing.

    Without `resume` it may hold any older run, which `set_aside` then moves out of the way.

    Raises:
        UserError: the folder holds another run, or something that is no run.
    """
    run_dir = RunDir(Path(experiment.output_dir))
    if run_dir.path.is_file():
        raise UserError(f"{folder_setting(experiment)} is a file; expected a folder or nothing there")
    if not run_dir.path.exists() or not any(run_dir.path.iterdir()):
        return run_dir
    if not run_dir.config.exists():
        raise UserError(
            f"{folder_setting(experiment)} is not empty and holds no run of this project (no config.json); "
            f"choose another {_folder_name(experiment)}"
        )
    if resume and any(run_dir.phase(name).path.exists() for name in (*PHASES, DISTILL)):
        _refuse_other_run(experiment, run_dir)
    return run_dir


def read_settings(run_dir: RunDir) -> Experiment | Distillation | Ensemble:
    """The settings of a stored run of any kind.

    Raises:
        UserError: the folder holds no run, or its config.json is damaged.
    """
    if not run_dir.config.is_file():
        raise UserError(f"{run_dir.path}: no run there (no config.json); expected the OUTPUT_DIR of a run")
    text, source = run_dir.config.read_text(encoding="utf-8"), str(run_dir.config)
    kinds: dict[Any, type[Distillation | Ensemble]] = {"distill": Distillation, "ensemble": Ensemble}
    cls = kinds.get(read_settings_values(text, source).get("kind"), Experiment)
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
    old, new = json.loads(stored.to_json()), json.loads(experiment.to_json())
    # The folder may have been moved.
    different = [name for name in new if old[name] != new[name] and name != "output_dir"]
    if different:
        listed = "; ".join(f"{name}: {old[name]!r} there, {new[name]!r} now" for name in different)
        raise UserError(
            f"{folder_setting(experiment)} holds another run ({listed}). Choose another {folder}, or set {anew} to "
            "set that run aside and start anew"
        )
    if run_dir.environment.exists():
        recorded = read_json(run_dir.environment).get("data_sha256", {})
        for name, digest in data_fingerprint(experiment.task_definition, experiment.data_dir).items():
            if recorded.get(name, digest) != digest:
                raise UserError(
                    f"{Path(experiment.data_dir) / name} has changed since the run in {run_dir.path} began; "
                    f"restore it, choose another {folder}, or set {anew} to start anew"
                )


def phases_of(experiment: Experiment) -> tuple[str, ...]:
    """The phases of a run: without the search where the retention configuration is given."""
    return PHASES if experiment.retention_config is None else (_FINE_TUNE, _RETRAIN)


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


def finished_run(experiment: Experiment, predict_test: bool) -> RunDir | None:
    """The run folder where nothing of the experiment is left to do; None otherwise.

    Raises:
        UserError: as `check_run_dir`.
    """
    run_dir = check_run_dir(experiment, resume=True)
    phase_dirs = [run_dir.phase(name) for name in phases_of(experiment)]
    if not all(phase_dir.is_done for phase_dir in phase_dirs) or not run_dir.summary.exists():
        return None
    if predict_test and any(missing_predictions(experiment, run_dir.phase(name)) for name in PREDICTING_PHASES):
        return None
    return run_dir
