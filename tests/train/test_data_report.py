"""What a run says of its data before it trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from power_bert.config.experiment import Experiment
from power_bert.text.examples import read_examples
from power_bert.train.data_report import describe_data


def lines(experiment: Experiment) -> list[str]:
    task, folder = experiment.task_definition, experiment.data_dir
    return list(describe_data(experiment, read_examples(task, "train", folder), read_examples(task, "dev", folder)))


def write(path: Path, rows: int) -> Path:
    path.write_text("body,queue\n" + "".join(f"the cat {number} sat,{'ab'[number % 2]}\n" for number in range(rows)))
    return path


def test_one_file(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    settings = {"data_dir": str(write(tmp_path / "tickets.csv", 100)), "epochs": 3, "lr_soft_extract": 3e-3}
    said = lines(make_experiment(tmp_path / "run", **settings))
    assert said[0].startswith("tickets.csv: one file, so TASK=custom; texts from column 'body', labels from 'queue'")
    assert said[1].startswith("tickets.csv: split into 80 training, 10 dev and 10 test rows")
    assert said[2] == "2 labels (training / dev examples): 'a' 40 / 5, 'b' 40 / 5"
    assert said[3].startswith("warning: fine-tuning has 60 training steps, and a BERT needs some hundreds: add rows")
    assert "a retention parameter can fall from 1 to 0.91, so hardly a token will be eliminated: set SPEEDUP" in said[4]
    assert said[5] == "warning: 10 dev examples: each is 10.0 points of a dev score, which so says little"
    assert len(said) == 6


def test_nothing_to_warn_of(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    settings = {"data_dir": str(write(tmp_path / "tickets.csv", 1000)), "speedup": 2.0}
    assert not any(line.startswith("warning") for line in lines(make_experiment(tmp_path / "run", **settings)))


def test_a_first_row_that_was_read_as_the_header(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    path = write(tmp_path / "tickets.csv", 1000)
    path.write_text(path.read_text().replace("body,queue", "the cat x sat,b"))
    found = [line for line in lines(make_experiment(tmp_path / "run", data_dir=str(path))) if "header" in line]
    assert [line.partition(":")[2][:45] for line in found] == [" 'b' is the name of a column and a value in i"]


def test_a_folder(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write(tmp_path / f"{split}.csv", 60)
    settings: dict[str, Any] = {"task": "custom", "data_dir": str(tmp_path), "retention_config": "1.0,0.5"}
    said = lines(make_experiment(tmp_path / "run", **settings))
    assert said[0].startswith("texts from column 'body', labels from 'queue' (TEXT_COLUMNS and LABEL_COLUMN choose")
    assert said[1].startswith("warning: 60 of 60 dev texts are training texts too, such as 'the cat 0 sat'")
    assert not any("the search has" in line for line in said), "a given configuration needs no search"


def test_official_data_are_not_compared(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    assert not any("texts are training texts" in line for line in lines(make_experiment(tmp_path / "run")))
