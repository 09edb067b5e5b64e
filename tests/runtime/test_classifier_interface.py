"""What a `Classifier` takes and gives: pairs, scores, ties, truncation, paths, its end; with files made by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert_runtime import Classifier, Prediction, UserError
from power_bert_runtime.cores import available_cores

Write = Callable[..., Path]
# Ids of the vocabulary of conftest.py.
CLS, SEP, A, B = 2, 3, 5, 6


@pytest.fixture
def single(write_onnx: Write, tmp_path: Path) -> Any:
    with Classifier(write_onnx(tmp_path / "single.onnx"), threads=1) as classifier:
        yield classifier


@pytest.fixture
def pairs(write_onnx: Write, tmp_path: Path) -> Any:
    with Classifier(write_onnx(tmp_path / "pairs.onnx", pairs=True), threads=1) as classifier:
        yield classifier


def test_attributes_of_the_file(write_onnx: Write, tmp_path: Path, single: Classifier) -> None:
    assert (single.name, single.path, single.runtime) == ("single", tmp_path / "single.onnx", "onnxruntime")
    assert (single.takes_pairs, single.is_regression, single.max_length) == (False, False, 12)
    assert single.labels == ("ids", "segments", "tokens", "width") and single.threads == 1
    with Classifier(str(tmp_path / "single.onnx")) as other:
        assert other.threads == available_cores()


def test_paths_of_the_home_folder(write_onnx: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_onnx(tmp_path / "mine.onnx")
    monkeypatch.setenv("HOME", str(tmp_path))
    with Classifier("~/mine.onnx", threads=1) as classifier:
        assert classifier.path == tmp_path / "mine.onnx"


def test_a_prediction_is_the_largest_output_with_its_label(single: Classifier) -> None:
    (found,) = single.predict(["a b"])
    width = 4.0
    assert found.probabilities == {"ids": CLS + A + B + SEP, "segments": 0, "tokens": 4, "width": width}
    assert (found.label, found.score) == ("ids", CLS + A + B + SEP)
    assert list(found.probabilities) == list(single.labels)


def test_of_equal_outputs_the_first_label_counts(single: Classifier) -> None:
    outputs = np.array([[0.25, 0.25, 0.25, 0.25], [0.1, 0.4, 0.1, 0.4]], np.float32)
    first, second = single.predictions(outputs)
    assert (first.label, second.label) == ("ids", "segments")
    assert first.score == 0.25 and isinstance(first.score, float)
    assert single.predictions(np.zeros((0, 4), np.float32)) == []


def test_a_regression_has_no_label(write_onnx: Write, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "scores.onnx", ("tokens",), regression=True, labels=[])
    with Classifier(path, threads=1) as classifier:
        assert classifier.is_regression and classifier.labels == ()
        assert classifier.predict(["a", "a b b"]) == [Prediction(None, 3.0, {}), Prediction(None, 5.0, {})]
        assert classifier.run(classifier.encode([])).shape == (0, 1)


def test_no_texts_have_no_outputs(single: Classifier) -> None:
    assert single.predict([]) == []
    outputs = single.run(single.encode([]))
    assert (outputs.shape, outputs.dtype) == ((0, 4), np.float32)


def test_pairs_are_tuples_or_lists_of_two_texts(pairs: Classifier) -> None:
    encoded = pairs.encode([("a", "b"), ["b", "a a"]])
    assert [ids.tolist() for ids in encoded.token_ids] == [[CLS, A, SEP, B, SEP], [CLS, B, SEP, A, A, SEP]]
    assert [ids.tolist() for ids in encoded.segment_ids] == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]]
    assert [each.probabilities["segments"] for each in pairs.predict([("a", "b"), ("b", "a a")])] == [2, 3]


@pytest.mark.parametrize("example", ["a", ("a",), ("a", "b", "c"), ("a", None), {"a": 1, "b": 2}, None, (b"a", "b")])
def test_what_is_no_pair_is_named_by_its_number(pairs: Classifier, example: Any) -> None:
    with pytest.raises(UserError, match=r"^pairs, example 1: .*; expected a pair of texts$"):
        pairs.encode([("a", "b"), example])


@pytest.mark.parametrize("example", [("a", "b"), b"a", 1, None, np.float64(1), ["a"]])
def test_what_is_no_text_is_named_by_its_number(single: Classifier, example: Any) -> None:
    with pytest.raises(UserError, match=r"^single, example 2: .*; expected a text$"):
        single.encode(["a", "b", example])


def test_messages_quote_little_of_what_was_given(single: Classifier) -> None:
    for texts in ("x" * 10_000, [("x" * 10_000, "y")]):
        with pytest.raises(UserError) as raised:
            single.encode(texts)  # type: ignore[arg-type]
        assert len(str(raised.value)) < 200


def test_texts_are_truncated_unless_one_asks_for_all_tokens(single: Classifier, pairs: Classifier) -> None:
    words = "a " * 30
    assert single.encode([words]).lengths.tolist() == [12]
    assert single.encode([words], truncate=False).lengths.tolist() == [32]
    assert pairs.encode([(words, "b")]).token_ids[0].tolist() == [CLS, *[A] * 8, SEP, B, SEP]
    assert pairs.encode([(words, words)], truncate=False).lengths.tolist() == [63]


def test_numpy_arrays_of_texts_are_lists_of_texts(single: Classifier) -> None:
    assert single.predict(np.array(["a", "a b"])) == single.predict(["a", "a b"])  # type: ignore[arg-type]


def test_after_its_end_nothing_is_predicted(write_onnx: Write, write_tflite: Write, tmp_path: Path) -> None:
    for path in (write_onnx(tmp_path / "m.onnx"), write_tflite(tmp_path / "m.tflite")):
        with pytest.raises(KeyError), Classifier(path, threads=1) as classifier:
            raise KeyError("errors inside the block pass")
        with pytest.raises((AttributeError, RuntimeError)):
            classifier.predict(["a"])


@pytest.mark.parametrize(
    "names", [("a.onnx", "b.onnx"), ("a.xml", "b.xml"), ("a.onnx", "b.tflite"), ("a.bin",), ("a",), ("a.tflite", "b")]
)
def test_files_that_are_not_opened_together(tmp_path: Path, names: tuple[str, ...]) -> None:
    paths = [tmp_path / name for name in names]
    with pytest.raises(UserError) as raised:
        Classifier(*paths)
    assert str(raised.value) == (
        f"{', '.join(map(str, paths))}: expected one .onnx or .xml file, or .tflite files of one model"
    )


@pytest.mark.parametrize(
    ("kind", "module", "package"),
    [("tflite", "ai_edge_litert.interpreter", "ai-edge-litert"), ("xml", "openvino", "openvino")],
)
def test_the_package_that_a_format_needs_is_named(
    write_tflite: Write,
    write_openvino: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    module: str,
    package: str,
) -> None:
    import sys

    path = {"tflite": write_tflite, "xml": write_openvino}[kind](tmp_path / f"m.{kind}")
    for name in ("power_bert_runtime.litert", "power_bert_runtime.openvino_engine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs the package {package} \(.*\)\. Install it: pip install {package}$"):
        Classifier(path)
