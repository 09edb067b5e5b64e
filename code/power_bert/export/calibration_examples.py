"""Choice of the training examples that calibrate int8 quantization."""

from __future__ import annotations

import numpy as np

from power_bert.text.examples import Examples

CALIBRATION_EXAMPLES = 1000


def calibration_examples(examples: Examples, seed: int) -> Examples:
    """Choose CALIBRATION_EXAMPLES training examples at random, or all if there are fewer, in their original order."""
    count = min(CALIBRATION_EXAMPLES, len(examples))
    rows = np.sort(np.random.default_rng(seed).choice(len(examples), count, replace=False))
    return examples.take(rows)
