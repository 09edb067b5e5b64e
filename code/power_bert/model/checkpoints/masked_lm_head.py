"""Names and layouts of a masked language model's head in other formats; the encoder readers leave it unused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from power_bert.model.checkpoints.tables import TRANSPOSED, Weight

# Hugging Face transformers, BertForMaskedLM. Its decoder is tied to the token embeddings.
HUGGING_FACE_HEAD = (
    Weight("transform/kernel", ("cls.predictions.transform.dense.weight",), TRANSPOSED),
    Weight("transform/bias", ("cls.predictions.transform.dense.bias",)),
    Weight("norm/gamma", ("cls.predictions.transform.LayerNorm.weight",)),
    Weight("norm/beta", ("cls.predictions.transform.LayerNorm.bias",)),
    Weight("bias", ("cls.predictions.bias",)),
)

# google-research/bert, run_pretraining.py.
TF1_HEAD = (
    Weight("transform/kernel", ("cls/predictions/transform/dense/kernel",)),
    Weight("transform/bias", ("cls/predictions/transform/dense/bias",)),
    Weight("norm/gamma", ("cls/predictions/transform/LayerNorm/gamma",)),
    Weight("norm/beta", ("cls/predictions/transform/LayerNorm/beta",)),
    Weight("bias", ("cls/predictions/output_bias",)),
)


def stored_masked_lm_head(head: Mapping[str, np.ndarray], rows: tuple[Weight, ...]) -> dict[str, np.ndarray]:
    """Convert the head to the names and layouts of a format.

    Args:
        head: Weights by canonical name: ``transform/kernel`` (hidden, hidden), ``transform/bias``, ``norm/gamma`` and
            ``norm/beta`` (hidden,), and ``bias`` (vocabulary,).
        rows: Table of the format, `HUGGING_FACE_HEAD` or `TF1_HEAD`.
    """
    return {row.names[0]: np.ascontiguousarray(row.layout.to_stored(head[row.canonical], 1)) for row in rows}
