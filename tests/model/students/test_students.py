"""What every student has to be: one interface, no dependence on padding, presets, raw strings, LiteRT."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.student_kinds import kind_of
from power_bert.model.students import build_backbone

TEXTS = ["The cat sat on the mat.", "A dog ran away", "", "still flew very slowly over a rug and a bird"]


@pytest.mark.parametrize("padding", [0, 16, 64])
def test_padding_does_not_count(
    student: str, padding: int, make_student: Any, make_inputs: Any, logits: Callable[..., np.ndarray]
) -> None:
    classifier = make_student(student)
    expected = logits(classifier, make_inputs())
    assert expected.shape == (3, 3) and np.isfinite(expected).all()
    np.testing.assert_allclose(logits(classifier, make_inputs(padding=padding)), expected, atol=1e-5)


def test_an_example_does_not_depend_on_its_batch(
    student: str, make_student: Any, make_inputs: Any, logits: Any
) -> None:
    classifier, inputs = make_student(student), make_inputs()
    for row, expected in enumerate(logits(classifier, inputs)):
        words = int(inputs["padding_mask"][row].sum())
        alone = {name: values[row : row + 1, :words] for name, values in inputs.items()}
        np.testing.assert_allclose(logits(classifier, alone)[0], expected, atol=1e-5)


def test_presets_and_raw_strings(student: str, make_student: Any, tmp_path: Path) -> None:
    import keras_hub

    classifier = make_student(student)
    expected = classifier.predict(TEXTS, verbose=0)
    classifier.save_to_preset(str(tmp_path / "preset"))
    classifier.save(tmp_path / "model.keras")
    stored = (
        PowerBertTextClassifier.from_preset(str(tmp_path / "preset")),
        keras_hub.models.TextClassifier.from_preset(str(tmp_path / "preset")),
        keras.saving.load_model(tmp_path / "model.keras"),
    )
    for twin in stored:
        assert type(twin) is type(classifier) and twin.labels == ("no", "yes", "maybe")
        for weight, value in zip(classifier.weights, twin.weights, strict=True):
            np.testing.assert_array_equal(weight, value, err_msg=weight.path)
        np.testing.assert_allclose(np.asarray(twin(twin.preprocessor(TEXTS))), expected, atol=1e-6)


def test_every_trainable_weight_has_a_gradient(student: str, make_student: Any, make_inputs: Any) -> None:
    classifier = make_student(student)
    classifier.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    before = [np.array(weight) for weight in classifier.trainable_weights]
    classifier.train_on_batch(make_inputs(), np.array([0, 2, 1]))
    still = [
        weight.path
        for weight, value in zip(classifier.trainable_weights, before, strict=True)
        if np.array_equal(weight, value)
    ]
    # Softmax does not see a bias of the keys, up to rounding.
    assert [path for path in still if not path.endswith("key/bias")] == []


def test_a_regressor(student: str, make_student: Any, make_inputs: Any) -> None:
    classifier = make_student(student, num_outputs=1)
    assert classifier.is_regressor
    assert np.asarray(classifier(make_inputs())).shape == (3, 1)


def test_converts_to_litert_with_builtin_operations_only(student: str, make_student: Any, make_inputs: Any) -> None:
    tf = pytest.importorskip("tensorflow")
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    classifier, length = make_student(student), 9
    signature = [tf.TensorSpec((1, length), tf.int32, name=name) for name in ("token_ids", "padding_mask")]

    def function(token_ids: Any, padding_mask: Any) -> Any:
        inputs = {"token_ids": token_ids, "segment_ids": 0 * token_ids, "padding_mask": padding_mask}
        return {"logits": classifier(inputs, training=False)}

    traced = tf.function(function, input_signature=signature, autograph=False).get_concrete_function()
    holder = tf.Module()
    holder.weights = list(traced.variables)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], holder)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    model = interpreter.Interpreter(model_content=converter.convert())
    operations = Counter(operation["op_name"] for operation in model._get_ops_details())
    assert not [name for name in operations if name.startswith("Flex") or name in ("WHILE", "VAR_HANDLE")]
    assert operations["UNIDIRECTIONAL_SEQUENCE_LSTM"] == 0  # its state stays from call to call
    run = model.get_signature_runner()
    for words in (9, 1, 4):
        inputs = make_inputs(lengths=(words,), padding=length - words)
        inputs["segment_ids"][:] = 0
        result = run(token_ids=inputs["token_ids"], padding_mask=inputs["padding_mask"])["logits"]
        np.testing.assert_allclose(result, np.asarray(classifier(inputs)), atol=1e-5)


@pytest.mark.parametrize("name", ["gru", "linear-2x3", "bert-huge", "bert-3", "bert-2x200"])
def test_an_unknown_student_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"bert-|linear"):
        build_backbone(name, 31, 2)


def test_options_are_checked() -> None:
    with pytest.raises(UserError, match="student cnn has no setting units; it has embedding_dim, filters, widths"):
        build_backbone("cnn", 31, 2, units=3)
    with pytest.raises(UserError, match="student bilstm"):
        build_backbone("bilstm", 31, 2, units="many")
    assert kind_of("bert-tiny") == "bert"
