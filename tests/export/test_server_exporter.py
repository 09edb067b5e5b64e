"""Exports for servers from end to end: what is written, and that nothing is where something is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.export.exported_model import load_exported
from power_bert.export.inspection import inspect_file
from power_bert.export.server_formats import SavedModelFormat
from power_bert_runtime import Classifier

pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

TEXTS = ["the cat sat", "the dog", "a mouse sat on the cat"]


def keras_probabilities(model: Any, first: list[str], second: list[str] | None = None) -> np.ndarray:
    from scipy.special import softmax

    from power_bert.predict.predict_texts import Predictor
    from power_bert.text.examples import Examples

    outputs = Predictor(model.classifier, model.max_length).outputs(Examples(first, second, None))
    return outputs if model.classifier.is_regressor else softmax(outputs, axis=-1)


@pytest.mark.parametrize("task", ["cola", "mrpc", "sts-b"])
def test_tasks_of_every_kind(
    make_model: Callable[..., Any], export_server: Callable[..., str], tmp_path: Path, task: str
) -> None:
    model = make_model(task, extraction="hard", retention=(0.6, 0.3))
    said = export_server(model, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert "24 dev examples" in said and "× layer norm with residual" in said and "wrote" in said
    classifier = Classifier(tmp_path / "model.onnx", threads=1)
    assert classifier.is_regression == (task == "sts-b") and classifier.takes_pairs == (task != "cola")
    pairs = task != "cola"
    texts: Any = list(zip(TEXTS, TEXTS[::-1], strict=True)) if pairs else TEXTS
    outputs = classifier.run(classifier.encode(texts))
    assert np.abs(outputs - keras_probabilities(model, TEXTS, TEXTS[::-1] if pairs else None)).max() < 1e-5
    assert classifier.metadata["format_name"] == "onnx" and classifier.metadata["fused"]["GELU with bias"] == 2


def test_fused_tokens(make_model: Callable[..., Any], export_server: Callable[..., str], tmp_path: Path) -> None:
    model = make_model(extraction="hard", retention=(0.6, 0.3), fuse_dropped=True)
    export_server(model, tmp_path / "model.onnx")
    classifier = Classifier(tmp_path / "model.onnx", threads=1)
    outputs = classifier.run(classifier.encode(TEXTS))
    assert np.abs(outputs - keras_probabilities(model, TEXTS)).max() < 1e-5
    assert "retention    0.6,0.3, dropped tokens fused" in inspect_file(tmp_path / "model.onnx")
    assert (
        load_exported(tmp_path / "model.onnx", None, None).retention == "0.6,0.3, dropped tokens fused (the file's own)"
    )


def test_inspect(onnx_file: Path) -> None:
    lines = inspect_file(onnx_file)
    assert lines[0].endswith("for onnxruntime, batch and length dynamic")
    assert "retention    0.6,0.3" in lines and "fused        2 × GELU with bias" in lines


@pytest.mark.parametrize("fuse_dropped", [False, True])
@pytest.mark.parametrize("quantize", ["dynamic", "int8"])
def test_quantized(
    make_model: Callable[..., Any],
    export_server: Callable[..., str],
    tmp_path: Path,
    quantize: str,
    fuse_dropped: bool,
) -> None:
    model = make_model(extraction="hard", retention=(0.6, 0.3), fuse_dropped=fuse_dropped)
    said = export_server(model, tmp_path / "model.onnx", quantize=quantize, min_agreement=50.0)
    assert ("calibrates on 30 training examples, seed 0" in said) == (quantize == "int8")
    classifier = Classifier(tmp_path / "model.onnx", threads=1)
    assert classifier.metadata["quantization"] == quantize
    assert [prediction.label in ("0", "1") for prediction in classifier.predict(TEXTS)] == [True] * 3


def test_auto_takes_the_first_form_that_passes(
    make_model: Callable[..., Any],
    export_server: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """int8 answers wrongly here, protected or not, so float32 is left."""
    from power_bert.export import server_formats

    convert, open_model = server_formats.OnnxFormat.convert, server_formats.OnnxFormat.open
    tried = []

    def watched(self: Any, classifier: Any, form: str, encoded: Any, protects: bool) -> Any:
        tried.append((form, protects))
        return convert(self, classifier, "none", None, False)

    def wrong(self: Any, converted: Any) -> Any:
        run = open_model(self, converted)
        return run if tried[-1][0] == "none" else lambda encoded: run(encoded)[:, ::-1]

    monkeypatch.setattr(server_formats.OnnxFormat, "convert", watched)
    monkeypatch.setattr(server_formats.OnnxFormat, "open", wrong)
    model = make_model(extraction="hard", retention=(0.6, 0.3))
    said = export_server(model, tmp_path / "model.onnx", quantize="auto")
    assert tried == [("dynamic", False), ("dynamic", True), ("int8", False), ("int8", True), ("none", False)]
    assert said.count("refused") == 4 and "tried      none: passes" in said
    with pytest.raises(UserError, match=r"differs too much from Keras: dynamic.*Nothing was written"):
        export_server(model, tmp_path / "other.onnx", quantize="dynamic")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("name", "format_name", "options", "message"),
    [
        ("model.tflite", "onnx", {}, r"writes a file that ends in \.onnx"),
        ("model.onnx", "saved_model", {}, "writes a folder"),
        ("model.onnx", "onnx", {"lengths": (8, 16)}, "dynamic length"),
        ("model.onnx", "onnx", {"one_file": True}, "dynamic length"),
        ("model.onnx", "onnx", {"surviving_tokens": True}, "--surviving-tokens: --format onnx has no such output"),
        ("model.onnx", "onnx", {"quantize": "float16"}, "has dynamic, int8, none, auto"),
        ("none/model.onnx/model.onnx", "onnx", {"lengths": (500,)}, "500"),
    ],
)
def test_options_that_do_not_fit(
    make_model: Callable[..., Any],
    export_server: Callable[..., str],
    tmp_path: Path,
    name: str,
    format_name: str,
    options: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        export_server(make_model(), tmp_path / name, format_name, **options)
    assert not list(tmp_path.rglob("*.onnx"))


def test_saved_model(make_model: Callable[..., Any], export_server: Callable[..., str], tmp_path: Path) -> None:
    import json

    import tensorflow as tf

    model = make_model(extraction="hard", retention=(0.6, 0.3))
    export_server(model, tmp_path / "1", "saved_model")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    ids = np.array([[2, 7, 8, 9, 3, 0], [2, 7, 8, 9, 10, 3]], np.int32)
    inputs = {"ids": ids, "mask": (ids > 0).astype(np.int32), "segment_ids": np.zeros_like(ids)}
    outputs = served(**{name: tf.constant(values) for name, values in inputs.items()})["probabilities"].numpy()
    expected = model.classifier(
        {"token_ids": ids, "padding_mask": inputs["mask"], "segment_ids": inputs["segment_ids"]}, training=False
    )
    assert np.abs(outputs - tf.nn.softmax(expected).numpy()).max() < 1e-6
    assert json.loads((tmp_path / "1/assets.extra/power_bert.json").read_text())["labels"] == ["0", "1"]
    lines = inspect_file(tmp_path / "1")
    assert lines[0].startswith(f"{tmp_path / '1'}  ") and lines[0].endswith(
        "for TensorFlow Serving, batch and length dynamic"
    )
    assert "task         cola" in lines and "retention    0.6,0.3" in lines and "quantized    none" in lines


@pytest.mark.parametrize("damage", ["weights", "signature", "settings"])
def test_a_saved_model_that_cannot_be_opened_is_not_moved_into_place(
    make_model: Callable[..., Any],
    export_server: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    import tensorflow as tf

    write = SavedModelFormat.write

    def damaged(self: Any, converted: Any, files: Any, path: Path) -> list[Path]:
        if damage == "settings":
            return write(self, converted, files | {"power_bert.json": b'{"task": "other"}'}, path)
        made = write(self, converted, files, path)
        if damage == "weights":
            (path / "variables" / "variables.index").write_bytes(b"cut")
        else:
            tf.saved_model.save(tf.Module(), str(path))
        return made

    monkeypatch.setattr(SavedModelFormat, "write", damaged)
    message = (
        "are not those that were put in" if damage == "settings" else "cannot be read back: .*TensorFlow cannot open"
    )
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "older").touch()
    with pytest.raises(UserError, match=message):
        export_server(make_model(extraction="hard", retention=(0.6, 0.3)), tmp_path / "1", "saved_model")
    assert [path.name for path in tmp_path.rglob("*")] == ["1", "older"], "the older folder stays"


def test_inspect_names_what_it_takes(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"a folder without saved_model\.pb; expected a \.tflite, \.onnx or \.xml file or"
    ):
        inspect_file(tmp_path)
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UserError, match=r"power_bert\.json: cannot be read .*; expected a SavedModel of this project"):
        inspect_file(tmp_path)


@pytest.mark.parametrize("fuse_dropped", [False, True])
def test_openvino(
    make_model: Callable[..., Any], export_server: Callable[..., str], tmp_path: Path, fuse_dropped: bool
) -> None:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    model = make_model(extraction="hard", retention=(0.6, 0.3), fuse_dropped=fuse_dropped)
    said = export_server(model, tmp_path / "model.xml", "openvino")
    assert "of OpenVINO" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]
    with Classifier(tmp_path / "model.xml", threads=1) as classifier:
        outputs = classifier.run(classifier.encode(TEXTS))
        assert np.abs(outputs - keras_probabilities(model, TEXTS)).max() < 1e-5
    weights = bytearray((tmp_path / "model.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (tmp_path / "model.bin").write_bytes(weights)
    with pytest.raises(UserError, match=r"model\.bin: damaged"):
        Classifier(tmp_path / "model.xml")


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["dynamic", "int8", "float16"])
def test_openvino_quantized(
    make_model: Callable[..., Any], export_server: Callable[..., str], tmp_path: Path, quantize: str
) -> None:
    pytest.importorskip("nncf", reason="needs the extra 'openvino'")
    model = make_model(extraction="hard", retention=(0.6, 0.3))
    export_server(model, tmp_path / "model.xml", "openvino", quantize=quantize, min_agreement=50.0)
    with Classifier(tmp_path / "model.xml", threads=1) as classifier:
        assert classifier.metadata["quantization"] == quantize and len(classifier.predict(TEXTS)) == 3
