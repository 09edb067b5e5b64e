"""The configuration search: soft gates, the objective, the training step, and the configuration from the masses."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.elimination.retention import Retention
from power_bert.elimination.search import (
    STEP_WINDOW,
    RetentionMass,
    SoftExtraction,
    UnitInterval,
    descend,
    is_retention_parameter,
    normalize_gradients,
    soft_gates,
    step_profile,
    threshold_gates,
)
from power_bert.elimination.significance import ranks
from power_bert.model.backbone import PowerBertBackbone

SCORES = np.array([[0.0, 0.9, 0.1, 0.5, 0.3, 0.7, 0.2], [0.1, 0.2, 0.8, 0.4, 0.0, 0.0, 0.0]], "float32")
VISIBILITY = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], "float32")


class TestSoftGates:
    def test_tokens_are_the_parameters_by_rank(self) -> None:
        retention = np.array([1.0, 0.8, 0.5, 0.1], "float32")
        rank = np.array([[2, 0, 1, 3, 5]], "int32")
        gates = soft_gates(retention, rank, np.array([5], "int32"), "tokens")
        np.testing.assert_array_equal(gates, np.float32([[0.5, 1.0, 0.8, 0.1, 0.1]]))

    def test_fractions_are_means_over_relative_rank(self) -> None:
        retention = np.array([1.0, 0.8, 0.5, 0.1, 0.0, 0.0], "float32")
        ranks_of_three = np.array([[0, 1, 2]], "int32")
        gates = soft_gates(retention, ranks_of_three, np.array([3], "int32"), "fraction")
        np.testing.assert_allclose(gates, [[1.0, (0.5 + 0.1) / 2, 0.0]], atol=1e-6)  # rank 0 would be 0.9, but is CLS
        four = soft_gates(retention, np.array([[3, 2, 1, 0]], "int32"), np.array([4], "int32"), "fraction")
        halves = [(0.5 * 0.0 + 0.0) / 1.5, (0.1 + 0.5 * 0.0) / 1.5, (0.5 * 0.8 + 0.5) / 1.5, 1.0]
        np.testing.assert_allclose(four, [halves], atol=1e-6)

    @pytest.mark.parametrize(("words", "parameters"), [(7, 21), (7, 7), (14, 7), (5, 8), (3, 100)])
    def test_fractions_of_an_example_add_up_to_its_share_of_the_mass(self, words: int, parameters: int) -> None:
        retention = np.random.default_rng(0).uniform(0, 1, parameters).astype("float32")
        retention[: max(1, -(-parameters // words))] = 1.0  # all that falls to [CLS]
        rank = np.random.default_rng(1).permutation(words).astype("int32")[None]
        rank = np.concatenate([rank, np.arange(words, words + 4, dtype="int32")[None]], axis=1)  # and padding
        gates = np.asarray(soft_gates(retention, rank, np.array([words], "int32"), "fraction"))
        assert gates.sum() == pytest.approx(words * retention.sum() / parameters, rel=1e-5)
        assert np.abs(gates[0, words:]).max() < 1e-6

    def test_both_units_agree_where_there_are_as_many_words_as_parameters(self) -> None:
        retention = np.linspace(1, 0, 7, dtype="float32")
        rank = np.arange(7, dtype="int32")[None]
        by_unit = [soft_gates(retention, rank, np.array([7], "int32"), unit) for unit in ("fraction", "tokens")]
        np.testing.assert_allclose(*by_unit, atol=1e-6)

    @pytest.mark.parametrize("unit", ["fraction", "tokens"])
    def test_gradient_against_finite_differences(self, unit: str, gradients: Any) -> None:
        retention = np.linspace(0.95, 0.1, 6).astype("float32")
        rank = np.stack([np.random.default_rng(row).permutation(7) for row in range(3)]).astype("int32")
        words = np.array([7, 4, 6], "int32")
        weights = np.random.default_rng(3).normal(size=rank.shape).astype("float32")

        def loss(values: Any) -> Any:
            return ops.sum(soft_gates(values, rank, words, unit) * weights)

        (gradient,) = gradients(loss, retention)
        step = np.float32(1 / 64)  # the gates are linear in the parameters: any step does
        shifts = np.eye(6, dtype="float32") * step
        numeric = [(float(loss(retention + shift)) - float(loss(retention - shift))) / (2 * step) for shift in shifts]
        np.testing.assert_allclose(gradient, numeric, atol=1e-4)


def test_unit_interval() -> None:
    values = np.array([0.3, -0.5, 1.7, 0.4], "float32")
    np.testing.assert_allclose(UnitInterval()(values), [1.0, 0.0, 1.0, 0.4])


def test_retention_mass_by_value_and_gradient(gradients: Any) -> None:
    regularizer = RetentionMass(0.5, 3)
    values = np.array([1.0, 0.5, 0.25], "float32")
    assert float(regularizer(values)) == pytest.approx(0.5 * 3 * 1.75)
    np.testing.assert_allclose(gradients(regularizer, values)[0], np.full(3, 1.5))
    assert RetentionMass(**regularizer.get_config()).get_config() == regularizer.get_config()


@pytest.mark.parametrize(("unit", "factor"), [("tokens", 1.0), ("fraction", 5.5 / 7)])
def test_regularization_of_the_whole_encoder(unit: str, factor: float, make_backbone: Any, make_inputs: Any) -> None:
    backbone: PowerBertBackbone = make_backbone(extraction="soft", retention_parameters=7, retention_unit=unit)
    backbone.search.set_regularization(0.01, tokens_per_example=5.5)
    backbone.search.variables[0].assign([1, 1, 1, 0.5, 0, 0, 0])
    backbone.search.variables[1].assign([1, 0.25, 0, 0, 0, 0, 0])
    assert backbone.search.masses() == [3.5, 1.25]
    backbone(make_inputs())
    # The last block, which keeps [CLS] alone, learns nothing and is not regularized.
    assert float(sum(backbone.losses)) == pytest.approx(0.01 * factor * 1 * 3.5, rel=1e-5)


def test_searched_retention_leaves_cls_alone_in_the_last_block(make_backbone: Any) -> None:
    for unit, expected in (("tokens", (4, 1)), ("fraction", (0.5, 0.0001))):
        backbone = make_backbone(extraction="soft", retention_parameters=7, retention_unit=unit)
        backbone.search.variables[0].assign([1, 1, 1, 0.5, 0, 0, 0])
        assert backbone.search.retention() == Retention(unit, expected)


def test_config_round_trip() -> None:
    layer = SoftExtraction(9, "scale", "tokens")
    twin = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert twin.get_config() == layer.get_config()


@pytest.mark.parametrize("gate", ["visibility", "scale"])
def test_soft_gates_act_on_visibility_or_on_the_vector(gate: str) -> None:
    layer = SoftExtraction(7, gate, "tokens")
    layer.build()
    parameters = np.linspace(1, 0.4, 7, dtype="float32")
    layer.retention.assign(parameters)
    hidden_states = np.ones((2, 7, 3), "float32")
    scaled, visibility = layer(hidden_states, VISIBILITY, SCORES, VISIBILITY.astype("int32"))
    gates = parameters[np.asarray(ranks(SCORES, VISIBILITY))]
    if gate == "scale":
        np.testing.assert_allclose(scaled[..., 0], gates, rtol=1e-6)
        np.testing.assert_array_equal(visibility, VISIBILITY)
    else:
        np.testing.assert_array_equal(scaled, hidden_states)
        np.testing.assert_allclose(visibility, VISIBILITY * gates, rtol=1e-6)


class TestTrainingStep:
    def test_gradients_of_all_blocks_have_one_root_mean_square(self) -> None:
        normalized = normalize_gradients([ops.convert_to_tensor([3.0, 0.0]), ops.convert_to_tensor([0.0, 4.0])])
        np.testing.assert_allclose(np.stack(normalized), np.array([[3.0, 0.0], [0.0, 4.0]]) / 2.5, rtol=1e-6)
        (zero,) = normalize_gradients([ops.zeros((3,))])
        np.testing.assert_array_equal(zero, np.zeros(3))

    def test_an_average_parameter_moves_by_the_learning_rate(self) -> None:
        gradient, momentum = ops.convert_to_tensor([1.0, -2.0]), ops.zeros((2,))
        for training_step in range(1, 4):
            momentum, change = descend(gradient, momentum, training_step, learning_rate=0.01, momentum_decay=0.9)
            np.testing.assert_allclose(momentum, np.array([1.0, -2.0]) * (1 - 0.9**training_step), rtol=1e-5)
            np.testing.assert_allclose(change, [0.01, -0.02], rtol=1e-5)

    def test_only_the_retention_of_soft_extraction_is_a_retention_parameter(self, make_backbone: Any) -> None:
        backbone = make_backbone(extraction="soft", retention_parameters=7)
        found = [variable for variable in backbone.trainable_variables if is_retention_parameter(variable)]
        assert [id(variable) for variable in found] == [id(variable) for variable in backbone.search.variables[:-1]]


def test_an_encoder_without_soft_extraction_has_no_search(make_backbone: Any) -> None:
    with pytest.raises(ValueError, match="extraction='soft'"):
        make_backbone(extraction="hard", retention=(5, 3)).search  # noqa: B018


class TestStepProfile:
    def test_all_are_kept_at_share_1_and_none_at_share_0(self) -> None:
        assert (ops.convert_to_numpy(step_profile(ops.convert_to_tensor([1.0]), 7)) == 1).all()
        assert (ops.convert_to_numpy(step_profile(ops.convert_to_tensor([0.0]), 7)) == 0).all()

    def test_falls_from_1_to_0_over_the_window(self) -> None:
        profile = ops.convert_to_numpy(step_profile(ops.convert_to_tensor([0.5]), 100))
        boundary = 0.5 * (1 + STEP_WINDOW)  # where it has reached 0
        ranks_in_share = (np.arange(100) + 1) / 100
        np.testing.assert_array_equal(profile[ranks_in_share < boundary - STEP_WINDOW - 1e-6], 1)
        np.testing.assert_array_equal(profile[ranks_in_share > boundary + 1e-6], 0)
        assert (np.diff(profile) <= 0).all()
        assert profile.mean() == pytest.approx(0.5, abs=0.01)

    def test_only_the_words_at_the_boundary_have_a_gradient(self) -> None:
        layer = SoftExtraction(20, profile="step")
        layer.build()
        layer.retention.assign([0.5])
        nudged = []
        for share in (0.5, 0.51):
            layer.retention.assign([share])
            nudged.append(ops.convert_to_numpy(layer.retention_by_rank()))
        moved = np.flatnonzero(nudged[1] - nudged[0])
        assert moved.min() >= 8 and moved.max() <= 12

    def test_the_search_can_leave_share_1(self, gradients: Any) -> None:
        regularizer = RetentionMass(1.0, 1, step_parameters=50)
        assert gradients(regularizer, np.ones(1, "float32"))[0] > 0

    def test_mass_is_regularized_not_the_share(self) -> None:
        regularizer = RetentionMass(0.1, 3, step_parameters=50)
        share = ops.convert_to_tensor([0.4])
        expected = 0.1 * 3 * float(ops.sum(step_profile(share, 50)))
        for same in (regularizer, RetentionMass.from_config(regularizer.get_config())):
            assert float(same(share)) == pytest.approx(expected)

    def test_share_is_clipped(self) -> None:
        np.testing.assert_array_equal(UnitInterval()(ops.convert_to_tensor([-0.2])), [0.0])
        np.testing.assert_array_equal(UnitInterval()(ops.convert_to_tensor([1.2])), [1.0])


class TestThreshold:
    def test_all_are_kept_at_fraction_1_and_cls_alone_at_0(self) -> None:
        gates = ops.convert_to_numpy(threshold_gates(np.ones(1, "float32"), SCORES, VISIBILITY))
        np.testing.assert_array_equal(gates, np.ones_like(SCORES))
        gates = ops.convert_to_numpy(threshold_gates(np.zeros(1, "float32"), SCORES, VISIBILITY))
        np.testing.assert_array_equal(gates * VISIBILITY, np.eye(1, 7).repeat(2, axis=0))

    def test_even_attention_keeps_more_tokens_than_uneven_attention(self) -> None:
        scores = np.array([[0, 1.2, 1.2, 1.2, 0.1], [0, 3.4, 0.1, 0.1, 0.1]], "float32")
        gates = ops.convert_to_numpy(threshold_gates(np.full(1, 0.6, "float32"), scores, np.ones((2, 5), "int32")))
        np.testing.assert_array_equal(gates, [[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])

    def test_gates_neither_depend_on_padding_nor_on_the_scale_of_significance(self) -> None:
        fraction, short = np.full(1, 0.5, "float32"), SCORES[1:, :4]
        gates = ops.convert_to_numpy(threshold_gates(fraction, SCORES[1:], VISIBILITY[1:]))
        np.testing.assert_allclose(gates[:, :4], threshold_gates(fraction, 12 * short, np.ones((1, 4))), rtol=1e-5)
        assert 0 < gates[:, 1:4].mean() < 1

    @pytest.mark.parametrize("fraction", [0.4, 1.0])  # 1: where the search starts
    def test_a_larger_fraction_has_larger_gates(self, fraction: float, gradients: Any) -> None:
        (gradient,) = gradients(
            lambda value: ops.sum(threshold_gates(value, SCORES, VISIBILITY)), np.full(1, fraction, "float32")
        )
        assert gradient > 0

    def test_the_kept_fraction_is_averaged_and_regularized(self, make_backbone: Any, make_inputs: Any) -> None:
        sizes = {"num_layers": 3, "max_sequence_length": 24, "dropout": 0.0, "attention_dropout": 0.0}
        backbone = make_backbone(extraction="soft", retention_parameters=24, retention_profile="threshold", **sizes)
        search, inputs = backbone.search, make_inputs((24, 20, 17, 24))
        search.set_regularization(0.01, tokens_per_example=12.0)
        for layer in search.layers:
            layer.retention.assign([0.4])
            layer.kept_fraction.assign(1.0)
        backbone(inputs, training=False)
        assert search.masses() == [24.0, 24.0, 24.0] and not backbone.losses
        for _ in range(150):
            backbone(inputs, training=True)
        first, second, last = search.masses()
        assert 0.1 * 24 < first < 0.9 * 24 and 0.1 * 24 < second < 0.9 * 24 and last == 24.0
        penalty = 0.01 * 12.0 / 24 * (first + 2 * second)
        assert search.regularizer() == pytest.approx(penalty)
        assert float(sum(backbone.losses)) == pytest.approx(penalty, rel=0.01)
        assert search.retention().values[0] == pytest.approx(first / 24, abs=1e-4)

    def test_numbers_of_tokens_are_refused(self) -> None:
        with pytest.raises(ValueError, match="threshold keeps a fraction"):
            SoftExtraction(7, unit="tokens", profile="threshold")
