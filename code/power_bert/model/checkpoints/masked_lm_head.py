"""The head of a masked language model in the formats of others; the encoder's readers leave it unused."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from power_bert.model.checkpoints.tables import TRANSPOSED, Row

# Hugging Face transformers, BertForMaskedLM. Its decoder is the token table, which is tied.
HUGGING_FACE_HEAD = (
    Row("transform/kernel", ("cls.predictions.transform.dense.weight",), TRANSPOSED),
    Row("transform/bias", ("cls.predictions.transform.dense.bias",)),
    Row("norm/gamma", ("cls.predictions.transform.LayerNorm.weight",)),
    Row("norm/beta", ("cls.predictions.transform.LayerNorm.bias",)),
    Row("bias", ("cls.predictions.bias",)),
)

# google-research/bert, run_pretraining.py.
TF1_HEAD = (
    Row("transform/kernel", ("cls/predictions/transform/dense/kernel",)),
    Row("transform/bias", ("cls/predictions/transform/dense/bias",)),
    Row("norm/gamma", ("cls/predictions/transform/LayerNorm/gamma",)),
    Row("norm/beta", ("cls/predictions/transform/LayerNorm/beta",)),
    Row("bias", ("cls/predictions/output_bias",)),
)


def stored_masked_lm_head(head: Mapping[str, np.ndarray], rows: tuple[Row, ...]) -> dict[str, np.ndarray]:
    """The head under the names and in the layouts of a format.

    Args:
        head: ``transform/kernel`` (hidden, hidden), ``transform/bias``, ``norm/gamma``, ``norm/beta`` (hidden,) and
            ``bias`` (vocabulary,).
        rows: `HUGGING_FACE_HEAD` or `TF1_HEAD`.
    """
    return {row.names[0]: np.ascontiguousarray(row.layout.to_stored(head[row.canonical], 1)) for row in rows}
