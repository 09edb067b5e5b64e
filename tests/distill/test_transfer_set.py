"""Tests of power_bert.distill.transfer_set: texts of every part and their targets."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from power_bert.distill.transfer_set import TransferSet, collect_texts, make_targets, read_unlabeled
from power_bert.errors import UserError
from power_bert.text.examples import Examples, concatenate
from power_bert.text.glue_tasks import get_task

TRAIN = Examples(["the cat", "a dog"], None, np.array([1, 0]))
PAIRS = Examples(["a", "b"], ["c", "d"], np.array([1, 0]))


class TestTargets:
    def test_labels_first_then_the_logits_of_each_teacher(self) -> None:
        parts = {"train": TRAIN, "unlabelled": Examples(["x"], None, None)}
        first = {"train": np.array([[1.0, 2.0], [3.0, 4.0]]), "unlabelled": np.array([[5.0, 6.0]])}
        second = {name: -logits for name, logits in first.items()}
        targets = make_targets(parts, [first, second], is_regression=False)
        assert targets.dtype == np.float32
        assert targets.tolist() == [[1, 1, 2, -1, -2], [0, 3, 4, -3, -4], [-1, 5, 6, -5, -6]]

    def test_a_missing_score_is_nan(self) -> None:
        targets = make_targets({"unlabelled": Examples(["x"], None, None)}, [{"unlabelled": np.array([[2.5]])}], True)
        assert np.isnan(targets[0, 0]) and targets[0, 1] == 2.5


class TestConcatenate:
    def test_order_and_no_labels(self) -> None:
        whole = concatenate([TRAIN, Examples(["x"], None, None)])
        assert (whole.first, whole.second, whole.labels) == (["the cat", "a dog", "x"], None, None)

    def test_pairs(self) -> None:
        whole = concatenate([PAIRS, Examples(["e"], ["f"], None)])
        assert (whole.first, whole.second) == (["a", "b", "e"], ["c", "d", "f"])

    def test_of_a_transfer_set(self) -> None:
        parts = {"train": TRAIN, "augmented": Examples(["a cat"], None, None)}
        assert TransferSet(parts, np.zeros((3, 1))).examples.first == ["the cat", "a dog", "a cat"]


class TestUnlabelled:
    def write(self, folder: Path, content: str) -> Path:
        (folder / "texts.txt").write_text(content, encoding="utf-8")
        return folder / "texts.txt"

    def test_empty_texts_do_not_count(self, tmp_path: Path) -> None:
        texts = read_unlabeled(self.write(tmp_path, "one\n\n  \ntwo\n"), get_task("cola"))
        assert (texts.first, texts.second, texts.labels) == (["one", "two"], None, None)

    def test_pairs_with_one_text_count(self, tmp_path: Path) -> None:
        texts = read_unlabeled(self.write(tmp_path, "a\tb\n\t\n\tc\n"), get_task("mrpc"))
        assert (texts.first, texts.second) == (["a", ""], ["b", "c"])

    @pytest.mark.parametrize("content", ["\n", "\n  \n"])
    def test_a_file_without_texts(self, content: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"texts\.txt: the file is empty\. Expected one text per line"):
            read_unlabeled(self.write(tmp_path, content), get_task("cola"))

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"--unlabelled .*none\.txt: "):
            read_unlabeled(tmp_path / "none.txt", get_task("cola"))


class TestCollect:
    @pytest.fixture
    def settings(self, make_distillation: Callable[..., Any], tmp_path: Path) -> Any:
        return make_distillation(tmp_path / "run")

    def test_the_training_data_alone(self, settings: Any) -> None:
        assert collect_texts(settings, TRAIN, None) == {"train": TRAIN}

    def test_every_part_that_is_asked_for(self, settings: Any, tmp_path: Path) -> None:
        (tmp_path / "more.txt").write_text("more\n")
        train = Examples([f"word{number} and a few words more" for number in range(20)], None, np.zeros(20, int))
        asked = dataclasses.replace(
            settings, augment=("mask",), mask_rate=0.5, augment_copies=2, unlabelled=str(tmp_path / "more.txt")
        )
        parts = collect_texts(asked, train, None)
        assert list(parts) == ["train", "augmented", "unlabelled"]
        assert parts["unlabelled"].first == ["more"] and parts["augmented"].labels is None
        assert 20 < len(parts["augmented"]) <= 40
        assert any("[MASK]" in text for text in parts["augmented"].first)
        assert collect_texts(asked, train, None)["augmented"].first == parts["augmented"].first
        other = collect_texts(dataclasses.replace(asked, augment_seed=5), train, None)["augmented"].first
        assert other != parts["augmented"].first
