"""What distillation gains, from the tables of a comparison."""

import csv
import io
from pathlib import Path

import pytest

from power_bert.analysis.gains import gains_csv, read_gains, write_gains, write_summary
from power_bert.errors import UserError

COMPARISON = """run,model,way,is_teacher,seed,split,examples,accuracy,macro_f1,p50_ms
teacher0,BERT,,1,0,SPLIT,9,0.9,0.9,10.0
a0,bilstm,alone,0,0,SPLIT,9,0.70,0.70,0.5
a1,bilstm,alone,0,1,SPLIT,9,0.80,0.80,0.5
d0,bilstm,1 teacher,0,0,SPLIT,9,0.74,0.60,0.5
d1,bilstm,1 teacher,0,1,SPLIT,9,0.82,0.95,0.5
d2,bilstm,1 teacher,0,2,SPLIT,9,0.90,nan,0.5
x0,cnn,1 teacher,0,0,SPLIT,9,0.70,0.70,
"""
BASELINES = "baseline,split,accuracy,macro_f1\nleast squares,SPLIT,0.6,0.5\nlogistic regression,SPLIT,0.65,0.5\n"


def write_tables(folder: Path, split: str = "test") -> Path:
    folder.mkdir(parents=True)
    (folder / "comparison.csv").write_text(COMPARISON.replace("SPLIT", split), encoding="utf-8")
    (folder / "linear_baselines.csv").write_text(BASELINES.replace("SPLIT", split), encoding="utf-8")
    return folder


def test_differences_are_taken_seed_by_seed(tmp_path: Path) -> None:
    gains = {(gain.model, gain.way, gain.metric): gain for gain in read_gains(write_tables(tmp_path / "comparison"))}
    distilled = gains["bilstm", "1 teacher", "accuracy"]
    assert distilled.score.mean == pytest.approx(82.0) and distilled.score.count == 3
    # Of the two seeds that both have: +4 and +2, though the scores themselves vary by 7 points.
    assert distilled.less_alone is not None and distilled.less_alone.count == 2
    assert distilled.less_alone.mean == pytest.approx(3.0)
    assert distilled.less_alone.deviation == pytest.approx(2**0.5)
    assert distilled.less_least_squares is not None and distilled.less_least_squares.mean == pytest.approx(22.0)
    assert distilled.times_faster == 20.0
    assert gains["bilstm", "1 teacher", "macro_f1"].score.count == 2, "an undefined score is left out"
    assert gains["bilstm", "alone", "accuracy"].less_alone is None
    assert (
        gains["cnn", "1 teacher", "accuracy"].less_alone is gains["cnn", "1 teacher", "accuracy"].times_faster is None
    )
    logistic = gains["logistic regression", "", "accuracy"]
    assert logistic.less_least_squares is not None and logistic.less_least_squares.mean == pytest.approx(5.0)


def test_files(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "emotion" / "comparison")
    text = write_gains(folder)
    assert (folder / "gains.txt").read_text(encoding="utf-8") == text
    of_accuracy, of_macro_f1 = (text.splitlines()[start : start + 7] for start in (0, 8))
    (row,) = (line for line in of_accuracy if line.startswith("bilstm, 1 teacher"))
    assert " ".join(row.split()[3:]) == "82.00 ± 8.00 +3.00 ± 1.41 * +22.00 ± 8.00 * 20.0 3"
    (row,) = (line for line in of_macro_f1 if line.startswith("bilstm, 1 teacher"))
    assert "+2.50 ± 17.68 " in row and "17.68 *" not in row, "less than its deviation"
    assert gains_csv(read_gains(folder)) == (folder / "gains.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(gains_csv(read_gains(folder)))))
    assert [row["less_alone_above_deviation"] for row in rows if row["way"] == "1 teacher"] == ["1", "", "0", ""]


def test_a_summary_over_the_tasks(tmp_path: Path) -> None:
    write_tables(tmp_path / "emotion" / "comparison")
    assert "chosen the epoch" not in write_summary(tmp_path)
    write_tables(tmp_path / "sst-2" / "comparison", "dev")
    text = write_summary(tmp_path)
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8") == text
    assert text.count("least squares ") >= 2 and "macro_f1" not in text
    assert "sst-2    dev accuracy   bilstm, 1 teacher" in text and "chosen the epoch" in text


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task was compared there"):
        write_summary(tmp_path)
    with pytest.raises(UserError, match=r"comparison.csv: cannot be read"):
        read_gains(tmp_path)
    (tmp_path / "comparison.csv").write_text("run,group,accuracy\na,b,0.5\n", encoding="utf-8")
    with pytest.raises(UserError, match="its tables have other columns"):
        read_gains(tmp_path)
