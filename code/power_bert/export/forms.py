"""The forms of an exported file, which differ in quantization, and what to do if a form is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from power_bert.export.parity import Parity

# By file size, the smallest first: int8 also stores ranges (MiniLM: 23.43 MB against 23.39 MB of dynamic).
FORMS = ("dynamic", "int8", "float16", "none")
# The first of these forms that passes.
AUTO = "auto"
# A label agreement below this, in percent, is never offered as acceptable.
LEAST_AGREEMENT = 50.0

_INT8 = ("dynamic", "int8")
_OTHER_INT8 = {
    "dynamic": "--quantize int8 (as small; activation ranges come from the training set, so other labels change)",
    "int8": "--quantize dynamic (as small; each row of activations has its own range, which is often nearer to Keras)",
}
_TRAIN_AGAIN = (
    "train again with QUANTIZATION_AWARE=1 (if the run did not have it), or with RETENTION_JITTER=0.3 (noise on the "
    "choice of tokens: label agreement rises in some runs and falls in others, and it can cost points)"
)


def ways_out(form: str, parities: Mapping[int, Parity], eliminates: bool, forms: Sequence[str] = FORMS) -> str:
    """Return a sentence on what a user can do about a file that differs too much from Keras, and what it costs.

    Args:
        form: The form that was refused; `AUTO` if all were.
        parities: Length → comparison with Keras; if all forms were refused, that of the last one tried.
        eliminates: Whether the model eliminates tokens.
        forms: Forms that the format of the file has.
    """
    ways = []
    if form in _INT8:
        larger = "float16 (twice the size, as slow as float32)" if "float16" in forms else "none (four times the size)"
        ways += [_OTHER_INT8[form], f"--quantize {larger}"]
    if form == "float16":
        ways.append("--quantize none (twice the size)")
    if form in (*_INT8, "float16"):
        ways.append("--quantize auto (the smallest form that passes)")
    if eliminates and form in _INT8:
        ways.append(_TRAIN_AGAIN)
    # Rounded down, so that the suggested limit accepts what was measured.
    measured = math.floor(1000 * min(_or_zero(parity.dev.share) for parity in parities.values())) / 10
    if measured >= LEAST_AGREEMENT:
        ways.append(f"--min-agreement {measured:g} (accepts what was measured)")
    if form in ("none", AUTO):
        ways.append("a report with the run's config.json: a file in float32 should not differ")
    return f"Ways out: {'; '.join(ways)}"


def _or_zero(share: float) -> float:
    return share if math.isfinite(share) else 0.0
