"""Tests of power_bert.experiments.similarity_study.study_definition and parameters: from TOML to cells."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from power_bert.config.pretraining import read_toml, resolve_settings
from power_bert.corpus.document_split import DocumentSplit
from power_bert.errors import UserError
from power_bert.experiments.similarity_study.study_definition import resolve_study
from power_bert.experiments.similarity_study.study_parameters import count_parameters, match_parameters
from power_bert.folders import PACKAGE

VALUES: dict[str, Any] = {
    "corpus": {"sources": ["books.txt"], "vocabulary_size": 60, "length": 64, "test_share": 0.2},
    "pretraining": {"steps": 5, "layers": 1},
    "grid": {"similarity": ["dot", "cosine"], "hidden": [8, 16], "seed": [0, 1, 2]},
    "fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "epochs": 2, "cola": {"lr_bert": 1e-3}},
}


def changed(**tables: Any) -> dict[str, Any]:
    return {name: value for name, value in {**VALUES, **tables}.items() if value is not None}


def test_the_grid() -> None:
    study = resolve_study(VALUES, "mine.toml")
    assert len(study.cells) == 12 and len({cell.name for cell in study.cells}) == 12
    assert study.cells[0].name == "similarity-dot_hidden-8_seed-0"
    assert study.cells[-1].values_without_seed == {"similarity": "cosine", "hidden": 16} and study.cells[-1].seed == 2
    settings = study.cells[-1].pretraining(Path("corpus"))
    assert (settings.steps, settings.layers, settings.similarity, settings.seed) == (5, 1, "cosine", 2)
    assert study.corpus.split == DocumentSplit(0.2) and Path(study.corpus.sources[0]).is_absolute()
    assert json.loads(study.to_json())["corpus"]["vocabulary_size"] == 60


def test_fine_tuning() -> None:
    fine_tuning = resolve_study(VALUES, "mine.toml").fine_tuning
    assert fine_tuning is not None
    experiment = fine_tuning.experiment("cola", Path("model"), Path("out"), "cosine", 3)
    assert (experiment.epochs, experiment.lr_bert, experiment.seed, experiment.similarity) == (2, 1e-3, 3, "cosine")
    assert experiment.max_length == 64, "the task's own"


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"grids": {}}, "grids: unknown; known are corpus, pretraining, grid, match, fine_tuning"),
        ({"grid": None}, r"no \[grid\]"),
        ({"grid": {"hidden": 8}}, r"\[grid\] hidden = 8: expected a list"),
        ({"grid": {"hidden": []}}, r"\[grid\] hidden = \[\]: expected a list"),
        ({"grid": {"steps": [1, 2]}}, r"steps is in \[pretraining\] and in \[grid\]"),
        ({"grid": {"width": [8]}}, "unknown settings width"),
        ({"grid": {"hidden": [8, 9], "heads": [2]}}, "hidden=9 is not a multiple of heads=2"),
        ({"corpus": {}}, r"\[corpus\] sources: expected a list"),
        ({"corpus": {"sources": ["a"], "size": 3}}, r"\[corpus\] size: unknown"),
        ({"corpus": {"sources": ["a"], "test_share": 2}}, "--test-share 2"),
        ({"match": {"hiden": 8}}, "unknown settings hiden"),
        ({"fine_tuning": {"tasks": ["cola"]}}, r"\[fine_tuning\] data_dir: missing"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "seed": 1}}, "seed: decided by the study itself"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "seeds": []}}, r"seeds = \[\]: expected different"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "seeds": [1, 1]}}, "expected different whole numbers"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "seeds": 3}}, "seeds = 3: expected different"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "mrpc": {}}}, r"\[fine_tuning\] mrpc: unknown"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["colla"]}}, "colla"),
        ({"fine_tuning": {"data_dir": "glue", "tasks": ["cola"], "epoch": 1}}, "unknown settings epoch"),
        (
            {"fine_tuning": {"data_dir": "glue", "tasks": ["mrpc"]}},
            r"128, but the encoders have 64.*\[fine_tuning.mrpc\]",
        ),
    ],
)
def test_bad_definitions(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^mine\.toml: .*{message}"):
        resolve_study(changed(**tables), "mine.toml")


def test_the_shipped_ones_are_valid() -> None:
    recipes = PACKAGE / "recipes"
    studies = [path for path in recipes.glob("*.toml") if "grid" in read_toml(path)]
    assert len(studies) >= 2
    for path in studies:
        assert resolve_study(read_toml(path), path.name).cells
    study = resolve_study(read_toml("recipes/similarity_width.toml"), "similarity_width.toml")
    assert len(study.cells) == 4 * 3 * 3


class TestParameters:
    @pytest.mark.parametrize("similarity", ["dot", "gaussian"])
    def test_the_count_is_that_of_the_model(self, similarity: str, tmp_path: Path) -> None:
        import keras

        from power_bert.model.backbone import PowerBertBackbone
        from power_bert.model.masked_lm import PowerBertMaskedLM

        settings = resolve_settings(
            {"corpus": ".", "layers": 3, "hidden": 12, "heads": 3, "intermediate": 17, "similarity": similarity}
        )
        backbone = PowerBertBackbone(31, 3, 3, 12, 17, max_sequence_length=9, similarity=similarity)
        backbone.pooler.trainable = False
        weights = PowerBertMaskedLM(backbone).trainable_weights
        assert count_parameters(settings, 31, 9) == sum(int(keras.ops.size(weight)) for weight in weights)

    @pytest.mark.parametrize("hidden", [64, 128, 256])
    def test_matching(self, hidden: int) -> None:
        wide = resolve_settings({"corpus": ".", "hidden": 256})
        target = count_parameters(wide, 8192, 128)
        matched = match_parameters(dataclasses.replace(wide, hidden=hidden), target, 8192, 128)
        assert abs(count_parameters(matched, 8192, 128) - target) <= matched.layers * (2 * hidden + 1) / 2
        assert (matched.intermediate == 1024) is (hidden == 256)

    def test_impossible(self) -> None:
        with pytest.raises(UserError, match=r"hidden=256, layers=2: at least .* parameters, more than the 1,000"):
            match_parameters(resolve_settings({"corpus": ".", "hidden": 256}), 1000, 8192, 128)
