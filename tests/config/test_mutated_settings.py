"""Damaged settings of a run and retention configurations: the right value or a short message."""

import json
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings, value_or_user_error
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.elimination.retention import Retention
from power_bert.elimination.retention_choice import parse_retention_choice, resolve_retention_text
from power_bert.errors import UserError

SETTINGS = {
    "task": "custom",
    "data_dir": "data",
    "text_columns": ("a",),
    "label_column": "b",
    "labels": ("neg", "pos"),
    "dropout": 0.1,
    "cased": True,
}
EXPERIMENT = resolve_experiment(SETTINGS)


@mutation_settings
@given(mutated(EXPERIMENT.to_json().encode()))
def test_settings(data: bytes) -> None:
    text = data.decode(errors="replace")
    experiment = value_or_user_error(lambda: Experiment.from_json(text, "config.json"))
    if experiment is not None:
        assert 1 <= experiment.epochs <= 1000
        assert Experiment.from_json(experiment.to_json(), "config.json") == experiment


def test_a_bad_value_names_the_file() -> None:
    values = json.loads(EXPERIMENT.to_json()) | {"epochs": "3"}
    with pytest.raises(UserError, match=r"^run/config\.json: EPOCH='3': expected a whole number"):
        Experiment.from_json(json.dumps(values), "run/config.json")


class TestRetention:
    @mutation_settings
    @given(mutated(b'{"retention": [1.0, 0.8, 0.25], "unit": "fraction"}'))
    def test_file(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "retention.json"
        path.write_bytes(data)
        retention = value_or_user_error(lambda: parse_retention_choice(str(path), 3, 64))
        if retention is not None:
            given_values = json.loads(data.decode("utf-8-sig"))["retention"]
            assert list(retention.values) == pytest.approx(given_values, abs=1e-4)

    @mutation_settings
    @given(mutated(b"1.0,0.8,0.25"))
    def test_text(self, data: bytes) -> None:
        retention = value_or_user_error(lambda: Retention.parse(data.decode(errors="replace")).checked(3, 64))
        assert retention is None or list(retention.values) == sorted(retention.values, reverse=True)

    def test_a_text_longer_than_a_file_name(self, tmp_path: Path) -> None:
        text = ",".join(["1.0"] * 100)
        assert resolve_retention_text(text) == text
