"""The models of a comparison: their names, and which of them differ in the seed only."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.distillation import Ensemble, resolve_distillation
from power_bert.config.experiment import resolve_experiment
from power_bert.config.validation import TrainingSettings
from power_bert.elimination.retention_choice import NO_ELIMINATION
from power_bert.experiments import contestants
from power_bert.experiments.contestants import Contestant, SeedGroup, name_groups
from power_bert.runs.run_dir import BASELINE, DISTILL, PHASES, RunDir

FINE_TUNE, _, RETRAIN = PHASES


def contestant(settings: TrainingSettings, phase: str, choice: str = "") -> Contestant:
    run_dir = RunDir(Path(settings.output_dir))
    return Contestant(run_dir, settings, run_dir.phase(phase), choice)


def student(**given: Any) -> Contestant:
    base = {"task": "emotion", "data_dir": "/d", "student": "cnn", "teachers": ("/runs/t",)}
    return contestant(resolve_distillation({**base, **given}), DISTILL)


def bert(phase: str, choice: str = "", **given: Any) -> Contestant:
    return contestant(resolve_experiment({"task": "mrpc", "data_dir": "/d", **given}), phase, choice)


def ensemble(*members: str) -> Contestant:
    base = {"task": "emotion", "data_dir": "/d", "output_dir": "/o", "batch_size": 32, "max_length": 64}
    return contestant(Ensemble(**base, members=members), DISTILL)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "group"),
    [
        (student(teachers=()), ("cnn", "no teacher")),
        (student(), ("cnn", "1 teacher")),
        (student(teachers=("/a", "/b")), ("cnn", "2 teachers")),
        (student(augment="mask"), ("cnn", "1 teacher, augmented")),
        (student(augment="mask", unlabelled="/texts"), ("cnn", "1 teacher, augmented, more texts")),
        (student(student="bert-3x192"), ("bert-3x192", "1 teacher")),
        (ensemble("/a", "/b", "/c"), ("ensemble of 3", "")),
        (bert(FINE_TUNE), ("BERT", "")),
        (bert(RETRAIN), ("PoWER-BERT", "")),
        (bert(RETRAIN, NO_ELIMINATION), ("PoWER-BERT", "nothing eliminated")),
        (bert(BASELINE), ("BERT", "as many epochs as PoWER-BERT")),
    ],
)
def test_the_name_of_one_model(model: Contestant, group: tuple[str, str]) -> None:
    assert name_groups([model]) == [SeedGroup(*group)]
    assert SeedGroup(*group).name == ", ".join(filter(None, group))


def test_only_models_that_differ_in_the_seed_alone_are_one_group() -> None:
    models = {
        "a": [student(seed=0, output_dir="/x"), student(seed=1, output_dir="/y")],
        "b": [student(epochs=5)],
        "c": [student(teachers=())],
        "d": [student(alpha="linear:1:0", seed=2), student(alpha="linear:1:0", seed=3)],
        "e": [bert(RETRAIN)],
        "f": [bert(RETRAIN, NO_ELIMINATION)],
        "g": [bert(FINE_TUNE)],
        "h": [bert(BASELINE)],
        "i": [ensemble("/a", "/b")],
        "j": [ensemble("/a", "/c")],
    }
    letters = [letter for letter, alike in models.items() for _ in alike]
    groups = name_groups([model for alike in models.values() for model in alike])
    for (one, first), (other, second) in itertools.combinations(zip(letters, groups, strict=True), 2):
        assert (first == second) == (one == other), (first, second)


def test_recipes_of_one_name_are_told_apart_by_the_settings_that_differ() -> None:
    models = [student(seed=4), student(alpha="0.5", epochs=3), student(alpha="linear:1:0", epochs=3)]
    assert [group.way for group in name_groups(models)] == [
        "1 teacher, epochs 8, alpha 0.1",
        "1 teacher, epochs 3, alpha 0.5",
        "1 teacher, epochs 3, alpha linear:1:0",
    ]


def test_references_are_no_entries_of_their_own() -> None:
    assert bert(RETRAIN, NO_ELIMINATION).is_reference and bert(BASELINE).is_reference
    assert not bert(RETRAIN).is_reference and not bert(FINE_TUNE).is_reference and not student().is_reference


def test_a_reference_is_loaded_from_the_run_with_its_elimination_off(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[Any, ...]] = []
    monkeypatch.setattr(contestants, "load_trained_model", lambda *arguments: loaded.append(arguments))
    for model in (bert(RETRAIN, output_dir="/run"), bert(RETRAIN, NO_ELIMINATION, output_dir="/run")):
        model.load()
    assert loaded == [("/run", None, "/d", "", RETRAIN), ("/run", None, "/d", "none", RETRAIN)]
