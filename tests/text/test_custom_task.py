"""Tests of TASK=custom: the user's own files."""

import json
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.custom_task import find_labels, make_custom_task
from power_bert.text.examples import count_examples, data_fingerprint, has_split, read_examples, stream_examples
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

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("test.csv", "text,topic,idx\nx,-1,0\ny,-1,1\n"),
            ("test.csv", "text,topic\nx,\ny,\n"),
            ("test.tsv", "text\ttopic\nx\t-1.0\ny\t-1\n"),
            ("test.jsonl", '{"text": "x", "topic": -1}\n{"text": "y", "topic": null}\n'),
        ],
    )
    def test_hidden_test_labels_are_none(self, tmp_path: Path, name: str, content: str) -> None:
        put(tmp_path, name, content)
        examples = read_examples(TOPICS, "test", tmp_path)
        assert (examples.first, examples.labels) == (["x", "y"], None)
        scores = make_custom_task(("text",), "topic", None, "pearson")
        assert read_examples(scores, "test", tmp_path).labels is None

    def test_minus_one_can_be_a_label(self, tmp_path: Path) -> None:
        put(tmp_path, "test.csv", "text,topic\nx,-1\ny,-1\n")
        labels = read_examples(make_custom_task(("text",), "topic", ("-1", "1"), "accuracy"), "test", tmp_path).labels
        assert labels is not None and labels.tolist() == [0, 0]

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ("x,-1\ny,art\n", "line 2: unknown label '-1'"),
            ("x,-1\ny,-1\nz,art\n", "line 4: label 'art', but the rows before it have none"),
        ],
    )
    def test_test_labels_that_are_hidden_in_part(self, tmp_path: Path, rows: str, message: str) -> None:
        put(tmp_path, "test.csv", "text,topic\n" + rows)
        with pytest.raises(UserError, match=message):
            list(stream_examples(TOPICS, "test", tmp_path, chunk_rows=2))
        put(tmp_path, "dev.csv", "text,topic\nx,-1\n")
        with pytest.raises(UserError, match=r"dev\.csv, line 2: unknown label '-1'"):
            read_examples(TOPICS, "dev", tmp_path)

    @pytest.mark.parametrize("name", ["test.tsv", "test.csv"])
    def test_an_empty_line_of_one_column_is_an_empty_text(self, tmp_path: Path, name: str) -> None:
        put(tmp_path, name, "text\ngood film\n\nbad film\n\n\n")
        assert read_examples(TOPICS, "test", tmp_path).first == ["good film", "", "bad film", "", ""]
        assert [len(chunk) for chunk in stream_examples(TOPICS, "test", tmp_path, chunk_rows=2)] != []
        put(tmp_path, name, "text\ttopic\na\tart\n\n\n".replace("\t", "," if name.endswith("csv") else "\t"))
        assert read_examples(TOPICS, "test", tmp_path).first == ["a"], "with several columns it is no row"

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("test.tsv", "index\ttext\n9\tx\n8\ty\n"),
            ("test.csv", "text,index\nx,1\n"),
            ("test.jsonl", '{"text": "x", "index": "a7"}\n'),
        ],
    )
    def test_an_index_that_predictions_would_not_carry(self, tmp_path: Path, name: str, content: str) -> None:
        put(tmp_path, name, content)
        with pytest.raises(UserError, match=r"'index' is '(9|1|a7)', expected 0\. Predictions are numbered.*or rename"):
            read_examples(TOPICS, "test", tmp_path)
        put(tmp_path, name, content.replace("index", "id"))
        assert read_examples(TOPICS, "test", tmp_path).first[0] == "x"

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_line_ends_may_be_mixed(self, tmp_path: Path, ending: str) -> None:
        put(tmp_path, "train.tsv", f"text\ttopic{ending}a\tart\r\nb\tsport\nc\tart{ending}")
        assert read_examples(TOPICS, "train", tmp_path).first == ["a", "b", "c"]

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
            ("train.tsv", "text \ttopic\na\tart\n", r"no column named 'text'.* has: 'text ', 'topic'"),
            ("train.tsv", "\ufeff\ufefftext\ttopic\na\tart\n", r"no column named 'text'.* has: '\\ufefftext', 'topic'"),
            ("train.csv", "text,topic,text\na,art,b\n", r"line 1: more than one column named 'text'"),
            ("train.tsv", "text\ttopic\ra\tart\rb\tart", r"tsv, line 1: holds carriage returns .*CR alone\. Convert"),
            ("train.csv", "text,topic\ra,art\rb,art", r"csv, line 1: holds carriage returns .*CR alone\. Convert"),
            ("train.jsonl", '{"text": "a"}\r{"text": "a"}', r"jsonl, line 1: holds carriage returns .*CR alone\. Conv"),
            ("train.tsv", "text\ttopic\na\tart\rb\tart\rc\tart", r"line 2: .*found 4\. It holds carriage returns: if"),
            (
                "train.jsonl",
                '{"text": "\\ud83d", "topic": "art"}',
                r"line 1: not valid JSON \(unpaired surrogate \\ud83d",
            ),
            ("train.jsonl", '{"text": "", "topic": %s}' % ("9" * 5000), r"line 1: not valid JSON \(a number of thousa"),
            ("train.jsonl", '{"text": %s' % ("[" * 5000), r"line 1: not valid JSON \(nested too deeply\)"),
        ],
    )
    def test_bad_files(self, tmp_path: Path, name: str, content: str, message: str) -> None:
        put(tmp_path, name, content)
        with pytest.raises(UserError, match=message):
            read_examples(TOPICS, "train", tmp_path)

    def test_utf_16(self, tmp_path: Path) -> None:
        for encoding, message in (("utf-16", "begins with the byte order mark of UTF-16"), ("utf-16-le", "zero bytes")):
            (tmp_path / "train.csv").write_bytes("text,topic\na,art\n".encode(encoding))
            with pytest.raises(UserError, match=rf"train\.csv.* {message}.* Expected UTF-8 text; convert it"):
                read_examples(TOPICS, "train", tmp_path)

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("train.tsv", "\t".join(f"column {number}" for number in range(50_000)) + "\n"),
            ("train.tsv", "text\ttopic\na\t" + "x" * 400_000 + "\n"),
            ("train.jsonl", json.dumps({f"key {number}": 0 for number in range(50_000)})),
            ("train.jsonl", json.dumps({"text": list(range(100_000)), "topic": "art"})),
            ("train.jsonl", json.dumps({"text": "a", "topic": "x" * 400_000})),
            ("train.jsonl", json.dumps(list(range(100_000)))),
        ],
    )
    def test_messages_quote_little(self, tmp_path: Path, name: str, content: str) -> None:
        put(tmp_path, name, content)
        with pytest.raises(UserError) as caught:
            read_examples(TOPICS, "train", tmp_path)
        assert "line " in str(caught.value) and len(str(caught.value)) < 700

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

    def test_the_order_is_always_the_same(self, tmp_path: Path) -> None:
        assert self.labels(tmp_path, "1", "01", "001") == ("001", "01", "1")
        assert self.labels(tmp_path, "9" * 5000, "1") == ("1", "9" * 5000), "too long for a number"

    def test_a_label_with_a_line_end_is_named(self, tmp_path: Path) -> None:
        put(tmp_path, "train.csv", 'text,topic\na,art\n"b\nc","spo\nrt"\n')
        with pytest.raises(UserError, match=r"train\.csv, line 3: the label 'spo\\nrt' holds a tab or a line end"):
            find_labels(tmp_path, ("text",), "topic")

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

    def test_words_are_not_taken_for_scores(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"more than 1000 .*: set LABEL_COLUMN to their column\.$"):
            self.labels(tmp_path, *(f"user {number}" for number in range(2000)))


@pytest.mark.slow
def test_massive_as_it_comes(shared_data: Path) -> None:
    """60 intents as JSON lines."""
    folder = shared_data / "massive_en-US"
    labels = find_labels(folder, ("text",), "label_text")
    assert len(labels) == 60
    task = make_custom_task(("text",), "label_text", labels, "accuracy")
    assert [count_examples(task, split, folder) for split in SPLITS] == [11514, 2033, 2974]
