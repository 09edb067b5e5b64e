"""The scores in a model card: of the model, of what it is compared with, and of the same recipe from other seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from power_bert.analysis.elimination_cost import read_differences
from power_bert.config import Experiment
from power_bert.distill_config import Distillation, Ensemble
from power_bert.errors import UserError
from power_bert.run_dir import BASELINE, DISTILL, NOTHING_ELIMINATED, PHASES, RunDir
from power_bert.run_documents import read_metrics
from power_bert.settings import TrainingSettings
from power_bert.spread import show_spread, spread_of
from power_bert.train.metrics import format_score, is_defined
from power_bert.train.run_folder import is_set_aside
from power_bert.train.stored_run import StoredPhase, find_stored_phase

_FINE_TUNE, _, _RETRAIN = PHASES


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a table."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in rows),
    ]


def count_epochs(epochs: int) -> str:
    """Name a number of epochs."""
    return f"{epochs} epoch{'' if epochs == 1 else 's'}"


def score_lines(stored: StoredPhase, scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Show the scores of a run.

    Args:
        stored: The phase whose card it is.
        scores: Split → metric → score.
    """
    settings, names = stored.experiment, list(stored.task.metrics)
    note = " The dev set has also chosen the epoch that was kept." if _keeps_best_epoch(settings) else ""
    rows = [[split, *(format_score(of_split[metric]) for metric in names)] for split, of_split in scores.items()]
    return [
        f"In percent, seed {settings.seed}.{note}",
        "",
        *markdown_table(["Split", *names], rows + _reference_rows(stored, names)),
        *_missing_references(stored),
        *_seed_lines(stored.run_dir, settings, scores["dev"], names),
    ]


def warning_lines(stored: StoredPhase) -> list[str]:
    """Show the warnings of the phases whose scores the card shows."""
    phases = (stored.run_dir.phase(name) for name in (_FINE_TUNE, _RETRAIN, BASELINE, DISTILL))
    return [
        f"- `{phase.path.name}`: {warning}"
        for phase in phases
        if phase.is_done
        for warning in read_metrics(phase.metrics).get("warnings", [])
    ]


def _reference_rows(stored: StoredPhase, names: Sequence[str]) -> list[list[str]]:
    """What a model that eliminates is to be compared with: models in which nothing is eliminated."""
    rows = []
    titles = {
        NOTHING_ELIMINATED: "dev, same weights, nothing eliminated",
        BASELINE: "dev, fine-tuned for as many epochs, nothing eliminated",
    }
    for name, differences in read_differences(stored.phase_dir).items():
        rows.append([titles[name], *(format_score(differences[metric].before) for metric in names)])
        rows.append(["elimination's difference from that", *(differences[metric].change_text() for metric in names)])
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
    by_metric = [[of_seed[metric] for of_seed in of_seeds.values()] for metric in names]
    spreads = [spread_of(100 * score if is_defined(score) else None for score in column) for column in by_metric]
    shown = [show_spread(spread, "{:.2f}") for spread in spreads]
    rows = [
        [str(seed), *(format_score(of_seed[metric]) for metric in names)] for seed, of_seed in sorted(of_seeds.items())
    ]
    table = markdown_table(["Seed", *names], [*rows, ["mean ± deviation", *shown]])
    return ["", "The same recipe from other seeds, dev:", "", *table]


def _keeps_best_epoch(settings: TrainingSettings) -> bool:
    """Whether dev scores chose among epochs; an ensemble has none, and pruning and clustering keep the last."""
    if isinstance(settings, Distillation):
        return not settings.sparsity and not settings.clusters
    return not isinstance(settings, Ensemble)


def _other_seeds(run_dir: RunDir, settings: TrainingSettings) -> dict[int, dict[str, Any]]:
    """Seed → dev scores of the finished runs beside this one that differ in the seed alone."""
    try:
        folders = sorted(path for path in run_dir.path.parent.iterdir() if path != run_dir.path)
    except OSError:
        return {}  # what lies beside a run is no reason for it to fail
    found = {}
    for folder in folders:
        if is_set_aside(folder):
            continue
        try:
            other = find_stored_phase(folder)
            if same_but_seed(other.experiment, settings):
                metrics = read_metrics(other.phase_dir.metrics, settings.task_definition.metrics)
                found[other.experiment.seed] = metrics["scores"]
        except (UserError, OSError, UnicodeDecodeError):
            continue  # no run, not finished or not to be read
    return found


def same_but_seed(one: TrainingSettings, other: TrainingSettings) -> bool:
    """Whether two runs have the same settings apart from the seed and the folder."""
    if type(one) is not type(other):
        return False
    return without_seed(one) == without_seed(other)


def without_seed(settings: TrainingSettings) -> dict[str, Any]:
    """The settings but for the seed and the folder."""
    values = dataclasses.asdict(settings)  # type: ignore[call-overload]
    return {name: value for name, value in values.items() if name not in ("seed", "output_dir")}
