"""Bidirectional LSTM that returns the last state of each direction (Hochreiter & Schmidhuber 1997; Graves 2012)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


def reversed_positions(lengths: Tensor, length: int | Tensor) -> Tensor:
    """Compute positions that reverse each text of a batch and leave its padding in place.

    Args:
        lengths: Number of tokens of each text, int32 (batch,).
        length: Padded length of the batch.

    Returns:
        Positions, int32 (batch, length).
    """
    position = ops.expand_dims(ops.arange(length, dtype="int32"), 0)  # (1, length)
    backwards = ops.expand_dims(lengths, 1) - 1 - position  # (batch, length)
    return ops.where(backwards >= 0, backwards, position)


def take_rows(vectors: Tensor, positions: Tensor) -> Tensor:
    """Gather the rows `positions` (batch, taken) of `vectors` (batch, length, dim): (batch, taken, dim)."""
    batch, length, dim = ops.shape(vectors)
    first = ops.expand_dims(ops.arange(batch, dtype="int32") * length, 1)
    return ops.take(ops.reshape(vectors, (-1, dim)), positions + first, axis=0)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the new hidden and cell state, (…, units) each.

    Args:
        gates: Gates before their activations, (…, 4 · units), in Keras' order: input, forget, candidate, output.
        cell: Previous cell state, (…, units).
    """
    enter, forget, candidate, leave = ops.split(gates, 4, axis=-1)
    cell = ops.sigmoid(forget) * cell + ops.sigmoid(enter) * ops.tanh(candidate)
    return ops.sigmoid(leave) * ops.tanh(cell), cell


@keras.saving.register_keras_serializable(package="power_bert")
class TwoDirectionCell(keras.layers.Layer):
    """RNN cell for one step of two LSTMs: the first half of the batch belongs to one, the second half to the other.

    The inputs are already projected.

    Args:
        units: Dimension of the state.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]
        self.output_size = units

    def build(self, projected_shape: Any) -> None:
        # Each gate of each direction is initialized orthogonally, as in Keras.
        start = keras.initializers.Orthogonal()

        def blocks(shape: Any, dtype: Any = None) -> Tensor:
            kernels = [
                ops.concatenate([start((self.units, self.units), dtype) for _ in range(4)], axis=1) for _ in range(2)
            ]
            return ops.stack(kernels)

        self.recurrent_kernel = self.add_weight(
            shape=(2, self.units, 4 * self.units), initializer=blocks, name="recurrent_kernel"
        )
        self.built = True

    def call(
        self, projected: Tensor, states: list[Tensor], training: bool | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Run one step.

        Args:
            projected: Projected inputs, (2 · batch, 4 · units).
            states: Hidden and cell state, (2 · batch, units) each.
            training: Unused.

        Returns:
            Output (2 · batch, units) and the new states.
        """
        hidden, cell = states
        hidden = ops.reshape(hidden, (2, -1, self.units))  # (2, batch, units)
        recurrent = ops.reshape(ops.matmul(hidden, self.recurrent_kernel), (-1, 4 * self.units))
        gates = projected + recurrent
        hidden, cell = lstm_step(gates, cell)
        return hidden, [hidden, cell]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="power_bert")
class BidirectionalLstm(keras.layers.Layer):
    """Layer that returns the last hidden states of a forward and of a backward LSTM, (batch, 2 · units).

    Equivalent to Keras' `Bidirectional(LSTM(units))` with a mask, but needs none: padding is at the end, so each text
    is reversed within its own length, and the state after its last token is selected. Both directions run in one loop
    on inputs that were projected all at once. In a TensorFlow graph of static shape, which conversion to LiteRT needs,
    the loop is unrolled: 0.14 ms for 32 steps of 64 units on one thread. The converter's UNIDIRECTIONAL_SEQUENCE_LSTM
    takes 0.27 ms and, worse, starts each text from the final state of the previous one.

    Args:
        units: Dimension of the state of each direction.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, vectors_shape: Any, padding_mask_shape: Any = None) -> None:
        width = vectors_shape[-1]
        glorot = keras.initializers.GlorotUniform()

        def kernels(shape: Any, dtype: Any = None) -> Tensor:
            return ops.stack([glorot(shape[1:], dtype) for _ in range(2)])

        def bias(shape: Any, dtype: Any = None) -> Tensor:
            gate = ops.arange(shape[0]) // self.units % 4
            return ops.cast(gate == 1, dtype)  # the forget gate is initially open, as in Keras

        self.kernel = self.add_weight(shape=(2, width, 4 * self.units), initializer=kernels, name="kernel")
        # One-dimensional: weight decay, pruning and clustering recognize a bias by that. The forward half comes first.
        self.bias = self.add_weight(shape=(2 * 4 * self.units,), initializer=bias, name="bias")
        self.cell = TwoDirectionCell(self.units, dtype=self.dtype_policy, name="cell")
        self.cell.build((None, 4 * self.units))
        self.loop = keras.layers.RNN(self.cell, return_sequences=True, dtype=self.dtype_policy, name="loop")
        self.loop.build((None, None, 4 * self.units))
        self.built = True

    def call(self, vectors: Tensor, padding_mask: Tensor) -> Tensor:
        """Encode vectors (batch, length, dim) with their padding mask, int32 (batch, length): (batch, 2 · units)."""
        batch, length = ops.shape(vectors)[:2]
        lengths = ops.sum(ops.cast(padding_mask, "int32"), axis=1)  # (batch,)
        backwards = take_rows(vectors, reversed_positions(lengths, length))  # (batch, length, dim)
        both = ops.reshape(ops.stack([vectors, backwards]), (2, -1, ops.shape(vectors)[2]))  # (2, batch · length, dim)
        projected = ops.matmul(both, self.kernel) + ops.reshape(self.bias, (2, 1, 4 * self.units))
        projected = ops.reshape(projected, (2, batch, length, 4 * self.units))
        # (2, batch, length, units)
        states = self._unrolled(projected) if _is_static_graph(batch, length) else self._looped(projected)
        last = ops.expand_dims(ops.maximum(lengths - 1, 0), 1)  # (batch, 1)
        return ops.concatenate([ops.squeeze(take_rows(states[side], last), 1) for side in (0, 1)], axis=-1)

    def _looped(self, projected: Tensor) -> Tensor:
        """Run both directions in a loop: (2, batch, length, 4 · units) → hidden states (2, batch, length, units)."""
        _, batch, length, width = ops.shape(projected)
        states = self.loop(ops.reshape(projected, (2 * batch, length, width)))
        return ops.reshape(states, (2, batch, length, self.units))

    def _unrolled(self, projected: Tensor) -> Tensor:
        """Compute the same hidden states as `_looped`, with one set of operations per step."""
        hidden = cell = ops.zeros((2, projected.shape[1], self.units), projected.dtype)
        states = []
        for inputs in ops.unstack(projected, axis=2):  # (2, batch, 4 · units)
            hidden, cell = lstm_step(inputs + ops.matmul(hidden, self.cell.recurrent_kernel), cell)
            states.append(hidden)
        return ops.stack(states, axis=2)

    def compute_output_spec(self, vectors: Any, padding_mask: Any) -> Any:
        return keras.KerasTensor((vectors.shape[0], 2 * self.units), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def _is_static_graph(batch: int | Tensor, length: int | Tensor) -> bool:
    """Return whether a TensorFlow graph of one fixed shape is built; training and prediction leave the shape open."""
    if keras.backend.backend() != "tensorflow" or not (isinstance(batch, int) and isinstance(length, int)):
        return False
    import tensorflow as tf

    return not tf.executing_eagerly()
