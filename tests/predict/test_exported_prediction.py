"""Prediction of raw texts with an exported file, by the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from power_bert import cli
from power_bert.errors import UserError


def call(*arguments: object, stdin: bytes = b"") -> str:
    """Standard output; a UserError is passed on."""
    result = CliRunner().invoke(cli.app, ["predict", *map(str, arguments)], input=stdin)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_predict(onnx_file: Path, tmp_path: Path) -> None:
    header, *lines = call(onnx_file, stdin=b"the cat sat\nthe dog\n").splitlines()
    assert header == "label\tp(0)\tp(1)" and len(lines) == 2
    for line in lines:
        label, *probabilities = line.split("\t")
        assert sum(map(float, probabilities)) == pytest.approx(1, abs=1e-5)
        assert max(map(float, probabilities)) == float(probabilities[int(label)])
    (tmp_path / "in.txt").write_text("the cat sat\nthe dog\n")
    assert (
        call(onnx_file, "--input", tmp_path / "in.txt", "--format", "jsonl", "--output", tmp_path / "out.jsonl") == ""
    )
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [one["label"] for one in found] == [line.split("\t")[0] for line in lines]


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--split", "dev"], "where the data are; give --data-dir"), (["--phase", "3_retrain"], "it has no phases")],
)
def test_options_that_need_a_run(onnx_file: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call(onnx_file, *options)


def test_a_line_with_two_texts(onnx_file: Path) -> None:
    with pytest.raises(UserError, match=r"standard input, line 1: 1 tabs"):
        call(onnx_file, stdin=b"the cat\tthe dog\n")
