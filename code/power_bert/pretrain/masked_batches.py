"""Batches of masked language modeling, each a pure function of the seed and the training step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from power_bert.config.pretraining import PretrainingSettings
from power_bert.corpus.manifest import Corpus
from power_bert.pretrain.masking import MaskedRecords, Masker, predictions_of
from power_bert.pretrain.record_stream import evenly_chosen_records, training_batches

# Name → dtype. The shape is (batch, length) for the first three and (batch, predictions) for the others.
BATCH_DTYPES = {
    "token_ids": "int32",
    "segment_ids": "int32",
    "padding_mask": "int32",
    "mask_positions": "int32",
    "labels": "int32",
    "weights": "float32",
}
# An evaluation masks the same tokens whatever the seed and the batch size of the training.
_EVALUATION_BATCH = 64
_EVALUATION_SEED = 0
# Distinguish the random generators of one seed from those of the record stream.
_MASKS, _EVALUATION_MASKS = 3, 4

Arrays = dict[str, np.ndarray]


def masker_of(corpus: Corpus, settings: PretrainingSettings) -> Masker:
    """Make the masker of the settings."""
    return Masker(corpus.tokenizer, corpus.length, settings.masking_rate, settings.whole_words)


def batch_shapes(corpus: Corpus, settings: PretrainingSettings) -> dict[str, tuple[int, int]]:
    """Return the shape of each array of a training batch."""
    tokens = (settings.batch, corpus.length)
    predictions = (settings.batch, predictions_of(corpus.length, settings.masking_rate))
    of_tokens = ("token_ids", "segment_ids", "padding_mask")
    return {name: tokens if name in of_tokens else predictions for name in BATCH_DTYPES}


def training_arrays(corpus: Corpus, settings: PretrainingSettings, first: int) -> Iterator[Arrays]:
    """Iterate over the batches of training steps `first`, `first` + 1, … up to the last one."""
    masker = masker_of(corpus, settings)
    batches = training_batches(corpus, settings.batch, settings.seed, first)
    for step, records in zip(range(first, settings.steps), batches, strict=False):
        yield _arrays(masker.mask(records, np.random.default_rng((settings.seed, _MASKS, step))))


def evaluation_arrays(corpus: Corpus, settings: PretrainingSettings) -> list[Arrays]:
    """Make the evaluation batches: the same masked records for all runs with the same corpus and masking settings."""
    masker = masker_of(corpus, settings)
    records = evenly_chosen_records(corpus, "test", settings.evaluation_records)
    parts = (records[start : start + _EVALUATION_BATCH] for start in range(0, len(records), _EVALUATION_BATCH))
    return [
        _arrays(masker.mask(part, np.random.default_rng((_EVALUATION_SEED, _EVALUATION_MASKS, number))))
        for number, part in zip(count(), parts, strict=False)
    ]


def _arrays(masked: MaskedRecords) -> Arrays:
    return {
        "token_ids": masked.token_ids,
        "segment_ids": np.zeros_like(masked.token_ids),
        "padding_mask": masked.padding_mask,
        "mask_positions": masked.positions,
        "labels": masked.labels,
        "weights": masked.weights,
    }
