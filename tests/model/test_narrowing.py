"""Slicing heads and neurons out of an encoder, and the importance by which they are chosen."""

from typing import Any

import numpy as np
import pytest

from power_bert.elimination.configuration import KeptUnits
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_block import UnitGates
from power_bert.model.importance import GatedClassifier, mask_of, most_important
from power_bert.model.pretrained import rebuild_backbone

KEPT = (KeptUnits(np.array([0, 2]), np.array([1, 4, 5])), KeptUnits(np.array([1]), np.arange(17)))


def gated_outputs(backbone: Any, inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Pooled output with the factors of what `KEPT` leaves out at 0."""
    hidden = backbone.embeddings(inputs["token_ids"], inputs["segment_ids"])
    visibility = inputs["padding_mask"].astype("float32")
    for block, kept in zip(backbone.blocks, KEPT, strict=True):
        gates = UnitGates(np.isin(np.arange(3), kept.heads) * 1.0, np.isin(np.arange(17), kept.neurons) * 1.0)
        hidden, visibility, _ = block.encode(hidden, visibility, inputs["padding_mask"], gates=gates)
    return np.asarray(backbone.pooler(hidden[:, 0, :]))


def test_slicing_is_a_factor_of_0(make_backbone: Any, make_inputs: Any, similarity: str) -> None:
    backbone, inputs = make_backbone(similarity=similarity), make_inputs()
    narrow = rebuild_backbone(backbone, KEPT)
    assert (narrow.num_heads, narrow.intermediate_dim, narrow.head_dim) == ((2, 1), (3, 17), 4)
    assert narrow.count_params() < backbone.count_params()
    np.testing.assert_allclose(narrow(inputs)["pooled_output"], gated_outputs(backbone, inputs), atol=1e-5)


def test_a_narrow_encoder_is_saved_and_rebuilt(make_backbone: Any, make_inputs: Any, tmp_path: Any) -> None:
    narrow = rebuild_backbone(make_backbone(), KEPT, extraction="hard", retention=(0.7, 0.2), fuse_dropped=True)
    narrow.save_to_preset(str(tmp_path / "preset"))
    loaded = type(narrow).from_preset(str(tmp_path / "preset"))
    for twin in (loaded, rebuild_backbone(narrow)):
        assert tuple(twin.num_heads) == (2, 1) and tuple(twin.intermediate_dim) == (3, 17) and twin.fuse_dropped
        np.testing.assert_array_equal(
            np.asarray(twin(make_inputs())["pooled_output"]), np.asarray(narrow(make_inputs())["pooled_output"])
        )


def test_an_encoder_of_an_earlier_version_fuses_nothing(make_backbone: Any) -> None:
    config = make_backbone(extraction="hard", retention=(0.7, 0.2)).get_config()
    assert config.pop("fuse_dropped") is False
    assert not PowerBertBackbone.from_config(config).blocks[0].extraction.fuse


def test_cls_alone_is_the_first_of_all_tokens(make_backbone: Any, make_inputs: Any, all_modes: Any) -> None:
    for mode in all_modes.values():
        backbone, inputs = make_backbone(**mode), make_inputs()
        outputs = backbone(inputs)
        expected = backbone.pooler(outputs["sequence_output"][:, 0, :])
        np.testing.assert_allclose(outputs["pooled_output"], expected, atol=1e-5)


def test_heads_of_different_numbers_need_their_dimension(make_backbone: Any) -> None:
    with pytest.raises(ValueError, match="give head_dim"):
        make_backbone(num_heads=(3, 2))


class TestImportance:
    @pytest.mark.parametrize("classes", [1, 2])
    @pytest.mark.parametrize("retention", [None, (0.5, 0.01)])
    def test_adds_up_the_gradient_of_the_gates_of_each_example(
        self, make_backbone: Any, classes: int, retention: Any
    ) -> None:
        tf = pytest.importorskip("tensorflow")
        extraction = {} if retention is None else {"extraction": "hard", "retention": retention}
        backbone, rng = make_backbone(**extraction), np.random.default_rng(0)
        classifier = PowerBertTextClassifier(backbone, classes)
        inputs = {
            "token_ids": rng.integers(1, 9, (5, 6)).astype("int32"),
            "segment_ids": np.zeros((5, 6), "int32"),
            "padding_mask": np.ones((5, 6), "int32"),
        }
        labels = np.array([0, 1, 1, 0, 1])
        before = [np.array(weight) for weight in classifier.weights]
        gated = GatedClassifier(classifier, 3)
        gated.fit(inputs, labels, batch_size=3, verbose=0)  # a batch of 3 and one of 2
        for weight, value in zip(classifier.weights, before, strict=True):
            np.testing.assert_array_equal(np.array(weight), value)

        expected = [np.zeros(units) for _ in backbone.blocks for units in (3, 17)]
        for row, label in enumerate(labels):
            gates = [UnitGates(tf.Variable(tf.ones(3)), tf.Variable(tf.ones(17))) for _ in backbone.blocks]
            one = {name: array[row : row + 1] for name, array in inputs.items()}
            with tf.GradientTape() as tape:
                hidden, visibility = backbone.embeddings(one["token_ids"], one["segment_ids"]), tf.ones((1, 6))
                for block, gate in zip(backbone.blocks, gates, strict=True):
                    hidden, visibility, _ = block.encode(hidden, visibility, one["padding_mask"], gates=gate)
                logits = classifier.logits_of(backbone.pooler(hidden[:, 0, :]))[0]
                loss = (logits[0] - label) ** 2 if classes == 1 else -tf.nn.log_softmax(logits)[label]
            for sums, gradient in zip(expected, tape.gradient(loss, sum(gates, ())), strict=True):
                sums += np.abs(gradient)
        recorded = [units for each in gated.importance() for units in (each.heads, each.neurons)]
        for found, sums in zip(recorded, expected, strict=True):
            assert sums.max() > 0
            np.testing.assert_allclose(found, sums, rtol=1e-3, atol=1e-6)

    def test_the_most_important_keep_their_order(self) -> None:
        importance = np.array([0.1, 0.9, 0.3, 0.9])
        assert most_important(importance, 3).tolist() == [1, 2, 3]
        assert mask_of(importance, 2).tolist() == [0, 1, 0, 1]
