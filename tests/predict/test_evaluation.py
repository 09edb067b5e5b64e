"""Tests of power_bert.predict.evaluation, prediction_output and without_training, on a finished run."""

import csv
import dataclasses
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fixtures.tiny_models import logits_of
from power_bert.config.experiment import Experiment
from power_bert.errors import UserError
from power_bert.predict.evaluation import Evaluation, evaluate
from power_bert.predict.metrics import compute_scores
from power_bert.predict.prediction_output import predict_raw_texts, predict_split
from power_bert.predict.without_training import load_named_model, use_trained
from power_bert.result_tables import WIDTH
from power_bert.runs.run_dir import read_run_json
from power_bert.runs.trained_model import load_trained_model
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import get_task

QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def model(cola_run: Any) -> Any:
    return load_trained_model(str(cola_run.folder))


@pytest.fixture(scope="module")
def preset(make_classifier: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that does not say what it is for."""
    folder = tmp_path_factory.mktemp("preset") / "model"
    make_classifier().save_to_preset(str(folder))
    return folder


class TestEvaluate:
    def test_scores_are_those_of_the_run_and_of_the_file(self, model: Any, cola_run: Any, tmp_path: Path) -> None:
        output = tmp_path / "dev.tsv"
        evaluation = evaluate(model, "dev", QUIET, output)
        assert evaluation.scores == read_run_json(cola_run.folder / "3_retrain" / "metrics.json")["scores"]
        assert output.read_bytes() == (cola_run.folder / "3_retrain" / "predictions_dev.tsv").read_bytes()
        assert evaluation.lines()[2:] == [
            f"retention  {model.retention}",
            f"scores     matthews {100 * evaluation.scores['matthews']:.2f}",
        ]
        assert "cola dev, 12 examples" in evaluation.lines()[1]

    def test_a_model_of_12_blocks_fits_a_terminal(self, model: Any) -> None:
        twelve = dataclasses.replace(model, retention=f"{','.join(['0.1234'] * 12)} (the model's own)")
        found = Evaluation(twelve, get_task("cola"), "dev", 0, {"matthews": 0.5}, None, np.eye(2)[0], np.eye(2)[0])
        lines = found.lines()
        assert lines[2].startswith("retention  0.1234,") and lines[3].startswith(" " * 11 + "0.1234")
        assert all(len(line) <= WIDTH for line in lines[2:])

    def test_a_file_that_cannot_be_written(self, model: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(UserError, match=r"file/dev\.tsv: cannot be written .*; give another --output"):
            evaluate(model, "dev", QUIET, tmp_path / "file" / "dev.tsv")

    def test_another_split_and_another_retention(self, cola_run: Any) -> None:
        cut = load_trained_model(str(cola_run.folder), retention_choice="none", phase="1_fine_tune")
        evaluation = evaluate(cut, "train", QUIET)
        examples = read_examples(get_task("cola"), "train", cola_run.experiment.data_dir)
        classes = logits_of(cut.classifier, examples.first).argmax(axis=-1)
        assert evaluation.num_examples == 40
        assert evaluation.scores == compute_scores(["matthews"], examples.labels, classes)

    def test_a_split_without_labels(self, model: Any) -> None:
        with pytest.raises(UserError, match=r"the test data of cola have no labels.*evaluate on dev, or predict"):
            evaluate(model, "test", QUIET)

    def test_a_checkpoint_needs_task_and_data(self, preset: Path, tiny_glue: Path) -> None:
        with pytest.raises(UserError, match="does not say what it was trained for; give --task"):
            evaluate(load_trained_model(str(preset)), "dev", QUIET)
        with pytest.raises(UserError, match="does not say where the data are; give --data-dir"):
            evaluate(load_trained_model(str(preset), get_task("cola")), "dev", QUIET)
        named = load_trained_model(str(preset), get_task("cola"), str(tiny_glue))
        assert evaluate(named, "dev", QUIET).lines()[2] == "retention  none: nothing is eliminated"


class TestPredictSplit:
    def test_glue_file(self, model: Any, cola_run: Any, tmp_path: Path) -> None:
        predict_split(model, "test", "glue", tmp_path / "new" / "CoLA.tsv", QUIET)
        written = (tmp_path / "new" / "CoLA.tsv").read_bytes()
        assert written == (cola_run.folder / "3_retrain" / "predictions_test.tsv").read_bytes()

    def test_standard_output(self, model: Any, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        predict_split(model, "dev", "tsv", None, QUIET)
        lines = capsysbinary.readouterr().out.decode().splitlines()
        assert lines[0] == "label\tp(unacceptable)\tp(acceptable)" and len(lines) == 13

    def test_bad_data_leave_the_older_file(self, model: Any, tiny_glue: Path, tmp_path: Path) -> None:
        (tmp_path / "CoLA").mkdir()
        rows = "".join(f"{row}\tthe cat\n" for row in range(9000)) + "no tab\n"
        (tmp_path / "CoLA" / "test.tsv").write_text("index\tsentence\n" + rows, encoding="utf-8")
        (tmp_path / "out.tsv").write_text("older", encoding="utf-8")
        moved = load_trained_model(model.source, get_task("cola"), str(tmp_path / "CoLA"))
        with pytest.raises(UserError, match=r"test\.tsv, line 9002: expected 2 columns"):
            predict_split(moved, "test", "glue", tmp_path / "out.tsv", QUIET)
        assert (tmp_path / "out.tsv").read_text(encoding="utf-8") == "older"
        assert {entry.name for entry in tmp_path.iterdir()} == {"CoLA", "out.tsv"}


class TestPredictRawTexts:
    def predict(self, model: Any, text: str, form: Any, folder: Path) -> list[str]:
        (folder / "input.txt").write_text(text, encoding="utf-8")
        predict_raw_texts(model, folder / "input.txt", form, folder / "output", QUIET)
        return (folder / "output").read_text(encoding="utf-8").splitlines()

    def test_one_line_in_one_line_out(self, model: Any, tmp_path: Path) -> None:
        texts = ["the cat sat.", "", "dog " * 3000, "mouse"]
        header, *rows = self.predict(model, "\n".join(texts), "tsv", tmp_path)
        assert header == "label\tp(unacceptable)\tp(acceptable)" and len(rows) == 4
        logits = logits_of(model.classifier, texts)
        expected = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        cells = [row.split("\t") for row in rows]
        np.testing.assert_allclose([[float(cell) for cell in row[1:]] for row in cells], expected, atol=2e-6)
        assert [row[0] for row in cells] == [("unacceptable", "acceptable")[index] for index in logits.argmax(axis=-1)]

    def test_json_lines(self, model: Any, tmp_path: Path) -> None:
        tsv = self.predict(model, "the cat sat.\n", "tsv", tmp_path)[1].split("\t")
        (line,) = self.predict(model, "the cat sat.\n", "jsonl", tmp_path)
        assert json.loads(line) == {
            "label": tsv[0],
            "probabilities": {"unacceptable": float(tsv[1]), "acceptable": float(tsv[2])},
        }

    def test_scores_and_pairs(self, make_classifier: Callable[..., Any], tmp_path: Path) -> None:
        make_classifier(labels=None).save_to_preset(str(tmp_path / "model"))
        regressor = load_trained_model(str(tmp_path / "model"))
        header, score = self.predict(regressor, "the cat\tthe dog\n", "tsv", tmp_path)
        assert header == "score"
        (line,) = self.predict(regressor, "the cat\tthe dog\n", "jsonl", tmp_path)
        assert json.loads(line)["score"] == pytest.approx(float(score), abs=1e-5)
        expected = regressor.classifier(regressor.classifier.preprocessor((["the cat"], ["the dog"]), None))
        assert float(score) == pytest.approx(float(expected[0, 0]), abs=1e-5)

    def test_nothing_in_nothing_out(self, model: Any, tmp_path: Path) -> None:
        assert self.predict(model, "", "tsv", tmp_path) == ["label\tp(unacceptable)\tp(acceptable)"]

    def test_standard_input_and_output(
        self, model: Any, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
    ) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("dog\nché\n".encode())))
        predict_raw_texts(model, None, "jsonl", None, QUIET)
        assert len(capsysbinary.readouterr().out.splitlines()) == 2

    def test_a_bad_line_leaves_no_file(self, model: Any, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"input\.txt, line 2: 1 tabs\. Expected one text"):
            self.predict(model, "the cat\none\ttwo\n", "tsv", tmp_path)
        assert [entry.name for entry in tmp_path.iterdir()] == ["input.txt"]

    def test_bad_files(self, model: Any, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nothing: cannot be read .*; give another --input"):
            predict_raw_texts(model, tmp_path / "nothing", "tsv", None, QUIET)
        (tmp_path / "input.txt").write_text("dog\n")
        with pytest.raises(UserError, match=r"cannot be written .*; give another --output"):
            predict_raw_texts(model, tmp_path / "input.txt", "tsv", tmp_path / "input.txt" / "out", QUIET)

    def test_a_table_is_read_by_the_columns_of_the_task(self, model: Any, tmp_path: Path) -> None:
        model = dataclasses.replace(model, task=get_task("sst-2"))
        (tmp_path / "input.jsonl").write_text('{"sentence": "dog", "id": [7]}\n{"sentence": "the cat", "id": null}\n')
        predict_raw_texts(model, tmp_path / "input.jsonl", "tsv", tmp_path / "out.tsv", QUIET)
        header, *plain = self.predict(model, "dog\nthe cat\n", "tsv", tmp_path)
        expected = [f"sentence\tid\t{header}", f"dog\t[7]\t{plain[0]}", f"the cat\t\t{plain[1]}"]
        assert (tmp_path / "out.tsv").read_text().splitlines() == expected

    def table(self, model: Any, content: str, folder: Path, output: str, **options: Any) -> str:
        (folder / "in.csv").write_text(content, encoding="utf-8")
        predict_raw_texts(model, folder / "in.csv", None, folder / output, QUIET, **options)
        return (folder / output).read_text(encoding="utf-8")

    def test_a_table_keeps_its_columns(self, model: Any, tmp_path: Path) -> None:
        content = 'id,label,body\n1,x,"the ""cat"", sat"\n2,y,"dog\nran"\n'
        plain = self.predict(model, 'the "cat", sat\ndog ran\n', "csv", tmp_path)
        header, *rows = csv.reader(io.StringIO(self.table(model, content, tmp_path, "out.csv")))
        assert header == ["id", "label", "body", "predicted_label", "p(unacceptable)", "p(acceptable)"]
        assert [row[:3] for row in rows] == [["1", "x", 'the "cat", sat'], ["2", "y", "dog\nran"]]
        assert [",".join(row[3:]) for row in rows] == plain[1:]
        lines = self.table(model, content, tmp_path, "out.jsonl").splitlines()
        first = json.loads(lines[0])
        assert list(first) == ["id", "label", "body", "predicted_label", "probabilities"]
        assert (first["label"], first["predicted_label"]) == ("x", rows[0][3])
        with pytest.raises(UserError, match=r"in\.csv, line 3: a tab or a line end in a value.*--format jsonl or csv"):
            self.table(model, content, tmp_path, "out.tsv")

    def test_the_column_of_the_texts(self, model: Any, tmp_path: Path) -> None:
        said = Console(file=io.StringIO(), width=200)
        (tmp_path / "in.csv").write_text("body,note\nthe cat sat on a mat,\na dog ran under a tree,\n")
        predict_raw_texts(model, tmp_path / "in.csv", None, tmp_path / "out.csv", said)
        assert "texts from column 'body' (--text-column chooses another)" in said.file.getvalue()  # type: ignore[attr-defined]
        guessed = (tmp_path / "out.csv").read_text()
        content = (tmp_path / "in.csv").read_text()
        assert self.table(model, content, tmp_path, "b.csv", text_columns=["body"]) == guessed
        assert self.table(model, content, tmp_path, "c.csv", text_columns=["note"]) != guessed
        with pytest.raises(UserError, match=r"no column named 'text'; it has 'body', 'note'\. Give --text-column"):
            self.table(model, content, tmp_path, "d.csv", text_columns=["text"])
        with pytest.raises(UserError, match="names 2 columns, and an example has 1"):
            self.table(model, content, tmp_path, "d.csv", text_columns=["body", "note"])
        with pytest.raises(UserError, match="--text-column is for a table; give its file as --input"):
            predict_raw_texts(model, None, None, None, QUIET, ["body"])

    def test_rows_of_json_lines_that_differ(self, model: Any, tmp_path: Path) -> None:
        (tmp_path / "in.jsonl").write_text('{"text": "dog"}\n{"text": "cat", "id": 1}\n')
        predict_raw_texts(model, tmp_path / "in.jsonl", None, tmp_path / "out.jsonl", QUIET)
        assert [len(json.loads(line)) for line in (tmp_path / "out.jsonl").read_text().splitlines()] == [3, 4]
        with pytest.raises(UserError, match=r"line 2: 'id' is not in the first row.*--format jsonl"):
            predict_raw_texts(model, tmp_path / "in.jsonl", "csv", tmp_path / "out.csv", QUIET)

    def test_a_device_is_written_to_and_not_replaced(self, model: Any, tmp_path: Path) -> None:
        (tmp_path / "input.txt").write_text("dog\n")
        predict_raw_texts(model, tmp_path / "input.txt", "tsv", Path("/dev/null"), QUIET)
        assert Path("/dev/null").is_char_device()


class TestWithoutTraining:
    def use(self, experiment: Experiment, capsys: Any, output_dir: str | None = None, **choices: Any) -> list[str]:
        settings = {"data_dir": None, "retention_choice": None, "evaluates": False, "predicts": False} | choices
        use_trained(experiment, output_dir=output_dir, **settings)
        return list(capsys.readouterr().out.splitlines())

    def test_the_run_in_output_dir(self, cola_run: Any, capsys: Any) -> None:
        lines = self.use(cola_run.experiment, capsys, evaluates=True)
        score = read_run_json(cola_run.folder / "3_retrain" / "metrics.json")["scores"]["matthews"]
        assert lines[3] == f"scores     matthews {100 * score:.2f}"
        assert lines[-2].startswith("same weights, nothing eliminated  matthews ")
        lines = self.use(cola_run.experiment, capsys, evaluates=True, retention_choice="none")
        assert lines[2] == "retention  none: nothing is eliminated (as asked)"

    def test_a_checkpoint(
        self, preset: Path, make_experiment: Callable[..., Experiment], capsys: Any, tmp_path: Path
    ) -> None:
        experiment = make_experiment(tmp_path / "run", checkpoint_path=str(preset))
        lines = self.use(experiment, capsys, str(tmp_path / "run"), evaluates=True, predicts=True)
        path = tmp_path / "run" / "predictions" / "CoLA.tsv"
        assert lines[0] == f"model      {preset}" and lines[-1] == f"wrote {path}"
        assert path.read_bytes().count(b"\n") == 10
        with pytest.raises(UserError, match="give an OUTPUT_DIR for the predictions as well"):
            self.use(experiment, capsys, None, predicts=True)

    def test_the_maximum_length_is_as_given(
        self, preset: Path, make_experiment: Callable[..., Experiment], tmp_path: Path
    ) -> None:
        experiment = make_experiment(tmp_path / "run", checkpoint_path=str(preset))
        assert load_named_model(experiment, None, None, 7).max_length == 7
        assert load_named_model(experiment, None, None).max_length == 24

    def test_a_checkpoint_with_a_head_is_read_as_it_is(
        self, preset: Path, make_experiment: Callable[..., Experiment], tmp_path: Path
    ) -> None:
        experiment = make_experiment(tmp_path / "run", checkpoint_path=str(preset), cased=True, vocab_path="v.txt")
        with pytest.raises(
            UserError,
            match=r"VOCAB_PATH, CASED: EVAL_ONLY and PREDICT_ONLY need a checkpoint with a head.*leave this empty",
        ):
            load_named_model(experiment, None, None)

    def test_neither_a_run_nor_a_checkpoint_with_a_head(
        self, make_experiment: Callable[..., Experiment], capsys: Any, tmp_path: Path
    ) -> None:
        from power_bert.folders import DEFAULT_CHECKPOINT

        with pytest.raises(UserError, match="run holds no run, and CHECKPOINT_PATH names no trained classifier"):
            experiment = make_experiment(tmp_path / "run", checkpoint_path=str(DEFAULT_CHECKPOINT))
            self.use(experiment, capsys, evaluates=True)
        with pytest.raises(UserError, match="an encoder without a classification head"):
            self.use(make_experiment(tmp_path / "run"), capsys, evaluates=True)
