"""The models of a comparison, and their groups: models of a group differ in the seed only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from power_bert.config.distillation import Distillation, Ensemble
from power_bert.config.validation import TrainingSettings
from power_bert.elimination.retention_choice import NO_ELIMINATION
from power_bert.experiments.gains import NO_TEACHER
from power_bert.reports.card_scores import without_seed
from power_bert.reports.model_card import shown_setting
from power_bert.runs.resolve_model import StoredPhase, finished_phase
from power_bert.runs.run_dir import BASELINE, PHASES
from power_bert.runs.trained_model import TrainedModel, load_trained_model


@dataclass(frozen=True)
class Contestant(StoredPhase):
    """A model in a comparison: the model of a run, or a reference without elimination.

    Attributes:
        retention_choice: NO_ELIMINATION switches the elimination of the model off.
    """

    retention_choice: str = ""

    @classmethod
    def of(cls, stored: StoredPhase, retention_choice: str = "") -> Contestant:
        return cls(stored.run_dir, stored.experiment, stored.phase_dir, retention_choice)

    @property
    def is_reference(self) -> bool:
        return bool(self.retention_choice) or self.phase_dir.path.name == BASELINE

    def load(self) -> TrainedModel:
        run, data_dir = str(self.run_dir.path), self.experiment.data_dir
        return load_trained_model(run, None, data_dir, self.retention_choice, self.phase_dir.path.name)


def with_references(stored: StoredPhase) -> list[Contestant]:
    """Return the model of a run; if it eliminates, also its weights without elimination and its trained baseline."""
    if stored.retention is None:
        return [Contestant.of(stored)]
    baseline = stored.run_dir.phase(BASELINE)
    trained = [finished_phase(stored.run_dir, BASELINE)] if baseline.is_done else []
    return [Contestant.of(stored), Contestant.of(stored, NO_ELIMINATION), *map(Contestant.of, trained)]


@dataclass(frozen=True)
class SeedGroup:
    """Name of a group of runs that differ in the seed only.

    Attributes:
        model: Student or kind of model, such as "bilstm".
        way: Variant of its training, such as NO_TEACHER or "1 teacher, augmented"; "" if there is only one.
    """

    model: str
    way: str

    @property
    def name(self) -> str:
        return _joined(self.model, self.way)


def name_groups(stored: Sequence[Contestant]) -> list[SeedGroup]:
    """Return the group of each model; two models have the same one if and only if they differ in the seed only."""
    keys = [
        repr(
            (
                *(type(phase.experiment).__name__, phase.phase_dir.path.name),
                *(without_seed(phase.experiment), phase.retention_choice),
            )
        )
        for phase in stored
    ]
    alike: dict[SeedGroup, dict[str, dict[str, Any]]] = {}
    for key, phase in zip(keys, stored, strict=True):
        alike.setdefault(_short_name(phase), {})[key] = without_seed(phase.experiment)
    names = {}
    for group, settings in alike.items():
        endings = _differences(list(settings.values()))
        for number, (key, ending) in enumerate(zip(settings, endings, strict=True), start=1):
            still_alike = endings.count(ending) > 1  # folders are shown by their names
            names[key] = SeedGroup(group.model, _joined(group.way, ending, f"recipe {number}" if still_alike else ""))
    return [names[key] for key in keys]


def _short_name(phase: Contestant) -> SeedGroup:
    """Return the name that follows from the settings of one run; several groups may have it."""
    settings: TrainingSettings = phase.experiment
    full = "nothing eliminated" if phase.retention_choice else ""
    if isinstance(settings, Ensemble):
        return SeedGroup(f"ensemble of {len(settings.members)}", "")
    if isinstance(settings, Distillation):
        if not settings.teachers:
            return SeedGroup(settings.student, _joined(NO_TEACHER, full))
        taught = f"{len(settings.teachers)} teacher{'s' if settings.teachers[1:] else ''}"
        extras = ["augmented" if settings.augment else "", "more texts" if settings.unlabelled else ""]
        return SeedGroup(settings.student, _joined(taught, *extras, full))
    if phase.phase_dir.path.name == BASELINE:
        return SeedGroup("BERT", "as many epochs as PoWER-BERT")
    return SeedGroup("BERT" if phase.phase_dir.path.name == PHASES[0] else "PoWER-BERT", full)


def _differences(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the settings of each recipe that differ among them, such as "epochs 8"."""
    different = [name for name in recipes[0] if any(recipe.get(name) != recipes[0][name] for recipe in recipes)]
    return [_joined(*(f"{name} {shown_setting(recipe[name])}" for name in different)) for recipe in recipes]


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
