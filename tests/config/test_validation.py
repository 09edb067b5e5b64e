"""The task that settings describe, and the comparison of stored with present settings."""

from typing import Any

import pytest

from power_bert.config.distillation import Ensemble
from power_bert.config.experiment import Experiment, resolve_experiment
from power_bert.config.validation import CUSTOM_SETTINGS, differing_settings, list_differences, present_task_name
from power_bert.errors import UserError
from power_bert.text.glue_tasks import get_task

CUSTOM: dict[str, Any] = {
    **{"task": "custom", "data_dir": "/d", "output_dir": "/o", "members": ("/a", "/b")},
    **{"batch_size": 32, "max_length": 64, "text_columns": ("body",), "label_column": "queue"},
    **{"labels": ("a", "b"), "metric": "macro_f1"},
}


def test_the_task_of_settings() -> None:
    glue = {name: value for name, value in CUSTOM.items() if name not in CUSTOM_SETTINGS} | {"task": "mrpc"}
    assert Ensemble(**glue).task_definition is get_task("mrpc")
    task = Ensemble(**CUSTOM).task_definition
    assert (task.name, task.labels, task.metrics[0], task.is_pair) == ("custom", ("a", "b"), "macro_f1", False)
    assert task.train_layout.text_columns == ("body",) and task.train_layout.label_column == "queue"
    assert Ensemble(**{**CUSTOM, "text_columns": ("title", "body")}).task_definition.is_pair
    scores = Ensemble(**{**CUSTOM, "labels": None, "metric": "spearman"}).task_definition
    assert scores.is_regression and scores.labels is None


@pytest.mark.parametrize("name", ["text_columns", "label_column", "metric"])
def test_a_custom_task_needs_its_columns_and_its_metric(name: str) -> None:
    with pytest.raises(UserError, match=r"^TASK=custom needs TEXT_COLUMNS, LABEL_COLUMN and METRIC$"):
        Ensemble(**{**CUSTOM, name: None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text_columns": ("a", "b", "c")}, r"TEXT_COLUMNS='a,b,c': expected one name, or two with a comma"),
        ({"text_columns": ("",)}, r"TEXT_COLUMNS='': expected one name"),
        ({"metric": "bleu"}, r"METRIC='bleu' is unknown: expected one of accuracy"),
        ({"labels": None}, r"LABELS is missing: METRIC=macro_f1 compares classes"),
    ],
)
def test_what_describes_no_task(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ensemble(**{**CUSTOM, **changes})


def test_settings_of_a_custom_task_are_named_as_the_user_gives_them() -> None:
    with pytest.raises(UserError, match=r"^--text-columns, --labels: only for TASK=custom, not for TASK=mrpc; leave"):
        Ensemble(**{**CUSTOM, "task": "mrpc", "label_column": None, "metric": None})
    with pytest.raises(UserError, match=r"^LABEL_COLUMN: only for TASK=custom, not for TASK=mrpc; leave empty$"):
        resolve_experiment({"task": "mrpc", "label_column": "queue"})


@pytest.mark.parametrize(
    ("task", "data_dir", "expected"),
    [
        ("cola", "/any/sample/CoLA", "acceptability-sample"),
        ("cola", "/any/glue_data/CoLA", "cola"),
        ("mrpc", "/any/sample/CoLA", "mrpc"),
        ("cola", None, "cola"),
    ],
)
def test_the_sample_had_the_name_of_cola(task: str, data_dir: str | None, expected: str) -> None:
    assert present_task_name({"task": task, "data_dir": data_dir}) == expected


class TestDifferences:
    def test_settings_that_are_alike_do_not_differ(self) -> None:
        present = resolve_experiment({"epochs": 5}).to_plain()
        stored = Experiment.from_json(resolve_experiment({}).to_json(), "config.json").to_plain()
        assert differing_settings(stored, present) == {"epochs": (3, 5), "search_epochs": (3, 5)}
        assert differing_settings(stored, present, but_for=("epochs",)) == {"search_epochs": (3, 5)}
        assert differing_settings(stored, stored) == {}

    def test_a_setting_that_only_the_file_has_is_no_difference(self) -> None:
        assert differing_settings({"old": 1, "a": 1}, {"a": 1, "new": None}) == {}
        assert differing_settings({}, {"new": 2}) == {"new": (None, 2)}

    def test_the_message_lists_all_of_them_shortly(self) -> None:
        assert list_differences({"epochs": (3, 5), "gate": ("scale", "visibility")}) == (
            "epochs: 3 there, 5 now; gate: 'scale' there, 'visibility' now"
        )
        assert len(list_differences({"labels": (("x",) * 5000, None)})) < 300
        assert list_differences({}) == ""
