"""How the position table of a pre-training starts; needs no Keras."""

from __future__ import annotations

import numpy as np

SINUSOIDAL, RANDOM = "sinusoidal", "random"
POSITION_STARTS = (SINUSOIDAL, RANDOM)
# Wavelengths go from 2π to 2π times this. Vaswani et al. have 10,000, for positions far beyond those of a record: most
# of a narrow table would hardly change over it.
_LONGEST = 100.0


def sinusoidal_positions(positions: int, width: int, amplitude: float) -> np.ndarray:
    """Sines and cosines of wavelengths in geometric progression (Vaswani et al. 2017, section 3.5).

    Args:
        positions: rows.
        width: columns: first the sines, then the cosines.
        amplitude: of each.

    Returns:
        float32 (positions, width).
    """
    frequencies = _LONGEST ** -np.linspace(0.0, 1.0, -(-width // 2))
    angles = np.arange(positions)[:, None] * frequencies
    return (amplitude * np.concatenate([np.sin(angles), np.cos(angles)], axis=1)[:, :width]).astype(np.float32)
