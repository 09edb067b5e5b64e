"""The encoder: identities between its forms, independence of padding, and parity with two other BERTs."""

import functools
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import read_checkpoint
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_block import EncoderBlock, activation_function
from power_bert.model.pretrained import backbone_from_checkpoint
from power_bert.model.retention import kept_words

SOFT = {"extraction": "soft", "retention_parameters": 8}


def largest_difference(first: Any, second: Any) -> float:
    return float(np.abs(np.asarray(first) - np.asarray(second)).max())


class TestNothingDropped:
    @pytest.mark.parametrize(
        "mode",
        [
            {"extraction": "hard", "retention": (80, 80)},
            {"extraction": "hard", "retention": (7, 7)},
            {"extraction": "hard", "retention": (1.0, 1.0)},
            {"extraction": "hard", "retention": (0.9999, 0.9999)},
            {**SOFT, "gate": "visibility"},
            {**SOFT, "gate": "scale"},
            {**SOFT, "gate": "visibility", "retention_unit": "tokens"},
        ],
        ids=str,
    )
    def test_every_form_of_keeping_all_is_the_plain_encoder(
        self, mode: dict[str, Any], make_backbone: Any, make_inputs: Any
    ) -> None:
        inputs = make_inputs(padding=2)
        expected, outputs = make_backbone()(inputs), make_backbone(**mode)(inputs)
        assert largest_difference(outputs["pooled_output"], expected["pooled_output"]) < 1e-5
        words, kept = inputs["padding_mask"] > 0, outputs["sequence_output"].shape[1]
        result, reference = np.asarray(outputs["sequence_output"]), np.asarray(expected["sequence_output"])[:, :kept]
        assert words[:, kept:].sum() == 0
        assert largest_difference(result[words[:, :kept]], reference[words[:, :kept]]) < 1e-5

    def test_shares_of_one_add_no_layer(self, make_backbone: Any) -> None:
        backbone = make_backbone(extraction="hard", retention=(1.0, 0.5))
        assert [block.extraction is None for block in backbone.blocks] == [True, False]


def test_a_checkpoint_with_one_segment_reads_both_texts_as_segment_0(make_backbone: Any, make_inputs: Any) -> None:
    inputs = make_inputs(padding=2)
    inputs["segment_ids"] = np.ones_like(inputs["segment_ids"]) * inputs["padding_mask"]
    backbone = make_backbone(num_segments=1)
    expected = backbone({**inputs, "segment_ids": np.zeros_like(inputs["segment_ids"])})["pooled_output"]
    assert largest_difference(backbone(inputs)["pooled_output"], expected) == 0


class TestElimination:
    @pytest.mark.parametrize("retention", [(5, 3, 1), (4, 4, 4), (2, 1, 1), (0.7, 0.4, 0.1), (1.0, 0.5, 0.3)], ids=str)
    def test_gathering_is_hiding_from_attention(
        self,
        retention: tuple[int | float, ...],
        make_backbone: Any,
        make_inputs: Any,
        reference_pooled: Any,
        pooled: Any,
    ) -> None:
        backbone = make_backbone(num_layers=3, extraction="hard", retention=retention)
        inputs = make_inputs((9, 4, 1, 6))
        expected = reference_pooled(backbone, inputs, lambda block, words: kept_words(retention[block], words))
        assert largest_difference(pooled(backbone, inputs), expected) < 1e-4
        everything = reference_pooled(backbone, inputs, lambda block, words: words)
        assert largest_difference(expected, everything) > 1e-3  # else the test would prove nothing

    def test_gathering_is_hiding_for_every_similarity(
        self, similarity: str, make_backbone: Any, make_inputs: Any, reference_pooled: Any, pooled: Any
    ) -> None:
        backbone = make_backbone(similarity=similarity, num_layers=3, extraction="hard", retention=(5, 3, 2))
        inputs = make_inputs()
        expected = reference_pooled(backbone, inputs, lambda block, words: min((5, 3, 2)[block], words))
        assert largest_difference(pooled(backbone, inputs), expected) < 1e-4

    @pytest.mark.parametrize(
        ("unit", "retention", "lengths"),
        [
            ("tokens", (5, 3, 2), (7, 4, 6)),
            ("tokens", (2, 2, 1), (8, 1, 5)),
            ("fraction", (0.5, 0.25, 0.25), (8, 4, 8)),
        ],
        ids=str,
    )
    def test_soft_with_zeros_and_ones_is_hard(
        self,
        unit: str,
        retention: tuple[int | float, ...],
        lengths: tuple[int, ...],
        make_backbone: Any,
        make_inputs: Any,
        set_retention: Any,
        pooled: Any,
    ) -> None:
        soft = make_backbone(num_layers=3, retention_unit=unit, **SOFT)
        hard = make_backbone(num_layers=3, extraction="hard", retention=retention)
        kept = [value if unit == "tokens" else int(value * 8) for value in retention]
        set_retention(soft, [np.arange(8) < number for number in kept])
        inputs = make_inputs(lengths)
        assert largest_difference(pooled(soft, inputs), pooled(hard, inputs)) < 1e-5
        assert largest_difference(pooled(soft, inputs), pooled(make_backbone(num_layers=3), inputs)) > 1e-3
        assert soft.retention_masses() == kept

    @pytest.mark.parametrize(
        ("retention", "expected"),
        [
            ((5, 3), [7, 5, 3]),
            ((0.7, 0.4), [7, 5, 3]),
            ((1.0, 0.2), [7, 7, 2]),
            ((50, 2), [7, 7, 2]),
            ((1, 1), [7, 1, 1]),
        ],
        ids=str,
    )
    def test_tensors_really_get_shorter(
        self,
        retention: tuple[int | float, ...],
        expected: list[int],
        make_backbone: Any,
        make_inputs: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        backbone = make_backbone(extraction="hard", retention=retention)
        seen = []
        original = EncoderBlock.call

        @functools.wraps(original)
        def call(block: EncoderBlock, hidden_states: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(hidden_states.shape[1])
            return original(block, hidden_states, *args, **kwargs)

        monkeypatch.setattr(EncoderBlock, "call", call)
        outputs = backbone(make_inputs())
        assert [*seen, outputs["sequence_output"].shape[1]] == expected

    @pytest.mark.parametrize("mode", ["hard_tokens", "hard_fraction"])
    def test_compiled_with_unknown_lengths_is_the_same(
        self, mode: str, all_modes: dict[str, Any], make_backbone: Any, make_inputs: Any, pooled: Any
    ) -> None:
        backbone, inputs = make_backbone(**all_modes[mode]), make_inputs()
        predicted = backbone.predict(inputs, verbose=0)
        assert largest_difference(predicted["pooled_output"], pooled(backbone, inputs)) < 1e-5
        assert predicted["sequence_output"].shape == (3, 3, 12)


def test_padding_does_not_change_logits(
    similarity: str, extraction_mode: dict[str, Any], make_backbone: Any, make_inputs: Any, randomize: Any
) -> None:
    backbone = make_backbone(similarity=similarity, **extraction_mode)
    classifier = randomize(PowerBertTextClassifier(backbone, 3))
    expected = classifier(make_inputs())
    for padding in (16, 64):
        assert largest_difference(classifier(make_inputs(padding=padding)), expected) < 2e-5


def test_a_batch_of_one_is_a_row_of_a_batch(
    extraction_mode: dict[str, Any], make_backbone: Any, make_inputs: Any, pooled: Any, randomize: Any
) -> None:
    backbone = randomize(make_backbone(**extraction_mode))
    inputs = make_inputs()
    together = pooled(backbone, inputs)
    for row, length in enumerate(inputs["padding_mask"].sum(1)):
        alone = pooled(backbone, {name: value[row : row + 1, :length] for name, value in inputs.items()})
        assert largest_difference(alone[0], together[row]) < 2e-5


class TestParity:
    def test_with_keras_hub(self, tmp_path: Path, make_inputs: Any, randomize: Any, sizes: dict[str, int]) -> None:
        import keras_hub

        theirs = randomize(keras_hub.models.BertBackbone(**sizes))
        theirs.save_to_preset(str(tmp_path))
        ours = backbone_from_checkpoint(read_checkpoint(str(tmp_path)))
        assert ours.activation == "gelu_tanh"
        inputs = make_inputs(padding=3)
        expected, result = theirs(inputs), ours(inputs)
        words = inputs["padding_mask"] > 0
        assert largest_difference(result["pooled_output"], expected["pooled_output"]) < 1e-4
        sequence, reference = np.asarray(result["sequence_output"]), np.asarray(expected["sequence_output"])
        assert largest_difference(sequence[words], reference[words]) < 1e-4

    @pytest.mark.slow
    def test_with_transformers_on_minilm(self, needs_torch: None, minilm: Path) -> None:
        import torch
        from transformers import BertModel

        theirs = BertModel.from_pretrained(minilm).eval()
        checkpoint = read_checkpoint(str(minilm))
        ours = backbone_from_checkpoint(checkpoint)
        generator = np.random.default_rng(0)
        mask = (np.arange(37) < np.array([[37], [9], [24]])).astype("int32")
        token_ids = generator.integers(1, checkpoint.architecture.vocabulary_size, mask.shape).astype("int32") * mask
        segment_ids = (np.arange(37) >= 6).astype("int32") * mask
        with torch.no_grad():
            expected = theirs(
                input_ids=torch.tensor(token_ids, dtype=torch.long),
                attention_mask=torch.tensor(mask, dtype=torch.long),
                token_type_ids=torch.tensor(segment_ids, dtype=torch.long),
            )
        result = ours({"token_ids": token_ids, "segment_ids": segment_ids, "padding_mask": mask})
        sequence, reference = np.asarray(result["sequence_output"]), expected.last_hidden_state.numpy()
        assert largest_difference(sequence[mask > 0], reference[mask > 0]) < 1e-4
        assert largest_difference(result["pooled_output"], expected.pooler_output.numpy()) < 1e-4


class TestSaving:
    def test_keras_file(
        self, tmp_path: Path, extraction_mode: dict[str, Any], make_backbone: Any, make_inputs: Any, randomize: Any
    ) -> None:
        backbone = randomize(make_backbone(similarity="cosine", **extraction_mode))
        backbone.save(tmp_path / "model.keras")
        twin = keras.saving.load_model(tmp_path / "model.keras")
        assert twin.get_config() == backbone.get_config()
        for name, output in backbone(make_inputs()).items():
            np.testing.assert_array_equal(twin(make_inputs())[name], output)

    def test_preset(
        self, tmp_path: Path, extraction_mode: dict[str, Any], make_backbone: Any, make_inputs: Any, randomize: Any
    ) -> None:
        backbone = randomize(make_backbone(similarity="gaussian", activation="relu", **extraction_mode))
        backbone.save_to_preset(str(tmp_path))
        twin = PowerBertBackbone.from_preset(str(tmp_path))
        assert twin.get_config() == backbone.get_config()
        assert [type(value) for value in twin.retention or ()] == [type(value) for value in backbone.retention or ()]
        for variable, stored in zip(backbone.weights, twin.weights, strict=True):
            np.testing.assert_array_equal(variable, stored, err_msg=variable.path)
        for name, output in backbone(make_inputs()).items():
            np.testing.assert_array_equal(twin(make_inputs())[name], output)

    def test_config_is_plain_json(self, extraction_mode: dict[str, Any], make_backbone: Any) -> None:
        config = make_backbone(**extraction_mode).get_config()
        twin = PowerBertBackbone.from_config(json.loads(json.dumps(config)))
        assert twin.get_config() == config

    def test_encoder_block_config(self) -> None:
        from power_bert.model.extraction import HardExtraction

        block = EncoderBlock(3, 17, "relu", 0.2, 0.3, 1e-6, "cosine", 0.1, HardExtraction(0.5), True, name="block_4")
        twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
        assert twin.get_config() == block.get_config()
        assert twin.extraction.keep == 0.5


class TestArguments:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"similarity": "cosin"}, "similarity must be one of 'dot', 'cosine', 'euclidean', 'gaussian'"),
            ({"extraction": "medium"}, "extraction must be one of None, 'soft', 'hard'"),
            ({"gate": "door"}, "gate must be one of 'visibility', 'scale'"),
            ({"retention_unit": "words"}, "retention_unit must be one of 'fraction', 'tokens'"),
            ({"extraction": "hard"}, "needs `retention`"),
            ({"hidden_dim": 13}, "hidden_dim=13 is not a multiple of num_heads=3"),
        ],
    )
    def test_wrong_choices(self, changes: dict[str, Any], message: str, sizes: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=message):
            PowerBertBackbone(**{**sizes, **changes})

    @pytest.mark.parametrize(
        ("retention", "message"),
        [((5,), "has 1 values"), ((3, 5), "more than the block before"), ((81, 5), "block 1 has 81")],
    )
    def test_wrong_retention(self, retention: tuple[int, ...], message: str, sizes: dict[str, int]) -> None:
        with pytest.raises(UserError, match=message):
            PowerBertBackbone(**sizes, extraction="hard", retention=retention)

    def test_activations(self) -> None:
        x = np.linspace(-3, 3, 13, dtype="float32")
        exact, tanh = (np.asarray(activation_function(name)(x)) for name in ("gelu", "gelu_tanh"))
        np.testing.assert_allclose(exact, keras.activations.gelu(x, approximate=False), atol=1e-6)
        np.testing.assert_allclose(tanh, keras.activations.gelu(x, approximate=True), atol=1e-6)
        assert largest_difference(exact, tanh) > 1e-4
        np.testing.assert_array_equal(activation_function("relu")(x), np.maximum(x, 0))


MIXED = [("dot", "none"), ("cosine", "hard_fraction"), ("euclidean", "soft_visibility"), ("gaussian", "hard_tokens")]


@pytest.mark.parametrize(("name", "mode"), [*MIXED, ("dot", "soft_scale"), ("gaussian", "none")])
def test_mixed_precision_is_finite_and_near(
    name: str, mode: str, all_modes: dict[str, Any], make_backbone: Any, make_inputs: Any, pooled: Any
) -> None:
    backbone = make_backbone(similarity=name, dtype="mixed_bfloat16", **all_modes[mode])
    outputs = backbone(make_inputs())
    assert {keras.backend.standardize_dtype(output.dtype) for output in outputs.values()} == {"bfloat16"}
    assert {variable.dtype for variable in backbone.weights} == {"float32"}
    assert all(np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all() for output in outputs.values())
    half = make_backbone(similarity=name, dtype="mixed_float16", **all_modes[mode])(make_inputs())
    assert all(np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all() for output in half.values())
    if mode == "none":  # rounding may change which words are dropped
        exact = make_backbone(similarity=name)
        assert np.abs(pooled(backbone, make_inputs()) - pooled(exact, make_inputs())).mean() < 0.1
