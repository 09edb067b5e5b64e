"""Classifier of the runtime package: predictions, bad input, damaged files, and what it imports."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert_runtime import Classifier, UserError

TEXTS = ["the cat sat", "the dog", "a mouse sat on the cat", "cat", "", "the the the the the the the the"]


@pytest.fixture(scope="module")
def tflite_file(make_model: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .tflite file of 21 tokens, with one of 8 beside it."""
    import io

    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    path = tmp_path_factory.mktemp("tflite") / "model.tflite"
    model = make_model(extraction="hard", retention=(0.6, 0.3))
    export(model, path, ExportOptions(lengths=(8, 21)), Console(file=io.StringIO()))
    return path


def test_predictions(onnx_file: Path) -> None:
    with Classifier(onnx_file, threads=1, batch_size=2) as classifier:
        predictions = classifier.predict(TEXTS)
        assert classifier.labels == ("0", "1") and classifier.max_length == 21 and classifier.runtime == "onnxruntime"
        assert classifier.name == "model" and classifier.size_bytes == onnx_file.stat().st_size
        for text, prediction in zip(TEXTS, predictions, strict=True):
            (alone,) = classifier.predict([text])  # neither its batch nor its padding change a prediction
            assert list(prediction.probabilities) == ["0", "1"]
            assert prediction.score == max(prediction.probabilities.values())
            assert prediction.probabilities[str(prediction.label)] == prediction.score
            assert alone.label == prediction.label and alone.score == pytest.approx(prediction.score, abs=1e-6)
        assert classifier.predict([]) == []


def test_all_formats_answer_alike(onnx_file: Path, tflite_file: Path) -> None:
    outputs = []
    for path in (onnx_file, tflite_file):
        with Classifier(path, threads=2) as classifier:
            outputs.append(classifier.run(classifier.encode(TEXTS)))
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-5


def test_the_shortest_file_that_fits_is_run(tflite_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from power_bert_runtime.litert import LiteRtClassifier

    lengths = []
    call = LiteRtClassifier.__call__

    def watched(self: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
        lengths.append(self.length)
        return call(self, inputs)

    monkeypatch.setattr(LiteRtClassifier, "__call__", watched)
    with Classifier(tflite_file, threads=1) as classifier:
        encoded = classifier.encode(TEXTS)
        outputs = classifier.run(encoded)
        assert lengths == [8 if length <= 8 else 21 for length in encoded.lengths] and set(lengths) == {8, 21}
        padded = classifier.run(encoded, pad_to=21)
        assert np.abs(outputs - padded).max() < 1e-5
    with Classifier(tflite_file, tflite_file.with_name("model-8.tflite"), threads=1) as both:
        assert np.array_equal(both.run(both.encode(TEXTS)), outputs)


def test_a_file_of_another_model_beside_it_is_left_alone(
    tflite_file: Path, make_model: Callable[..., Any], tmp_path: Path
) -> None:
    import io

    from rich.console import Console

    from power_bert.export.export_options import ExportOptions
    from power_bert.export.exporter import export

    other = tmp_path / "model-8.tflite"
    export(make_model(seed=2, num_layers=1), other, ExportOptions(lengths=(8,)), Console(file=io.StringIO()))
    copy = tmp_path / "model.tflite"
    copy.write_bytes(tflite_file.read_bytes())
    with Classifier(copy, threads=1) as classifier:
        assert classifier.size_bytes == copy.stat().st_size
    with pytest.raises(UserError, match="not of one model"):
        Classifier(copy, other)


def test_many_threads_at_once(onnx_file: Path, tflite_file: Path) -> None:
    for path in (onnx_file, tflite_file):
        with Classifier(path, threads=2) as classifier, ThreadPoolExecutor(4) as pool:
            expected = classifier.predict(TEXTS)
            for found in pool.map(lambda _, model=classifier: model.predict(TEXTS), range(8)):
                assert [one.label for one in found] == [one.label for one in expected]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("the cat", "expected a list of texts"),
        ([("the cat", "the dog")], r"example 0: .* expected a text"),
        (["the cat", None], r"example 1: None; expected a text"),
        ([3], "expected a text"),
    ],
)
def test_examples_that_do_not_fit(onnx_file: Path, texts: Any, message: str) -> None:
    with Classifier(onnx_file, threads=1) as classifier, pytest.raises(UserError, match=message):
        classifier.predict(texts)


def test_a_model_of_pairs_refuses_single_texts(
    export_server: Callable[..., str], make_model: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")
    export_server(make_model("mrpc"), tmp_path / "pairs.onnx")
    with Classifier(tmp_path / "pairs.onnx", threads=1) as classifier:
        assert len(classifier.predict([["the cat", "the dog"], ("a", "b")])) == 2
        with pytest.raises(UserError, match="expected a pair of texts"):
            classifier.predict(["the cat"])


def test_missing_foreign_and_damaged_files(onnx_file: Path, tflite_file: Path, tmp_path: Path) -> None:
    import onnx

    with pytest.raises(UserError, match="cannot be read"):
        Classifier(tmp_path / "none.onnx")
    with pytest.raises(UserError, match=r"expected one \.onnx or \.xml file"):
        Classifier(onnx_file, onnx_file)
    with pytest.raises(UserError, match=r"expected one \.onnx or \.xml file"):
        Classifier(tmp_path / "model.bin")
    with pytest.raises(UserError, match="no file: expected one"):
        Classifier()
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(UserError, match="damaged, or not a model that ONNX Runtime can run"):
        Classifier(tmp_path / "text.onnx")
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="not an export of this project"):
        Classifier(tmp_path / "foreign.onnx")
    content = bytearray(onnx_file.read_bytes())
    place = content.index(b"embeddings/token") + 400  # inside the weights
    content[place] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(content)
    with pytest.raises(UserError, match=r"flipped.onnx: damaged"):
        Classifier(tmp_path / "flipped.onnx")
    (tmp_path / "cut.tflite").write_bytes(tflite_file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"not an export of this project|damaged"):
        Classifier(tmp_path / "cut.tflite")


def test_a_model_without_labels(onnx_file: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(onnx_file)
    for entry in model.metadata_props:
        if entry.key == "power_bert.json":
            settings = json.loads(entry.value)
            entry.value = json.dumps({**settings, "labels": [], "model_sha256": ""})
    onnx.save(model, tmp_path / "unnamed.onnx")
    with pytest.raises(UserError, match="names no labels"):
        Classifier(tmp_path / "unnamed.onnx")


def test_a_runtime_that_is_not_installed(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "power_bert_runtime.onnx_engine", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs the package onnxruntime .* pip install onnxruntime"):
        Classifier(onnx_file)


def test_it_imports_neither_tensorflow_nor_the_other_package(project_root: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from power_bert_runtime import Classifier\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    command = [sys.executable, "-c", script, str(project_root / "code")]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "keras", "power_bert", "onnxruntime", "pandas", "scipy"} & set(loaded)
    assert {"numpy", "tokenizers"} <= set(loaded)


def test_onnx_runtime_reports_nothing(onnx_file: Path, project_root: Path, tmp_path: Path) -> None:
    """Its telemetry would leave an identifier of the machine and a database in the home folder."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from power_bert_runtime import Classifier\n"
        "Classifier(sys.argv[2]).predict(['the cat'])"
    )
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)  # set by this process itself
    command = [sys.executable, "-c", script, str(project_root / "code"), str(onnx_file)]
    subprocess.run(command, check=True, env=environment)
    assert list(tmp_path.rglob("*")) == []
