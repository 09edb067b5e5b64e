"""TASK=custom: what DATA_DIR implies, and which columns are used."""

from pathlib import Path
from typing import Any

import pytest

from power_bert.config.experiment import resolve_experiment
from power_bert.config.own_data import own_task
from power_bert.errors import UserError
from power_bert.folders import RUNS_FOLDER

ROWS = "".join(f"{number},the printer of room {number} is broken,{'ab'[number % 2]}\n" for number in range(40))


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    (tmp_path / "tickets.csv").write_text("id,body,queue\n" + ROWS)
    return tmp_path / "tickets.csv"


@pytest.mark.parametrize("given", [{}, {"task": "cola"}, {"task": "custom"}])
def test_one_file_is_enough(tickets: Path, given: dict[str, str]) -> None:
    experiment = resolve_experiment({**given, "data_dir": str(tickets)})
    assert (experiment.task, experiment.text_columns, experiment.label_column) == ("custom", ("body",), "queue")
    assert (experiment.labels, experiment.metric) == (("a", "b"), "accuracy")
    assert Path(experiment.output_dir) == RUNS_FOLDER / "custom" / "tickets-all-MiniLM-L6-v2"


def test_columns_that_are_given(tickets: Path) -> None:
    experiment = resolve_experiment({"data_dir": str(tickets), "text_columns": "id", "label_column": "queue"})
    assert (experiment.text_columns, experiment.label_column) == (("id",), "queue")
    for name, setting in (("text_columns", "TEXT_COLUMNS"), ("label_column", "LABEL_COLUMN")):
        with pytest.raises(
            UserError, match=rf"no column named 'x'; it has 'id', 'body', 'queue'\. Give {setting} a name"
        ):
            resolve_experiment({"data_dir": str(tickets), name: "x"})


def test_the_columns_of_a_folder_are_guessed_from_its_training_file(tickets: Path) -> None:
    tickets.rename(tickets.with_name("train.csv"))
    experiment = resolve_experiment({"task": "custom", "data_dir": str(tickets.parent)})
    assert (experiment.text_columns, experiment.label_column) == (("body",), "queue")


def test_a_file_is_for_no_other_task(tickets: Path) -> None:
    with pytest.raises(
        UserError, match=r"tickets\.csv is one file, which TASK=custom reads; TASK=mrpc needs the folder"
    ):
        resolve_experiment({"task": "mrpc", "data_dir": str(tickets)})
    tickets.with_name("tickets.xlsx").touch()
    with pytest.raises(
        UserError, match=r"tickets\.xlsx: a file of texts .* must end in \.csv, \.tsv, \.jsonl\. Save it"
    ):
        resolve_experiment({"data_dir": str(tickets.with_name("tickets.xlsx"))})


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("id,body\n" + "".join(f"{n},a b c {n}\n" for n in range(30)), {}, "no column looks like labels"),
        ("body,label\n" + "".join(f"a b c {n},x\n" for n in range(30)), {}, "every row has the label 'x'"),
        ("body,label\na b c,x\nb c d,y\nc d e,x\n", {}, "3 different texts are too few"),
        (
            "body,label\n" + "".join(f"a b c {n},l{n % 2000}\n" for n in range(9000)),
            {},
            "more than 1000 different values in 'label', such as 'l0'. Expected at most that many classes",
        ),
        ("body,title,label\n" + "a b c,d e f,x\n" * 9 + "b c d,e f g,y\n" * 9, {}, "which column holds the texts"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, settings: dict[str, Any], message: str) -> None:
    (tmp_path / "bad.csv").write_text(content)
    with pytest.raises(UserError, match=message):
        resolve_experiment({"data_dir": str(tmp_path / "bad.csv"), **settings})


def test_utf_16(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(("id,body,queue\n" + ROWS).encode("utf-16"))
    with pytest.raises(UserError, match=r"bad\.csv: begins with the byte order mark of UTF-16.*save it as UTF-8"):
        resolve_experiment({"data_dir": str(tmp_path / "bad.csv")})


def test_a_task_for_a_model_that_has_none(tickets: Path) -> None:
    task = own_task(str(tickets))
    assert (task.name, task.labels, task.train_layout.text_columns) == ("custom", ("a", "b"), ("body",))
    assert own_task(str(tickets), labels=("b", "a", "c")).labels == ("b", "a", "c")
    assert own_task(str(tickets), ("queue",), "id", metric="spearman").is_regression


def test_other_names_of_data_do_not_imply_a_task(tmp_path: Path) -> None:
    """A folder, an archive, a data set of TensorFlow Datasets, or what is not there."""
    (tmp_path / "news.tar.gz").touch()
    for data_dir in (tmp_path, tmp_path / "news.tar.gz", tmp_path / "absent"):
        assert resolve_experiment({"task": "20newsgroups", "data_dir": str(data_dir)}).task == "20newsgroups"
    assert resolve_experiment({"data_dir": "tfds:glue/cola"}).task == "cola"


def test_fields_of_tensorflow_datasets_have_usual_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("power_bert.config.own_data.find_labels", lambda data_dir, texts, label: ("neg", "pos"))
    given = {"task": "custom", "data_dir": "tfds:imdb_reviews"}
    usual = resolve_experiment(given)
    assert (usual.text_columns, usual.label_column, usual.labels) == (("sentence",), "label", ("neg", "pos"))
    chosen = resolve_experiment({**given, "text_columns": "text", "labels": "no,yes"})
    assert (chosen.text_columns, chosen.label_column, chosen.labels) == (("text",), "label", ("no", "yes"))


def test_both_columns_of_a_pair(tmp_path: Path) -> None:
    rows = "".join(f"question {n} is this,answer {n} is that,{'yn'[n % 2]}\n" for n in range(40))
    (tmp_path / "pairs.csv").write_text("q,a,fits\n" + rows)
    experiment = resolve_experiment({"data_dir": str(tmp_path / "pairs.csv"), "text_columns": "q, a"})
    assert (experiment.text_columns, experiment.label_column, experiment.labels) == (("q", "a"), "fits", ("n", "y"))
    assert experiment.task_definition.is_pair
