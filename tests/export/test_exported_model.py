"""Exported files evaluate and predict texts as the model that they were made of."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.export.exported_model import load_exported
from power_bert.predict.evaluation import evaluate, lines_against_full
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.prediction_output import predict_raw_texts
from power_bert.text.examples import Examples
from power_bert.text.glue_tasks import get_task

QUIET = Console(file=io.StringIO())
TEXTS = ["the cat sat.", "", "dog " * 300, "a mouse ran under the tree today."]


@pytest.fixture(scope="module")
def model(make_model: Callable[..., Any]) -> Any:
    return make_model(extraction="hard", retention=(0.6, 0.3))


@pytest.fixture(scope="module")
def exported(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    path = tmp_path_factory.mktemp("exported") / "model.tflite"
    export(model, path, ExportOptions(labels=("wrong", "right")), QUIET)
    return path


def test_probabilities_are_those_of_keras(model: Any, exported: Path) -> None:
    file = load_exported(exported, None, None)
    assert (list(file.predictor.names or ()), file.task, file.retention) == (
        ["wrong", "right"],
        get_task("cola"),
        "0.6,0.3 (the file's own)",
    )
    examples = Examples(TEXTS, None, None)
    expected = Predictor(model.classifier, model.max_length).probabilities(examples)
    np.testing.assert_allclose(file.predictor.probabilities(examples), expected, atol=1e-4)


def test_it_predicts_a_table(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,the cat sat.\n2,dog\n")
    predict_raw_texts(load_exported(exported, None, None), tmp_path / "in.csv", None, tmp_path / "out.csv", QUIET)
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "id,text,label,p(wrong),p(right)" and len(rows) == 2
    assert rows[0].split(",")[2] in ("wrong", "right")


def test_it_evaluates_on_its_own_task(model: Any, exported: Path) -> None:
    evaluation = evaluate(load_exported(exported, None, model.data_dir), "dev", QUIET)
    assert evaluation.scores == evaluate(model, "dev", QUIET).scores
    assert lines_against_full(evaluation, QUIET) == []
    with pytest.raises(UserError, match="does not say where the data are; give --data-dir"):
        evaluate(load_exported(exported, None, None), "dev", QUIET)


def test_it_evaluates_on_a_file_of_the_user(exported: Path, tmp_path: Path) -> None:
    rows = "".join(f"the cat {number},{('wrong', 'right')[number % 2]}\n" for number in range(40))
    (tmp_path / "tickets.csv").write_text("body,label\n" + rows)
    evaluation = evaluate(load_exported(exported, None, str(tmp_path / "tickets.csv")), "test", QUIET)
    assert (evaluation.num_examples, list(evaluation.scores)) == (4, ["accuracy", "macro_f1"])
    (tmp_path / "tickets.csv").write_text("body,label\n" + rows.replace("wrong", "bad"))
    with pytest.raises(UserError, match=r"unknown label 'bad'\. Expected one of: wrong, right"):
        evaluate(load_exported(exported, None, str(tmp_path / "tickets.csv")), "train", QUIET)


def test_another_task(exported: Path) -> None:
    with pytest.raises(UserError, match="its classes are wrong, right, and those of sst-2 are 0, 1; give the --task"):
        load_exported(exported, get_task("sst-2"), None)
    with pytest.raises(UserError, match=r"those of sts-b are none \(a score\)"):
        load_exported(exported, get_task("sts-b"), None)


def test_a_file_without_metadata(make_exportable: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.model_file import pack_model

    path = tmp_path / "plain.tflite"
    path.write_bytes(pack_model(convert(inference_function(make_exportable()), 5)))
    with pytest.raises(UserError, match=r"plain\.tflite: has no power_bert\.json and no vocab\.txt inside"):
        load_exported(path, None, None)


def test_scores_and_pairs(make_model: Callable[..., Any], tmp_path: Path) -> None:
    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    model = make_model("sts-b")
    export(model, tmp_path / "scores.tflite", ExportOptions(), QUIET)
    file = load_exported(tmp_path / "scores.tflite", None, None)
    assert file.predictor.names is None and file.task == get_task("sts-b")
    examples = Examples(["the cat"], ["a dog"], None)
    expected = Predictor(model.classifier, model.max_length).probabilities(examples)
    np.testing.assert_allclose(file.predictor.probabilities(examples), expected, atol=1e-3)
