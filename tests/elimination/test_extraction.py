"""Elimination of tokens: which stay, and in which order."""

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from power_bert.elimination.extraction import HardExtraction, gather_words, select_words
from power_bert.elimination.retention import Retention

SCORES = np.array([[0.0, 0.9, 0.1, 0.5, 0.3, 0.7, 0.2], [0.1, 0.2, 0.8, 0.4, 0.0, 0.0, 0.0]], "float32")
VISIBILITY = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0]], "float32")


def select(slots: int, kept: list[int], scores: Any = SCORES, visibility: Any = VISIBILITY) -> tuple[list[Any], Any]:
    positions, filled = select_words(scores, visibility, slots, np.array(kept, "int32"))
    return np.asarray(positions).tolist(), np.asarray(filled).astype(int).tolist()


class TestSelectWords:
    def test_keeps_the_most_significant_in_their_order(self) -> None:
        positions, filled = select(4, [4, 3])
        assert positions == [[0, 1, 3, 5], [0, 2, 3, 6]]
        assert filled == [[1, 1, 1, 1], [1, 1, 1, 0]]

    def test_cls_stays_however_little_attention_it_gets(self) -> None:
        assert select(1, [1, 1])[0] == [[0], [0]]
        assert select(2, [2, 2])[0] == [[0, 1], [0, 2]]

    def test_padding_comes_after_every_word(self) -> None:
        # The second example has 4 words of no attention at all and 3 paddings, whose scores are higher.
        scores = np.array([[0, 0, 0, 0, 5, 5, 5]], "float32")
        positions, filled = select(6, [4], scores, VISIBILITY[1:])
        assert positions == [[0, 1, 2, 3, 6, 6]]
        assert filled == [[1, 1, 1, 1, 0, 0]]

    def test_all_slots_is_everything_in_place(self) -> None:
        assert select(7, [7, 4])[0] == [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 6, 6, 6]]

    def test_against_sorting_in_python(self) -> None:
        generator = np.random.default_rng(0)
        for _ in range(20):
            words = generator.integers(1, 12, 5)
            scores = generator.uniform(0, 9, (5, 11)).astype("float32")
            visibility = (np.arange(11) < words[:, None]).astype("float32")
            slots = int(generator.integers(1, 12))
            kept = np.minimum(words, slots)
            positions, filled = select(slots, kept.tolist(), scores, visibility)
            for row in range(5):
                others = sorted(range(1, words[row]), key=lambda position: -scores[row, position])
                expected = sorted([0, *others[: kept[row] - 1]])
                assert positions[row][: kept[row]] == expected
                assert filled[row] == [1] * kept[row] + [0] * (slots - kept[row])


def test_gather_is_take_along_axis() -> None:
    generator = np.random.default_rng(0)
    hidden_states = generator.normal(size=(3, 7, 5)).astype("float32")
    positions = generator.integers(0, 7, (3, 4)).astype("int32")
    np.testing.assert_array_equal(
        gather_words(hidden_states, positions), np.take_along_axis(hidden_states, positions[..., None], axis=1)
    )


class TestHardExtraction:
    @pytest.mark.parametrize("keep", [3, 1, 0.43, 1e-3, 0.6667, 0.1])
    def test_tensors_round_as_python_does(self, keep: int | float) -> None:
        lengths = np.arange(1, 513, dtype="int32")
        kept = np.asarray(HardExtraction(keep)._kept(ops.convert_to_tensor(lengths)))
        assert kept.tolist() == [Retention.of([keep]).left_after(0, int(length)) for length in lengths]

    def test_every_share_of_a_search_rounds_the_same_in_both(self) -> None:
        lengths = np.arange(1, 129, dtype="int32")
        for words in range(1, 129, 3):
            share = round(words / 128, 4)
            kept = np.asarray(HardExtraction(share)._kept(ops.convert_to_tensor(lengths)))
            assert kept.tolist() == [Retention.of([share]).left_after(0, int(length)) for length in lengths]

    def test_shortens_and_marks_empty_slots(self) -> None:
        hidden_states = np.arange(2 * 7 * 3, dtype="float32").reshape(2, 7, 3)
        mask = VISIBILITY.astype("int32")
        kept, visibility = HardExtraction(0.5)(hidden_states, VISIBILITY, SCORES, mask)
        np.testing.assert_array_equal(kept[0], hidden_states[0, [0, 1, 3, 5]])
        np.testing.assert_array_equal(kept[1, :2], hidden_states[1, [0, 2]])
        np.testing.assert_array_equal(visibility, [[1, 1, 1, 1], [1, 1, 0, 0]])

    def test_never_keeps_more_than_there_are(self) -> None:
        hidden_states = np.zeros((2, 7, 3), "float32")
        kept, visibility = HardExtraction(99)(hidden_states, VISIBILITY, SCORES, VISIBILITY.astype("int32"))
        assert kept.shape == (2, 7, 3)
        np.testing.assert_array_equal(visibility, VISIBILITY)
        # 10 of 20 words are asked for, but an earlier block has left 7.
        longer_mask = np.ones((2, 20), "int32")
        assert HardExtraction(0.5)(hidden_states, VISIBILITY, SCORES, longer_mask)[0].shape == (2, 7, 3)

    def test_jitter_turns_close_choices_and_only_in_training(self) -> None:
        words = np.ones((200, 4), "float32")
        hidden_states = np.tile(np.arange(4, dtype="float32")[None, :, None], (200, 1, 1))
        scores = np.tile(np.array([[0.0, 1.0, 1.1, 9.0]], "float32"), (200, 1))  # of [CLS] and three words
        layer = HardExtraction(3, jitter=0.3)

        def kept(training: bool) -> np.ndarray:
            outputs, _ = layer(hidden_states, words, scores, words.astype("int32"), training=training)
            return np.asarray(outputs)[..., 0]

        assert (kept(training=False) == [0, 2, 3]).all()
        assert (np.asarray(HardExtraction(3)(hidden_states, words, scores, words, training=True)[0])[:, 1] == 2).all()
        shaken, again = kept(training=True), kept(training=True)
        assert (shaken[:, 0] == 0).all() and (shaken[:, 2] == 3).all()  # [CLS], and the word far above the others
        assert 0.2 < np.mean(shaken[:, 1] == 1) < 0.6  # P(N(0, 1) > ln 1.1 / (0.3 √2)) = 0.41
        assert not np.array_equal(shaken, again)

    def test_fuses_what_it_drops(self) -> None:
        hidden_states = np.random.default_rng(0).normal(size=(3, 7, 3)).astype("float32")
        visibility = np.concatenate([VISIBILITY, [[1, 1, 0, 0, 0, 0, 0]]]).astype("float32")
        scores = np.concatenate([SCORES, SCORES[:1]])
        mask = visibility.astype("int32")
        outputs, left = HardExtraction(3, fuse=True)(hidden_states, visibility, scores, mask)
        assert outputs.shape == (3, 4, 3)
        np.testing.assert_array_equal(left, [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]])  # the last drops nothing
        for row, dropped in ((0, [2, 3, 4, 6]), (1, [1])):
            expected = np.average(hidden_states[row, dropped], axis=0, weights=scores[row, dropped])
            np.testing.assert_allclose(outputs[row, 3], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(outputs[2, 3], np.zeros(3))
        np.testing.assert_array_equal(outputs[:, :3], HardExtraction(3)(hidden_states, visibility, scores, mask)[0])

    def test_a_fused_token_is_fused_again_however_significant(self) -> None:
        hidden_states = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
        scores = np.array([[0.0, 0.5, 0.2, 0.1, 9.0]] * 2, "float32")
        visibility = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], "float32")  # the second has no fused token yet
        mask = np.ones((2, 8), "int32")
        outputs, left = HardExtraction(3, fuse=True, after_fused=True)(hidden_states, visibility, scores, mask)
        np.testing.assert_array_equal(outputs[:, :3], hidden_states[:, :3])
        expected = np.average(hidden_states[0, [3, 4]], axis=0, weights=[0.1, 9.0])
        np.testing.assert_allclose(outputs[0, 3], expected, rtol=1e-4)
        np.testing.assert_allclose(outputs[1, 3], hidden_states[1, 3], rtol=1e-4)
        assert np.asarray(left).all()
        kept, _ = HardExtraction(4, fuse=True, after_fused=True)(hidden_states, visibility, scores, mask)
        np.testing.assert_allclose(kept[0], hidden_states[0], rtol=1e-5)  # nothing new to fuse: it stays as it is
        lost, _ = HardExtraction(3, after_fused=True)(hidden_states, visibility, scores, mask)
        np.testing.assert_array_equal(lost, hidden_states[:, :3])

    def test_words_without_any_attention_are_fused_equally(self) -> None:
        ones = np.ones((1, 4), "float32")
        hidden_states = np.arange(4, dtype="float32").reshape(1, 4, 1)
        for dtype in ("float32", "mixed_float16"):
            layer = HardExtraction(2, fuse=True, dtype=dtype)
            outputs, _ = layer(hidden_states, ones, np.array([[0, 1, 0, 0]], "float32"), ones.astype("int32"))
            np.testing.assert_allclose(np.asarray(outputs)[0, :, 0], [0, 1, 2.5], rtol=1e-3)

    @pytest.mark.parametrize(("keep", "kept"), [(4, 4), (0.5, 5), (1, 1), (99, 7)])
    def test_static_lengths_are_inferred_where_known(self, keep: int | float, kept: int) -> None:
        hidden_states, words = keras.KerasTensor((2, 7, 3)), keras.KerasTensor((2, 7))
        outputs = HardExtraction(keep)(hidden_states, words, words, keras.KerasTensor((2, 10), "int32"))
        assert [output.shape for output in outputs] == [(2, kept, 3), (2, kept)]
        fused = HardExtraction(keep, fuse=True)(hidden_states, words, words, keras.KerasTensor((2, 10), "int32"))
        assert [output.shape for output in fused] == [(2, kept + 1, 3), (2, kept + 1)]
        unknown = keras.KerasTensor((None, None), "int32")
        assert HardExtraction(keep).compute_output_spec(hidden_states, words, words, unknown)[1].shape == (2, None)
