"""Tests of TASK=custom: the user's own files."""

import json
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.custom_task import find_labels, make_custom_task
from power_bert.text.examples import count_examples, data_fingerprint, has_split, read_examples
from power_bert.text.task import SPLITS

TOPICS = make_custom_task(("text",), "topic", ("art", "sport"), "accuracy")
PAIRS = make_custom_task(("left", "right"), "score", None, "spearman")


def put(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(content.encode())


class TestTask:
    def test_classes(self) -> None:
        assert (TOPICS.num_outputs, TOPICS.is_pair, TOPICS.is_regression) == (2, False, False)
        assert TOPICS.metrics == ("accuracy", "macro_f1")
        assert make_custom_task(("a",), "b", ("0", "1"), "macro_f1").metrics[0] == "macro_f1"

    def test_scores(self) -> None:
        assert (PAIRS.num_outputs, PAIRS.is_pair, PAIRS.is_regression, PAIRS.score_range) == (1, True, True, None)
        assert PAIRS.metrics == ("spearman", "pearson")

    @pytest.mark.parametrize(
        ("columns", "labels", "metric", "message"),
        [
            (("a", "b", "c"), ("0", "1"), "accuracy", "TEXT_COLUMNS='a,b,c': expected one name, or two"),
            (("a", ""), ("0", "1"), "accuracy", "TEXT_COLUMNS='a,': expected"),
            (("a",), ("0", "1"), "bleu", "METRIC='bleu' is unknown: expected one of accuracy, macro_f1, spearman"),
            (("a",), ("0",), "accuracy", "LABELS=0: expected at least two different"),
            (("a",), ("0", "1", "0"), "accuracy", "LABELS=0,1,0: expected at least two different"),
            (("a",), ("0", "x\ty"), "accuracy", r"LABELS: 'x\\ty' is not usable"),
            (("a",), ("0", "1"), "pearson", "METRIC=pearson compares scores"),
            (("a",), None, "accuracy", "LABELS is missing"),
        ],
    )
    def test_bad_settings(
        self, columns: tuple[str, ...], labels: tuple[str, ...] | None, metric: str, message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            make_custom_task(columns, "label", labels, metric)


class TestFiles:
    def test_tsv_has_quoting_off(self, tmp_path: Path) -> None:
        put(tmp_path, "train.tsv", 'id\ttext\ttopic\n0\tsay "no, never\tart\n')
        assert read_examples(TOPICS, "train", tmp_path).first == ['say "no, never']

    def test_csv_has_quoting_on(self, tmp_path: Path) -> None:
        content = '\ufefftopic,text\r\nart,"one, ""two""\nthree"\r\nsport,plain\tone\r\nart,""\r\n'
        put(tmp_path, "train.csv", content)
        examples = read_examples(TOPICS, "train", tmp_path)
        assert examples.first == ['one, "two"\nthree', "plain\tone", ""]
        assert examples.labels is not None and examples.labels.tolist() == [0, 1, 0]

    def test_a_very_long_csv_field(self, tmp_path: Path) -> None:
        put(tmp_path, "train.csv", "topic,text\nart," + "long " * 100_000 + "\n")
        assert len(read_examples(TOPICS, "train", tmp_path).first[0]) == 500_000

    def test_json_lines(self, tmp_path: Path) -> None:
        rows = [{"left": "a\nb", "right": "", "score": -3, "more": [1]}, {"left": "c", "right": "ü", "score": "2.5e1"}]
        put(tmp_path, "dev.jsonl", "\n".join(json.dumps(row) for row in rows))
        examples = read_examples(PAIRS, "dev", tmp_path)
        assert (examples.first, examples.second) == (["a\nb", "c"], ["", "ü"])
        assert examples.labels is not None and examples.labels.tolist() == [-3.0, 25.0]

    def test_json_labels_that_are_numbers(self, tmp_path: Path) -> None:
        task = make_custom_task(("text",), "topic", ("0", "1", "true"), "accuracy")
        put(tmp_path, "train.jsonl", "\n".join(json.dumps({"text": "", "topic": value}) for value in (1, 0, True, "1")))
        labels = read_examples(task, "train", tmp_path).labels
        assert labels is not None and labels.tolist() == [1, 0, 2, 1]

    @pytest.mark.parametrize("ending", ["tsv", "csv", "jsonl"])
    def test_test_data_with_and_without_labels(self, tmp_path: Path, ending: str) -> None:
        separator = {"tsv": "\t", "csv": ","}.get(ending)

        def content(row: dict[str, str]) -> str:
            return f"{separator.join(row)}\n{separator.join(row.values())}\n" if separator else json.dumps(row)

        put(tmp_path, f"test.{ending}", content({"text": "x"}))
        assert read_examples(TOPICS, "test", tmp_path).labels is None
        put(tmp_path, f"test.{ending}", content({"text": "x", "topic": "sport"}))
        assert read_examples(TOPICS, "test", tmp_path).labels == np.array([1])

    def test_dev_may_be_called_validation_and_test_may_be_absent(self, tmp_path: Path) -> None:
        put(tmp_path, "train.tsv", "text\ttopic\na\tart\n")
        put(tmp_path, "validation.jsonl", '{"text": "b", "topic": "art"}\n')
        assert [has_split(TOPICS, split, tmp_path) for split in SPLITS] == [True, True, False]
        assert read_examples(TOPICS, "dev", tmp_path).first == ["b"]
        assert set(data_fingerprint(TOPICS, tmp_path)) == {"train.tsv", "validation.jsonl"}
        with pytest.raises(UserError, match=r"test\.tsv \(or test\.csv, test\.jsonl\): put the files of custom"):
            read_examples(TOPICS, "test", tmp_path)

    def test_two_files_of_a_split(self, tmp_path: Path) -> None:
        put(tmp_path, "train.tsv", "text\ttopic\na\tart\n")
        put(tmp_path, "train.csv", "text,topic\na,art\n")
        with pytest.raises(UserError, match=r"holds train\.tsv and train\.csv\. Expected one of them"):
            read_examples(TOPICS, "train", tmp_path)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            (
                "train.csv",
                "text,label\na,art\n",
                r"csv, line 1: no column named 'topic'.*has: 'text', 'label'\. Set TEXT",
            ),
            ("train.csv", "a,art\n", r"line 1: no column named 'text'"),
            ("train.csv", 'text,topic\n"a\nb",art\nc\n', r"line 4: expected 2 columns separated by commas, found 1"),
            ("train.csv", 'text,topic\na,art\n"b"c,art\n', r"line 3: not valid CSV"),
            ("train.csv", 'text,topic\na,art\n"b,art\n\n', r"line 3: not valid CSV"),
            ("train.csv", "text,topic\na,art\n\nb,art\n", r"line 3: expected 2 columns separated by commas, found 0"),
            ("train.csv", 'text,topic\n"a\nb",art\nc,music\n', r"line 4: unknown label 'music'"),
            ("train.csv", "text,topic\n", r"no rows after the header"),
            ("train.csv", "", r"train\.csv: the file is empty"),
            ("train.jsonl", '{"text": "a", "topic": "art"}\n{"text": "a"\n', r"jsonl, line 2: not valid JSON"),
            ("train.jsonl", '["a", "art"]\n', r"line 1: expected a JSON object"),
            (
                "train.jsonl",
                '{"text": "a", "topic": "art"}\n{"text": "a"}\n',
                r"line 2: no key 'topic'.* has: 'text'\. Set",
            ),
            ("train.jsonl", '{"text": 3, "topic": "art"}\n', r"line 1: 'text' is 3\. Expected a text\."),
            ("train.jsonl", '{"text": "a", "topic": null}\n', r"line 1: 'topic' is null\. Expected a text or a number"),
            ("train.jsonl", '{"text": "a", "topic": ""}\n', r"line 1: unknown label ''"),
            ("train.tsv", "text\ttopic\na\tart\tb\n", r"line 2: expected 2 columns separated by tabs, found 3"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, name: str, content: str, message: str) -> None:
        put(tmp_path, name, content)
        with pytest.raises(UserError, match=message):
            read_examples(TOPICS, "train", tmp_path)

    @pytest.mark.parametrize("score", ["", "high", "nan", "NaN", "Infinity"])
    def test_bad_scores(self, tmp_path: Path, score: str) -> None:
        put(tmp_path, "train.csv", f"left,right,score\na,b,1e9\na,b,{score}\n")
        with pytest.raises(UserError, match=r"line 3: score .*Expected a number\."):
            read_examples(PAIRS, "train", tmp_path)


class TestFindLabels:
    def labels(self, tmp_path: Path, *labels: str) -> tuple[str, ...]:
        put(tmp_path, "train.tsv", "text\ttopic\n" + "".join(f"a\t{label}\n" for label in labels))
        return find_labels(tmp_path, ("text",), "topic")

    def test_words_by_the_alphabet_and_numbers_by_size(self, tmp_path: Path) -> None:
        assert self.labels(tmp_path, "sport", "art", "sport") == ("art", "sport")
        assert self.labels(tmp_path, "10", "9", "0", "10") == ("0", "9", "10")
        assert self.labels(tmp_path, "10", "9", "none") == ("10", "9", "none")

    def test_only_the_training_data_count(self, tmp_path: Path) -> None:
        put(tmp_path, "dev.tsv", "text\ttopic\na\tmusic\n")
        assert self.labels(tmp_path, "sport", "art") == ("art", "sport")

    def test_one_label_or_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"train\.tsv: every row has the label 'art'"):
            self.labels(tmp_path, "art", "art")
        with pytest.raises(UserError, match=r"train\.tsv, line 3: the label is empty"):
            self.labels(tmp_path, "art", "")

    def test_scores_are_not_taken_for_classes(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"more than 1000 different values in 'topic'.* set METRIC=spearman"):
            self.labels(tmp_path, *(f"{number / 7:.4f}" for number in range(1001)))


@pytest.mark.slow
def test_massive_as_it_comes(shared_data: Path) -> None:
    """60 intents as JSON lines."""
    folder = shared_data / "massive_en-US"
    labels = find_labels(folder, ("text",), "label_text")
    assert len(labels) == 60
    task = make_custom_task(("text",), "label_text", labels, "accuracy")
    assert [count_examples(task, split, folder) for split in SPLITS] == [11514, 2033, 2974]
