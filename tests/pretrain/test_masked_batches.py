"""Tests of power_bert.pretrain.masked_batches: arrays of the model, each a function of the seed and its number."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import pytest

from power_bert.corpus.manifest import Corpus
from power_bert.pretrain.masked_batches import (
    BATCH_DTYPES,
    Arrays,
    batch_shapes,
    evaluation_arrays,
    masker_of,
    training_arrays,
)


def assert_equal(first: Arrays, second: Arrays) -> None:
    for name in BATCH_DTYPES:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_shapes_and_types(rate: float, tiny_corpus: Corpus, make_settings: Callable[..., object]) -> None:
    settings = make_settings(masking_rate=rate)
    shapes = batch_shapes(tiny_corpus, settings)  # type: ignore[arg-type]
    assert shapes["token_ids"] == (8, 11) and shapes["labels"] == shapes["weights"] == shapes["mask_positions"]
    for batch in islice(training_arrays(tiny_corpus, settings, 0), 3):  # type: ignore[arg-type]
        assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
            name: (shapes[name], dtype) for name, dtype in BATCH_DTYPES.items()
        }


def test_labels_are_what_stood_at_the_masked_positions(
    tiny_corpus: Corpus, make_settings: Callable[..., object]
) -> None:
    mask_id = tiny_corpus.tokenizer.mask_id
    (batch,) = islice(training_arrays(tiny_corpus, make_settings(), 0), 1)  # type: ignore[arg-type]
    there = np.take_along_axis(batch["token_ids"], batch["mask_positions"], axis=1)
    counted = batch["weights"] > 0
    assert counted.any() and (there[counted] == mask_id).mean() > 0.5
    assert not np.isin(batch["labels"][counted], [tiny_corpus.tokenizer.pad_id, mask_id]).any()
    assert batch["segment_ids"].max() == 0
    assert (batch["padding_mask"] == (batch["token_ids"] != tiny_corpus.tokenizer.pad_id)).all()


def test_a_training_ends_with_its_last_step(tiny_corpus: Corpus, make_settings: Callable[..., object]) -> None:
    assert len(list(training_arrays(tiny_corpus, make_settings(steps=5), 0))) == 5  # type: ignore[arg-type]
    assert len(list(training_arrays(tiny_corpus, make_settings(steps=5), 3))) == 2  # type: ignore[arg-type]


@pytest.mark.parametrize("first", [1, 7])
def test_a_resumed_training_sees_the_same_batches(
    first: int, tiny_corpus: Corpus, make_settings: Callable[..., object]
) -> None:
    whole = list(training_arrays(tiny_corpus, make_settings(), 0))  # type: ignore[arg-type]
    resumed = list(training_arrays(tiny_corpus, make_settings(), first))  # type: ignore[arg-type]
    for batch, expected in zip(resumed, whole[first:], strict=True):
        assert_equal(batch, expected)


def test_another_seed_masks_other_tokens_in_training_but_not_in_an_evaluation(
    tiny_corpus: Corpus, make_settings: Callable[..., object]
) -> None:
    first, second = (next(training_arrays(tiny_corpus, make_settings(seed=seed), 0)) for seed in (0, 1))  # type: ignore[arg-type]
    assert (first["token_ids"] != second["token_ids"]).any()
    one, other = (evaluation_arrays(tiny_corpus, make_settings(seed=seed, batch=4 + seed)) for seed in (0, 1))  # type: ignore[arg-type]
    for batch, expected in zip(one, other, strict=True):
        assert_equal(batch, expected)


def test_an_evaluation_has_the_records_that_were_asked_for(
    tiny_corpus: Corpus, make_settings: Callable[..., object]
) -> None:
    for records, sizes in ((50, [50]), (70, [64, 6])):
        batches = evaluation_arrays(tiny_corpus, make_settings(evaluation_records=records))  # type: ignore[arg-type]
        assert [len(batch["token_ids"]) for batch in batches] == sizes


def test_the_masker_has_the_settings(tiny_corpus: Corpus, make_settings: Callable[..., object]) -> None:
    records = np.concatenate([batch["token_ids"] for batch in evaluation_arrays(tiny_corpus, make_settings())])  # type: ignore[arg-type]
    few, many = (
        masker_of(tiny_corpus, make_settings(masking_rate=rate)).mask(records, np.random.default_rng(0))  # type: ignore[arg-type]
        for rate in (0.1, 0.5)
    )
    assert few.weights.sum() < many.weights.sum()
