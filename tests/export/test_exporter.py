"""Exports from end to end: what is written, and that nothing is where something is wrong."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError


@pytest.fixture
def run_export(tmp_path: Path) -> Callable[..., str]:
    """Exports a model to `tmp_path / name` and returns what it said; further arguments are those of ExportOptions."""

    def run(model: Any, name: str = "model.tflite", **options: Any) -> str:
        from rich.console import Console

        from power_bert.export.exporter import export
        from power_bert.export.options import ExportOptions

        console = Console(file=io.StringIO(), width=200)
        export(model, tmp_path / name, ExportOptions(**options), console)
        return console.file.getvalue()  # type: ignore[attr-defined]

    return run


def settings_of(path: Path) -> dict[str, Any]:
    from power_bert.export.stored_model import read_stored_model

    return read_stored_model(path).settings


@pytest.mark.parametrize("task", ["cola", "mrpc", "sts-b"])
def test_tasks_of_every_kind(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path, task: str
) -> None:
    said = run_export(make_model(task))
    settings = settings_of(tmp_path / "model.tflite")
    assert settings["pairs"] == (task != "cola") and settings["regression"] == (task == "sts-b")
    assert settings["dev"]["21"]["largest_difference"] <= 1e-4
    assert "24 dev examples" in said and "wrote" in said


@pytest.mark.parametrize("quantize", ["float16", "dynamic", "int8"])
def test_quantised(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path, quantize: str
) -> None:
    said = run_export(make_model(extraction="hard", retention=(0.7, 0.05)), quantize=quantize)
    assert settings_of(tmp_path / "model.tflite")["quantization"] == quantize
    assert "quantised  " in said
    assert ("calibrated on 30 training examples, seed 0" in said) == (quantize == "int8")
    assert ("float32  " in said) == (quantize in ("dynamic", "int8"))


@pytest.mark.slow
def test_several_lengths_are_sibling_files(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path
) -> None:
    run_export(make_model(), lengths=(8, 21, 13))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model-13.tflite", "model-8.tflite", "model.tflite"]
    assert settings_of(tmp_path / "model.tflite")["max_length"] == 21
    assert settings_of(tmp_path / "model-8.tflite")["max_length"] == 8


def test_several_lengths_in_one_file(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path
) -> None:
    run_export(make_model(), lengths=(8, 21), one_file=True)
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    settings = settings_of(tmp_path / "model.tflite")
    assert settings["lengths"] == [21, 8] and list(settings["dev"]) == ["21", "8"]


@pytest.mark.slow
def test_the_same_export_gives_the_same_bytes(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("one.tflite", "two.tflite"):
        run_export(make_model(), name, quantize="int8", seed=3)
    assert (tmp_path / "one.tflite").read_bytes() == (tmp_path / "two.tflite").read_bytes()


def test_a_file_that_disagrees_is_not_left(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from power_bert.export import exporter

    def wrong(*arguments: Any) -> np.ndarray:
        return 1 - predict(*arguments)

    predict = exporter.predict_with_litert
    (tmp_path / "model.tflite").write_bytes(b"an older one")
    monkeypatch.setattr(exporter, "predict_with_litert", wrong)
    with pytest.raises(UserError, match=r"differs too much from Keras: largest difference .*, allowed 1e-04"):
        run_export(make_model())
    with pytest.raises(UserError, match=r"0\.00 % equal labels, needed 98\.5 %"):
        run_export(make_model(), quantize="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_bytes() == b"an older one"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"lengths": (21, 41)}, "MAX_LENGTH=41 is over the 40 positions"),
        ({"lengths": (4,)}, "length 4: expected at least 5"),
        ({"labels": ("one", "two", "three")}, "3 labels .* for a model of 2 classes"),
        ({"labels": ("same", "same")}, "all different"),
        ({"labels": ("one", " ")}, "not empty"),
        ({"name": ""}, "is a folder"),
        ({"name": "file/model.tflite"}, "cannot be written"),
    ],
)
def test_bad_input_is_refused_before_the_work(
    make_model: Callable[..., Any],
    run_export: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    complaint: str,
) -> None:
    from power_bert.export import exporter

    monkeypatch.setattr(exporter, "convert", None)
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UserError, match=complaint):
        run_export(make_model(), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_regression_has_no_labels(make_model: Callable[..., Any], run_export: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="gives a score, which has no labels"):
        run_export(make_model("sts-b"), labels=("low", "high"))


def test_a_checkpoint_without_task_is_refused(make_model: Callable[..., Any], run_export: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="give --task"):
        run_export(dataclasses.replace(make_model(), task=None))


def test_options_as_the_user_writes_them(tmp_path: Path) -> None:
    from power_bert.export.options import parse_labels, parse_lengths

    assert parse_lengths("32,64, 128") == (32, 64, 128)
    assert parse_lengths(None) == ()
    with pytest.raises(UserError, match="--lengths 32;64"):
        parse_lengths("32;64")
    (tmp_path / "labels.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert parse_labels(str(tmp_path / "labels.txt")) == parse_labels("one,two") == ("one", "two")


class TestCommand:
    @pytest.fixture
    def call(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
        import sys

        from power_bert import cli

        def run(*arguments: str) -> tuple[int, str, str]:
            monkeypatch.setattr(sys, "argv", ["power-bert", *arguments])
            code: Any = 0
            try:
                cli.main()
            except SystemExit as end:
                code = end.code or 0
            captured = capsys.readouterr()
            return code, captured.out, captured.err

        return run

    def test_a_stored_run(self, call: Callable[..., Any], stored_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "model.tflite"
        code, said, _ = call("export", str(stored_run), "--out", str(out), "--quantize", "int8", "--labels", "no,yes")
        assert code == 0 and "seed 7" in said  # the run's
        code, said, _ = call("inspect", str(out))
        assert code == 0 and "no, yes" in said and "retention    0.6,0.05" in said

    def test_without_elimination(self, call: Callable[..., Any], stored_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "bert.tflite"
        assert call("export", str(stored_run), "--out", str(out), "--retention-config", "none")[0] == 0
        assert settings_of(out)["retention"] is None

    def test_a_run_without_a_classifier(self, call: Callable[..., Any], stored_run: Path, tmp_path: Path) -> None:
        out = tmp_path / "model.tflite"
        code, _, error = call("export", str(stored_run), "--out", str(out), "--phase", "1_fine_tune")
        assert code == 2 and "1_fine_tune is not done" in error and "Traceback" not in error
        (tmp_path / "empty").mkdir()
        code, _, error = call("export", str(tmp_path / "empty"), "--out", str(out))
        assert code == 2 and "empty" in error and "Traceback" not in error
        assert not out.exists()
