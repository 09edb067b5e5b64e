"""Tests of power_bert.text.examples: GLUE's files as examples."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.examples import (
    count_examples,
    data_fingerprint,
    has_split,
    read_examples,
    read_training_examples,
    stream_examples,
)
from power_bert.text.glue_tasks import TASKS
from power_bert.text.task import SPLITS, Split

COLA, SST2, MRPC, STSB, QQP, MNLI = (TASKS[name] for name in ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli-m"))


def put(root: Path, name: str, content: str | bytes) -> Path:
    """Writes `root/name`, byte for byte; returns `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def test_a_sample_is_always_the_same_and_in_order(tmp_path: Path) -> None:
    put(tmp_path, "CoLA/train.tsv", "".join(f"x\t{number % 2}\t\t{number}\n" for number in range(50)))
    sample = read_training_examples(COLA, tmp_path, 20)
    numbers = [int(text) for text in sample.first]
    assert len(set(numbers)) == 20 and numbers == sorted(numbers) and numbers != list(range(20))
    assert sample.labels is not None and sample.labels.tolist() == [number % 2 for number in numbers]
    assert read_training_examples(COLA, tmp_path, 20).first == sample.first
    for at_most in (50, 99, None):
        assert len(read_training_examples(COLA, tmp_path, at_most)) == 50


class TestReadExamples:
    def test_no_header(self, tmp_path: Path) -> None:
        put(tmp_path, "CoLA/dev.tsv", 'gj04\t1\t\tHe said "no.\nw_80\t0\t*\tLast, no line end')
        examples = read_examples(COLA, "dev", tmp_path)
        assert examples.first == ['He said "no.', "Last, no line end"]
        assert examples.second is None
        assert examples.labels is not None
        assert examples.labels.dtype == np.int64
        assert examples.labels.tolist() == [1, 0]
        assert len(examples) == 2

    def test_columns_by_header_name_with_byte_order_mark(self, tmp_path: Path) -> None:
        header = "#1 String\tQuality\t#2 String\tother"
        put(tmp_path, "MRPC/train.tsv", f"\ufeff{header}\r\na\t0\tb\tx\r\nc\t1\td\ty\r\n\r\n")
        examples = read_examples(MRPC, "train", tmp_path)
        assert (examples.first, examples.second) == (["a", "c"], ["b", "d"])
        assert examples.labels is not None
        assert examples.labels.tolist() == [0, 1]

    def test_only_tab_and_line_feed_separate(self, tmp_path: Path) -> None:
        text = ' "a\u2028b\x85c\x0bd\u00a0e,\x1cf\rg '
        put(tmp_path, "SST-2/train.tsv", f"sentence\tlabel\n{text}\t1\n\t0\n")
        assert read_examples(SST2, "train", tmp_path).first == [text, ""]

    def test_scores(self, tmp_path: Path) -> None:
        put(tmp_path, "STS-B/dev.tsv", "sentence1\tsentence2\tscore\na\tb\t5.000\nc\td\t0\ne\tf\t2.75\n")
        labels = read_examples(STSB, "dev", tmp_path).labels
        assert labels is not None
        assert labels.dtype == np.float64
        assert labels.tolist() == [5.0, 0.0, 2.75]

    def test_test_split_has_no_labels(self, tmp_path: Path) -> None:
        put(tmp_path, "CoLA/test.tsv", "index\tsentence\n0\tA b.\n1\t\n")
        examples = read_examples(COLA, "test", tmp_path)
        assert examples.labels is None
        assert examples.first == ["A b.", ""]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("a\t1\t\tb\na\t1\tb\n", r"train\.tsv, line 2: expected 4 columns separated by tabs, found 3\. Correct"),
            ("a\t1\t\tb\n\na\t1\t\tb\n", r"line 2: expected 4 columns separated by tabs, found 1\."),
            ("a\t1\t\tb\tc\n", r"line 1: expected 4 columns separated by tabs, found 5\."),
            (
                "a\t1\t\tb\na\t2\t\tb\n",
                r"train\.tsv, line 2: unknown label '2'\. Expected one of: 0, 1 \(the labels of cola\)\. Correct",
            ),
            ("a\t1\t\tb\na\t\t\tb\n", r"line 2: unknown label ''"),
            (b"a\t1\t\tb\na\t1\t\tcaf\xe9\n", r"train\.tsv, line 2: byte 0xe9 is not UTF-8"),
            ("", r"train\.tsv: the file is empty"),
        ],
    )
    def test_bad_file_without_header(self, tmp_path: Path, content: str | bytes, message: str) -> None:
        put(tmp_path, "CoLA/train.tsv", content)
        with pytest.raises(UserError, match=message):
            read_examples(COLA, "train", tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("sentence\tgold\na\t1\n", r"line 1: no column named 'label'.* has: 'sentence', 'gold'\. Correct"),
            ("sentence,label\na,1\n", r"line 1: no column named 'sentence'.*'sentence,label'"),
            ("sentence\tlabel\tlabel\na\t1\t1\n", r"line 1: more than one column named 'label'"),
            ("sentence\tlabel\n", r"train\.tsv: no rows after the header"),
            ("sentence\tlabel\na\t1\nb\t1\tc\n", r"line 3: expected 2 columns separated by tabs, found 3"),
            ("sentence\tlabel\na\t1\nb\t01\n", r"line 3: unknown label '01'"),
        ],
    )
    def test_bad_file_with_header(self, tmp_path: Path, content: str, message: str) -> None:
        put(tmp_path, "SST-2/train.tsv", content)
        with pytest.raises(UserError, match=message):
            read_examples(SST2, "train", tmp_path)

    @pytest.mark.parametrize("score", ["nan", "inf", "-0.1", "5.001", "1e999", "", "x", "1_0", " 1", "٣", "1,5"])
    def test_bad_score(self, tmp_path: Path, score: str) -> None:
        put(tmp_path, "STS-B/train.tsv", f"sentence1\tsentence2\tscore\na\tb\t1\na\tb\t{score}\n")
        with pytest.raises(UserError, match=r"train\.tsv, line 3: score .* Expected a number from 0 to 5\. Correct"):
            read_examples(STSB, "train", tmp_path)

    def test_test_file_needs_its_index(self, tmp_path: Path) -> None:
        put(tmp_path, "CoLA/test.tsv", "number\tsentence\n0\ta\n")
        with pytest.raises(UserError, match=r"test\.tsv, line 1: no column named 'index'"):
            read_examples(COLA, "test", tmp_path)

    def test_the_index_of_a_test_file_counts_from_0(self, tmp_path: Path) -> None:
        put(tmp_path, "QQP/test.tsv", "id\tquestion1\tquestion2\n0\ta\tb\n1\ta\tb\n3\ta\tb\n")
        with pytest.raises(UserError, match=r"test\.tsv, line 4: 'id' is '3', expected 2\. .*use TASK=custom"):
            read_examples(QQP, "test", tmp_path)
        put(tmp_path, "SST-2/test.tsv", "index\tsentence\n" + "".join(f"{9 - row}\ta\n" for row in range(10)))
        with pytest.raises(UserError, match=r"test\.tsv, line 2: 'index' is '9', expected 0\."):
            count_examples(SST2, "test", tmp_path)

    def test_missing_folders_and_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"absent: no such folder\. Expected .*dev\.tsv: put the files of cola"):
            read_examples(COLA, "dev", tmp_path / "absent")
        with pytest.raises(UserError, match=r"dev\.tsv: no such file\. Expected"):
            read_examples(COLA, "dev", tmp_path)
        put(tmp_path, "CoLA/train.tsv", "a\t1\t\tb\n")
        with pytest.raises(UserError, match=r"dev\.tsv: no such file\. Expected"):
            read_examples(COLA, "dev", tmp_path)

    def test_the_folder_of_the_task_or_the_one_above(self, tmp_path: Path) -> None:
        put(tmp_path, "CoLA/train.tsv", "a\t1\t\tb\n")
        for folder in (tmp_path, tmp_path / "CoLA"):
            assert read_examples(COLA, "train", folder).first == ["b"]

    def test_unknown_split(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="unknown split 'validation'"):
            read_examples(COLA, "validation", tmp_path)  # type: ignore[arg-type]


_PARSES = "sentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse"
_MNLI_START = f"index\tpromptID\tpairID\tgenre\t{_PARSES}\tsentence1\tsentence2"
_MNLI_CELLS = "0\t31\t31n\tfiction\t( a )\t( b )\t(ROOT (A a))\t(ROOT (B b))"
_MNLI_TRAIN = f"{_MNLI_START}\tlabel1\tgold_label\n{_MNLI_CELLS}\tIt rained.\tIt was wet.\tneutral\tneutral\n"
_MNLI_DEV = (
    f"{_MNLI_START}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n"
    f"{_MNLI_CELLS}\tIt rained.\tIt was wet." + "\tentailment" * 6 + "\n"
)
_MNLI_TEST = f"{_MNLI_START}\n{_MNLI_CELLS}\tIt rained.\tIt was wet.\n"
_PAIR = ("It rained.", "It was wet.")
_STSB_START = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2"
_STSB_CELLS = "0\tmain-news\theadlines\t2012\t9\tnone\tnone\tIt rained.\tIt was wet."

# task → split → name of the file, its content as GLUE has it, the first example: texts and label
OFFICIAL: dict[str, dict[Split, tuple[str, str, tuple[str, ...], float | None]]] = {
    "cola": {
        "train": ("train.tsv", "gj04\t1\t\tIt rained.\ngj04\t0\t*\tRained it.\n", ("It rained.",), 1),
        "dev": ("dev.tsv", "gj04\t0\t*\tRained it.", ("Rained it.",), 0),
        "test": ("test.tsv", "index\tsentence\n0\tIt rained.\n", ("It rained.",), None),
    },
    "sst-2": {
        "train": ("train.tsv", "sentence\tlabel\na fine film \t1\n", ("a fine film ",), 1),
        "dev": ("dev.tsv", "sentence\tlabel\nno film \t0\n", ("no film ",), 0),
        "test": ("test.tsv", "index\tsentence\n0\ta fine film .\n", ("a fine film .",), None),
    },
    "mrpc": {
        "train": (
            "train.tsv",
            '\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\tHe said "no\tHe said no\n',
            ('He said "no', "He said no"),
            1,
        ),
        "dev": (
            "dev.tsv",
            "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t70\t71\ta\tb\n",
            ("a", "b"),
            0,
        ),
        "test": (
            "test.tsv",
            "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t10\t11\ta\tb\n",
            ("a", "b"),
            None,
        ),
    },
    "sts-b": {
        "train": ("train.tsv", f"{_STSB_START}\tscore\n{_STSB_CELLS}\t3.750\n", _PAIR, 3.75),
        "dev": ("dev.tsv", f"{_STSB_START}\tscore\n{_STSB_CELLS}\t5\n", _PAIR, 5.0),
        "test": ("test.tsv", f"{_STSB_START}\n{_STSB_CELLS}\n", _PAIR, None),
    },
    "qqp": {
        "train": (
            "train.tsv",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n133\t21\t22\tWhy?\tWhy not?\t0\n",
            ("Why?", "Why not?"),
            0,
        ),
        "dev": (
            "dev.tsv",
            "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n134\t23\t24\tWhy?\tWhy?\t1\n",
            ("Why?", "Why?"),
            1,
        ),
        "test": ("test.tsv", "id\tquestion1\tquestion2\n0\tWhy?\t\n", ("Why?", ""), None),
    },
    "mnli-m": {
        "train": ("train.tsv", _MNLI_TRAIN, _PAIR, 2),
        "dev": ("dev_matched.tsv", _MNLI_DEV, _PAIR, 1),
        "test": ("test_matched.tsv", _MNLI_TEST, _PAIR, None),
    },
    "mnli-mm": {
        "train": ("train.tsv", _MNLI_TRAIN, _PAIR, 2),
        "dev": ("dev_mismatched.tsv", _MNLI_DEV, _PAIR, 1),
        "test": ("test_mismatched.tsv", _MNLI_TEST, _PAIR, None),
    },
    "qnli": {
        "train": (
            "train.tsv",
            "index\tquestion\tsentence\tlabel\n0\tWho?\tAnn did.\tentailment\n",
            ("Who?", "Ann did."),
            0,
        ),
        "dev": (
            "dev.tsv",
            "index\tquestion\tsentence\tlabel\n0\tWho?\tYes.\tnot_entailment\n",
            ("Who?", "Yes."),
            1,
        ),
        "test": ("test.tsv", "index\tquestion\tsentence\n0\tWho?\tAnn did.\n", ("Who?", "Ann did."), None),
    },
    "rte": {
        "train": (
            "train.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\tnot_entailment\n",
            _PAIR,
            1,
        ),
        "dev": (
            "dev.tsv",
            "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\tentailment\n",
            _PAIR,
            0,
        ),
        "test": ("test.tsv", "index\tsentence1\tsentence2\n0\tIt rained.\tIt was wet.\n", _PAIR, None),
    },
    "wnli": {
        "train": ("train.tsv", "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\t1\n", _PAIR, 1),
        "dev": ("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\tIt rained.\tIt was wet.\t0\n", _PAIR, 0),
        "test": ("test.tsv", "index\tsentence1\tsentence2\n0\tIt rained.\tIt was wet.\n", _PAIR, None),
    },
    "ax": {
        "test": ("diagnostic.tsv", "index\tsentence1\tsentence2\n0\tIt rained.\tIt was wet.\n", _PAIR, None),
    },
}


class TestOfficialLayouts:
    def test_every_task_and_split_is_here(self) -> None:
        assert {name: set(splits) for name, splits in OFFICIAL.items()} == {
            name: set(task.files) for name, task in TASKS.items()
        }

    @pytest.mark.parametrize(
        ("name", "split"), [(name, split) for name, splits in OFFICIAL.items() for split in splits]
    )
    def test_first_example(self, tmp_path: Path, name: str, split: Split) -> None:
        task, (file, content, texts, label) = TASKS[name], OFFICIAL[name][split]
        put(tmp_path, f"{task.folder}/{file}", content)
        examples = read_examples(task, split, tmp_path)
        assert (examples.first[0], *([] if examples.second is None else [examples.second[0]])) == texts
        assert (None if examples.labels is None else examples.labels[0]) == label
        assert has_split(task, split, tmp_path)

    @pytest.mark.parametrize("name", ["mnli-m", "mnli-mm"])
    def test_mnli_with_the_names_of_the_other_tasks(self, tmp_path: Path, name: str) -> None:
        for split, content in (("train", _MNLI_TRAIN), ("dev", _MNLI_DEV), ("test", _MNLI_TEST)):
            put(tmp_path, f"MNLI/{split}.tsv", content)
        assert [count_examples(TASKS[name], split, tmp_path) for split in SPLITS] == [1, 1, 1]
        put(tmp_path, f"MNLI/{OFFICIAL[name]['dev'][0]}", _MNLI_DEV + _MNLI_DEV.split("\n")[1] + "\n")
        assert count_examples(TASKS[name], "dev", tmp_path) == 2, "the section's own file comes first"

    def test_ax_under_the_name_of_the_server(self, tmp_path: Path) -> None:
        put(tmp_path, "AX/AX.tsv", OFFICIAL["ax"]["test"][1])
        assert read_examples(TASKS["ax"], "test", tmp_path).second == ["It was wet."]

    def test_ax_cannot_be_trained(self, tmp_path: Path) -> None:
        put(tmp_path, "AX/diagnostic.tsv", OFFICIAL["ax"]["test"][1])
        with pytest.raises(UserError, match=r"ax has no train data.*Train .*mnli-m or mnli-mm"):
            read_examples(TASKS["ax"], "train", tmp_path)
        assert not has_split(TASKS["ax"], "train", tmp_path)

    def test_a_missing_mnli_file_names_both(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"test_matched\.tsv \(or test\.tsv\).*bash run\.sh download mnli-m"):
            read_examples(MNLI, "test", tmp_path)

    def test_a_label_of_another_task(self, tmp_path: Path) -> None:
        put(tmp_path, "train.tsv", OFFICIAL["rte"]["train"][1])
        with pytest.raises(UserError, match=r"line 2: unknown label 'not_entailment'\. Expected one of: 0, 1 .*wnli"):
            read_examples(TASKS["wnli"], "train", tmp_path)


class TestStreaming:
    def rows(self, tmp_path: Path, count: int, text: str = "question") -> Path:
        lines = [f"{i}\t{i}\t{i}\t{text} {i}\tb {i}\t{i % 2}\n" for i in range(count)]
        header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
        return put(tmp_path, "QQP/train.tsv", header + "".join(lines))

    @pytest.mark.parametrize("chunk_rows", [1, 3, 10, 11, 1000])
    def test_chunks_are_the_whole(self, tmp_path: Path, chunk_rows: int) -> None:
        data = self.rows(tmp_path, 10)
        whole = read_examples(QQP, "train", data)
        chunks = list(stream_examples(QQP, "train", data, chunk_rows))
        assert all(0 < len(chunk) <= chunk_rows for chunk in chunks)
        assert [text for chunk in chunks for text in chunk.first] == whole.first == [f"question {i}" for i in range(10)]
        assert [text for chunk in chunks for text in chunk.second or []] == whole.second
        labels = [label for chunk in chunks if chunk.labels is not None for label in chunk.labels]
        assert labels == [0, 1] * 5

    def test_an_error_late_in_the_file_names_its_line(self, tmp_path: Path) -> None:
        path = self.rows(tmp_path, 25) / "QQP" / "train.tsv"
        path.write_bytes(path.read_bytes() + b"25\t25\t25\tcaf\xe9\tb\t1\n")
        stream = stream_examples(QQP, "train", tmp_path, chunk_rows=10)
        assert len(next(stream)) > 0
        with pytest.raises(UserError, match=r"line 27: byte 0xe9"):
            list(stream)

    def test_empty_lines_in_the_middle_are_rows_and_at_the_end_are_not(self, tmp_path: Path) -> None:
        put(tmp_path, "SST-2/test.tsv", "index\tsentence\n0\ta\n\n\n\n")
        assert count_examples(SST2, "test", tmp_path) == 1
        assert len(list(stream_examples(SST2, "test", tmp_path, chunk_rows=1))) == 1
        put(tmp_path, "SST-2/test.tsv", "index\tsentence\n0\ta\n\n\n3\tb\n")
        for chunk_rows in (1, 2, 100):
            with pytest.raises(UserError, match=r"line 3: expected 2 columns separated by tabs, found 1"):
                list(stream_examples(SST2, "test", tmp_path, chunk_rows))

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        path = self.rows(tmp_path, 4000, "a question of some length " * 4) / "QQP" / "train.tsv"
        tracemalloc.start()
        count = sum(len(chunk) for chunk in stream_examples(QQP, "train", tmp_path, chunk_rows=20))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == 4000
        assert peak < path.stat().st_size / 5


class TestFingerprint:
    def test_changes_with_the_files_that_the_task_reads(self, tmp_path: Path) -> None:
        for file, content in (("train.tsv", "a\t1\t\tb\n"), ("dev.tsv", "a\t1\t\tb\n"), ("other.tsv", "x")):
            put(tmp_path, f"CoLA/{file}", content)
        before = data_fingerprint(COLA, tmp_path)
        assert set(before) == {"train.tsv", "dev.tsv"}
        put(tmp_path, "CoLA/other.tsv", "y")
        assert data_fingerprint(COLA, tmp_path) == before
        put(tmp_path, "CoLA/dev.tsv", "a\t0\t\tb\n")
        after = data_fingerprint(COLA, tmp_path)
        assert after["train.tsv"] == before["train.tsv"] and after["dev.tsv"] != before["dev.tsv"]


@pytest.mark.parametrize("name", ["cola", "mrpc", "sts-b", "sst-2", "wnli"])
def test_real_data(name: str, shared_data: Path) -> None:
    task, glue = TASKS[name], shared_data / "glue"
    examples = {split: read_examples(task, split, glue) for split in SPLITS}
    assert {split: len(part) for split, part in examples.items()} == task.rows
    assert all((part.second is None) == (name in ("cola", "sst-2")) for part in examples.values())
    assert examples["test"].labels is None
    labels = examples["train"].labels
    assert labels is not None
    assert (labels.min(), labels.max()) == ((0.0, 5.0) if task.is_regression else (0, 1))
