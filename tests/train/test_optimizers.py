"""Tests of power_bert.train.optimizers against NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.elimination.search import SoftExtraction
from power_bert.model.int8_weights import rounded_to_int8
from power_bert.train.optimizers import LinearWarmupDecay, QuantizationAwareAdamW, TwoRateAdamW

RATE, DECAY, EPSILON, BETA_1, BETA_2 = 0.1, 0.01, 1e-6, 0.9, 0.999
STEPS = 5
needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow's gradients of an embedding come as slices"
)


class NumpyAdamW:
    """One variable; Loshchilov & Hutter 2019 with the rate of Kingma & Ba 2015, section 2."""

    def __init__(self, value: np.ndarray, decay: float) -> None:
        self.value, self.decay = value.astype(np.float64), decay
        self.first, self.second, self.steps = np.zeros_like(self.value), np.zeros_like(self.value), 0

    def update(self, gradient: np.ndarray, rate: float) -> None:
        self.steps += 1
        self.value -= rate * self.decay * self.value
        self.first = BETA_1 * self.first + (1 - BETA_1) * gradient
        self.second = BETA_2 * self.second + (1 - BETA_2) * gradient**2
        rate *= np.sqrt(1 - BETA_2**self.steps) / (1 - BETA_1**self.steps)
        self.value -= rate * self.first / (np.sqrt(self.second) + EPSILON)


def clipped(gradients: list[np.ndarray], limit: float) -> list[np.ndarray]:
    norm = np.sqrt(sum(np.sum(gradient.astype(np.float64) ** 2) for gradient in gradients))
    return [gradient * min(1.0, limit / norm) for gradient in gradients]


def make_optimizer(rate: Any = RATE, **changes: Any) -> TwoRateAdamW:
    settings = {"retention_rate": 0.02, "weight_decay": DECAY, "global_clipnorm": 1.0, "epsilon": EPSILON} | changes
    return TwoRateAdamW(rate, **settings)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def retention_variable(parameters: int, value: float = 1.0) -> keras.Variable:
    layer = SoftExtraction(parameters)
    layer.build()
    layer.retention.assign(np.full(parameters, value, np.float32))
    return layer.retention


def values(variable: keras.Variable) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable))


class TestLinearWarmupDecay:
    def rates(self, schedule: LinearWarmupDecay) -> list[float]:
        return [float(schedule(step)) for step in range(schedule.total_steps)]

    def test_rises_to_the_peak_and_falls_towards_zero(self) -> None:
        rates = self.rates(LinearWarmupDecay(3e-5, 10, 100))
        np.testing.assert_allclose(rates[:10], 3e-6 * np.arange(1, 11), rtol=1e-5)
        assert np.argmax(rates) == 9 and max(rates) == pytest.approx(3e-5)
        np.testing.assert_allclose(np.diff(rates[9:]), -3e-5 / 91, rtol=1e-2)
        assert rates[-1] == pytest.approx(3e-5 / 91, rel=1e-4), (
            "the last update still moves, the one after it would not"
        )

    def test_without_warmup_the_first_update_has_the_peak(self) -> None:
        rates = self.rates(LinearWarmupDecay(1.0, 0, 4))
        np.testing.assert_allclose(rates, [1.0, 0.75, 0.5, 0.25], rtol=1e-6)

    def test_one_update(self) -> None:
        assert self.rates(LinearWarmupDecay(0.5, 0, 1)) == [0.5]

    def test_beyond_the_end_it_stays_zero(self) -> None:
        assert float(LinearWarmupDecay(1.0, 2, 4)(7)) == 0.0

    @pytest.mark.parametrize(("warmup", "total"), [(4, 4), (5, 4), (-1, 4), (0, 0)])
    def test_impossible_steps(self, warmup: int, total: int) -> None:
        with pytest.raises(ValueError, match="total_steps"):
            LinearWarmupDecay(1.0, warmup, total)


class TestAdamW:
    """`apply` over five updates, with a gradient that is clipped in some of them."""

    def test_a_matrix_is_decayed_and_a_vector_is_not(self) -> None:
        kernel, bias = keras.Variable(random(4, 3), name="kernel"), keras.Variable(random(3), name="bias")
        expected = [NumpyAdamW(values(kernel), DECAY), NumpyAdamW(values(bias), 0.0)]
        schedule = LinearWarmupDecay(RATE, 2, STEPS)
        optimizer = make_optimizer(schedule)
        for step in range(STEPS):
            gradients = [scale * (step + 0.1) * 0.3 for scale in (random(4, 3), random(3))]
            for reference, gradient in zip(expected, clipped(gradients, 1.0), strict=True):
                reference.update(gradient, float(schedule(step)))
            optimizer.apply([ops.convert_to_tensor(gradient) for gradient in gradients], [kernel, bias])
        np.testing.assert_allclose(values(kernel), expected[0].value, atol=1e-6)
        np.testing.assert_allclose(values(bias), expected[1].value, atol=1e-6)
        assert int(optimizer.iterations) == STEPS

    @needs_tensorflow
    @pytest.mark.parametrize("limit", [0.7, 1e6])
    def test_slices_with_an_id_twice_count_as_their_sum(self, limit: float) -> None:
        import tensorflow as tf

        table, kernel = keras.Variable(random(6, 2), name="token"), keras.Variable(random(2, 2), name="kernel")
        expected = [NumpyAdamW(values(variable), DECAY) for variable in (table, kernel)]
        optimizer = make_optimizer(global_clipnorm=limit)
        ids = np.array([4, 1, 4, 1, 3])
        for step in range(STEPS):
            # Rows of the same id pull against each other: the norm of the slices is far from that of their sum.
            slices = random(5, 2) + 3.0 * np.array([[1], [1], [-1], [1], [step]], np.float32)
            dense = np.zeros((6, 2), np.float32)
            np.add.at(dense, ids, slices)
            gradients = [dense, random(2, 2)]
            for reference, gradient in zip(expected, clipped(gradients, limit), strict=True):
                reference.update(gradient, RATE)
            sparse = tf.IndexedSlices(tf.constant(slices), tf.constant(ids), dense_shape=(6, 2))
            optimizer.apply([sparse, tf.constant(gradients[1])], [table, kernel])
        np.testing.assert_allclose(values(table), expected[0].value, atol=2e-6)
        np.testing.assert_allclose(values(kernel), expected[1].value, atol=2e-6)


class TestRetention:
    def test_follows_the_momentum_over_the_common_root_mean_square(self) -> None:
        first, second = retention_variable(4, 0.5), retention_variable(4, 0.5)
        optimizer = make_optimizer(rate=LinearWarmupDecay(RATE, 2, STEPS), retention_rate=0.01)
        expected, momentum = np.full((2, 4), 0.5), np.zeros((2, 4))
        expected[:, 0] = 1.0  # held there
        for step in range(STEPS):
            gradients = np.array([[0.0, 1.0, -0.5, 0.2], [0.0, 3.0, -2.0, 0.1]]) * (1 + step)
            momentum = BETA_1 * momentum + (1 - BETA_1) * gradients / np.sqrt(np.mean(gradients**2))
            expected -= 0.01 * momentum / (1 - BETA_1 ** (step + 1))
            optimizer.apply([ops.convert_to_tensor(row.astype(np.float32)) for row in gradients], [first, second])
        expected[:, 0] = 1.0
        np.testing.assert_allclose([values(first), values(second)], expected, atol=1e-6)

    def test_has_its_own_constant_rate(self) -> None:
        steps = []
        for rate in (1e-9, RATE, LinearWarmupDecay(RATE, 0, STEPS)):
            retention = retention_variable(3, 0.9)
            optimizer, path = make_optimizer(rate, retention_rate=0.03), [0.9]
            for _ in range(STEPS):
                optimizer.apply([ops.ones((3,))], [retention])
                path.append(float(values(retention)[1]))
            steps.append(np.diff(path))
        np.testing.assert_allclose(steps, -0.03, rtol=1e-3)

    def test_no_gradient_moves_nothing_whatever_the_decay(self) -> None:
        retention = retention_variable(3, 0.6)
        make_optimizer(weight_decay=1.0).apply([ops.zeros((3,))], [retention])
        np.testing.assert_allclose(values(retention), [1.0, 0.6, 0.6], rtol=1e-6)

    @pytest.mark.parametrize(("sign", "end"), [(1.0, 0.0), (-1.0, 1.0)])
    def test_stays_between_0_and_1_and_the_first_at_1(self, sign: float, end: float) -> None:
        retention = retention_variable(4, 0.5)
        optimizer = make_optimizer(retention_rate=0.4)
        for _ in range(STEPS):
            optimizer.apply([sign * ops.ones((4,))], [retention])
        assert values(retention).tolist() == [1.0, end, end, end]

    def test_the_other_weights_are_updated_as_if_it_were_not_there(self) -> None:
        results = []
        for with_retention in (False, True):
            kernel, optimizer = keras.Variable(random(2, 3), name="kernel"), make_optimizer()
            for step in range(STEPS):
                gradients, variables = [ops.convert_to_tensor(random(2, 3) * (step + 1))], [kernel]
                if with_retention:
                    if step == 0:
                        retention = retention_variable(3)
                    gradients, variables = [1e3 * ops.ones((3,)), *gradients], [retention, kernel]
                optimizer.apply(gradients, variables)
            results.append(values(kernel))
        np.testing.assert_array_equal(*results)


def test_kernels_are_rounded_and_unrounded_ones_updated() -> None:
    """A step that is smaller than the distance of two rounded values counts, too."""
    kernel, bias = keras.Variable(random(3, 2), name="kernel"), keras.Variable(random(2), name="bias")
    plain, plain_bias = keras.Variable(random(3, 2), name="kernel"), keras.Variable(random(2), name="bias")
    settings = {"weight_decay": DECAY, "global_clipnorm": 1.0, "epsilon": EPSILON}
    aware = QuantizationAwareAdamW(RATE / 100, rounded=[kernel], **settings)
    optimizer = make_optimizer(RATE / 100)
    for _ in range(2):  # Keras builds again
        aware.build([kernel, bias])
    seen = set()
    for step in range(100):
        gradients = [ops.convert_to_tensor(random(3, 2)), ops.convert_to_tensor(random(2))]
        aware.apply(gradients, [kernel, bias])
        optimizer.apply(gradients, [plain, plain_bias])
        np.testing.assert_allclose(values(kernel), values(rounded_to_int8(plain, axis=0)), atol=2e-6, err_msg=str(step))
        integers = values(kernel) / np.abs(values(kernel)).max(axis=0) * 127
        np.testing.assert_allclose(integers, np.rint(integers), atol=1e-3)
        seen.add(round(float(integers[0, 0])))
    np.testing.assert_allclose(values(bias), values(plain_bias), atol=1e-6)
    assert 3 <= len(seen) <= 20
    assert len(aware.variables) == len(optimizer.variables) + 1


def test_config_round_trip() -> None:
    optimizer = make_optimizer(LinearWarmupDecay(2e-5, 3, 30), retention_rate=0.004, global_clipnorm=0.5)
    twin = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(twin, TwoRateAdamW)
    assert twin.get_config() == optimizer.get_config()
    assert (twin.retention_rate, twin.global_clipnorm, twin.weight_decay) == (0.004, 0.5, DECAY)
    assert [float(twin._learning_rate(step)) for step in (0, 2, 29)] == [
        float(optimizer._learning_rate(step)) for step in (0, 2, 29)
    ]
