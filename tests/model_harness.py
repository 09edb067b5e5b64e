"""What every classifier of the project must do, whatever its backbone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from random_weights import randomize

Arrays = dict[str, np.ndarray]
TEXTS = ["The cat sat on the mat.", "A dog ran away", "", "still flew very slowly over a rug and a bird"]
LABELS = ["no", "yes", "maybe"]


def run_model_test(classifier: Any, make_inputs: Callable[..., Arrays], folder: Path) -> None:
    """Check configuration, sequence lengths, saving, raw strings and a training step.

    Args:
        classifier: Classifier with a preprocessor, random weights and the three classes `LABELS`.
        make_inputs: Makes inputs of 3 examples: `make_inputs(padding=…)`.
        folder: Where the classifier is saved.
    """
    check_config(classifier)
    check_lengths(classifier, make_inputs)
    check_saving(classifier, make_inputs(), folder)
    check_training_step(classifier, make_inputs())


def check_config(classifier: Any) -> None:
    """The configuration is plain JSON and makes an equal backbone; the classifier has the settings it was given."""
    backbone = classifier.backbone
    config = json.loads(json.dumps(backbone.get_config()))
    assert json.dumps(type(backbone).from_config(config).get_config()) == json.dumps(backbone.get_config())
    assert (classifier.labels, classifier.num_classes, classifier.is_regressor) == (tuple(LABELS), 3, False)


def check_lengths(classifier: Any, make_inputs: Callable[..., Arrays]) -> None:
    """Logits do not depend on the padding of a batch, or on the other examples in it."""
    inputs = make_inputs()
    expected = np.asarray(classifier(inputs))
    assert expected.shape == (3, 3) and np.isfinite(expected).all()
    for padding in (16, 64):
        np.testing.assert_allclose(classifier(make_inputs(padding=padding)), expected, atol=2e-5)
    for row, length in enumerate(inputs["padding_mask"].sum(1)):
        alone = {name: values[row : row + 1, :length] for name, values in inputs.items()}
        np.testing.assert_allclose(np.asarray(classifier(alone))[0], expected[row], atol=2e-5)


def check_saving(classifier: Any, inputs: Arrays, folder: Path) -> None:
    """A preset and a `.keras` file give the same class, settings and weights back, and the same logits for texts."""
    expected = np.asarray(classifier(classifier.preprocessor(TEXTS)))
    classifier.save_to_preset(str(folder / "preset"))
    classifier.save(folder / "model.keras")
    twins = (
        keras_hub.models.TextClassifier.from_preset(str(folder / "preset")),
        keras.saving.load_model(folder / "model.keras"),
    )
    for twin in twins:
        assert type(twin) is type(classifier) and type(twin.backbone) is type(classifier.backbone)
        assert (twin.labels, twin.num_classes, twin.dropout) == (tuple(LABELS), 3, classifier.dropout)
        assert json.dumps(twin.backbone.get_config()) == json.dumps(classifier.backbone.get_config())
        assert twin.preprocessor.sequence_length == classifier.preprocessor.sequence_length
        assert twin.preprocessor.tokenizer.get_vocabulary() == classifier.preprocessor.tokenizer.get_vocabulary()
        for weight, stored in zip(classifier.weights, twin.weights, strict=True):
            np.testing.assert_array_equal(weight, stored, err_msg=weight.path)
        np.testing.assert_allclose(twin(twin.preprocessor(TEXTS)), expected, atol=1e-6)
    for name, output in classifier.backbone(inputs).items():
        np.testing.assert_array_equal(twins[0].backbone(inputs)[name], output)


def check_training_step(classifier: Any, inputs: Arrays) -> None:
    """Every trainable weight has a finite gradient that is not zero."""
    classifier.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    weights = classifier.trainable_weights
    before = [np.array(weight) for weight in weights]
    classifier.train_on_batch(inputs, np.array([0, 2, 1]))
    assert all(np.isfinite(np.array(weight)).all() for weight in weights)
    still = [weight.path for weight, old in zip(weights, before, strict=True) if np.array_equal(weight, old)]
    # Softmax does not see a bias of the keys. What a last block does to other tokens than [CLS] reaches no logit.
    assert [path for path in still if not path.endswith(("key/bias", "retention"))] == []


def check_precision(backbone: Any, inputs: Arrays) -> None:
    """In mixed precision a backbone has float32 weights and finite outputs of the compute dtype."""
    mixed = randomize(type(backbone).from_config({**backbone.get_config(), "dtype": "mixed_bfloat16"}))
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    for output in mixed(inputs).values():
        assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
        assert np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all()
