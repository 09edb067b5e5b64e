"""The configuration of least loss at a given cost, against all configurations of a small encoder."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from power_bert.elimination.allocation import Allocation, FlopsCost, LossCurves, whole_cost
from power_bert.elimination.configuration import EncoderConfiguration
from power_bert.elimination.flops import EncoderShape, forward_flops
from power_bert.elimination.retention import Retention

SHAPE = EncoderShape(hidden_dim=64, head_dim=16, heads=(4,) * 3, neurons=(128,) * 3, num_classes=2)
LENGTHS = [9, 12, 12, 20, 31]
WHOLE = forward_flops(SHAPE, LENGTHS).per_example
LEVELS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)


def curves_of(tokens: float, heads: float, neurons: float, is_last: bool = False) -> LossCurves:
    """Curves that rise like a square, up to these losses."""
    return LossCurves(
        tuple((level, tokens * (1 - level) ** 2) for level in (LEVELS[:1] if is_last else LEVELS)),
        tuple((kept, heads * (1 - kept / 4) ** 2) for kept in (4, 3, 2, 1)),
        tuple((kept, neurons * (1 - kept / 128) ** 2) for kept in (128, 96, 64, 32)),
    )


CURVES = [curves_of(1.0, 0.1, 0.2), curves_of(0.3, 0.2, 0.2), curves_of(0.0, 0.4, 0.1, is_last=True)]


def flops(configuration: EncoderConfiguration) -> float:
    return forward_flops(configuration.narrowed(SHAPE), LENGTHS, configuration.tokens).per_example


def test_cost_of_an_encoder_that_eliminates_nothing() -> None:
    assert whole_cost(FlopsCost(SHAPE, LENGTHS), SHAPE) == pytest.approx(WHOLE)


@pytest.mark.parametrize("target", [1.3, 2.0, 3.0, 5.0])
def test_meets_the_target(target: float) -> None:
    configuration, cost = Allocation(CURVES, FlopsCost(SHAPE, LENGTHS)).best(WHOLE / target)
    assert flops(configuration) == pytest.approx(cost, rel=0.01)  # a block that keeps all tokens ranks none
    assert target <= WHOLE / cost < target * 1.1
    assert configuration.tokens.checked(3, 31) == configuration.tokens
    assert configuration.neurons is not None and all(kept % 32 == 0 for kept in configuration.neurons)


@pytest.mark.parametrize("target", [1.3, 2.0, 3.0])
def test_meets_the_target_with_fused_tokens(target: float) -> None:
    shape = replace(SHAPE, fuse_dropped=True)
    configuration, cost = Allocation(CURVES, FlopsCost(shape, LENGTHS), fuse_dropped=True).best(WHOLE / target)
    counted = forward_flops(configuration.narrowed(shape), LENGTHS, configuration.tokens).per_example
    assert counted == pytest.approx(cost, rel=0.01)
    assert (counted > flops(configuration)) == any(map(configuration.tokens.fuses, range(2)))
    assert target <= WHOLE / cost < target * 1.1


def loss(configuration: EncoderConfiguration) -> float:
    """What the curves say of a configuration."""
    total, before = 0.0, 1.0
    assert configuration.heads is not None and configuration.neurons is not None
    values = zip(configuration.tokens.values, configuration.heads, configuration.neurons, CURVES, strict=True)
    for number, (fraction, heads, neurons, curves) in enumerate(values):
        total += np.interp(heads, *zip(*curves.heads[::-1], strict=True))
        total += np.interp(neurons, *zip(*curves.neurons[::-1], strict=True))
        if number < 2:
            kept, losses = zip(*curves.tokens[::-1], strict=True)
            total += np.interp(fraction, kept, losses) - np.interp(before, kept, losses)
        before = fraction
    return total


def test_no_configuration_at_the_cost_has_less_loss() -> None:
    """Against every configuration of the points at which the curves were measured."""
    configuration, cost = Allocation(CURVES, FlopsCost(SHAPE, LENGTHS)).best(WHOLE / 2.5)
    fractions = [
        (first, second, 0.0001)
        for first, second in itertools.product((1.0, 0.8, 0.6, 0.4, 0.2), repeat=2)
        if second <= first
    ]
    widths = list(itertools.product((4, 3, 2, 1), repeat=3))
    heads = [each for each in widths if list(each) == sorted(each)]  # later blocks need them more
    neurons = [(128 - 32 * a, 128 - 32 * a, 128 - 32 * b) for a in range(4) for b in range(4)]
    cheap = [
        each
        for each in (
            EncoderConfiguration(Retention("fraction", tokens), kept, inner)
            for tokens in fractions
            for kept in heads
            for inner in neurons
        )
        if flops(each) <= cost
    ]
    assert len(cheap) > 100
    assert loss(configuration) <= min(map(loss, cheap)) * 1.02


def test_what_costs_no_loss_goes_first() -> None:
    free = [curves_of(1.0, 1.0, 0.0), curves_of(1.0, 1.0, 0.0), curves_of(0.0, 1.0, 0.0, is_last=True)]
    configuration, _ = Allocation(free, FlopsCost(SHAPE, LENGTHS)).best(WHOLE / 1.4)
    assert configuration.heads == (4, 4, 4) and configuration.tokens.values[:2] == (1.0, 1.0)
    assert min(configuration.neurons or ()) == 32


def test_a_block_keeps_no_more_than_it_has_left() -> None:
    first, second, last = CURVES
    left = LossCurves(tuple((0.5 * level, risen) for level, risen in second.tokens), second.heads, second.neurons)
    configuration, _ = Allocation([first, left, last], FlopsCost(SHAPE, LENGTHS)).best(WHOLE / 1.01)
    assert configuration.tokens.values[1] <= 0.5


def test_without_width_only_tokens_go() -> None:
    tokens = [LossCurves(each.tokens, each.heads[:1], each.neurons[:1]) for each in CURVES]
    configuration, cost = Allocation(tokens, FlopsCost(SHAPE, LENGTHS)).best(WHOLE / 1.5)
    assert configuration.heads == SHAPE.heads and configuration.neurons == SHAPE.neurons
    assert (WHOLE / cost >= 1.5 and configuration.tokens.values[0] < 1.0) or configuration.tokens.values[1] < 1.0


def test_a_steep_rise_is_no_reason_to_drop_everything() -> None:
    """Curves of SST-2 with WIDTH=0: on the convex hull of loss and cost, dropping everything follows a mild choice."""
    losses = (
        (0.0424, 0.1106, 0.3962, 0.8279, 1.0016),
        (0.0424, 0.0609, 0.1443, 0.5970, 1.0016),
        (0.0424, 0.0479, 0.2012, 0.6722, 1.0013),
        (0.0424, 0.0493, 0.1916, 0.6044, 0.9864),
        (0.0424, 0.0450, 0.1631, 0.4794, 0.7185),
    )
    whole = ((12, 0.0424),), ((1536, 0.0424),)
    curves = [
        LossCurves(tuple(zip((kept, 0.8 * kept, 0.5 * kept, 0.2 * kept, 0.0), each, strict=True)), *whole)
        for kept, each in zip((1.0, 0.8, 0.5, 0.5, 0.5), losses, strict=True)
    ]
    cost = FlopsCost(EncoderShape(384, 32, (12,) * 6, (1536,) * 6, 2), [6, 9, 14, 25, 40])
    most = whole_cost(cost, cost.shape) / 2
    configuration, reached = Allocation([*curves, LossCurves(((0.5, 0.0424),), *whole)], cost).best(most)
    assert 0.98 * most < reached <= most
    assert configuration.tokens.values[0] > 0.5


def test_a_target_out_of_reach_keeps_least() -> None:
    configuration, _ = Allocation(CURVES, FlopsCost(SHAPE, LENGTHS)).best(1.0)
    assert configuration == EncoderConfiguration(Retention("fraction", (0.0001,) * 3), (1,) * 3, (32,) * 3)


def test_noise_is_no_gain() -> None:
    noisy = [
        LossCurves(((1.0, 0.1), (0.5, 0.05), (0.0, 0.3)), ((4, 0.1), (1, 0.0)), ((128, 0.1), (32, 0.4))),
        curves_of(0.0, 0.4, 0.1, is_last=True),
    ]
    shape = EncoderShape(hidden_dim=64, head_dim=16, heads=(4, 4), neurons=(128, 128), num_classes=2)
    configuration, _ = Allocation(noisy, FlopsCost(shape, LENGTHS)).best(forward_flops(shape, LENGTHS).per_example)
    assert configuration.neurons == (128, 128)
