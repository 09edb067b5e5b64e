"""Tests of power_bert.text.tsv."""

from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.examples import read_examples
from power_bert.text.glue_tasks import TASKS, Split
from power_bert.text.predictions import read_predictions, write_prediction_chunks, write_predictions

COLA, SST2, MRPC, STSB = (TASKS[name] for name in ("cola", "sst-2", "mrpc", "sts-b"))
GLUE = Path(__file__).parents[3] / "shared" / "data" / "glue"


def put(root: Path, name: str, content: str | bytes) -> Path:
    """Writes `root/name`, byte for byte; returns `root`."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


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


class TestPredictions:
    def test_classes(self, tmp_path: Path) -> None:
        path = tmp_path / "run" / "CoLA.tsv"
        write_predictions(path, COLA, np.array([1, 0, 1]))
        assert path.read_bytes() == b"index\tprediction\n0\t1\n1\t0\n2\t1\n"
        predictions = read_predictions(path, COLA)
        assert predictions.dtype == np.int64
        assert predictions.tolist() == [1, 0, 1]

    def test_scores_are_clipped_with_three_decimals(self, tmp_path: Path) -> None:
        path = tmp_path / "STS-B.tsv"
        write_predictions(path, STSB, np.array([-0.3, -0.0, 2.34567, 5.2, 4.9996], dtype=np.float32))
        assert path.read_text() == "index\tprediction\n0\t0.000\n1\t0.000\n2\t2.346\n3\t5.000\n4\t5.000\n"
        predictions = read_predictions(path, STSB)
        assert predictions.dtype == np.float64
        assert predictions.tolist() == [0.0, 0.0, 2.346, 5.0, 5.0]

    def test_chunks_make_the_same_file(self, tmp_path: Path) -> None:
        scores = np.linspace(-1.0, 6.0, 11)
        write_predictions(tmp_path / "whole.tsv", STSB, scores)
        write_prediction_chunks(tmp_path / "chunks.tsv", STSB, iter([scores[:4], scores[4:5], scores[5:]]))
        assert (tmp_path / "chunks.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()

    def test_a_bad_chunk_leaves_the_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "STS-B.tsv"
        path.write_bytes(b"older")
        with pytest.raises(UserError, match="the prediction of index 4 is nan"):
            write_prediction_chunks(path, STSB, iter([np.ones(3), np.array([1.0, np.nan])]))
        assert path.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite_is_not_written(self, tmp_path: Path, bad: float) -> None:
        path = tmp_path / "STS-B.tsv"
        with pytest.raises(UserError, match=r"not written: the prediction of index 1 is .*learning rate"):
            write_predictions(path, STSB, np.array([1.0, bad, bad]))
        assert not path.exists()

    @pytest.mark.parametrize(
        ("predictions", "message"),
        [
            (np.array([0, 2]), "from 0 to 1, got 0 to 2"),
            (np.array([-1, 0]), "from 0 to 1, got -1 to 0"),
            (np.array([0.0, 1.0]), "integer type, got float64"),
            (np.array([[0], [1]]), r"shape \(examples,\), at least one; got \(2, 1\)"),
            (np.array([], dtype=np.int64), "at least one"),
        ],
    )
    def test_wrong_use(self, tmp_path: Path, predictions: np.ndarray, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            write_predictions(tmp_path / "CoLA.tsv", COLA, predictions)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("index\tlabel\n0\t1\n", r"file\.tsv, line 1: expected the header 'index<TAB>prediction', found"),
            ("0\t1\n1\t1\n", "line 1: expected the header"),
            ("index\tprediction\n", "no predictions after the header"),
            ("index\tprediction\n0\t1\n2\t1\n", r"line 3: expected index 1, found '2'"),
            ("index\tprediction\n1\t1\n0\t1\n", r"line 2: expected index 0, found '1'"),
            ("index\tprediction\n0\t1\n01\t1\n", r"line 3: expected index 1, found '01'"),
            ("index\tprediction\n0\t1\n1\t2\n", r"line 3: unknown label '2'"),
            ("index\tprediction\n0\t1\n1\t1\t1\n", r"line 3: expected 2 columns"),
            ("index\tprediction\n0\t1\n\n1\t1\n", r"line 3: expected 2 columns"),
            ("", "the file is empty"),
        ],
    )
    def test_bad_file(self, tmp_path: Path, content: str, message: str) -> None:
        put(tmp_path, "file.tsv", content)
        with pytest.raises(UserError, match=message):
            read_predictions(tmp_path / "file.tsv", COLA)

    @pytest.mark.parametrize("score", ["nan", "inf", "5.1", "-1", "zero"])
    def test_bad_score(self, tmp_path: Path, score: str) -> None:
        put(tmp_path, "file.tsv", f"index\tprediction\n0\t{score}\n")
        with pytest.raises(UserError, match="line 2: score"):
            read_predictions(tmp_path / "file.tsv", STSB)

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            read_predictions(tmp_path / "absent.tsv", COLA)


@pytest.mark.skipif(not GLUE.is_dir(), reason="needs the GLUE files in ../shared/data/glue")
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("cola", (8551, 1043, 1063)),
        ("mrpc", (3668, 408, 1725)),
        ("sts-b", (5749, 1500, 1379)),
        ("sst-2", (67349, 872, 1821)),
        ("wnli", (635, 71, 146)),
    ],
)
def test_real_data(name: str, rows: tuple[int, int, int]) -> None:
    task = TASKS[name]
    splits: tuple[Split, ...] = ("train", "dev", "test")
    examples = [read_examples(task, split, GLUE) for split in splits]
    assert tuple(len(split) for split in examples) == rows
    assert rows[2] == task.test_rows
    assert all((split.second is None) == (name in ("cola", "sst-2")) for split in examples)
    assert examples[2].labels is None
    labels = examples[0].labels
    assert labels is not None
    assert (labels.min(), labels.max()) == ((0.0, 5.0) if task.is_regression else (0, 1))
