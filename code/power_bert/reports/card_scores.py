"""Scores of a model card: of the model, of its references, and of runs that differ in the seed only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from power_bert.config.distillation import Distillation, Ensemble
from power_bert.config.experiment import Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.errors import UserError
from power_bert.predict.metrics import format_score
from power_bert.reports.elimination_cost import read_differences
from power_bert.result_tables import markdown_table, over_seeds, show_over_seeds, to_frame
from power_bert.runs.resolve_model import StoredPhase, finished_phase
from power_bert.runs.run_dir import BASELINE, DISTILL, NOTHING_ELIMINATED, PHASES, RunDir
from power_bert.runs.run_documents import read_metrics
from power_bert.runs.run_folder import is_set_aside

_FINE_TUNE, _, _RETRAIN = PHASES


def count_epochs(epochs: int) -> str:
    """Name a number of epochs."""
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"


def score_lines(stored: StoredPhase, scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Show the scores of a run.

    Args:
        stored: Phase that the card describes.
        scores: Scores by split and metric.
    """
    settings, names = stored.experiment, list(stored.task.metrics)
    note = " The epoch was selected on the dev set." if _keeps_best_epoch(settings) else ""
    rows = [[split, *(format_score(of_split[metric]) for metric in names)] for split, of_split in scores.items()]
    return [
        f"In percent, seed {settings.seed}.{note}",
        "",
        *markdown_table(to_frame(rows + _reference_rows(stored, names), ["Split", *names])),
        *_missing_references(stored),
        *_seed_lines(stored.run_dir, settings, scores["dev"], names),
    ]


def phase_warnings(stored: StoredPhase) -> list[tuple[str, str]]:
    """Return the warnings of the phases whose scores count, each with the name of its phase."""
    phases = (stored.run_dir.phase(name) for name in (_FINE_TUNE, _RETRAIN, BASELINE, DISTILL))
    return [
        (phase.path.name, warning)
        for phase in phases
        if phase.is_done
        for warning in read_metrics(phase.metrics).get("warnings", [])
    ]


def _reference_rows(stored: StoredPhase, names: Sequence[str]) -> list[list[str]]:
    """Return the rows of the models without elimination that a model with elimination is compared with."""
    rows = []
    titles = {
        NOTHING_ELIMINATED: "dev, same weights, nothing eliminated",
        BASELINE: "dev, fine-tuned for as many epochs, nothing eliminated",
    }
    for name, differences in read_differences(stored.phase_dir).items():
        rows.append([titles[name], *(format_score(differences[metric].before) for metric in names)])
        rows.append(["difference due to elimination", *(differences[metric].change_text() for metric in names)])
    fine_tuned = stored.run_dir.phase(_FINE_TUNE)
    if stored.phase_dir.path.name == _RETRAIN and fine_tuned.is_done:
        first = read_metrics(fine_tuned.metrics, names)
        title = f"dev, after {count_epochs(len(first.get('history', [])))} of fine-tuning"
        rows.append([title, *(format_score(first["scores"][metric]) for metric in names)])
    return rows


def _missing_references(stored: StoredPhase) -> list[str]:
    if stored.retention is None:
        return []
    missing, measured = [], read_differences(stored.phase_dir)
    if NOTHING_ELIMINATED not in measured:
        missing.append("The same weights with nothing eliminated have not been scored.")
    if BASELINE not in measured and isinstance(stored.experiment, Experiment):
        missing.append("No model was fine-tuned for as many epochs without elimination (`BASELINE=1`).")
    return ["", " ".join(missing)] if missing else []


def _seed_lines(run_dir: RunDir, settings: TrainingSettings, dev: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    of_seeds = {**_other_seeds(run_dir, settings), settings.seed: dev}
    if len(of_seeds) < 2:
        return []
    rows = [[seed, *map(of_seed.get, names)] for seed, of_seed in sorted(of_seeds.items())]
    scores = 100 * to_frame(rows, ["Seed", *names]).astype(float)
    mean = show_over_seeds(over_seeds(scores, [], names), dict.fromkeys(names, "{:.2f}"))
    shown = [[seed, *map(format_score, of_seed)] for seed, *of_seed in rows]
    table = to_frame([*shown, ["mean ± standard deviation", *mean.iloc[0]]], ["Seed", *names])
    return ["", "The same recipe from other seeds, dev:", "", *markdown_table(table)]


def _keeps_best_epoch(settings: TrainingSettings) -> bool:
    """Return whether the epoch was selected on dev; ensembles have no epochs, and compression keeps the last one."""
    if isinstance(settings, Distillation):
        return not settings.sparsity and not settings.clusters
    return not isinstance(settings, Ensemble)


def _other_seeds(run_dir: RunDir, settings: TrainingSettings) -> dict[int, dict[str, Any]]:
    """Return seed → dev scores of the finished runs in the same folder that differ in the seed only."""
    try:
        folders = sorted(path for path in run_dir.path.parent.iterdir() if path != run_dir.path)
    except OSError:
        return {}  # a run must not fail because of its neighbors
    found = {}
    for folder in folders:
        if is_set_aside(folder):
            continue
        try:
            other = finished_phase(RunDir(folder))
            if same_but_seed(other.experiment, settings):
                metrics = read_metrics(other.phase_dir.metrics, settings.task_definition.metrics)
                found[other.experiment.seed] = metrics["scores"]
        except (UserError, OSError, UnicodeDecodeError):
            continue  # not a run, not finished or unreadable
    return found


def same_but_seed(one: TrainingSettings, other: TrainingSettings) -> bool:
    """Return whether two runs have the same settings apart from the seed and the folder."""
    if type(one) is not type(other):
        return False
    return without_seed(one) == without_seed(other)


def without_seed(settings: TrainingSettings) -> dict[str, Any]:
    """Return the settings except the seed and the folder."""
    return {name: value for name, value in settings.to_plain().items() if name not in ("seed", "output_dir")}
