"""Tests of power_bert.model.int8_weights."""

from typing import Any

import numpy as np

from power_bert.export.quantization import _by_row
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.int8_weights import dense_kernels, freeze_rounded_embeddings, rounded_to_int8


def test_rounded_as_exported_files_store_them() -> None:
    weights = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32)
    weights[1] = 0.0
    integers, scales = _by_row(weights)
    rounded = np.asarray(rounded_to_int8(weights, axis=1))
    np.testing.assert_allclose(rounded, integers * scales[:, None], atol=1e-6)
    assert np.abs(rounded - weights).max() > 1e-3
    again, _ = _by_row(rounded)
    np.testing.assert_array_equal(again, integers)


def test_all_matrices_of_a_classifier_but_the_two_segments(make_backbone: Any) -> None:
    classifier = PowerBertTextClassifier(make_backbone(), 2)
    embeddings = classifier.backbone.embeddings
    tables = [embeddings.token, embeddings.position]
    before = [np.asarray(table).copy() for table in tables]
    freeze_rounded_embeddings(classifier)
    for table, unrounded in zip(tables, before, strict=True):
        np.testing.assert_allclose(np.asarray(table), np.asarray(rounded_to_int8(unrounded, 1)))
    matrices = {weight.path for weight in classifier.weights if len(weight.shape) == 2}
    assert {weight.path for weight in (*dense_kernels(classifier), *tables, embeddings.segment)} == matrices
    assert not any(weight.path.startswith("embeddings") for weight in classifier.trainable_weights)
