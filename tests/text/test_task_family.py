"""Tests of power_bert.text.task_family."""

from pathlib import Path

import pytest

from power_bert.text.glue_tasks import TASKS
from power_bert.text.task_family import predictable_test_sets

PAIRS = "index\tsentence1\tsentence2\n0\ta\tb\n"


def found(task: str, data_dir: Path) -> list[tuple[str, str]]:
    sets = predictable_test_sets(TASKS[task], data_dir)
    return [(test_set.name, folder) for test_set, folder in sets]


@pytest.fixture
def glue(tmp_path: Path) -> Path:
    """A GLUE folder with the test sets of MNLI and AX."""
    for name in ("MNLI/test_matched.tsv", "MNLI/test_mismatched.tsv", "AX/diagnostic.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(PAIRS, encoding="utf-8")
    return tmp_path


def test_a_glue_folder(glue: Path) -> None:
    assert found("mnli-mm", glue) == [("mnli-mm", str(glue)), ("mnli-m", str(glue)), ("ax", str(glue))]


def test_the_folder_of_the_task_and_what_lies_beside_it(glue: Path) -> None:
    mnli = str(glue / "MNLI")
    assert found("mnli-m", glue / "MNLI") == [("mnli-m", mnli), ("mnli-mm", mnli), ("ax", str(glue))]


def test_what_is_not_there_is_left_out(glue: Path) -> None:
    (glue / "MNLI" / "test_mismatched.tsv").unlink()
    (glue / "AX" / "diagnostic.tsv").unlink()
    assert found("mnli-m", glue) == [("mnli-m", str(glue))]
    assert found("cola", glue) == []


def test_a_plain_test_file_is_not_that_of_the_other_half(glue: Path) -> None:
    (glue / "MNLI" / "test_matched.tsv").rename(glue / "MNLI" / "test.tsv")
    (glue / "MNLI" / "test_mismatched.tsv").unlink()
    assert found("mnli-m", glue) == [("mnli-m", str(glue)), ("ax", str(glue))]


def test_tasks_without_a_family(tmp_path: Path) -> None:
    (tmp_path / "test.tsv").write_text("index\tsentence\n0\ta\n", encoding="utf-8")
    assert found("cola", tmp_path) == [("cola", str(tmp_path))]
