"""Run with KERAS_BACKEND set: writes what tiny models compute on that backend to the .npz file that is its argument.

Weights and inputs are the same on every backend. Not a test itself: `test_jax.py` runs it once a backend.
"""

import sys
import zlib
from typing import Any

import keras
import numpy as np

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.similarity import SIMILARITIES

SIZES = {"vocabulary_size": 31, "num_layers": 2, "num_heads": 3, "hidden_dim": 12, "intermediate_dim": 17}
SOFT = {"extraction": "soft", "retention_parameters": 7}
MODES: dict[str, dict[str, Any]] = {
    "none": {},
    "soft_visibility": {**SOFT, "gate": "visibility"},
    "soft_tokens": {**SOFT, "retention_unit": "tokens"},
    "soft_scale": {**SOFT, "gate": "scale"},
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
            value = np.linspace(1.0, 0.2, len(value))
        variable.assign(value.astype("float32"))
    return classifier


def main(output_path: str) -> None:
    inputs, results = make_inputs(), {"backend": np.array(keras.backend.backend())}
    for similarity in SIMILARITIES:
        for mode in MODES:
            classifier = make_classifier(similarity, mode)
            outputs = {**classifier.backbone(inputs), "logits": classifier(inputs)}
            for name, value in outputs.items():
                results[f"forward/{similarity}/{mode}/{name}"] = keras.ops.convert_to_numpy(value)
    steps = [("dot", mode) for mode in MODES] + [("euclidean", "soft_visibility"), ("cosine", "hard_fraction")]
    for similarity, mode in steps:
        classifier = make_classifier(similarity, mode)
        if classifier.backbone.extraction == "soft":
            classifier.backbone.search.set_regularization(0.01, tokens_per_example=5.5)
        classifier.compile(keras.optimizers.SGD(0.1), metrics=[])
        losses = classifier.train_on_batch(inputs, np.array([0, 2, 1]))
        results[f"step/{similarity}/{mode}/loss"] = np.asarray(losses, "float32").reshape(-1)[0]
        for variable in classifier.weights:
            results[f"step/{similarity}/{mode}/{variable.path}"] = keras.ops.convert_to_numpy(variable)
    np.savez(output_path, **results)


if __name__ == "__main__":
    main(sys.argv[1])
