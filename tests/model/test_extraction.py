"""Elimination of word-vectors: which stay, in which order, and how the soft gates add up."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.extraction import (
    STEP_WINDOW,
    HardExtraction,
    RetentionMass,
    SoftExtraction,
    UnitInterval,
    gather_words,
    protected_scores,
    ranks,
    select_words,
    soft_gates,
    step_profile,
)
from power_bert.model.retention import kept_words

SCORES = np.array([[0.0, 0.9, 0.1, 0.5, 0.3, 0.7, 0.2], [0.1, 0.2, 0.8, 0.4, 0.0, 0.0, 0.0]], "float32")
VISIBILITY = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], "float32")


def select(slots: int, kept: list[int], scores: Any = SCORES, visibility: Any = VISIBILITY) -> tuple[list[Any], Any]:
    positions, filled = select_words(scores, visibility, slots, np.array(kept, "int32"))
    return np.asarray(positions).tolist(), np.asarray(filled).astype(int).tolist()


class TestSelectWords:
    def test_keeps_the_most_significant_in_their_order(self) -> None:
        positions, filled = select(4, [4, 3])
        assert positions == [[0, 1, 3, 5], [0, 2, 3, 6]]
        assert filled == [[1, 1, 1, 1], [1, 1, 1, 0]]

    def test_cls_stays_however_little_attention_it_gets(self) -> None:
        assert select(1, [1, 1])[0] == [[0], [0]]
        assert select(2, [2, 2])[0] == [[0, 1], [0, 2]]

    def test_padding_comes_after_every_word(self) -> None:
        # The second example has 4 words of no attention at all and 3 paddings, whose scores are higher.
        scores = np.array([[0, 0, 0, 0, 5, 5, 5]], "float32")
        positions, filled = select(6, [4], scores, VISIBILITY[1:])
        assert positions == [[0, 1, 2, 3, 6, 6]]
        assert filled == [[1, 1, 1, 1, 0, 0]]

    def test_all_slots_is_everything_in_place(self) -> None:
        assert select(7, [7, 4])[0] == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 6, 6, 6]]

    def test_against_sorting_in_python(self) -> None:
        generator = np.random.default_rng(0)
        for _ in range(20):
            words = generator.integers(1, 12, 5)
            scores = generator.uniform(0, 9, (5, 11)).astype("float32")
            visibility = (np.arange(11) < words[:, None]).astype("float32")
            slots = int(generator.integers(1, 12))
            kept = np.minimum(words, slots)
            positions, filled = select(slots, kept.tolist(), scores, visibility)
            for row in range(5):
                others = sorted(range(1, words[row]), key=lambda position: -scores[row, position])
                expected = sorted([0, *others[: kept[row] - 1]])
                assert positions[row][: kept[row]] == expected
                assert filled[row] == [1] * kept[row] + [0] * (slots - kept[row])


def test_protected_scores() -> None:
    protected = np.asarray(protected_scores(SCORES, VISIBILITY))
    assert (protected[:, 0] > protected[:, 1:].max()).all()
    np.testing.assert_array_equal(protected[0, 1:], SCORES[0, 1:])
    assert protected[1, 4:].max() < 0
    half = ops.cast(SCORES, "float16")
    assert np.isfinite(ops.convert_to_numpy(protected_scores(half, VISIBILITY))).all()


def test_ranks() -> None:
    result = np.asarray(ranks(SCORES, VISIBILITY))
    assert result[0].tolist() == [0, 1, 6, 3, 4, 2, 5]
    assert result[1, :4].tolist() == [0, 3, 1, 2]
    assert sorted(result[1, 4:]) == [4, 5, 6]
    assert result.dtype == np.int32


def test_gather_is_take_along_axis() -> None:
    generator = np.random.default_rng(0)
    hidden_states = generator.normal(size=(3, 7, 5)).astype("float32")
    positions = generator.integers(0, 7, (3, 4)).astype("int32")
    np.testing.assert_array_equal(
        gather_words(hidden_states, positions), np.take_along_axis(hidden_states, positions[..., None], axis=1)
    )


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
    backbone.set_regularization(0.01, words_per_example=5.5)
    backbone.retention_variables[0].assign([1, 1, 1, 0.5, 0, 0, 0])
    backbone.retention_variables[1].assign([1, 0.25, 0, 0, 0, 0, 0])
    assert backbone.retention_masses() == [3.5, 1.25]
    backbone(make_inputs())
    assert float(sum(backbone.losses)) == pytest.approx(0.01 * factor * (1 * 3.5 + 2 * 1.25), rel=1e-5)


def test_searched_retention_leaves_cls_alone_in_the_last_block(make_backbone: Any) -> None:
    for unit, expected in (("tokens", (4, 1)), ("fraction", (0.5, 0.1429))):
        backbone = make_backbone(extraction="soft", retention_parameters=7, retention_unit=unit)
        backbone.retention_variables[0].assign([1, 1, 1, 0.5, 0, 0, 0])
        assert backbone.searched_retention() == expected


class TestHardExtraction:
    @pytest.mark.parametrize("keep", [3, 1, 0.43, 1e-3, 0.6667, 0.1])
    def test_tensors_round_as_python_does(self, keep: int | float) -> None:
        lengths = np.arange(1, 513, dtype="int32")
        kept = np.asarray(HardExtraction(keep)._kept(ops.convert_to_tensor(lengths)))
        assert kept.tolist() == [kept_words(keep, int(length)) for length in lengths]

    def test_every_share_of_a_search_rounds_the_same_in_both(self) -> None:
        lengths = np.arange(1, 129, dtype="int32")
        for words in range(1, 129, 3):
            share = round(words / 128, 4)
            kept = np.asarray(HardExtraction(share)._kept(ops.convert_to_tensor(lengths)))
            assert kept.tolist() == [kept_words(share, int(length)) for length in lengths]

    def test_shortens_and_marks_empty_slots(self) -> None:
        hidden_states = np.arange(2 * 7 * 3, dtype="float32").reshape(2, 7, 3)
        mask = VISIBILITY.astype("int32")
        kept, visibility = HardExtraction(0.5)(hidden_states, VISIBILITY, SCORES, mask)
        np.testing.assert_array_equal(kept[0], hidden_states[0, [0, 1, 3, 5]])
        np.testing.assert_array_equal(kept[1, :2], hidden_states[1, [0, 2]])
        np.testing.assert_array_equal(visibility, [[1, 1, 1, 1], [1, 1, 0, 0]])

    def test_never_keeps_more_than_there_are(self) -> None:
        hidden_states = np.zeros((2, 7, 3), "float32")
        kept, visibility = HardExtraction(99)(hidden_states, VISIBILITY, SCORES, VISIBILITY.astype("int32"))
        assert kept.shape == (2, 7, 3)
        np.testing.assert_array_equal(visibility, VISIBILITY)
        # 10 of 20 words are asked for, but an earlier block has left 7.
        longer_mask = np.ones((2, 20), "int32")
        assert HardExtraction(0.5)(hidden_states, VISIBILITY, SCORES, longer_mask)[0].shape == (2, 7, 3)

    def test_jitter_turns_close_choices_and_only_in_training(self) -> None:
        words = np.ones((200, 4), "float32")
        hidden_states = np.tile(np.arange(4, dtype="float32")[None, :, None], (200, 1, 1))
        scores = np.tile(np.array([[0.0, 1.0, 1.1, 9.0]], "float32"), (200, 1))  # of [CLS] and three words
        layer = HardExtraction(3, jitter=0.3)

        def kept(training: bool) -> np.ndarray:
            outputs, _ = layer(hidden_states, words, scores, words.astype("int32"), training=training)
            return np.asarray(outputs)[..., 0]

        assert (kept(training=False) == [0, 2, 3]).all()
        assert (np.asarray(HardExtraction(3)(hidden_states, words, scores, words, training=True)[0])[:, 1] == 2).all()
        shaken, again = kept(training=True), kept(training=True)
        assert (shaken[:, 0] == 0).all() and (shaken[:, 2] == 3).all()  # [CLS], and the word far above the others
        assert 0.2 < np.mean(shaken[:, 1] == 1) < 0.6  # P(N(0, 1) > ln 1.1 / (0.3 √2)) = 0.41
        assert not np.array_equal(shaken, again)

    @pytest.mark.parametrize(("keep", "kept"), [(4, 4), (0.5, 5), (1, 1), (99, 7)])
    def test_static_lengths_are_inferred_where_known(self, keep: int | float, kept: int) -> None:
        hidden_states, words = keras.KerasTensor((2, 7, 3)), keras.KerasTensor((2, 7))
        outputs = HardExtraction(keep)(hidden_states, words, words, keras.KerasTensor((2, 10), "int32"))
        assert [output.shape for output in outputs] == [(2, kept, 3), (2, kept)]
        unknown = keras.KerasTensor((None, None), "int32")
        assert HardExtraction(keep).compute_output_spec(hidden_states, words, words, unknown)[1].shape == (2, None)


@pytest.mark.parametrize("layer", [SoftExtraction(9, "scale", "tokens"), HardExtraction(4), HardExtraction(0.25)])
def test_config_round_trip(layer: Any) -> None:
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

    def test_mass_is_regularised_not_the_share(self) -> None:
        regularizer = RetentionMass(0.1, 3, step_parameters=50)
        share = ops.convert_to_tensor([0.4])
        expected = 0.1 * 3 * float(ops.sum(step_profile(share, 50)))
        for same in (regularizer, RetentionMass.from_config(regularizer.get_config())):
            assert float(same(share)) == pytest.approx(expected)

    def test_share_is_clipped(self) -> None:
        np.testing.assert_array_equal(UnitInterval()(ops.convert_to_tensor([-0.2])), [0.0])
        np.testing.assert_array_equal(UnitInterval()(ops.convert_to_tensor([1.2])), [1.0])
