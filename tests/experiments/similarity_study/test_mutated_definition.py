"""Damaged TOML files of studies and pre-trainings: the right value or a short message."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert.config.pretraining import read_toml, resolve_settings
from power_bert.errors import UserError
from power_bert.experiments.similarity_study.study_definition import resolve_study

PRETRAINING = """# small
corpus = "books"
layers = 2
hidden = 64
learning_rate = 1e-3
similarity = "cosine"
whole_words = true
"""
STUDY = """[corpus]
sources = ["books.txt"]
vocabulary_size = 60
test_share = 0.2
separator = "line"
[pretraining]
steps = 5
[grid]
similarity = ["dot", "cosine"]
seed = [0, 1]
[fine_tuning]
data_dir = "glue"
tasks = ["cola"]
epochs = 2
cola = { lr_bert = 1e-3 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("toml")


@mutation_settings
@given(mutated(PRETRAINING.encode()))
def test_pretraining(folder: Path, data: bytes) -> None:
    path = folder / "settings.toml"
    path.write_bytes(data)
    values = value_or_user_error(lambda: read_toml(path))
    if values is not None:
        assert values == tomllib.loads(data.decode("utf-8-sig").rstrip("\r\n"))
        settings = value_or_user_error(lambda: resolve_settings(values, "settings.toml"))
        assert settings is None or settings.hidden % settings.num_heads == 0


@mutation_settings
@given(mutated(STUDY.encode()))
def test_study(folder: Path, data: bytes) -> None:
    path = folder / "study.toml"
    path.write_bytes(data)
    study = value_or_user_error(lambda: resolve_study(read_toml(path), "study.toml"))
    if study is not None:
        assert study.to_json() and len({cell.name for cell in study.cells}) == len(study.cells)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("pretraining = 3", r"study\.toml: pretraining = 3: expected a table \[pretraining\]"),
        ("[corpus]\nsources = ['a']\nlength = '64'", r"study\.toml: \[corpus\] length='64': expected a whole number"),
        ("[corpus]\nsources = ['a']\ntest_share = '0.1'", r"study\.toml: damaged, or not a study \(TypeError"),
        (
            "[fine_tuning]\ndata_dir = 'a'\ntasks = 'cola'",
            r"study\.toml: \[fine_tuning\] tasks = 'cola': expected a list",
        ),
        ("[fine_tuning]\ndata_dir = 3\ntasks = ['cola']", r"study\.toml: \[fine_tuning\]: expected data_dir = a text"),
        (f"[grid]\nseed = {list(range(200))}\nhidden = {[64] * 100}", r"\[grid\] has 20000 combinations"),
    ],
)
def test_values_of_another_type(line: str, message: str) -> None:
    values = {"corpus": {"sources": ["a"]}, "grid": {"similarity": ["dot"]}, **tomllib.loads(line)}
    with pytest.raises(UserError, match=message):
        resolve_study(values, "study.toml")
