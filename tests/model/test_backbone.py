"""The encoder: identities between its forms, independence of padding, and parity with two other BERTs."""

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from power_bert.elimination.retention import Retention
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.checkpoints import read_checkpoint
from power_bert.model.encoder_block import EncoderBlock, activation_function
from power_bert.model.pretrained import backbone_from_checkpoint

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
        expected = reference_pooled(backbone, inputs, Retention.of(retention).left_after)
        assert largest_difference(pooled(backbone, inputs), expected) < 1e-4
        everything = reference_pooled(backbone, inputs, lambda block, words: words)
        assert largest_difference(expected, everything) > 1e-3  # else the test would prove nothing

    @pytest.mark.parametrize(
        "retention", [(5, 3, 1), (0.7, 0.4, 0.1), (0.5, 0.5, 0.0001), (1.0, 0.1, 0.1), (0.6, 0.0001, 0.0001)], ids=str
    )
    def test_fused_is_the_mean_of_all_that_is_dropped(
        self,
        retention: tuple[int | float, ...],
        make_backbone: Any,
        make_inputs: Any,
        reference_pooled: Any,
        pooled: Any,
    ) -> None:
        lost, fused = (
            make_backbone(num_layers=3, extraction="hard", retention=retention, fuse_dropped=fuses)
            for fuses in (False, True)
        )
        inputs = make_inputs((9, 4, 1, 6))
        expected = reference_pooled(fused, inputs, Retention.of(retention).left_after)
        assert largest_difference(pooled(fused, inputs), expected) < 1e-4
        assert largest_difference(pooled(lost, inputs), expected) > 1e-3

    def test_the_fused_token_joins_the_sequence_and_never_leaves_it(self, make_backbone: Any) -> None:
        blocks = make_backbone(
            num_layers=4, extraction="hard", retention=(1.0, 0.5, 0.2, 0.1), fuse_dropped=True
        ).blocks
        assert blocks[0].extraction is None
        layers = [block.extraction for block in blocks[1:]]
        assert [(layer.fuse, layer.after_fused) for layer in layers] == [(True, False), (True, True), (False, True)]

    def test_the_sequence_output_has_the_kept_tokens_alone(self, make_backbone: Any, make_inputs: Any) -> None:
        backbone = make_backbone(extraction="hard", retention=(5, 3), fuse_dropped=True)
        assert backbone(make_inputs())["sequence_output"].shape == (3, 3, 12)

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
        assert soft.search.masses() == kept

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_the_step_profile_shows_in_the_search_what_hard_extraction_costs(
        self, seed: int, make_backbone: Any, make_inputs: Any, set_retention: Any, pooled: Any
    ) -> None:
        sizes = {"num_layers": 3, "max_sequence_length": 24}
        inputs = make_inputs((24, 20, 17, 24, 22, 19) * 4)
        everything = pooled(make_backbone(seed, **sizes), inputs)

        def distances(profile: str, parameters: Any) -> tuple[float, float, float]:
            """Half of the mass is left; root mean squares of soft − everything, hard − everything and soft − hard."""
            soft = make_backbone(seed, retention_profile=profile, extraction="soft", retention_parameters=24, **sizes)
            set_retention(soft, parameters)
            configuration = soft.search.retention()
            assert configuration.values[0] == pytest.approx(0.5, abs=0.05)
            hard = make_backbone(seed, extraction="hard", retention=configuration.values, **sizes)
            of_soft, of_hard = pooled(soft, inputs), pooled(hard, inputs)
            pairs = ((of_soft, everything), (of_hard, everything), (of_soft, of_hard))
            return tuple(float(np.sqrt(np.mean((one - other) ** 2))) for one, other in pairs)  # type: ignore[return-value]

        _, cost, error = distances("step", [0.5])
        assert error < 0.5 * cost
        # The collapse: free parameters shrink together, the model hardly changes, and hard extraction changes it.
        shown, cost, error = distances("free", np.where(np.arange(24) == 0, 1.0, 0.5))
        assert shown < 0.8 * cost and error > 0.8 * cost

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
        # The last block runs twice: for all tokens, and for [CLS] alone.
        assert [*seen[:-1], outputs["sequence_output"].shape[1]] == expected

    @pytest.mark.parametrize("mode", ["hard_tokens", "hard_fraction", "hard_fused"])
    def test_compiled_with_unknown_lengths_is_the_same(
        self, mode: str, all_modes: dict[str, Any], make_backbone: Any, make_inputs: Any, pooled: Any
    ) -> None:
        backbone, inputs = make_backbone(**all_modes[mode]), make_inputs()
        predicted = backbone.predict(inputs, verbose=0)
        assert largest_difference(predicted["pooled_output"], pooled(backbone, inputs)) < 1e-5
        assert predicted["sequence_output"].shape == (3, 3, 12)


@pytest.mark.parametrize("mode", ["none", "soft_visibility", "hard_fraction", "hard_fused"])
def test_padding_does_not_change_the_output(
    similarity: str, mode: str, all_modes: dict[str, Any], make_backbone: Any, make_inputs: Any, pooled: Any
) -> None:
    backbone = make_backbone(similarity=similarity, **all_modes[mode])
    assert largest_difference(pooled(backbone, make_inputs(padding=16)), pooled(backbone, make_inputs())) < 2e-5


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


def test_mixed_precision_is_near_float32(similarity: str, make_backbone: Any, make_inputs: Any, pooled: Any) -> None:
    mixed, exact = (make_backbone(similarity=similarity, dtype=dtype) for dtype in ("mixed_bfloat16", "float32"))
    assert np.abs(pooled(mixed, make_inputs()) - pooled(exact, make_inputs())).mean() < 0.1
