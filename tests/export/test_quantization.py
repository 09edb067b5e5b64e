"""8 bits: what becomes of dense layers, tables and activations, and how far the outputs move."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

LENGTH = 21


@pytest.fixture(scope="module")
def encoded(make_model: Callable[..., Any]) -> Any:
    from power_bert.model.classifier_building import plain_tokenizer
    from power_bert.text.examples import read_examples

    model = make_model()
    examples = read_examples(model.task, "train", model.data_dir)
    return plain_tokenizer(model.classifier).encode(examples.first, examples.second, LENGTH)


@pytest.fixture
def converted(make_model: Callable[..., Any]) -> Any:
    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function

    return convert(inference_function(make_model(extraction="hard", retention=(0.7, 0.4)).classifier), LENGTH)


def outputs_of(model: Any, encoded: Any) -> np.ndarray:
    from power_bert.export.model_file import pack_model
    from power_bert.export.signatures import merge_signatures
    from power_bert_runtime.litert import predict_with_litert

    merged = merge_signatures([("serving_default", copy.deepcopy(model))])
    return predict_with_litert(pack_model(merged), encoded)


def kinds(model: Any) -> dict[str, int]:
    """Dense layers by the types of their inputs and weights, and other operators that quantization brings."""
    from power_bert.export.graph_editor import GraphEditor

    editor, counts = GraphEditor(model), {}
    for operator in editor.subgraph.operators:
        name = editor.name_of(operator)
        if name == "FULLY_CONNECTED":
            types = (editor.subgraph.tensors[tensor].type for tensor in operator.inputs[:2])
            name += " " + " ".join("int8" if kind == 9 else "float32" for kind in types)
        counts[name] = counts.get(name, 0) + 1
    return counts


def test_dynamic(converted: Any, encoded: Any) -> None:
    from power_bert.export.quantization import quantize

    before, dense = outputs_of(converted, encoded), kinds(converted)["FULLY_CONNECTED float32 float32"]
    quantize(converted)
    after = kinds(converted)
    assert after["FULLY_CONNECTED float32 int8"] == dense == 14  # 6 a block, pooler and head
    assert after["EMBEDDING_LOOKUP"] == 2
    assert "QUANTIZE" not in after
    assert 0 < np.abs(outputs_of(converted, encoded) - before).max() < 0.1


def test_int8_with_ranges_from_calibration(converted: Any, encoded: Any) -> None:
    from power_bert.export.calibration import observe
    from power_bert.export.quantization import dense_activations, quantize

    before = outputs_of(converted, encoded)
    quantize(converted, observe(converted, dense_activations(converted), encoded))
    after = kinds(converted)
    assert after["FULLY_CONNECTED int8 int8"] > 0
    # One QUANTIZE serves query, key and value.
    assert after["QUANTIZE"] < after["FULLY_CONNECTED int8 int8"] == after["DEQUANTIZE"]
    assert 0 < np.abs(outputs_of(converted, encoded) - before).max() < 0.1


def test_a_layer_with_rows_far_wider_than_usual_keeps_float_activations(converted: Any, encoded: Any) -> None:
    import dataclasses

    from power_bert.export.calibration import observe
    from power_bert.export.quantization import dense_activations, quantize

    ranges = observe(converted, dense_activations(converted), encoded)
    wide = dense_activations(converted)[0]
    ranges[wide] = dataclasses.replace(ranges[wide], largest=1000.0)
    quantize(converted, ranges)
    assert kinds(converted)["FULLY_CONNECTED float32 int8"] >= 1


def test_large_float_constants_become_tables() -> None:
    """Position embeddings and masks would weigh as much as a layer."""
    import tensorflow as tf

    from power_bert.export.conversion import convert
    from power_bert.export.quantization import quantize

    table = np.random.default_rng(0).normal(size=(64, 80)).astype(np.float32)

    def add_table(ids: Any, mask: Any, segments: Any) -> dict[str, Any]:
        return {"probabilities": tf.cast(ids[0][:, None] * mask[0][:, None], tf.float32) + table}

    model = convert(add_table, 64)
    quantize(model)
    assert kinds(model)["EMBEDDING_LOOKUP"] == 1


def test_observed_ranges_are_those_of_the_values(make_model: Callable[..., Any], encoded: Any) -> None:
    import tensorflow as tf

    from power_bert.export.calibration import observe
    from power_bert.export.conversion import convert
    from power_bert.export.quantization import dense_activations
    from power_bert_runtime.padding import pad_batch

    kernel = np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32)

    def multiply(ids: Any, mask: Any, segments: Any) -> dict[str, Any]:
        return {"probabilities": tf.matmul(tf.cast(ids[0][:, None], tf.float32), kernel)}

    model = convert(multiply, LENGTH)
    observed = observe(model, dense_activations(model), encoded)
    values = pad_batch(encoded, np.arange(len(encoded)), LENGTH)["token_ids"].reshape(-1, 1) @ kernel
    found = max(observed.values(), key=lambda seen: seen.usual_row)
    assert found.smallest == pytest.approx(min(values.min(), 0), rel=1e-5)
    assert found.largest == pytest.approx(values.max(), rel=1e-5)
    assert found.usual_row == pytest.approx(np.median(np.ptp(values, axis=1)), rel=1e-5)


def test_calibration_examples_follow_the_seed(make_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from power_bert.export import calibration_examples
    from power_bert.text.examples import read_examples

    model = make_model()
    examples = read_examples(model.task, "train", model.data_dir)
    assert calibration_examples.calibration_examples(examples, 0).first == examples.first  # there are fewer than 1000
    monkeypatch.setattr(calibration_examples, "CALIBRATION_EXAMPLES", 7)
    chosen = [calibration_examples.calibration_examples(examples, seed).first for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 7 and set(chosen[0]) <= set(examples.first)
