"""Checks of a run directory: whether an experiment may use it, and which phases are done. Keras is not imported."""

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

from power_bert.config.distillation import Distillation, Ensemble
from power_bert.config.experiment import Experiment
from power_bert.config.settings import read_settings_values
from power_bert.config.validation import TrainingSettings, differing_settings, list_differences
from power_bert.elimination.allocation import EXPECTED_STAGES, stage_targets
from power_bert.errors import UserError
from power_bert.runs.run_dir import BASELINE, DISTILL, NOTHING_ELIMINATED, PHASES, PhaseDir, RunDir
from power_bert.runs.run_documents import read_environment
from power_bert.storage.files import is_empty
from power_bert.text.examples import data_fingerprint
from power_bert.text.task import Task
from power_bert.text.task_family import predictable_test_sets

_FINE_TUNE, _SEARCH, _RETRAIN = PHASES
# Settings that name files or folders; they may change when a run is moved.
_PATHS = (
    *("data_dir", "checkpoint_path", "vocab_path", "bert_config_path"),
    *("teachers", "members", "continued", "start", "vocabulary", "unlabelled", "lm_checkpoint"),
)
# Phases whose models predict the test sets; the model of the search is only an intermediate result.
PREDICTING_PHASES = (_FINE_TUNE, _RETRAIN)


def folder_setting(settings: TrainingSettings) -> str:
    """Return the setting that names the run directory, for messages."""
    return f"{_folder_name(settings)}{'=' if isinstance(settings, Experiment) else ' '}{settings.output_dir}"


def _folder_name(settings: TrainingSettings) -> str:
    return "OUTPUT_DIR" if isinstance(settings, Experiment) else "--out"


def _start_anew(settings: TrainingSettings) -> str:
    return "RESUME=0" if isinstance(settings, Experiment) else "--no-resume"


def choose_folder(experiment: Experiment, only_existing: bool = False) -> Experiment:
    """Return the experiment with its default run directory, for a user who names none.

    The default is NAME, or else the first free one of NAME-2, NAME-3 and so on. A folder is free if it holds no run, or
    a run with the same settings, which is then resumed. After a setting is edited, `bash run.sh` therefore starts a new
    run; after it is edited back, the old run is found again.

    Args:
        experiment: Experiment whose output directory is NAME.
        only_existing: Whether to return NAME if no folder holds a run with these settings.

    Raises:
        UserError: A config.json in one of these folders is damaged.
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
    """Return the run directory if this experiment may use it; nothing is written.

    Without `resume` it may hold any older run, which `set_run_aside` then renames.

    Raises:
        UserError: The folder holds another run, or something that is no run.
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
    """Return whether a config.json is that of a run; checkpoints have a file of the same name."""
    if not config.is_file():
        return False
    values = read_settings_values(config.read_bytes(), str(config))
    return {"task", "output_dir"} <= values.keys()


def read_settings(run_dir: RunDir) -> Experiment | Distillation | Ensemble:
    """Read the settings of a stored run of any kind, with its paths as they are now.

    A run can be moved or copied: `output_dir` is where the run is found, whatever its config.json says.

    Raises:
        UserError: The folder holds no run, or its config.json is damaged.
    """
    source = str(run_dir.config)
    text = run_dir.config.read_bytes() if run_dir.config.is_file() else b"{}"
    values = read_settings_values(text, source)
    if not values.keys() & {"task", "output_dir"}:
        why = "not the settings of a run" if run_dir.config.is_file() else "no such file"
        raise UserError(f"{source}: {why}, so there is no run there; expected the OUTPUT_DIR of a finished run")
    kinds: dict[str, type[Distillation | Ensemble]] = {"distill": Distillation, "ensemble": Ensemble}
    settings = kinds.get(str(values.get("kind")), Experiment).from_json(text, source)
    return dataclasses.replace(settings, **_present_paths(settings, run_dir))


def _present_paths(settings: TrainingSettings, run_dir: RunDir) -> dict[str, Any]:
    """Update the paths in the settings of a run whose folder may have been moved, alone or with its data.

    A path that no longer exists is looked up at the same position relative to the run folder. A relative path, as
    earlier versions stored them, counts from the current folder, then from the run folder. A path that is found in none
    of these places stays as it is stored.
    """
    here = os.path.abspath(run_dir.path)

    def present(path: str) -> str:
        seen_from_run = (os.path.relpath(path, settings.output_dir), path)
        places = (path, *(os.path.normpath(os.path.join(here, place)) for place in seen_from_run))
        return next((place for place in places if Path(place).exists() or Path(f"{place}.index").exists()), path)

    paths = {name: getattr(settings, name) for name in _PATHS if getattr(settings, name, None)}
    found = {
        name: tuple(map(present, value)) if isinstance(value, tuple) else present(value)
        for name, value in paths.items()
    }
    return {**found, "output_dir": here, "data_dir": run_dir.data_dir or found["data_dir"]}


def read_experiment(run_dir: RunDir) -> Experiment:
    """Read the settings of a stored run of the three phases.

    Raises:
        UserError: The folder holds no run, a run of another kind, or its config.json is damaged.
    """
    settings = read_settings(run_dir)
    if not isinstance(settings, Experiment):
        raise UserError(
            f"{run_dir.path}: a distilled run or an ensemble, not one of the three phases of `bash run.sh`; give the "
            "folder of such a run"
        )
    return settings


def set_run_aside(run_dir: RunDir) -> None:
    """Rename the folder of an older run, if there is one, by appending the present time."""
    if run_dir.config.exists():
        os.rename(run_dir.path, run_dir.path.with_name(f"{run_dir.path.name}.{time.strftime('%Y%m%d-%H%M%S')}"))


def is_set_aside(folder: Path) -> bool:
    """Return whether the name of a folder is one that `set_run_aside` gives."""
    return re.search(r"\.\d{8}-\d{6}$", folder.name) is not None


def _refuse_other_run(experiment: TrainingSettings, run_dir: RunDir) -> None:
    stored = read_settings(run_dir)
    folder, anew = _folder_name(experiment), _start_anew(experiment)
    if type(stored) is not type(experiment):
        raise UserError(
            f"{folder_setting(experiment)} holds a run of another kind (its settings: {run_dir.config}). "
            f"Choose another {folder}, or set {anew} to set that run aside and start anew"
        )
    different = differing_run_settings(run_dir, experiment)
    if "max_loss" in different and _may_raise_max_loss(run_dir, *different["max_loss"]):
        del different["max_loss"]
    if different:
        raise UserError(
            f"{folder_setting(experiment)} holds another run ({list_differences(different)}). Choose another {folder}, "
            f"or set {anew} to set that run aside and start anew"
        )
    recorded = read_environment(run_dir.environment).get("data_sha256")
    if recorded is None:
        return
    for name, digest in data_fingerprint(experiment.task_definition, experiment.data_dir).items():
        if recorded.get(name, digest) != digest:
            data = Path(experiment.data_dir)
            raise UserError(
                f"{data if data.name == name else data / name} has changed since the run in {run_dir.path} began; "
                f"restore it, choose another {folder}, or set {anew} to start anew"
            )


def differing_run_settings(
    run_dir: RunDir, settings: TrainingSettings, may_move: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ: name → stored and present value; the run directory and `may_move` may differ."""
    stored, present = json.loads(read_settings(run_dir).to_json()), json.loads(settings.to_json())
    return differing_settings(stored, present, but_for=["output_dir", *may_move])


def _may_raise_max_loss(run_dir: RunDir, stored: float | None, present: float | None) -> bool:
    """Return whether the search goes on with a larger MAX_LOSS, which ends it and does not decide its stages."""
    is_raised = stored is not None and present is not None and present > stored
    return is_raised and not run_dir.phase(_SEARCH).is_done


def phases_of(experiment: Experiment) -> tuple[str, ...]:
    """Return the phases of a run, without the search if the retention configuration is given."""
    return PHASES if experiment.retention_config is None else (_FINE_TUNE, _RETRAIN)


def baseline_epochs(experiment: Experiment) -> int:
    """Return the epochs of the baseline after phase 1: as many as search and re-training take together.

    An epoch of re-training on augmented texts counts as often as it has copies of the training set.
    """
    retraining = experiment.epochs * (1 + experiment.augment_copies)
    if _SEARCH not in phases_of(experiment):
        return retraining
    if experiment.max_loss is not None:  # trained before the search, which compares with it
        trainings = EXPECTED_STAGES
    else:  # with SPEEDUP the search trains between its stages
        trainings = 1 if experiment.speedup is None else len(stage_targets(experiment.speedup)) - 1
    return retraining + trainings * experiment.search_epochs


def prediction_path(phase_dir: PhaseDir, run_task: str, task: Task) -> Path:
    """Return the file with a phase's predictions of a test set, of the run's task or of another of its family."""
    return phase_dir.predictions("test" if task.name == run_task else f"test_{task.name}")


def missing_predictions(experiment: TrainingSettings, phase_dir: PhaseDir) -> dict[Path, tuple[Task, str]]:
    """Return the test prediction files that a phase has not written yet, each with its test set and DATA_DIR."""
    paths = {
        prediction_path(phase_dir, experiment.task, task): (task, data_dir)
        for task, data_dir in predictable_test_sets(experiment.task_definition, experiment.data_dir)
    }
    return {path: test_set for path, test_set in paths.items() if not path.exists()}


def finished_run(experiment: Experiment, predict_test: bool, baseline: bool = False) -> RunDir | None:
    """Return the run directory if the experiment is finished; None otherwise.

    A run of an earlier version is not finished if its model was not scored without elimination.

    Raises:
        UserError: The folder holds another run, or something that is no run.
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
