"""Tests of power_bert.text.predictions."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from power_bert.errors import UserError
from power_bert.text.glue_tasks import TASKS
from power_bert.text.predictions import read_predictions, write_prediction_chunks, write_predictions

COLA, STSB = TASKS["cola"], TASKS["sts-b"]


def put(root: Path, name: str, content: str) -> None:
    (root / name).write_bytes(content.encode())


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

    def test_labels_are_written_as_words(self, tmp_path: Path) -> None:
        path = tmp_path / "MNLI-m.tsv"
        write_predictions(path, TASKS["mnli-m"], np.array([2, 0, 1]))
        assert path.read_text() == "index\tprediction\n0\tneutral\n1\tcontradiction\n2\tentailment\n"
        assert read_predictions(path, TASKS["ax"]).tolist() == [2, 0, 1]

    def test_scores_without_limits_are_not_clipped(self, tmp_path: Path) -> None:
        task = dataclasses.replace(STSB, score_range=None)
        scores = np.array([-12.5, 0.0, -0.0, 1234567.0, 1 / 3])
        write_predictions(tmp_path / "scores.tsv", task, scores)
        assert "-0\n" not in (tmp_path / "scores.tsv").read_text()
        np.testing.assert_allclose(read_predictions(tmp_path / "scores.tsv", task), scores, rtol=1e-5)
