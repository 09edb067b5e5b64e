"""Tests of power_bert.commands.predict and of EVAL_ONLY and PREDICT_ONLY, on a finished run."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from power_bert import cli
from power_bert.errors import UserError
from power_bert.runs.run_dir import read_run_json


def call(*arguments: object, stdin: bytes = b"", **settings: str) -> str:
    """Standard output; a UserError is passed on."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=stdin, env=settings)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_evaluate(cola_run: Any) -> None:
    score = read_run_json(cola_run.folder / "3_retrain" / "metrics.json")["scores"]["matthews"]
    full = read_run_json(cola_run.folder / "3_retrain" / "metrics.json")["scores_nothing_eliminated"]["matthews"]
    output = call("evaluate", cola_run.folder)
    assert f"scores     matthews {100 * score:.2f}\n" in output
    assert f"same weights, nothing eliminated  matthews {100 * full:.2f}\n" in output
    assert re.search(r"^elimination changes matthews by \S+, 95 % interval \S+ to \S+$", output, re.MULTILINE)
    for option in ("--no-against-full", "--phase=1_fine_tune"):
        assert "nothing eliminated  matthews" not in call("evaluate", cola_run.folder, option)
    settings = {"RETENTION_CONFIG": "0.5,0.25"}
    assert "retention  0.5,0.25 (as asked)\n" in call("evaluate", cola_run.folder, **settings)


def test_predict(cola_run: Any, tmp_path: Path) -> None:
    output = call("predict", cola_run.folder, stdin=b"the cat sat.\n\nmouse\n").splitlines()
    assert output[0] == "label\tp(unacceptable)\tp(acceptable)" and len(output) == 4
    assert call("predict", cola_run.folder, "--split", "test", "--output", tmp_path / "CoLA.tsv") == ""
    expected = (cola_run.folder / "3_retrain" / "predictions_test.tsv").read_bytes()
    assert (tmp_path / "CoLA.tsv").read_bytes() == expected


def test_options_that_exclude_each_other(cola_run: Any) -> None:
    with pytest.raises(UserError, match="give one of them"):
        call("predict", cola_run.folder, "--split", "test", "--input", "x.txt")
    with pytest.raises(UserError, match="raw text gives tsv, csv or jsonl"):
        call("predict", cola_run.folder, "--format", "glue")


def test_variables_of_run_sh(cola_run: Any, tmp_path: Path) -> None:
    settings = {"TASK": "cola", "OUTPUT_DIR": str(cola_run.folder), "RETENTION_CONFIG": "none", "EVAL_ONLY": "1"}
    output = call("run", **settings)
    # TASK=cola without DATA_DIR is the sample where a run is trained, and the run's own task here.
    assert "retention  none: nothing is eliminated (as asked)\n" in output and "data       cola dev, 12" in output
    with pytest.raises(UserError, match=r"a run of cola, which cannot predict mrpc; .*\(TASK=cola\)"):
        call("run", **settings | {"TASK": "mrpc"})
