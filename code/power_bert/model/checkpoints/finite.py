"""Reject weights that are not finite, because training cannot recover from them."""

import numpy as np

from power_bert.errors import UserError


def check_finite(values: np.ndarray, name: str, source: str) -> None:
    """Raise a UserError if a weight holds NaN or infinity.

    Args:
        values: Values of the weight, of any shape.
        name: Name of the weight in the file, for the message.
        source: File or folder, for the message.
    """
    finite = np.isfinite(values)
    if finite.all():
        return
    place = tuple(int(index) for index in np.argwhere(~finite)[0])
    raise UserError(
        f"{source}: the weight {name} is not finite at {int((~finite).sum())} of {values.size} places, the first is "
        f"{values[place]} at {place}. Expected numbers: the checkpoint is damaged, or its training failed. Download it "
        "again, or give another one."
    )
