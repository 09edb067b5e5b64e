"""Prediction of raw texts as an Apache Beam job, by the command line."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from power_bert import beam_jobs, cli
from power_bert.errors import UserError

ADVICE = "needs Apache Beam: POWER_BERT_VENV=.venv-beam EXTRAS='beam onnx' bash run.sh test"
PROCESSES = ("--beam-option=--direct_num_workers=2", "--beam-option=--direct_running_mode=multi_processing")
Predict = Callable[..., bytes]


def call(*arguments: object) -> None:
    """Predicts; a UserError is passed on."""
    result = CliRunner().invoke(cli.app, ["predict", *map(str, arguments)])
    if result.exception is not None:
        raise result.exception


@pytest.fixture
def predict(onnx_file: Path, tmp_path: Path) -> Predict:
    """Predicts an input with a runner; returns the output, beside which nothing may be left."""

    def run(name: str, content: str, *options: object, runner: str = "beam") -> bytes:
        source = tmp_path / name
        source.write_text(content, encoding="utf-8")
        output = tmp_path / f"out{source.suffix}"
        call(onnx_file, "--input", source, "--output", output, "--runner", runner, *options)
        assert {path.name for path in tmp_path.iterdir()} == {name, output.name}
        return output.read_bytes()

    return run


def as_csv(rows: list[list[str]], path: Path) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    content = path.read_text(encoding="utf-8")
    path.unlink()
    return content


class TestWithBeam:
    @pytest.fixture(autouse=True)
    def beam(self) -> None:
        pytest.importorskip("apache_beam", reason=ADVICE)

    def test_rows_columns_and_order_are_those_of_the_local_runner(self, predict: Predict, tmp_path: Path) -> None:
        """Rows of several chunks, with texts of all lengths and line ends in quotes."""
        rows = [["id", "label", "text"]]
        rows += [[str(row), "mine", f"the cat {'sat ' * (row % 7)}\non row {row}"] for row in range(20_000)]
        content = as_csv(rows, tmp_path / "rows.csv")
        expected = predict("in.csv", content, runner="local")
        found = predict("in.csv", content)
        written = list(csv.reader(found.decode().splitlines(keepends=True)))
        assert written[0] == ["id", "label", "text", "predicted_label", "p(0)", "p(1)"]
        assert [row[:3] for row in written[1:]] == rows[1:]
        assert found == expected

    def test_workers_in_processes_of_their_own(self, predict: Predict) -> None:
        content = "".join(json.dumps({"text": f"the cat {row}", "id": [row]}) + "\n" for row in range(9000))
        assert predict("in.jsonl", content, *PROCESSES) == predict("in.jsonl", content, runner="local")

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("in.txt", "the cat sat\n\nthe dog\r\nno line end"),
            ("in.txt", ""),
            ("in.tsv", "id\tsentence\n1\tthe cat\n2\tthe dog\n"),
            ("in.jsonl", '{"sentence": "dog"}\n{"sentence": "cat", "id": null}\n'),
        ],
    )
    def test_all_kinds_of_files(self, predict: Predict, name: str, content: str) -> None:
        assert predict(name, content) == predict(name, content, runner="local")

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("in.txt", "the cat\n" * 200_000 + "one\ttwo\n", r"in\.txt, line 200001: 1 tabs"),
            ("in.csv", "id,text\n" + "1,the cat\n" * 9000 + "1\n", r"in\.csv, line 9002: expected 2 columns"),
            ("in.jsonl", '{"text": "a"}\n{"text": [1]}\n', r"in\.jsonl, line 2: expected a text under 'text'"),
        ],
    )
    def test_a_bad_row_is_named_before_anything_is_predicted(
        self,
        predict: Predict,
        name: str,
        content: str,
        message: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("power_bert.predict.beam_prediction.beam_pipeline", lambda options: pytest.fail("started"))
        output = tmp_path / f"out{Path(name).suffix}"
        output.write_text("older")
        with pytest.raises(UserError, match=message):
            predict(name, content)
        assert output.read_text() == "older"
        assert {path.name for path in tmp_path.iterdir()} == {name, output.name}

    def test_a_row_that_the_output_cannot_hold(self, predict: Predict) -> None:
        with pytest.raises(UserError, match=r"in\.csv, line 2: a tab or a line end in a value, which TSV cannot hold"):
            predict("in.csv", 'text\n"the\ncat"\n', "--format", "tsv")

    @pytest.mark.parametrize("options", [(), PROCESSES], ids=["this process", "processes"])
    def test_what_fails_on_a_worker(
        self,
        onnx_file: Path,
        options: tuple[str, ...],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """The exported file has gone when the workers look for it."""
        model, source, output = tmp_path / "model.onnx", tmp_path / "in.txt", tmp_path / "out.txt"
        shutil.copyfile(onnx_file, model)
        source.write_text("the cat\n")
        output.write_text("older")

        def without_model(options: Sequence[str]) -> Any:
            model.unlink()
            return beam_jobs.beam_pipeline(options)

        monkeypatch.setattr("power_bert.predict.beam_prediction.beam_pipeline", without_model)
        with pytest.raises(UserError, match=r"^[^\n]*model\.onnx[^\n]*$") as failed:
            call(model, "--input", source, "--output", output, "--runner", "beam", *options)
        assert "while running" not in str(failed.value)
        assert output.read_text() == "older"
        assert {path.name for path in tmp_path.iterdir()} == {"in.txt", "out.txt"}
        assert options or "Traceback" not in capfd.readouterr().err

    def test_options_that_beam_does_not_take(self, predict: Predict) -> None:
        with pytest.raises(UserError, match=r"--beam-option --runner=NoRunner: .*NoRunner"):
            predict("in.txt", "the cat\n", "--beam-option=--runner=NoRunner")

    def test_files_are_needed(self, onnx_file: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="give it as --input"):
            call(onnx_file, "--runner", "beam")
        (tmp_path / "in.txt").write_text("the cat\n")
        for output in ([], ["--output", "/dev/null"]):
            with pytest.raises(UserError, match="give a file as --output"):
                call(onnx_file, "--runner", "beam", "--input", tmp_path / "in.txt", *output)


def test_a_run_has_to_be_exported_first(stored_run: Path) -> None:
    with pytest.raises(UserError, match=r"Export it first: bash run\.sh export .* --format onnx --out model\.onnx"):
        call(stored_run, "--runner", "beam", "--input", "in.txt", "--output", "out.txt")


def test_runners(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="'flink': expected one of local, beam"):
        call(onnx_file, "--runner", "flink")
    with pytest.raises(UserError, match="--beam-option --runner=FlinkRunner: is for --runner beam"):
        call(onnx_file, "--beam-option=--runner=FlinkRunner")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'POWER_BERT_VENV=\.venv-beam EXTRAS="beam onnx" bash run\.sh predict …'):
        call(onnx_file, "--runner", "beam")
