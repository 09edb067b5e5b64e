"""Exports from end to end: what is written, and that nothing is where something is wrong."""

import copy
import dataclasses
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.tiny_exports import NARROWED
from power_bert.errors import UserError


@pytest.fixture
def run_export(tmp_path: Path) -> Callable[..., str]:
    """Exports a model to `tmp_path / name` and returns what it said; further arguments are those of ExportOptions."""

    def run(model: Any, name: str = "model.tflite", **options: Any) -> str:
        from rich.console import Console

        from power_bert.export.export_options import ExportOptions
        from power_bert.export.exporter import export

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


@pytest.mark.parametrize("changes", [{}, {"fuse_dropped": True}, NARROWED], ids=["usual", "fused", "narrowed"])
@pytest.mark.parametrize("quantize", ["float16", "dynamic", "int8"])
def test_quantized(
    make_model: Callable[..., Any],
    run_export: Callable[..., str],
    tmp_path: Path,
    quantize: str,
    changes: dict[str, Any],
) -> None:
    model = make_model(extraction="hard", retention=(0.7, 0.05), **changes)
    said = run_export(model, quantize=quantize)
    assert settings_of(tmp_path / "model.tflite")["fuse_dropped"] == changes.get("fuse_dropped", False)
    assert settings_of(tmp_path / "model.tflite")["quantization"] == quantize
    assert "quantized  " in said
    assert ("calibrated on 30 training examples, seed 0" in said) == (quantize == "int8")
    assert ("float32  " in said) == (quantize in ("dynamic", "int8"))


@pytest.mark.parametrize("fuse_dropped", [False, True])
@pytest.mark.parametrize("quantize", ["none", "float16", "dynamic", "int8"])
def test_surviving_tokens_are_a_second_output(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path, quantize: str, fuse_dropped: bool
) -> None:
    from power_bert.export.inspection import inspect_file
    from power_bert.predict.surviving_tokens import surviving_tokens
    from power_bert_runtime import Classifier
    from power_bert_runtime.litert import LiteRtClassifier

    model = make_model(extraction="hard", retention=(0.7, 0.3), fuse_dropped=fuse_dropped)
    path = tmp_path / "model.tflite"
    said = run_export(model, quantize=quantize, surviving_tokens=True)
    assert "MediaPipe cannot open the file: it takes one output" in said
    assert any("surviving_tokens  int32 [1, 2, 21]" in line for line in inspect_file(path))
    with Classifier(path) as classifier:
        assert classifier.predict(["the cat sat"])[0].probabilities.keys() == {"0", "1"}
    interpreter = LiteRtClassifier(path.read_bytes()).interpreter
    ids = np.array([[2, 7, 8, 9, 10, 11, 3, *[0] * 14]], np.int32)
    inputs = {"token_ids": ids, "padding_mask": (ids > 0).astype(np.int32), "segment_ids": 0 * ids}
    runner = interpreter.get_signature_runner()
    found = runner(ids=ids, mask=inputs["padding_mask"], segment_ids=0 * ids)["surviving_tokens"]
    expected = surviving_tokens(model.classifier, inputs).kept
    np.testing.assert_array_equal(found.sum(axis=-1), expected.sum(axis=-1))
    if quantize in ("none", "float16"):  # int8 can turn the choice
        np.testing.assert_array_equal(found, expected)


def test_surviving_tokens_need_elimination(make_model: Callable[..., Any], run_export: Callable[..., str]) -> None:
    with pytest.raises(UserError, match="--surviving-tokens: tiny eliminates no tokens"):
        run_export(make_model(), surviving_tokens=True)


@pytest.mark.slow
def test_several_lengths_are_sibling_files(
    make_model: Callable[..., Any], run_export: Callable[..., str], tmp_path: Path
) -> None:
    said = run_export(make_model(), lengths=(8, 21, 13))
    tried = [line for line in said.splitlines() if line.startswith("tried")]
    assert len(tried) == 3 and all(" MB in 3 files, length " in line for line in tried)
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


def test_a_shorter_length_is_checked_on_the_texts_that_fit_it(
    make_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from power_bert.export import reference
    from power_bert.model.classifier_building import plain_tokenizer
    from power_bert.text.examples import Examples

    model = make_model()
    texts = Examples([" ".join(["cat"] * words) for words in (9, 1, 4, 6, 2)], None, np.arange(5))
    tokens = plain_tokenizer(model.classifier).encode(texts.first, None, 21).lengths
    assert tokens.tolist() == [11, 3, 6, 8, 4]
    sets = reference.CheckSets(texts, texts.take([1, 2]), "the test")
    monkeypatch.setattr(reference, "_FEWEST_TEXTS", 2)
    fitting = sets.fitting(model, 6)
    assert fitting.dev.labels.tolist() == [1, 2, 4] and fitting.elsewhere.first == texts.take([1, 2]).first
    assert sets.fitting(model, 5).dev.labels.tolist() == [1, 4]
    monkeypatch.setattr(reference, "_FEWEST_TEXTS", 4)  # more than fit: the shortest ones, truncated
    assert sets.fitting(model, 6).dev.labels.tolist() == [1, 2, 3, 4]


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
    from power_bert.export import reference

    def wrong(*arguments: Any) -> np.ndarray:
        return 1 - predict(*arguments)

    predict = reference.predict_with_litert
    (tmp_path / "model.tflite").write_bytes(b"an older one")
    monkeypatch.setattr(reference, "predict_with_litert", wrong)
    with pytest.raises(UserError, match=r"differs too much from Keras: none, .*largest difference .*, at most 1e-04"):
        run_export(make_model())
    with pytest.raises(UserError, match=r"label agreement 0\.00 %, at least 98\.5 % needed") as error:
        run_export(make_model(extraction="hard", retention=(0.6, 0.3)), quantize="int8")
    for way in (
        "--quantize dynamic (",
        "--quantize float16 (twice the size",
        "--quantize auto",
        "RETENTION_JITTER=0.3 (",
    ):
        assert way in str(error.value)
    assert "--min-agreement" not in str(error.value)  # nothing was measured that could be accepted
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]
    assert (tmp_path / "model.tflite").read_bytes() == b"an older one"


@pytest.fixture(scope="module")
def converted() -> dict[Any, Any]:
    return {}


@pytest.fixture
def quick_convert(converted: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Converts once what several tests export: the plain model of `make_model`."""
    from power_bert.export import candidate

    convert = candidate.convert

    def cached(function: Any, length: int, float16: bool) -> Any:
        if (length, float16) not in converted:
            converted[length, float16] = convert(function, length, float16)
        return copy.deepcopy(converted[length, float16])

    monkeypatch.setattr(candidate, "convert", cached)


@pytest.fixture
def turn_labels(quick_convert: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes files of a form answer differently from Keras for a share of the examples."""
    from power_bert.export import candidate, reference

    predict, build = reference.predict_with_litert, candidate.build_candidate

    def turn_labels(**shares: float) -> None:
        form = ""

        def note(plan: Any, its_form: str, console: Any) -> Any:
            nonlocal form
            form = its_form
            return build(plan, its_form, console)

        def turned(*arguments: Any) -> np.ndarray:
            outputs = predict(*arguments).copy()
            rows = round(shares.get(form, 0.0) * len(outputs))
            outputs[:rows] = outputs[:rows, ::-1]
            return outputs

        monkeypatch.setattr("power_bert.export.exporter.build_candidate", note)
        monkeypatch.setattr(reference, "predict_with_litert", turned)

    return turn_labels


def test_auto_takes_the_smallest_form_that_passes(
    make_model: Callable[..., Any], run_export: Callable[..., str], turn_labels: Callable[..., None], tmp_path: Path
) -> None:
    turn_labels(dynamic=0.25, int8=0.5)
    said = run_export(make_model(), quantize="auto").splitlines()
    tried = [line for line in said if line.startswith("tried")]
    assert [line.split(",")[0].split()[1] for line in tried] == ["dynamic", "int8", "float16"]
    assert "length 21: refused, label agreement 75.00 %, at least 98.5 % needed" in tried[0] and " MB, " in tried[0]
    assert "length 21: refused, label agreement 50.00 %" in tried[1]
    assert " ".join(said).count("Keras matthews") == 3
    assert "length 21: passes; label agreement 100.00 % on 24 dev examples" in tried[2]
    assert settings_of(tmp_path / "model.tflite")["quantization"] == "float16"


def test_auto_converts_once_and_writes_what_the_form_alone_gives(
    make_model: Callable[..., Any],
    run_export: Callable[..., str],
    turn_labels: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from power_bert.export import candidate

    convert, conversions = candidate.convert, []

    def counted(function: Any, length: int, float16: bool) -> Any:
        conversions.append((length, float16))
        return convert(function, length, float16)

    turn_labels(dynamic=0.5)
    monkeypatch.setattr(candidate, "convert", counted)
    run_export(make_model(), "auto.tflite", quantize="auto")
    assert conversions == [(21, False)]
    run_export(make_model(), "int8.tflite", quantize="int8")
    assert (tmp_path / "auto.tflite").read_bytes() == (tmp_path / "int8.tflite").read_bytes()


def test_auto_without_any_form_that_passes(
    make_model: Callable[..., Any], run_export: Callable[..., str], turn_labels: Callable[..., None], tmp_path: Path
) -> None:
    turn_labels(dynamic=0.5, int8=0.5, float16=0.5, none=0.25)
    with pytest.raises(UserError, match="every form of the file differs too much") as error:
        run_export(make_model(), quantize="auto")
    assert all(f"{form}, length 21: " in str(error.value) for form in ("dynamic", "int8", "float16", "none"))
    assert "--min-agreement 75 (accepts what was measured)" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_min_agreement_accepts_what_was_measured(
    make_model: Callable[..., Any], run_export: Callable[..., str], turn_labels: Callable[..., None], tmp_path: Path
) -> None:
    turn_labels(dynamic=0.25)
    with pytest.raises(UserError, match=r"--min-agreement 75 \(accepts"):
        run_export(make_model(), quantize="dynamic")
    with pytest.raises(UserError, match=r"label agreement 75\.00 %, at least 75\.1 % needed"):
        run_export(make_model(), quantize="dynamic", min_agreement=75.1)
    assert list(tmp_path.iterdir()) == []
    run_export(make_model(), quantize="dynamic", min_agreement=75)
    settings = settings_of(tmp_path / "model.tflite")
    assert settings["limits"] == {"agreement": 0.75, "points_lost": None, "differing": None}
    assert settings["dev"]["21"]["agreement"] == 0.75


def test_text_from_elsewhere_warns_and_never_refuses(
    make_model: Callable[..., Any],
    run_export: Callable[..., str],
    quick_convert: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from power_bert.export import reference

    def turned(file: bytes, encoded: Any, *arguments: Any) -> np.ndarray:
        outputs = predict(file, encoded, *arguments)
        return outputs if len(encoded) == 24 else outputs[:, ::-1]  # 24 dev examples

    predict = reference.predict_with_litert
    assert "warning" not in run_export(make_model())
    monkeypatch.setattr(reference, "predict_with_litert", turned)
    (tmp_path / "mine.txt").write_text("the cat sat\n\na dog ran\nthe mouse slept\n", encoding="utf-8")
    said = run_export(make_model(), check_texts=tmp_path / "mine.txt")
    assert "warning    length 21: label agreement 0.00 % on 3 texts from elsewhere (mine.txt), under 98.5 %" in said
    elsewhere = settings_of(tmp_path / "model.tflite")["elsewhere"]["21"]
    assert (elsewhere["texts"], elsewhere["source"], elsewhere["agreement"]) == (3, "mine.txt", 0.0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"lengths": (21, 41)}, "MAX_LENGTH=41 is over the 40 positions"),
        ({"lengths": (4,)}, "length 4: expected at least 5"),
        ({"labels": ("one", "two", "three")}, "3 labels .* for a model of 2 classes"),
        ({"labels": ("same", "same")}, "all different"),
        ({"labels": ("one", " ")}, "not empty"),
        ({"check_texts": Path("none.txt")}, "--check-texts none.txt: cannot be read"),
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
    from power_bert.export import candidate

    monkeypatch.setattr(candidate, "convert", None)
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
    from power_bert.export.export_options import parse_labels

    (tmp_path / "labels.txt").write_text("one\ntwo\n", encoding="utf-8")
    assert parse_labels(str(tmp_path / "labels.txt")) == parse_labels("one, two") == ("one", "two")


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
        assert max(map(len, said.splitlines()[1:])) <= 80  # the path stands first

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
