"""Initialization of the position embeddings of a pre-training; does not import Keras."""

from __future__ import annotations

import numpy as np

# Wavelengths range from 2π to 2π times this. Vaswani et al. use 10,000, for positions far beyond those of a record.
# Most columns of a small table would then hardly change over a record.
_LONGEST = 100.0


def sinusoidal_positions(positions: int, width: int, amplitude: float) -> np.ndarray:
    """Compute sines and cosines of wavelengths in geometric progression (Vaswani et al. 2017, section 3.5).

    Args:
        positions: Number of rows.
        width: Number of columns, first the sines, then the cosines.
        amplitude: Amplitude of each sine and cosine.

    Returns:
        Position embeddings, float32 (positions, width).
    """
    frequencies = _LONGEST ** -np.linspace(0.0, 1.0, -(-width // 2))
    angles = np.arange(positions)[:, None] * frequencies  # (positions, ceil(width / 2))
    return (amplitude * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width]).astype(np.float32)
