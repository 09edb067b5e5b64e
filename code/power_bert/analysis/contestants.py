"""The models of a comparison, and the groups of those that differ in the seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from power_bert.analysis.card_scores import without_seed
from power_bert.analysis.gains import ALONE
from power_bert.analysis.model_card import shown_setting
from power_bert.distill_config import Distillation, Ensemble
from power_bert.model.retention_choice import NO_ELIMINATION
from power_bert.run_dir import BASELINE, PHASES
from power_bert.settings import TrainingSettings
from power_bert.train.stored_run import StoredPhase, find_stored_phase
from power_bert.train.trained_model import TrainedModel, load_trained_model


@dataclass(frozen=True)
class Contestant(StoredPhase):
    """A model that is compared: that of a run, or one in which nothing is eliminated, to see what elimination costs.

    Attributes:
        retention_choice: NO_ELIMINATION for the weights of a model that eliminates with nothing eliminated.
    """

    retention_choice: str = ""

    @classmethod
    def of(cls, stored: StoredPhase, retention_choice: str = "") -> Contestant:
        return cls(stored.run_dir, stored.experiment, stored.phase_dir, retention_choice)

    @property
    def is_reference(self) -> bool:
        return bool(self.retention_choice) or self.phase_dir.path.name == BASELINE

    def load(self) -> TrainedModel:
        phase = self.phase_dir.path.name
        return load_trained_model(str(self.run_dir.path), retention_choice=self.retention_choice, phase=phase)


def with_references(stored: StoredPhase) -> list[Contestant]:
    """The model of a run; where it eliminates, also its weights with nothing eliminated, and a trained baseline."""
    if stored.retention is None:
        return [Contestant.of(stored)]
    baseline = stored.run_dir.phase(BASELINE)
    trained = [find_stored_phase(stored.run_dir.path, BASELINE)] if baseline.is_done else []
    return [Contestant.of(stored), Contestant.of(stored, NO_ELIMINATION), *map(Contestant.of, trained)]


@dataclass(frozen=True)
class Group:
    """What runs that differ in the seed alone have in common.

    Attributes:
        model: the student or kind of model, such as "bilstm".
        way: how it was trained: ALONE, or such as "1 teacher, augmented"; empty where there is one way only.
    """

    model: str
    way: str

    @property
    def name(self) -> str:
        return _joined(self.model, self.way)


def name_groups(stored: Sequence[Contestant]) -> list[Group]:
    """The group of each run, the same for runs that differ in the seed alone, and for no others."""
    keys = [
        repr(
            (
                *(type(phase.experiment).__name__, phase.phase_dir.path.name),
                *(without_seed(phase.experiment), phase.retention_choice),
            )
        )
        for phase in stored
    ]
    alike: dict[Group, dict[str, dict[str, Any]]] = {}
    for key, phase in zip(keys, stored, strict=True):
        alike.setdefault(_short_name(phase), {})[key] = without_seed(phase.experiment)
    names = {}
    for group, settings in alike.items():
        endings = _differences(list(settings.values()))
        for number, (key, ending) in enumerate(zip(settings, endings, strict=True), start=1):
            still_alike = endings.count(ending) > 1  # folders are shown by their last name
            names[key] = Group(group.model, _joined(group.way, ending, f"recipe {number}" if still_alike else ""))
    return [names[key] for key in keys]


def _short_name(phase: Contestant) -> Group:
    """The group, as far as one run alone tells."""
    settings: TrainingSettings = phase.experiment
    full = "nothing eliminated" if phase.retention_choice else ""
    if isinstance(settings, Ensemble):
        return Group(f"ensemble of {len(settings.members)}", "")
    if isinstance(settings, Distillation):
        if not settings.teachers:
            return Group(settings.student, _joined(ALONE, full))
        taught = f"{len(settings.teachers)} teacher{'s' if settings.teachers[1:] else ''}"
        extras = ["augmented" if settings.augment else "", "more texts" if settings.unlabelled else ""]
        return Group(settings.student, _joined(taught, *extras, full))
    if phase.phase_dir.path.name == BASELINE:
        return Group("BERT", "as many epochs as PoWER-BERT")
    return Group("BERT" if phase.phase_dir.path.name == PHASES[0] else "PoWER-BERT", full)


def _differences(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each has that not all have: "epochs 8"; empty where there is one alone."""
    different = [name for name in recipes[0] if any(recipe.get(name) != recipes[0][name] for recipe in recipes)]
    return [_joined(*(f"{name} {shown_setting(recipe[name])}" for name in different)) for recipe in recipes]


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
