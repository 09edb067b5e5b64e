"""The definition of a study: one TOML file, validated and resolved."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.config.pretraining import PretrainingSettings, resolve_settings
from power_bert.config.settings import check_types
from power_bert.corpus.document_split import DocumentSplit
from power_bert.corpus.documents import DocumentRules
from power_bert.errors import UserError, shorten
from power_bert_runtime.parsing import parsing

SEED = "seed"
_MOST_CELLS = 10_000
_TABLES = ("corpus", "pretraining", "grid", "match", "fine_tuning")
# Settings of a fine-tuning that the study sets itself.
_DECIDED = ("task", "data_dir", "checkpoint_path", "similarity", "output_dir", "seed")


@dataclass(frozen=True)
class CorpusDefinition:
    """The text of a study; vocabulary and corpus are made from it once for the whole study.

    Attributes:
        sources: Text files, folders or `tfds:NAME`.
        vocabulary_size: Size of the vocabulary, which is trained on the training documents.
        length: Number of tokens of a record.
        cased: Whether case and accents are kept.
        split: Which documents are used for training and for testing.
        rules: Where documents end.
    """

    sources: tuple[str, ...]
    vocabulary_size: int = 8192
    length: int = 128
    cased: bool = False
    split: DocumentSplit = field(default_factory=lambda: DocumentSplit(test_share=0.05))
    rules: DocumentRules = field(default_factory=DocumentRules)


@dataclass(frozen=True)
class FineTuning:
    """The fine-tunings that follow a pre-training.

    Attributes:
        data_dir: GLUE folder with one folder per task.
        tasks: Names of the GLUE tasks.
        settings: Settings of `Experiment` for all tasks.
        of_task: Task → its own settings, which override those for all tasks.
        untrained: Whether every encoder is also fine-tuned from its random initial weights, as a baseline.
        seeds: Seeds, each of one fine-tuning of every encoder; None fine-tunes once, from the seed of the pre-training.
    """

    data_dir: str
    tasks: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_task: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    untrained: bool = False
    seeds: tuple[int, ...] | None = None

    def experiment_settings(self, task: str) -> dict[str, Any]:
        """Return the settings that the study gives for a task."""
        return {**self.settings, **self.of_task.get(task, {})}

    def experiment(self, task: str, checkpoint: Path, output_dir: Path, similarity: str, seed: int) -> Experiment:
        """Return the experiment that fine-tunes one checkpoint on one task."""
        return resolve_experiment(
            {
                **self.experiment_settings(task),
                "task": task,
                "data_dir": self.data_dir,
                "checkpoint_path": str(checkpoint),
                "similarity": similarity,
                "output_dir": str(output_dir),
                "seed": seed,
            }
        )


@dataclass(frozen=True)
class FineTuningRun:
    """One fine-tuning of a cell.

    Attributes:
        task: Name of the GLUE task.
        untrained: Whether it starts from random weights.
        seed: One of `FineTuning.seeds`; None is the seed of the cell.
    """

    task: str
    untrained: bool = False
    seed: int | None = None

    @property
    def name(self) -> str:
        """Name of its folder and of its column in CSV files."""
        return f"{self.task}{'_untrained' if self.untrained else ''}{seed_ending(self.seed)}"


def seed_ending(seed: int | None) -> str:
    """Return the suffix of folder names for a seed; "" for None."""
    return "" if seed is None else f"_seed-{seed}"


@dataclass(frozen=True)
class Cell:
    """One combination of the grid.

    Attributes:
        values: Name → value of each setting that the grid varies, in the order of the grid.
        settings: All settings of the pre-training except the corpus.
    """

    values: Mapping[str, Any]
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of its folder."""
        return "_".join(f"{name}-{value}" for name, value in self.values.items())

    @property
    def values_without_seed(self) -> dict[str, Any]:
        """Values of the cell except the seed."""
        return {name: value for name, value in self.values.items() if name != SEED}

    @property
    def seed(self) -> int:
        return int(self.settings.get(SEED, 0))

    def pretraining(self, corpus: Path) -> PretrainingSettings:
        """Return the settings of its pre-training on a corpus."""
        return resolve_settings({**self.settings, "corpus": str(corpus)})


@dataclass(frozen=True)
class Study:
    """A grid of pre-trainings on one corpus, each followed by fine-tunings.

    Attributes:
        corpus: Text of all pre-trainings.
        cells: Cells of the grid.
        match: Settings whose parameter count all cells must have, by choice of their feed-forward width; None keeps
            the widths as given.
        fine_tuning: Fine-tunings that follow each pre-training; None for none.
    """

    corpus: CorpusDefinition
    cells: tuple[Cell, ...]
    match: Mapping[str, Any] | None
    fine_tuning: FineTuning | None

    def to_json(self) -> str:
        values = dataclasses.asdict(self) | {"cells": [dict(cell.settings) for cell in self.cells]}
        return json.dumps(values, indent=2) + "\n"


def resolve_study(values: Mapping[str, Any], where: str) -> Study:
    """Resolve the values of a TOML file to a study.

    Raises:
        UserError: Something is unknown, missing or impossible; names the file.
    """
    with parsing(where, "a study", "Correct the file."):
        try:
            _refuse_unknown("", values, _TABLES)
            tables = {name: _table(name, values[name]) for name in values if values[name] is not None}
            shared = tables.get("pretraining", {})
            cells = tuple(_cells(shared, tables.get("grid", {})))
            match = None if "match" not in tables else {**shared, **tables["match"]}
            study = Study(_corpus(tables.get("corpus", {})), cells, match, _fine_tuning(tables.get("fine_tuning")))
            _check_settings(study)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
    return study


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{name} = {shorten(repr(value))}: expected a table [{name}]")
    return value


def _check_settings(study: Study) -> None:
    """Validate the settings of all cells before the first one runs."""
    for cell in study.cells:
        cell.pretraining(Path("corpus"))
        if study.fine_tuning is not None:
            for task in study.fine_tuning.tasks:
                settings = cell.pretraining(Path("corpus"))
                experiment = study.fine_tuning.experiment(task, Path("."), Path("."), settings.similarity, cell.seed)
                positions = settings.positions or study.corpus.length
                if experiment.max_length > positions:
                    raise UserError(
                        f"{task}: a maximum length of {experiment.max_length}, but the encoders have {positions} "
                        f"positions; set max_length in [fine_tuning.{task}], or positions in [pretraining]"
                    )
    if study.match is not None:
        resolve_settings({**study.match, "corpus": "corpus"})


def _cells(shared: Mapping[str, Any], grid: Mapping[str, Any]) -> list[Cell]:
    for name, choices in grid.items():
        if not isinstance(choices, list) or not choices:
            raise UserError(f"[grid] {name} = {shorten(repr(choices))}: expected a list of values, such as [64, 128]")
        if name in shared:
            raise UserError(f"{name} is in [pretraining] and in [grid]; give it in one of them")
    if not grid:
        raise UserError('no [grid]: expected the settings that vary, such as similarity = ["dot", "gaussian"]')
    if (count := math.prod(map(len, grid.values()))) > _MOST_CELLS:
        raise UserError(f"[grid] has {shorten(count)} combinations; expected {_MOST_CELLS} at most")
    combinations = [dict(zip(grid, choice, strict=True)) for choice in itertools.product(*grid.values())]
    return [Cell(values, {**shared, **values}) for values in combinations]


def _corpus(values: Mapping[str, Any]) -> CorpusDefinition:
    split, rules = (
        {name: values[name] for name in names if name in values}
        for names in (("test_share", "proportion", "seed"), ("separator", "max_characters"))
    )
    own = ("sources", "vocabulary_size", "length", "cased")
    _refuse_unknown("[corpus] ", values, (*own, *("test_share", "proportion", "seed", "separator", "max_characters")))
    sources = values.get("sources")
    if not isinstance(sources, list) or not sources or not all(isinstance(source, str) for source in sources):
        raise UserError('[corpus] sources: expected a list of text files or folders, such as ["books.txt.gz"]')
    given = {name: values[name] for name in own if name in values}
    definition = CorpusDefinition(
        **{**given, "sources": tuple(map(_absolute, sources))},
        split=DocumentSplit(**{"test_share": 0.05, **split}),
        rules=DocumentRules(**rules),
    )
    for part in (definition, definition.split, definition.rules):
        check_types(part, "[corpus] {}".format)
    return definition


def _fine_tuning(values: Mapping[str, Any] | None) -> FineTuning | None:
    if values is None:
        return None
    of_task = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    own = ("data_dir", "tasks", "untrained", "seeds")
    missing = [name for name in ("data_dir", "tasks") if name not in values]
    if missing:
        raise UserError(f"[fine_tuning] {', '.join(missing)}: missing")
    settings = {name: value for name, value in values.items() if name not in own and name not in of_task}
    for given in (settings, *of_task.values()):
        if decided := sorted(set(given) & set(_DECIDED)):
            raise UserError(f"[fine_tuning] {', '.join(decided)}: decided by the study itself; leave it out")
    tasks, untrained = values["tasks"], values.get("untrained", False)
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, str) for task in tasks):
        raise UserError(f'[fine_tuning] tasks = {shorten(repr(tasks))}: expected a list of tasks, such as ["cola"]')
    if not isinstance(untrained, bool) or not isinstance(values["data_dir"], str):
        raise UserError("[fine_tuning]: expected data_dir = a text, and untrained = true or false")
    _refuse_unknown("[fine_tuning] ", of_task, tasks)
    seeds = None if "seeds" not in values else _fine_tuning_seeds(values["seeds"])
    return FineTuning(_absolute(values["data_dir"]), tuple(tasks), settings, of_task, untrained, seeds)


def _fine_tuning_seeds(given: Any) -> tuple[int, ...]:
    are_seeds = isinstance(given, list) and all(type(seed) is int and seed >= 0 for seed in given)
    if not are_seeds or not given or len(set(given)) < len(given):
        raise UserError(
            f"[fine_tuning] seeds = {shorten(repr(given))}: expected different whole numbers from 0, such as [0, 1, 2]"
        )
    return tuple(given)


def _refuse_unknown(where: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(values) - set(known)):
        raise UserError(f"{where}{shorten(', '.join(unknown))}: unknown; known are {', '.join(known)}")


def _absolute(path: str) -> str:
    return path if path.startswith("tfds:") else os.path.abspath(path)
