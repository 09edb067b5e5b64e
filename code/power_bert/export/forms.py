"""The forms of a file: how its weights and activations are quantized, and what to do where a form is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping

from power_bert.export.parity import Parity

# By size, the smallest first: int8 stores ranges (MiniLM: 23.43 MB, dynamic 23.39 MB).
FORMS = ("dynamic", "int8", "float16", "none")
# Of these forms the first that passes.
AUTO = "auto"
# Under this an agreement is not one to accept.
LEAST_AGREEMENT = 50.0

_INT8 = ("dynamic", "int8")
_OTHER_INT8 = {
    "dynamic": "--quantize int8 (as small; activations have ranges from the training set, so other labels turn)",
    "int8": "--quantize dynamic (as small; activations have the range of each row, which is often nearer to Keras)",
}
_JITTER = (
    "train again with RETENTION_JITTER=0.3 (teaches a model to bear that other tokens are kept; costs a training and, "
    "on some tasks, points)"
)


def ways_out(form: str, parities: Mapping[int, Parity], eliminates: bool) -> str:
    """What a user can do about a file that differs too much from Keras, with what it costs; a sentence.

    Args:
        form: The form that was refused; `AUTO` where all were.
        parities: Length → how the file compares with Keras; of the form with the best hopes where all were refused.
        eliminates: Whether the model eliminates tokens.
    """
    ways = []
    if form in _INT8:
        ways += [_OTHER_INT8[form], "--quantize float16 (twice the size, as slow as float32)"]
    if form == "float16":
        ways.append("--quantize none (twice the size)")
    if form in (*_INT8, "float16"):
        ways.append("--quantize auto (the smallest form that passes)")
    if eliminates and form in _INT8:
        ways.append(_JITTER)
    # Rounded down, so that it lets pass what was measured.
    measured = math.floor(1000 * min(_or_zero(parity.dev.share) for parity in parities.values())) / 10
    if measured >= LEAST_AGREEMENT:
        ways.append(f"--min-agreement {measured:g} (accepts what was measured)")
    if form in ("none", AUTO):
        ways.append("a report with the run's config.json: a file in float32 should not differ")
    return f"Ways out: {'; '.join(ways)}"


def _or_zero(share: float) -> float:
    return share if math.isfinite(share) else 0.0
