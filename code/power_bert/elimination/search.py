"""The configuration search: how many tokens each encoder block should keep (Goyal et al. 2020, section 3.3).

Every block j has retention parameters r_j[k] in [0, 1], one per significance rank k, all 1 at the start. The file
follows the order of the method:

1. Soft extraction multiplies each token w by the parameter of its rank: `SoftExtraction`, `soft_gates`.

       E_j[w] ← r_j[rank of w in block j] · E_j[w]

   The paper learns every parameter on its own; a step profile learns one fraction per block: `step_profile`. In place
   of ranks, a threshold can decide, as in LTP (Kim et al. 2022): `threshold_gates`.
2. The objective penalizes the parameters, more strongly in later blocks (equation 3): `RetentionMass`.

       mass(j) = Σ_k r_j[k]        minimize  loss(θ, r) + λ · Σ_j j · mass(j)

3. The training step moves the parameters by gradient descent with a learning rate of their own, and clips them to
   [0, 1]: `normalize_gradients`, `descend`, `UnitInterval`. `power_bert.train.optimizers` applies it.
4. The masses at the end, rounded up, are the retention configuration: `ConfigurationSearch.retention`.

`power_bert.elimination.allocation` finds a configuration for a given cost instead of a given λ.

If all parameters are 0 or 1, soft extraction with the visibility gate gives ``[CLS]`` exactly the hidden state that
`HardExtraction` gives it with the matching configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from power_bert.elimination.retention import FRACTION, TOKENS, Retention
from power_bert.elimination.significance import ranks

Tensor = Any
GATES = ("visibility", "scale")
PROFILES = ("free", "step", "threshold")
# Fraction of all ranks over which a step profile falls from 1 to 0.
STEP_WINDOW = 0.2
# Endings of the paths of the weights that only soft extraction has.
SEARCH_WEIGHTS = ("/retention", "/kept_fraction")
# Weight of the old value in the average over training steps of the fraction that a threshold keeps.
AVERAGE_DECAY = 0.95


# === 1. Soft extraction ===


def soft_gates(retention: Tensor, rank: Tensor, token_counts: Tensor, unit: str) -> Tensor:
    """Look up the retention parameter of each token: (batch, length), 1 for ``[CLS]``.

    With unit "tokens" the token of rank k has the parameter r[k]. With unit "fraction" the parameters are a density
    over relative rank: the token of rank k among n has the mean of r between k/n and (k + 1)/n, so the gates of an
    example add up to n · mass / parameters, the number of its tokens that the fraction will keep.

    Args:
        retention: Parameters of the block, (parameters,), each in [0, 1].
        rank: Significance ranks from `ranks`, int32 (batch, length).
        token_counts: Tokens of each example, int32 (batch,).
        unit: "tokens" or "fraction".
    """
    parameters = retention.shape[0]
    if unit == TOKENS:
        gates = ops.take(retention, ops.minimum(rank, parameters - 1), axis=0)  # (batch, length)
    else:
        cumulative = ops.concatenate([ops.zeros((1,), retention.dtype), ops.cumsum(retention)])  # (parameters + 1,)
        width = parameters / ops.cast(ops.expand_dims(token_counts, 1), retention.dtype)  # (batch, 1)
        start = ops.cast(rank, retention.dtype) * width  # (batch, length)
        integral = _interpolate(cumulative, start + width) - _interpolate(cumulative, start)
        gates = integral / width
    return ops.where(rank == 0, ops.ones_like(gates), gates)


def _interpolate(values: Tensor, position: Tensor) -> Tensor:
    """Interpolate `values` (points,) linearly at fractional positions, which are clipped to the ends."""
    last = values.shape[0] - 1
    position = ops.clip(position, 0.0, float(last))
    lower = ops.minimum(ops.floor(position), float(last - 1))
    index = ops.cast(lower, "int32")
    low, high = ops.take(values, index, axis=0), ops.take(values, index + 1, axis=0)
    return low + (position - lower) * (high - low)


def step_profile(fraction: Tensor, parameters: int) -> Tensor:
    """Return the retention parameters of a block that keeps this fraction of its most significant tokens.

    They are 1 for the ranks before the boundary and 0 for those after it, falling linearly over a window of STEP_WINDOW
    of all ranks. Only the tokens at the boundary have a gradient, which compares their effect on the loss with λ · j.

    Args:
        fraction: (1,), in [0, 1]; all parameters are 1 at 1, and 0 at 0.
        parameters: Number of ranks.

    Returns:
        (parameters,).
    """
    return _falling(fraction, (ops.arange(parameters, dtype="float32") + 1.0) / parameters)


def _falling(fraction: Tensor, position: Tensor) -> Tensor:
    """Return 1 at positions before the boundary that belongs to a fraction, 0 at those after it, linear between."""
    # At fraction 1, position 1 has exactly 1 and is not clipped, so that it has a gradient to start the search from.
    return ops.clip(1.0 + ((fraction - 1.0) * (1.0 + STEP_WINDOW) + (1.0 - position)) / STEP_WINDOW, 0.0, 1.0)


def threshold_gates(fraction: Tensor, scores: Tensor, padding_mask: Tensor) -> Tensor:
    """Return the gate of each token by its significance, whatever its rank: (batch, length), 1 for ``[CLS]``.

    The gates fall from 1 to 0 as in `step_profile`, but over exp(-s) in place of relative rank, where s is significance
    above that of the example's least significant token, divided by the mean. Were significance distributed
    exponentially, the two would be the same. An example keeps more tokens the more evenly its attention is spread, as
    with the thresholds of LTP (Kim et al. 2022, https://arxiv.org/abs/2107.00910).

    Args:
        fraction: (1,), in [0, 1]; the threshold is lower for a larger one, and all gates are 1 at 1.
        scores: Significance, (batch, length).
        padding_mask: (batch, length).
    """
    is_cls = ops.expand_dims(ops.arange(ops.shape(scores)[1]) == 0, 0)  # (1, length)
    is_ranked = ops.logical_and(ops.logical_not(is_cls), ops.cast(padding_mask, "bool"))  # (batch, length)
    scores, count = ops.cast(scores, "float32"), ops.sum(ops.cast(is_ranked, "float32"), axis=1, keepdims=True)
    mean = ops.sum(ops.where(is_ranked, scores, 0.0), axis=1, keepdims=True) / ops.maximum(count, 1.0)
    least = ops.min(ops.where(is_ranked, scores, np.inf), axis=1, keepdims=True)
    above_least = ops.maximum(scores - least, 0.0) / ops.maximum(mean, keras.config.epsilon())
    return ops.where(is_ranked, _falling(fraction, ops.exp(-above_least)), 1.0)


@keras.saving.register_keras_serializable(package="power_bert")
class SoftExtraction(keras.layers.Layer):
    """Layer that multiplies each token by the retention parameter of its significance rank.

    Args:
        parameters: Number of retention parameters, the maximum length of the search.
        gate: "visibility" multiplies the attention that later blocks pay to the token by r; for ``[CLS]``, r = 0 is
            exactly elimination. "scale" multiplies the hidden state by r (the paper); the next layer norm can undo
            the scaling.
        unit: "fraction" or "tokens", see `soft_gates`.
        profile: "free" learns every parameter on its own (the paper). "step" learns one fraction per block, see
            `step_profile`. With either gate, free parameters can all shrink by a common factor at little cost, because
            attention and layer norm divide it out. They then do not predict the effect of hard extraction. "threshold"
            learns a threshold of significance per block, see `threshold_gates`, and needs unit "fraction".
    """

    def __init__(
        self,
        parameters: int,
        gate: str = "visibility",
        unit: str = "fraction",
        profile: str = "free",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if profile == "threshold" and unit != FRACTION:
            raise ValueError(f"profile='threshold' with unit={unit!r}: a threshold keeps a fraction of the tokens")
        self.parameters, self.gate, self.unit, self.profile = parameters, gate, unit, profile
        self.mass_strength = 0.0  # λ · j

    def build(self, hidden_states_shape: Any = None) -> None:
        learned = self.parameters if self.profile == "free" else 1
        self.retention = self.add_weight(
            shape=(learned,), initializer="ones", constraint=UnitInterval(), name="retention", dtype="float32"
        )
        if self.profile == "threshold":
            self.kept_fraction = self.add_weight(
                shape=(), initializer="ones", name="kept_fraction", dtype="float32", trainable=False
            )
        self.built = True

    def retention_by_rank(self) -> Tensor:
        """Return the retention parameters r_j[k], float32 (parameters,)."""
        learned = ops.cast(ops.convert_to_tensor(self.retention), "float32")
        return step_profile(learned, self.parameters) if self.profile == "step" else learned

    def mass(self) -> Tensor:
        """Return the mass of the block; of a threshold, that of the fraction that recent training batches kept."""
        return (
            self.kept_fraction * self.parameters if self.profile == "threshold" else ops.sum(self.retention_by_rank())
        )

    def call(
        self,
        hidden_states: Tensor,
        visibility: Tensor,
        scores: Tensor,
        padding_mask: Tensor,
        training: bool | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return hidden states (batch, length, hidden) and visibility (batch, length), lengths unchanged."""
        token_counts = ops.sum(ops.cast(padding_mask, "int32"), axis=1)  # (batch,)
        if self.profile == "threshold":
            gates = threshold_gates(ops.convert_to_tensor(self.retention), scores, padding_mask)
            if training and self.trainable:
                self._regularize(gates * ops.cast(padding_mask, gates.dtype), token_counts)
        else:
            rank = ranks(scores, padding_mask)  # (batch, length)
            gates = soft_gates(self.retention_by_rank(), rank, token_counts, self.unit)
        gates = ops.cast(gates, visibility.dtype)
        if self.gate == "scale":
            return hidden_states * ops.cast(ops.expand_dims(gates, -1), hidden_states.dtype), visibility
        return hidden_states, visibility * gates

    def _regularize(self, gates: Tensor, token_counts: Tensor) -> None:
        """Regularize the fraction of its tokens that an example of the batch keeps with a threshold."""
        kept = ops.mean(ops.sum(gates, axis=1) / ops.cast(token_counts, gates.dtype))
        self.kept_fraction.assign(AVERAGE_DECAY * self.kept_fraction + (1.0 - AVERAGE_DECAY) * kept)
        self.add_loss(self.mass_strength * self.parameters * kept)

    def compute_output_spec(self, hidden_states: Any, visibility: Any, *args: Any, **kwargs: Any) -> Any:
        return (
            keras.KerasTensor(hidden_states.shape, self.compute_dtype),
            keras.KerasTensor(visibility.shape, visibility.dtype),
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "parameters": self.parameters,
            "gate": self.gate,
            "unit": self.unit,
            "profile": self.profile,
        }


# === 2. The objective ===


class RetentionMass(keras.regularizers.Regularizer):
    """λ · j · mass(j), the regularizer of block j (equation 3).

    Args:
        strength: The coefficient λ.
        block: Number j of the block, from 1. The penalty grows with j.
        step_parameters: Number of ranks of a step profile, whose fraction is the regularized variable.
    """

    def __init__(self, strength: float, block: int, step_parameters: int | None = None) -> None:
        self.strength, self.block, self.step_parameters = strength, block, step_parameters

    def __call__(self, value: Tensor) -> Tensor:
        parameters = value if self.step_parameters is None else step_profile(value, self.step_parameters)
        return self.strength * self.block * ops.sum(parameters)

    def get_config(self) -> dict[str, Any]:
        return {"strength": self.strength, "block": self.block, "step_parameters": self.step_parameters}


# === 3. The training step ===


class UnitInterval(keras.constraints.Constraint):
    """Clips retention parameters to [0, 1]; the first of several stays 1, because rank 0 is always ``[CLS]``."""

    def __call__(self, value: Tensor) -> Tensor:
        clipped = ops.clip(value, 0.0, 1.0)
        if value.shape[0] == 1:  # the fraction of a step profile
            return clipped
        return ops.where(ops.arange(value.shape[0]) == 0, ops.ones_like(clipped), clipped)


def is_retention_parameter(variable: keras.Variable) -> bool:
    """Return whether a trained variable is the retention of a `SoftExtraction`."""
    return str(variable.path).endswith("/retention")


def normalize_gradients(gradients: Sequence[Tensor]) -> list[Tensor]:
    """Divide the gradients of the retention parameters of all blocks by their common root mean square.

    Adam would divide each gradient by its own root mean square. Only the sign of λ · j would then count: every block
    would lose tokens at the same speed, and neither λ nor the loss would decide how many tokens a block keeps.
    """
    root_mean_square = ops.sqrt(ops.mean(ops.square(ops.concatenate(gradients, axis=0))))
    return [gradient / (root_mean_square + 1e-12) for gradient in gradients]


def descend(
    gradient: Tensor, momentum: Tensor, training_step: Tensor, learning_rate: float, momentum_decay: float
) -> tuple[Tensor, Tensor]:
    """Compute one training step of the retention parameters of a block: gradient descent with momentum.

    The learning rate is constant, as a decaying one would bound how much a search of few training steps can eliminate.

    Args:
        gradient: Normalized gradient, (parameters,).
        momentum: Exponential moving average of the gradients before this one, (parameters,).
        training_step: Number of this training step, from 1.
        learning_rate: Distance that an average parameter moves in one training step.
        momentum_decay: Weight of the old average, Adam's β1.

    Returns:
        The new momentum, and what to subtract from the parameters before they are clipped, (parameters,) each.
    """
    momentum = momentum + (gradient - momentum) * (1.0 - momentum_decay)
    unbiased = momentum / (1.0 - ops.power(momentum_decay, ops.cast(training_step, "float32")))
    return momentum, unbiased * learning_rate


# === 4. The configuration ===


class ConfigurationSearch:
    """Configuration search over all blocks of an encoder: sets the objective before training, reads the result after.

    Args:
        layers: Soft extraction of every block, in their order.
    """

    def __init__(self, layers: Sequence[SoftExtraction]) -> None:
        self.layers = tuple(layers)
        self.parameters, self.unit = layers[0].parameters, layers[0].unit

    @property
    def variables(self) -> list[keras.Variable]:
        """Retention variables of the blocks, each (parameters,), or (1,) with a step profile."""
        return [layer.retention for layer in self.layers]

    def set_regularization(self, strength: float, tokens_per_example: float) -> None:
        """Regularize with λ · Σ_j j · mass(j), mass counted in tokens (equation 3). Call before compiling.

        With unit "tokens" the mass is the sum of the parameters. With unit "fraction" the number of tokens that this
        sum stands for depends on the length of the example. The length of an average training example is then used, so
        that λ penalizes one token equally in both units.

        Args:
            strength: The coefficient λ.
            tokens_per_example: Tokens of an average training example, ``[CLS]`` and ``[SEP]`` among them.
        """
        if self.unit == FRACTION:
            strength = strength * tokens_per_example / self.parameters
        for number, layer in enumerate(self.layers, start=1):
            layer.mass_strength = strength * number
            if layer.profile != "threshold":
                step_parameters = layer.parameters if layer.profile == "step" else None
                layer.retention.regularizer = RetentionMass(strength, number, step_parameters)

    def regularizer(self) -> float:
        """Return the present value of the regularizer, which is part of the loss."""
        regularized = [layer for layer in self.layers if layer.trainable]
        return sum(layer.mass_strength * float(ops.convert_to_numpy(layer.mass())) for layer in regularized)

    def masses(self) -> list[float]:
        """Return the mass of every block, each in [1, parameters]."""
        return [float(ops.convert_to_numpy(layer.mass())) for layer in self.layers]

    def retention(self) -> Retention:
        """Return the retention configuration that the search found: the masses, rounded up.

        The last block keeps only ``[CLS]``, whatever its mass. After its attention no other token reaches the
        classifier, so nothing is lost, and its feed-forward layer processes one token.
        """
        return Retention.from_masses([*self.masses()[:-1], 0.0], self.parameters, self.unit)
