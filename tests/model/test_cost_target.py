"""Tests of power_bert.model.cost_target: a search that is told how many times fewer FLOPs to arrive at."""

import keras
import numpy as np
import pytest

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.cost_target import CostTarget, meet_speedup
from power_bert.model.flops import Shape, forward_flops, speedup

LENGTHS = [5, 9, 9, 20, 31]
SHAPE = Shape(num_layers=3, hidden_dim=64, intermediate_dim=256, num_heads=2, num_classes=1)


def searching_backbone(unit: str = "fraction", profile: str = "step") -> PowerBertBackbone:
    return PowerBertBackbone(
        **{"vocabulary_size": 50, "num_layers": 3, "num_heads": 2, "hidden_dim": 64, "intermediate_dim": 256},
        **{"max_sequence_length": 32, "extraction": "soft", "retention_parameters": 32},
        **{"retention_unit": unit, "retention_profile": profile},
    )


def cost_target(backbone: PowerBertBackbone, target: float = 2.0) -> CostTarget:
    backbone.set_cost_target(target, LENGTHS)
    attached: CostTarget = backbone.retention_variables[0].regularizer
    return attached


@pytest.mark.parametrize("unit", ["fraction", "tokens"])
@pytest.mark.parametrize("kept", [(1.0, 1.0), (1.0, 0.5), (0.75, 0.25), (0.5, 0.75)])
def test_cost_is_that_of_the_counted_flops(unit: str, kept: tuple[float, float]) -> None:
    backbone = searching_backbone(unit, "free")
    for variable, share in zip(backbone.retention_variables, (*kept, 1.0), strict=True):
        variable.assign(np.arange(32) < 32 * share)
    # What is kept is continuous in the search and rounded up afterwards, by less than one word-vector a block.
    counted = forward_flops(SHAPE, LENGTHS, backbone.searched_retention()).total / forward_flops(SHAPE, LENGTHS).total
    assert float(cost_target(backbone).cost()) == pytest.approx(counted, abs=0.04)


def test_pressure_grows_with_the_block_and_ends_at_the_target() -> None:
    tf = pytest.importorskip("tensorflow")
    backbone = searching_backbone()
    penalty = cost_target(backbone, target=1.5)
    for variable in backbone.retention_variables:
        variable.assign([0.9])
    with tf.GradientTape() as tape:
        value = penalty(None)
    gradients = tape.gradient(value, [variable.value for variable in backbone.retention_variables])
    assert float(value) > 0
    first, second, third = (float(gradient[0]) for gradient in gradients)
    assert first > 0 and second == pytest.approx(2 * first) and third == pytest.approx(3 * first)
    for variable in backbone.retention_variables:
        variable.assign([0.2])
    assert float(penalty.cost()) < 1 / 1.5 and float(penalty(None)) == 0


@pytest.mark.parametrize("target", [1.3, 1.5, 2.0])
@pytest.mark.parametrize("unit", ["fraction", "tokens"])
def test_the_configuration_meets_the_target_and_keeps_the_form(unit: str, target: float) -> None:
    retention = meet_speedup([30.0, 15.0, 9.0], 32, unit, SHAPE, LENGTHS, target)
    reached = speedup(SHAPE, LENGTHS, retention)
    assert target <= reached < target * 1.1
    full = 1.0 if unit == "fraction" else 32
    assert retention[0] / full > max(0.75, retention[1] / full)


def test_a_target_out_of_reach_keeps_least() -> None:
    assert meet_speedup([20.0, 15.0, 9.0], 32, "tokens", SHAPE, LENGTHS, target=90.0) == (1, 1, 1)


@pytest.mark.slow
def test_a_search_with_a_target_eliminates_until_it_is_met() -> None:
    """The training loop of Keras sees the pressure: with no loss from the task the target alone decides."""
    keras.utils.set_random_seed(0)
    backbone = searching_backbone()
    penalty = cost_target(backbone, target=2.0)
    pooled = keras.layers.Lambda(lambda outputs: outputs["pooled_output"] * 0.0)(backbone(backbone.input))
    model = keras.Model(backbone.input, pooled)
    model.compile(optimizer=keras.optimizers.SGD(0.002), loss="mse")
    inputs = {name: np.ones((4, 8), dtype="int32") for name in ("token_ids", "segment_ids", "padding_mask")}
    model.fit(inputs, np.zeros((4, 64), dtype="float32"), epochs=60, verbose=0)
    assert float(penalty.cost()) == pytest.approx(0.5, abs=0.05)
