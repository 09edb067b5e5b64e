"""The ONNX graph computes what the Keras model computes, at any batch and length."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fixtures.tiny_exports import NARROWED
from fixtures.tiny_models import fusing

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'onnx'")

SHAPES = ((1, 7), (3, 19), (8, 40))
RETENTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "fractions": {"extraction": "hard", "retention": (0.7, 0.4)},
    "cls_alone_last": {"extraction": "hard", "retention": (0.6, 0.01)},
    "cls_alone_first": {"extraction": "hard", "retention": (0.01, 0.01)},
    "later": {"extraction": "hard", "retention": (1.0, 0.5)},
    "the_same_twice": {"extraction": "hard", "retention": (0.5, 0.5)},
    "tokens": {"extraction": "hard", "retention": (5, 3)},
    "more_tokens_than_words": {"extraction": "hard", "retention": (30, 4)},
}
FUSED: dict[str, tuple[int | float, ...]] = {
    "fractions": (0.7, 0.4, 0.2),
    "later": (1.0, 0.5, 0.3),
    "the_same_twice": (0.5, 0.5, 0.0001),
    "one_word_beside_the_fused_token": (0.01, 0.01, 0.0001),
    "cls_alone": (0.6, 0.0001, 0.0001),
    "cls_alone_after_one_word": (0.01, 0.0001, 0.0001),
    "tokens": (6, 3, 1),
    "more_tokens_than_words": (40, 4, 2),
}
RETENTIONS |= fusing(FUSED)


def inputs_of(batch: int, length: int, vocabulary_size: int) -> dict[str, np.ndarray]:
    """Examples of different lengths, the first without padding."""
    generator = np.random.default_rng([batch, length])
    lengths = np.maximum(length - np.arange(batch) * 3, 2)[:, None]
    positions = np.arange(length)
    mask = (positions < lengths).astype(np.int32)
    ids = generator.integers(5, vocabulary_size, (batch, length)).astype(np.int32) * mask
    return {"token_ids": ids, "padding_mask": mask, "segment_ids": mask * (positions >= lengths // 2).astype(np.int32)}


def keras_outputs(classifier: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import keras

    outputs = classifier(inputs, training=False)
    return np.asarray(outputs if classifier.is_regressor else keras.ops.softmax(outputs))


def run(model: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    from power_bert_runtime.onnx_engine import make_session

    feeds = {"ids": inputs["token_ids"], "mask": inputs["padding_mask"], "segment_ids": inputs["segment_ids"]}
    return np.asarray(make_session(model.SerializeToString(), 1).run(["probabilities"], feeds)[0])


def largest_difference(classifier: Any, model: Any) -> float:
    batches = [inputs_of(*shape, classifier.backbone.vocabulary_size) for shape in SHAPES]
    return max(float(np.abs(run(model, inputs) - keras_outputs(classifier, inputs)).max()) for inputs in batches)


@pytest.mark.parametrize("retention", list(RETENTIONS))
def test_equal_to_keras_at_several_shapes(make_exportable: Callable[..., Any], retention: str) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse

    classifier = make_exportable(**RETENTIONS[retention])
    model = onnx_model(classifier)
    assert largest_difference(classifier, model) < 1e-5
    assert largest_difference(classifier, fuse(model, classifier.backbone)) < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        *({"similarity": name} for name in ("cosine", "euclidean", "gaussian")),
        {"activation": "gelu_tanh"},
        {"activation": "relu"},
        {"layer_norm_epsilon": 1e-3},
        {"num_segments": 1},
        {"labels": None},
        NARROWED,
    ],
)
def test_other_architectures(make_exportable: Callable[..., Any], changes: dict[str, Any]) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse

    classifier = make_exportable(**RETENTIONS["fractions"], **changes)
    model = onnx_model(classifier)
    assert largest_difference(classifier, model) < 1e-5
    assert largest_difference(classifier, fuse(model, classifier.backbone)) < 1e-5


def test_an_unknown_activation_is_refused(make_exportable: Callable[..., Any]) -> None:
    from power_bert.errors import UserError
    from power_bert.export.onnx_classifier import onnx_model

    with pytest.raises(UserError, match="activation softsign is none of gelu"):
        onnx_model(make_exportable(activation="softsign"))


@pytest.mark.parametrize("outputs", [3, 1])
def test_students(make_student: Callable[..., Any], student: str, outputs: int) -> None:
    from power_bert.export.onnx_classifier import onnx_model

    classifier = make_student(student, outputs)
    assert largest_difference(classifier, onnx_model(classifier)) < 1e-5


def test_attention_is_fused_unless_tokens_are_chosen(make_exportable: Callable[..., Any]) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse, fused_operators

    counts = []
    for retention in ("none", "later", "fractions"):
        classifier = make_exportable(**RETENTIONS[retention])
        counts.append(fused_operators(fuse(onnx_model(classifier), classifier.backbone).SerializeToString()))
    assert [count["attention"] for count in counts] == [2, 1, 0]
    assert all(count["layer norm with residual"] >= 4 and count["GELU with bias"] == 2 for count in counts)


def test_only_the_failed_shape_inference_of_the_optimizer_is_silent(
    make_exportable: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from onnxruntime.transformers import optimizer

    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse

    def optimize(*arguments: Any, **options: Any) -> None:
        print("failed in shape inference", AssertionError)
        print("another line")
        raise ZeroDivisionError("a real error")

    monkeypatch.setattr(optimizer, "optimize_model", optimize)
    classifier = make_exportable()
    with pytest.raises(ZeroDivisionError, match="a real error"):
        fuse(onnx_model(classifier), classifier.backbone)
    assert capsys.readouterr() == ("another line\n", "")


def test_int8_protects_what_chooses_the_tokens(make_exportable: Callable[..., Any]) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_quantization import choosing_nodes, quantize_onnx

    classifier = make_exportable(**RETENTIONS["later"])
    model = onnx_model(classifier, int8_tables=True)
    protected = choosing_nodes(model)
    assert protected == ["block_1/query", "block_1/key"]  # block 0 keeps everything
    dense = {node.name for node in model.graph.node if node.op_type == "MatMul" and "kernel" in str(node.input)}
    for names in ([], protected):
        quantized = quantize_onnx(model, None, names)
        still_float = {node.name for node in quantized.graph.node if node.op_type == "MatMul"} & dense
        assert still_float == set(names)
    tables = [constant for constant in model.graph.initializer if constant.name == "embeddings/token_int8"]
    assert [tuple(table.dims) for table in tables] == [(classifier.backbone.vocabulary_size, 12)]
    assert largest_difference(classifier, model) < 0.1


@pytest.mark.parametrize("changes", [{}, NARROWED])
def test_int8_ranges_come_from_the_calibration_examples(
    make_exportable: Callable[..., Any], changes: dict[str, Any]
) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse
    from power_bert.export.onnx_quantization import quantize_onnx
    from power_bert_runtime.encoded_texts import EncodedTexts

    classifier = make_exportable(**RETENTIONS["later"], **changes)
    generator = np.random.default_rng(0)
    rows = [generator.integers(5, 31, length) for length in (4, 9, 17, *[19] * 30)]
    encoded = EncodedTexts.from_rows(rows, [len(row) for row in rows])
    model = fuse(onnx_model(classifier, int8_tables=True), classifier.backbone)
    quantized = quantize_onnx(model, encoded)
    kinds = {node.name: node.op_type for node in quantized.graph.node}
    for block, layer in itertools.product(("block_0", "block_1"), ("query", "key", "value", "intermediate", "output")):
        assert kinds[f"{block}/{layer}"] == "MatMulIntegerToFloat"
    assert kinds["block_1/scores"] == kinds["block_1/significance"] == "MatMul"
    # ONNX Runtime's products of signed activations are slower on x86 than those of float32.
    constants = {constant.name: constant for constant in quantized.graph.initializer}
    ranges = [node for node in quantized.graph.node if node.op_type == "QuantizeLinear"]
    assert ranges and all(constants[node.input[2]].data_type == onnx.TensorProto.UINT8 for node in ranges)
    made_by = {output: node for node in quantized.graph.node for output in node.output}
    residuals = [node for node in quantized.graph.node if node.op_type == "SkipLayerNormalization"]
    for node in residuals:
        assert all(made_by[value].op_type != "DequantizeLinear" for value in node.input if value in made_by)
    inputs = inputs_of(50, 19, classifier.backbone.vocabulary_size)
    labels = [outputs.argmax(axis=1) for outputs in (run(quantized, inputs), keras_outputs(classifier, inputs))]
    assert np.mean(labels[0] == labels[1]) > 0.8  # random weights, of which int8 leaves little


@pytest.mark.parametrize("changes", [{}, NARROWED])
def test_smoothing_changes_nothing_in_float32(make_exportable: Callable[..., Any], changes: dict[str, Any]) -> None:
    from power_bert.export.onnx_classifier import onnx_model
    from power_bert.export.onnx_fusion import fuse
    from power_bert.export.onnx_quantization import _dense_nodes, _smoothed
    from power_bert_runtime.encoded_texts import EncodedTexts

    classifier = make_exportable(**RETENTIONS["later"], **changes)
    model = fuse(onnx_model(classifier), classifier.backbone)
    encoded = EncodedTexts.from_rows([np.arange(5, 14)], [9])
    smoothed = _smoothed(model, _dense_nodes(model), encoded)
    assert largest_difference(classifier, smoothed) < 1e-4
    kernels = [{each.name for each in of_model.graph.initializer} for of_model in (model, smoothed)]
    assert "block_0/query:kernel" in kernels[1] - kernels[0] and "block_0/query/kernel" in kernels[0] - kernels[1]


@pytest.mark.slow
def test_jax_exports_onnx(tmp_path: Any) -> None:
    """In a process of its own, because the backend is chosen at import."""
    import os
    import subprocess
    import sys
    from pathlib import Path

    pytest.importorskip("jax", reason="needs the extra 'jax'")
    script = (
        "import numpy as np, keras\n"
        "from power_bert.model.backbone import PowerBertBackbone\n"
        "from power_bert.model.classifier import PowerBertTextClassifier\n"
        "from power_bert.export.onnx_classifier import onnx_model\n"
        "from test_onnx import largest_difference\n"
        "backbone = PowerBertBackbone(31, 2, 3, 12, 17, extraction='hard', retention=(0.7, 0.4))\n"
        "classifier = PowerBertTextClassifier(backbone, 2)\n"
        "assert keras.backend.backend() == 'jax' and largest_difference(classifier, onnx_model(classifier)) < 1e-5\n"
    )
    folder = Path(__file__).parent
    path = os.pathsep.join(map(str, (folder, folder.parent, folder.parents[1] / "code")))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
