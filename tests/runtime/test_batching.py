"""Batches of examples of similar length, and their padding, as properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import mutation_settings
from power_bert_runtime.batching import batch_inputs, run_batches
from power_bert_runtime.encoded_texts import EncodedTexts
from power_bert_runtime.padding import bucket_length, pad_batch

LENGTHS = st.lists(st.integers(2, 40), min_size=1, max_size=20)


def encode(lengths: list[int], pad_id: int = 7) -> EncodedTexts:
    """Example i has the ids 100 i, 100 i + 1, …; its last third is segment 1."""
    rows = [list(range(100 * row, 100 * row + length)) for row, length in enumerate(lengths)]
    return EncodedTexts.from_rows(rows, [2 * length // 3 for length in lengths], pad_id)


@mutation_settings
@given(LENGTHS, st.integers(1, 25))
def test_outputs_are_in_the_order_of_the_examples_whatever_the_batches(lengths: list[int], batch_size: int) -> None:
    shapes: list[tuple[int, ...]] = []

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        shapes.append(inputs["ids"].shape)
        return np.stack([inputs["ids"][:, 0], inputs["mask"].sum(axis=1)], axis=1).astype(np.float32)

    outputs = run_batches(run, encode(lengths), batch_size)
    assert outputs.tolist() == [[100 * row, length] for row, length in enumerate(lengths)]
    assert outputs.dtype == np.float32
    # As few batches as can be, each padded to its longest, the longest last.
    assert [rows for rows, _ in shapes[:-1]] == [batch_size] * ((len(lengths) - 1) // batch_size)
    ordered = sorted(lengths)
    assert [width for _, width in shapes] == [
        max(ordered[start : start + batch_size]) for start in range(0, len(lengths), batch_size)
    ]


def test_the_padded_length_is_asked_for_each_batch() -> None:
    asked: list[int] = []
    widths: list[int] = []

    def padded_length(length: int) -> int:
        asked.append(length)
        return length + 3

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        widths.append(inputs["mask"].shape[1])
        return np.zeros((len(inputs["mask"]), 1), np.float32)

    assert run_batches(run, encode([5, 2, 9, 4]), 2, padded_length).shape == (4, 1)
    assert (asked, widths) == ([4, 9], [7, 12])


@mutation_settings
@given(LENGTHS, st.integers(0, 5))
def test_padding_holds_each_row_then_nothing(lengths: list[int], more: int) -> None:
    encoded = encode(lengths)
    rows = np.arange(len(lengths))[::-1]
    width = max(lengths) + more
    padded = pad_batch(encoded, rows, width)
    assert set(padded) == {"token_ids", "segment_ids", "padding_mask"}
    for name, array in padded.items():
        assert array.shape == (len(rows), width) and array.dtype == np.int32, name
    for place, row in enumerate(rows):
        length = lengths[row]
        assert padded["token_ids"][place].tolist() == encoded.token_ids[row].tolist() + [7] * (width - length)
        assert padded["segment_ids"][place].tolist() == encoded.segment_ids[row].tolist() + [0] * (width - length)
        assert padded["padding_mask"][place].tolist() == [1] * length + [0] * (width - length)


def test_inputs_have_the_names_of_exported_files() -> None:
    encoded = encode([3, 2])
    inputs = batch_inputs(encoded, np.array([1, 0]), 4)
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "ids": [[100, 101, 7, 7], [0, 1, 2, 7]],
        "mask": [[1, 1, 0, 0], [1, 1, 1, 0]],
        "segment_ids": [[0, 1, 0, 0], [0, 0, 1, 0]],
    }


@mutation_settings
@given(st.integers(1, 600), st.integers(0, 300))
def test_few_bucket_lengths_that_waste_little(length: int, more: int) -> None:
    longest = length + more
    found = bucket_length(length, longest)
    assert length <= found <= longest
    assert bucket_length(found, longest) == found, "a bucket length is its own"
    assert found - length < (4 if length <= 32 else 8 if length <= 64 else 16 if length <= 128 else 32)
    assert found == longest or found % 4 == 0


def test_there_are_few_bucket_lengths_of_a_bert() -> None:
    assert len({bucket_length(length, 512) for length in range(1, 513)}) == 28


@pytest.mark.parametrize("parts", [[], [[]], [[3], [], [2, 4]]])
def test_concatenated_parts_are_one_set(parts: list[list[int]]) -> None:
    rows = [[*range(length)] for part in parts for length in part]
    whole = EncodedTexts.concatenate(
        [EncodedTexts.from_rows([[*range(length)] for length in part], part) for part in parts], pad_id=3
    )
    assert [ids.tolist() for ids in whole.token_ids] == rows and whole.pad_id == 3
    assert whole.first_lengths.tolist() == [len(row) for row in rows]
    assert whole.offsets.dtype == np.int64 and whole.ids.dtype == np.int32


def test_rows_can_be_counted_from_the_end_and_not_out_of_bounds() -> None:
    encoded = encode([2, 3])
    assert encoded.segment_ids[-1].tolist() == [0, 0, 1] and encoded.segment_ids[-2].tolist() == [0, 1]
    for row in (2, -3):
        with pytest.raises(IndexError):
            encoded.segment_ids[row]
