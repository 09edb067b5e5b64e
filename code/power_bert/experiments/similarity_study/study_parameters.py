"""Number of trained parameters of a pre-training, and the feed-forward width that gives a number."""

from __future__ import annotations

import dataclasses

from power_bert.config.pretraining import PretrainingSettings
from power_bert.errors import UserError

_SEGMENTS = 2
_LAYER_NORM = 2


def count_parameters(settings: PretrainingSettings, vocabulary_size: int, length: int) -> int:
    """Count the trained parameters: encoder without pooler, and the head of the masked language model.

    Args:
        settings: Sizes and similarity.
        vocabulary_size: Number of rows of the token embeddings, which the head uses, too.
        length: Number of tokens of a record; the number of positions if the settings give none.
    """
    hidden, intermediate = settings.hidden, settings.intermediate_dim
    embeddings = hidden * (vocabulary_size + (settings.positions or length) + _SEGMENTS + _LAYER_NORM)
    attention = 4 * (hidden * hidden + hidden) + (0 if settings.similarity == "dot" else settings.num_heads)
    feed_forward = intermediate * (2 * hidden + 1) + hidden
    block = attention + feed_forward + 2 * _LAYER_NORM * hidden
    head = hidden * hidden + hidden + _LAYER_NORM * hidden + vocabulary_size
    return embeddings + settings.layers * block + head


def match_parameters(
    settings: PretrainingSettings, target: int, vocabulary_size: int, length: int
) -> PretrainingSettings:
    """Return the settings with the feed-forward width that brings the number of parameters nearest to `target`.

    Raises:
        UserError: The model has more parameters even with the smallest feed-forward layer.
    """
    one, two = (
        count_parameters(dataclasses.replace(settings, intermediate=width), vocabulary_size, length) for width in (1, 2)
    )
    width = 1 + round((target - one) / (two - one))
    if width < 1:
        raise UserError(
            f"hidden={settings.hidden}, layers={settings.layers}: at least {one:,} parameters, more than the "
            f"{target:,} to match; match those of a larger model"
        )
    return dataclasses.replace(settings, intermediate=width)
