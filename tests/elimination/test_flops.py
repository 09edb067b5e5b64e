"""Tests of power_bert.elimination.flops."""

import pytest

from power_bert.elimination.flops import EncoderShape, forward_flops, per_block
from power_bert.elimination.retention import Retention

TINY = EncoderShape(hidden_dim=6, head_dim=2, heads=(3, 3), neurons=(5, 5), num_classes=2)
THREE = EncoderShape(hidden_dim=6, head_dim=2, heads=(3,) * 3, neurons=(5,) * 3, num_classes=2)
MINILM = EncoderShape(hidden_dim=384, head_dim=32, heads=(12,) * 6, neurons=(1536,) * 6, num_classes=2)


class TestShape:
    def test_of_a_config(self) -> None:
        config = {"num_layers": 2, "hidden_dim": 6, "intermediate_dim": 5, "num_heads": 3, "dropout": 0.1}
        assert EncoderShape.of(config, num_classes=2) == TINY

    def test_of_a_config_with_one_size_per_block(self) -> None:
        config = {"num_layers": 2, "hidden_dim": 6, "intermediate_dim": (5, 3), "num_heads": [3, 1], "head_dim": 2}
        assert EncoderShape.of(config, num_classes=2) == EncoderShape(6, 2, (3, 1), (5, 3), 2)

    @pytest.mark.parametrize("sizes", [(3,), (3, 0), (3, 3, 3)])
    def test_sizes_of_other_blocks(self, sizes: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="one per block, of which there are 2"):
            per_block(sizes, 2)


class TestForwardFlops:
    def test_counted_by_hand(self) -> None:
        # 7 tokens: block 1 sees 7 and keeps ceil(0.5 · 7) = 4; block 2, the last, sees 4 and computes [CLS] alone.
        flops = forward_flops(TINY, [7], Retention.of((0.5, 0.2)))
        dense = 6 * 13  # 6 outputs of 6 multiply-adds and a bias
        assert flops.terms == {
            "qkv_projections": (3 * 7 + 1 + 2 * 4) * dense,
            "attention_scores": 2 * (49 + 4) * 6,
            "attention_softmax": 6 * (49 + 4) * 3,
            "attention_weighted_sum": 2 * (49 + 4) * 6,
            "attention_output_projection": (7 + 1) * dense,
            "feed_forward": (4 + 1) * (5 * 13 + 6 * 11),
            "feed_forward_activation": (4 + 1) * 5 * 8,
            "attention_residual_and_layer_norm": (7 + 1) * 6 * 6,
            "feed_forward_residual_and_layer_norm": (4 + 1) * 6 * 6,
            "significance": 49 * 6,
            "embeddings": 7 * 6 * 7,
            "pooler": dense + 6 * 8,
            "head": 2 * 13,
        }
        assert flops.total == 7253
        assert sum(flops.blocks) == 7253 - 7 * 6 * 7 - (dense + 48) - 26
        assert flops.blocks[0] > flops.blocks[1]

    def test_a_narrower_block_costs_less(self) -> None:
        narrow = EncoderShape(hidden_dim=6, head_dim=2, heads=(1, 3), neurons=(2, 5), num_classes=2)
        wide, less = forward_flops(TINY, [7]), forward_flops(narrow, [7])
        assert wide.blocks[1] == less.blocks[1] and wide.blocks[0] > less.blocks[0]
        # Two heads of 4 columns fewer, and three neurons fewer, on 7 tokens.
        assert wide.terms["qkv_projections"] - less.terms["qkv_projections"] == 7 * 3 * 4 * 13
        assert wide.terms["feed_forward"] - less.terms["feed_forward"] == 7 * 3 * (13 + 12)

    def test_integers_are_tokens_of_any_example(self) -> None:
        # 5 tokens: both blocks of (9, 3) see 5; 3 tokens: nothing is eliminated, but they are ranked in block 1.
        long, short = forward_flops(TINY, [5], Retention.of((9, 3))), forward_flops(TINY, [3], Retention.of((9, 3)))
        assert long.terms["qkv_projections"] == (15 + 11) * 78
        assert long.terms["feed_forward"] == (5 + 1) * 131
        assert short.total == forward_flops(TINY, [3]).total + 9 * 6

    def test_no_block_keeps_more_than_the_one_before(self) -> None:
        assert forward_flops(THREE, [8], Retention.of((2, 6, 1))).terms["feed_forward"] == (2 + 2 + 1) * 131

    def test_fractions_are_of_the_original_length(self) -> None:
        # 0.5 and 0.5 of 8 tokens: block 2 keeps the 4 tokens that it gets, not half of them.
        assert forward_flops(THREE, [8], Retention.of((0.5, 0.5, 0.1))).terms["feed_forward"] == (4 + 4 + 1) * 131

    def test_a_block_that_keeps_cls_alone_ranks_nothing(self) -> None:
        alone = forward_flops(THREE, [8], Retention.of((0.5, 0.0001, 0.0001)))
        assert alone.terms["significance"] == 64 * 6
        assert alone.terms["attention_scores"] == 2 * (64 + 4 + 1) * 6

    def test_a_fused_token_goes_through_the_feed_forward_and_the_next_block(self) -> None:
        # 7 tokens: block 1 keeps 4 and the fused one; block 2 keeps [CLS] alone; the last would keep 1 and fuses none.
        fusing = EncoderShape(6, 2, (3,) * 3, (5,) * 3, 2, fuse_dropped=True)
        for shape, fused in ((fusing, 1), (THREE, 0)):
            terms = forward_flops(shape, [7], Retention.of((0.5, 0.0001, 0.0001))).terms
            assert terms["feed_forward"] == (4 + fused + 1 + 1) * 131
            assert terms["attention_scores"] == 2 * (49 + 4 + fused + 1) * 6
            assert terms.get("fusing", 0) == fused * 7 * (4 + 2 * 6)
            assert (
                forward_flops(shape, [7], Retention.of((0.5, 0.2, 0.1))).terms["feed_forward"]
                == ((4 + fused) + (2 + fused) + 1) * 131
            )

    def test_fusing_costs_nothing_where_nothing_is_dropped(self) -> None:
        fusing = EncoderShape(6, 2, (3,) * 3, (5,) * 3, 2, fuse_dropped=True)
        assert forward_flops(fusing, [7]).total == forward_flops(THREE, [7]).total

    def test_examples_add_up(self) -> None:
        together = forward_flops(TINY, [7, 3, 7], Retention.of((0.5, 0.2)))
        alone = [forward_flops(TINY, [length], Retention.of((0.5, 0.2))) for length in (7, 3, 7)]
        assert together.total == sum(flops.total for flops in alone)
        assert together.blocks == tuple(map(sum, zip(*(flops.blocks for flops in alone), strict=True)))
        assert together.per_example == pytest.approx(together.total / 3)

    def test_all_shares_of_one_are_no_elimination(self) -> None:
        assert forward_flops(TINY, [7, 4], Retention.of((1.0, 1.0))) == forward_flops(TINY, [7, 4])

    @pytest.mark.parametrize("values", [(0.9, 0.6, 0.3, 0.1), (12, 8, 4, 1)])
    def test_fewer_words_cost_less(self, values: tuple[float, ...]) -> None:
        in_both = [forward_flops(TINY, [13, 20], Retention.of((value, value))).total for value in values]
        in_last = [forward_flops(THREE, [13, 20], Retention.of((values[0], value, value))).total for value in values]
        assert in_both == sorted(in_both, reverse=True) and len(set(in_both)) == len(values)
        assert in_last == sorted(in_last, reverse=True) and len(set(in_last)) == len(values)

    @pytest.mark.parametrize(("lengths", "retention"), [([], None), ([3, 0], None), ([3], (1.0,))])
    def test_wrong_arguments(self, lengths: list[int], retention: tuple[float, ...] | None) -> None:
        with pytest.raises(ValueError, match=r"expected at least one|retention values"):
            forward_flops(TINY, lengths, retention and Retention.of(retention))

    def test_keeping_everything_saves_nothing(self) -> None:
        assert forward_flops(TINY, [7, 4], Retention.of((1.0, 1.0))) == forward_flops(TINY, [7, 4])

    def test_saving_of_six_layers(self) -> None:
        # Against a model whose last block computes [CLS] alone.
        eliminating = forward_flops(MINILM, [128], Retention.of((80, 60, 40, 24, 12, 4)))
        assert forward_flops(MINILM, [128]).total / eliminating.total == pytest.approx(2.6, abs=0.1)
