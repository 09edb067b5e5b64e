"""Tests of power_bert.model.flops."""

import pytest

from power_bert.model.flops import Shape, forward_flops, speedup

TINY = Shape(num_layers=2, hidden_dim=6, intermediate_dim=5, num_heads=3, num_classes=2)
MINILM = Shape(num_layers=6, hidden_dim=384, intermediate_dim=1536, num_heads=12, num_classes=2)


class TestShape:
    def test_of_a_config(self) -> None:
        config = {"num_layers": 2, "hidden_dim": 6, "intermediate_dim": 5, "num_heads": 3, "dropout": 0.1}
        assert Shape.of(config, num_classes=2) == TINY


class TestForwardFlops:
    def test_counted_by_hand(self) -> None:
        # 7 words: block 1 sees 7 and keeps ceil(0.5 · 7) = 4, block 2 sees 4 and keeps ceil(0.2 · 7) = 2.
        flops = forward_flops(TINY, [7], (0.5, 0.2))
        dense = 6 * 13  # 6 outputs of 6 multiply-adds and a bias
        assert flops.terms == {
            "qkv_projections": (7 + 4) * 3 * dense,
            "attention_scores": 2 * (49 + 16) * 6,
            "attention_softmax": 6 * (49 + 16) * 3,
            "attention_weighted_sum": 2 * (49 + 16) * 6,
            "attention_output_projection": (7 + 4) * dense,
            "feed_forward": (4 + 2) * (5 * 13 + 6 * 11),
            "feed_forward_activation": (4 + 2) * 5 * 8,
            "residuals_and_layer_norms": (7 + 4 + 4 + 2) * 6 * 6,
            "significance": (49 + 16) * 6,
            "embeddings": 7 * 6 * 7,
            "pooler": dense + 6 * 8,
            "head": 2 * 13,
        }
        assert flops.total == 8636
        assert sum(flops.blocks) == 8636 - 7 * 6 * 7 - (dense + 48) - 26
        assert flops.blocks[0] > flops.blocks[1]

    def test_integers_are_words_of_any_example(self) -> None:
        # 5 words: both blocks of (9, 3) see 5; 3 words: nothing is eliminated, but the significance is computed.
        long, short = forward_flops(TINY, [5], (9, 3)), forward_flops(TINY, [3], (9, 3))
        assert long.terms["qkv_projections"] == 2 * 5 * 3 * 78
        assert long.terms["feed_forward"] == (5 + 3) * 131
        assert short.total == forward_flops(TINY, [3]).total + 2 * 9 * 6

    def test_no_block_keeps_more_than_the_one_before(self) -> None:
        assert forward_flops(TINY, [8], (2, 6)).terms["feed_forward"] == (2 + 2) * 131

    def test_shares_are_of_the_original_length(self) -> None:
        # 0.5 and 0.5 of 8 words: block 2 keeps the 4 words that it gets, not half of them.
        assert forward_flops(TINY, [8], (0.5, 0.5)).terms["feed_forward"] == (4 + 4) * 131

    def test_examples_add_up(self) -> None:
        together = forward_flops(TINY, [7, 3, 7], (0.5, 0.2))
        alone = [forward_flops(TINY, [length], (0.5, 0.2)) for length in (7, 3, 7)]
        assert together.total == sum(flops.total for flops in alone)
        assert together.blocks == tuple(map(sum, zip(*(flops.blocks for flops in alone), strict=True)))
        assert together.per_example == pytest.approx(together.total / 3)

    def test_all_shares_of_one_are_no_elimination(self) -> None:
        assert forward_flops(TINY, [7, 4], (1.0, 1.0)) == forward_flops(TINY, [7, 4])

    @pytest.mark.parametrize("values", [(0.9, 0.6, 0.3, 0.1), (12, 8, 4, 1)])
    def test_fewer_words_cost_less(self, values: tuple[float, ...]) -> None:
        in_both = [forward_flops(TINY, [13, 20], (value, value)).total for value in values]
        in_last = [forward_flops(TINY, [13, 20], (values[0], value)).total for value in values]
        assert in_both == sorted(in_both, reverse=True) and len(set(in_both)) == len(values)
        assert in_last == sorted(in_last, reverse=True) and len(set(in_last)) == len(values)

    @pytest.mark.parametrize(("lengths", "retention"), [([], None), ([3, 0], None), ([3], (1.0,))])
    def test_wrong_arguments(self, lengths: list[int], retention: tuple[float, ...] | None) -> None:
        with pytest.raises(ValueError, match=r"expected at least one|retention values"):
            forward_flops(TINY, lengths, retention)


class TestSpeedup:
    def test_one_without_elimination(self) -> None:
        assert speedup(TINY, [7, 4], (1.0, 1.0)) == 1.0

    def test_ratio_of_the_totals(self) -> None:
        expected = forward_flops(TINY, [7]).total / 8636
        assert speedup(TINY, [7], (0.5, 0.2)) == pytest.approx(expected)

    def test_six_layers(self) -> None:
        # By matrix products alone, 2.9 times fewer; the elementwise terms change the second decimal only.
        assert speedup(MINILM, [128], (80, 60, 40, 24, 12, 4)) == pytest.approx(2.9, abs=0.1)
