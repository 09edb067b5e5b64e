"""Run with KERAS_BACKEND set: writes what tiny models compute on that backend to the .npz file that is its argument.

Weights and inputs are the same on every backend. Not a test itself: `test_jax.py` runs it once a backend.
"""

import sys
import zlib
from typing import Any

import keras
import numpy as np

from power_bert.config.values import Schedule
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import rebuild_classifier
from power_bert.model.similarity import SIMILARITIES
from power_bert.objectives.distiller import Distiller
from power_bert.objectives.objective import Objective, pack_targets

SIZES = {"vocabulary_size": 31, "num_layers": 2, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 17}
SOFT = {"extraction": "soft", "retention_parameters": 7}
MODES: dict[str, dict[str, Any]] = {
    "none": {},
    "soft_visibility": {**SOFT, "gate": "visibility"},
    "soft_tokens": {**SOFT, "retention_unit": "tokens"},
    "soft_scale": {**SOFT, "gate": "scale"},
    "soft_threshold": {**SOFT, "retention_profile": "threshold"},
    "hard_tokens": {"extraction": "hard", "retention": (5, 3)},
    "hard_fraction": {"extraction": "hard", "retention": (0.7, 0.4)},
    "hard_fused": {"extraction": "hard", "retention": (0.7, 0.4), "fuse_dropped": True},
}


def make_inputs() -> dict[str, np.ndarray]:
    mask = (np.arange(7) < np.array([[7], [4], [6]])).astype("int32")
    token_ids = np.random.default_rng(0).integers(1, 31, mask.shape).astype("int32") * mask
    return {"token_ids": token_ids, "segment_ids": (np.arange(7) > 2).astype("int32") * mask, "padding_mask": mask}


def make_classifier(similarity: str, mode: str) -> PowerBertTextClassifier:
    backbone = PowerBertBackbone(
        **SIZES, max_sequence_length=16, similarity=similarity, dropout=0.0, attention_dropout=0.0, **MODES[mode]
    )
    classifier = PowerBertTextClassifier(backbone, 3, dropout=0.0)
    for variable in classifier.weights:
        generator = np.random.default_rng(zlib.crc32(variable.path.encode()))
        value = generator.normal(0.0, 0.5, variable.shape)
        if variable.name == "similarity_scale":
            value = generator.uniform(0.5, 1.5, variable.shape)
        elif variable.name == "gamma":
            value = 1.0 + 0.4 * value
        elif variable.name == "retention":
            value = np.linspace(1.0, 0.2, len(value)) if len(value) > 1 else np.array([0.6])
        variable.assign(value.astype("float32"))
    return classifier


def training_step(
    trained: keras.Model, classifier: PowerBertTextClassifier, targets: np.ndarray, name: str
) -> dict[str, np.ndarray]:
    """Loss and weights after a step of `trained`, which is the classifier or wraps it."""
    if classifier.backbone.extraction == "soft":
        classifier.backbone.search.set_regularization(0.01, tokens_per_example=5.5)
    trained.compile(keras.optimizers.SGD(0.1), metrics=[])
    losses = trained.train_on_batch(make_inputs(), targets)
    weights = {f"{name}/{variable.path}": keras.ops.convert_to_numpy(variable) for variable in classifier.weights}
    return {**weights, f"{name}/loss": np.asarray(losses, "float32").reshape(-1)[0]}


def main(output_path: str) -> None:
    inputs, results = make_inputs(), {"backend": np.array(keras.backend.backend())}
    for similarity in SIMILARITIES:
        for mode in MODES:
            classifier = make_classifier(similarity, mode)
            outputs = {**classifier.backbone(inputs), "logits": classifier(inputs)}
            for name, value in outputs.items():
                results[f"forward/{similarity}/{mode}/{name}"] = keras.ops.convert_to_numpy(value)
    steps = [("dot", mode) for mode in MODES] + [("euclidean", "soft_visibility"), ("cosine", "hard_fraction")]
    labels = np.array([0, 2, 1])
    for similarity, mode in steps:
        classifier = make_classifier(similarity, mode)
        results |= training_step(classifier, classifier, labels, f"step/{similarity}/{mode}")
    original = make_classifier("dot", "none")
    twin = rebuild_classifier(original, **MODES["hard_fraction"])
    results |= training_step(twin, twin, labels, "step/dot/copy")
    results["step/dot/copy/original"] = keras.ops.convert_to_numpy(original(inputs))  # the step left its weights alone
    objective = Objective(3, 1, Schedule("constant", 0.5, 0.5), Schedule("constant", 1.0, 1.0), "kl")
    targets = pack_targets(labels.astype("float64"), [np.eye(3)])
    classifier = make_classifier("dot", "soft_threshold")
    results |= training_step(Distiller(classifier, objective, 1), classifier, targets, "step/dot/soft_threshold_taught")
    np.savez(output_path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
