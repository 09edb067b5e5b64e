"""Models out of the converter: what clients rely on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.export.graph_editor import OPERATOR_NAMES


def operator_names(model: Any) -> set[str]:
    return {OPERATOR_NAMES[code.builtinCode] for code in model.operatorCodes}


def test_inputs_and_outputs(make_exportable: Callable[..., Any]) -> None:
    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.model_file import pack_model
    from power_bert_runtime.litert import LiteRtClassifier

    classifier = LiteRtClassifier(pack_model(convert(inference_function(make_exportable(("no", "yes", "maybe"))), 7)))
    inputs = classifier.interpreter.get_input_details()
    assert [details["name"] for details in inputs] == ["ids", "mask", "segment_ids"]
    assert all(details["shape"].tolist() == [1, 7] and details["dtype"] == np.int32 for details in inputs)
    (output,) = classifier.interpreter.get_output_details()
    assert output["name"] == "probabilities"
    assert output["shape"].tolist() == [1, 3] and output["dtype"] == np.float32
    ids = np.array([[2, 40, 41, 3, 0, 0, 0]], np.int32)
    mask = np.array([[1, 1, 1, 1, 0, 0, 0]], np.int32)
    probabilities = classifier({"token_ids": ids, "padding_mask": mask, "segment_ids": 0 * ids})
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-6)


def test_every_similarity_is_computed_as_keras_computes_it_by_built_in_operators_alone(
    make_exportable: Callable[..., Any], similarity: str
) -> None:
    import keras

    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.model_file import pack_model
    from power_bert_runtime.litert import LiteRtClassifier

    classifier = make_exportable(similarity=similarity, extraction="hard", retention=(0.6, 0.3))
    model = convert(inference_function(classifier), 9)
    assert {"FULLY_CONNECTED", "TOPK_V2"} <= operator_names(model)
    assert "CUSTOM" not in operator_names(model)
    litert = LiteRtClassifier(pack_model(model))
    generator = np.random.default_rng(0)
    for words in (2, 6, 9):
        ids = np.where(np.arange(9) < words, generator.integers(5, 40, 9), 0)[None].astype(np.int32)
        arrays = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": (ids > 0).astype(np.int32)}
        # Keras gets the words alone: the file's padding must not matter.
        alone = {name: values[:, :words] for name, values in arrays.items()}
        expected = np.asarray(keras.ops.softmax(classifier(alone, training=False)))[0]
        assert np.abs(litert(arrays) - expected).max() < 1e-5


def test_an_operation_without_a_built_in_form_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    from power_bert.export.conversion import convert

    def function(ids: Any, mask: Any, segment_ids: Any) -> Any:
        return {"probabilities": tf.math.digamma(tf.cast(ids, tf.float32))}

    with pytest.raises(UserError, match="no built-in form of Digamma"):
        convert(function, 4)
    assert "error:" not in capfd.readouterr().err


def test_students_are_converted_as_keras_computes_them(make_student: Callable[..., Any], student: str) -> None:
    """They have no graph of their own: their variables are frozen into the file."""
    import keras

    from power_bert.export.conversion import convert
    from power_bert.export.inference_graph import inference_function
    from power_bert.export.model_file import pack_model
    from power_bert_runtime.litert import LiteRtClassifier

    classifier = make_student(student)
    model = convert(inference_function(classifier), 7)
    # The state of the last one stays from call to call.
    unwanted = {"VAR_HANDLE", "READ_VARIABLE", "CUSTOM", "WHILE", "UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert operator_names(model).isdisjoint(unwanted)
    litert = LiteRtClassifier(pack_model(model))
    generator = np.random.default_rng(0)
    for words in (1, 4, 7):
        ids = np.where(np.arange(7) < words, generator.integers(5, 31, 7), 0)[None].astype(np.int32)
        arrays = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": (ids > 0).astype(np.int32)}
        expected = np.asarray(keras.ops.softmax(classifier(arrays, training=False)))[0]
        assert np.abs(litert(arrays) - expected).max() < 1e-5
