"""What distillation gains, from the tables of a comparison."""

import csv
import io
import math
from pathlib import Path

import pandas as pd
import pytest

from power_bert.errors import UserError
from power_bert.experiments.gains import read_gains, write_gains, write_summary
from power_bert.result_tables import csv_text

COMPARISON = """run,model,way,is_teacher,seed,split,examples,accuracy,macro_f1,p50_ms
teacher0,BERT,,1,0,SPLIT,9,0.9,0.9,10.0
a0,bilstm,no teacher,0,0,SPLIT,9,0.70,0.70,0.5
a1,bilstm,no teacher,0,1,SPLIT,9,0.80,0.80,0.5
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
    gains = read_gains(write_tables(tmp_path / "comparison")).set_index(["model", "way", "metric"])
    distilled = gains.loc["bilstm", "1 teacher", "accuracy"]
    assert distilled["score"] == pytest.approx(82.0) and distilled["seeds"] == 3
    # Of the two seeds that both have: +4 and +2, though the scores themselves vary by 7 points.
    assert distilled["less_no_teacher"] == pytest.approx(3.0) and distilled["less_no_teacher_seeds"] == 2
    assert distilled["less_no_teacher_deviation"] == pytest.approx(2**0.5)
    assert distilled["less_least_squares"] == pytest.approx(22.0)
    assert distilled["times_faster"] == 20.0
    assert gains.loc["bilstm", "1 teacher", "macro_f1"]["seeds"] == 2, "an undefined score is left out"
    assert math.isnan(gains.loc["bilstm", "no teacher", "accuracy"]["less_no_teacher"])
    assert gains.loc["cnn", "1 teacher", "accuracy"][["less_no_teacher", "times_faster"]].isna().all()
    assert gains.loc["logistic regression", "", "accuracy"]["less_least_squares"] == pytest.approx(5.0)


def test_files(tmp_path: Path) -> None:
    folder = write_tables(tmp_path / "emotion" / "comparison")
    text = write_gains(folder)
    assert (folder / "gains.txt").read_text(encoding="utf-8") == text
    rows = [line for line in text.splitlines() if line.startswith("bilstm, 1 teacher")]
    of_accuracy, speed, of_macro_f1, _ = (" ".join(row.split()[3:]) for row in rows)
    assert of_accuracy == "82.00 ± 8.00 +3.00 ± 1.41 * +22.00 ± 8.00 *" and speed == "20.0 3"
    assert "+2.50 ± 17.68 " in of_macro_f1 and "17.68 *" not in of_macro_f1, "less than its deviation"
    assert csv_text(read_gains(folder)) == (folder / "gains.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(csv_text(read_gains(folder)))))
    assert [row["less_no_teacher_above_deviation"] for row in rows if row["way"] == "1 teacher"] == ["1", "", "0", ""]


def test_a_summary_over_the_tasks(tmp_path: Path) -> None:
    write_tables(tmp_path / "emotion" / "comparison")
    assert "selected on the dev set" not in write_summary(tmp_path)
    write_tables(tmp_path / "sst-2" / "comparison", "dev")
    text = write_summary(tmp_path)
    assert (tmp_path / "summary.txt").read_text(encoding="utf-8") == text
    assert text.count("least squares ") >= 2 and "macro_f1" not in text
    assert "sst-2    dev accuracy   bilstm, 1 teacher" in text and "selected on the dev set" in text


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no task was compared there"):
        write_summary(tmp_path)
    with pytest.raises(UserError, match=r"comparison.csv: cannot be read"):
        read_gains(tmp_path)
    (tmp_path / "comparison.csv").write_text("run,group,accuracy\na,b,0.5\n", encoding="utf-8")
    with pytest.raises(UserError, match="its tables have other columns"):
        read_gains(tmp_path)


HEAD = "run,model,way,is_teacher,seed,split,examples,accuracy,p50_ms\n"


def gains_of(folder: Path, rows: str) -> pd.DataFrame:
    """The gains of runs that have no linear baselines."""
    (folder / "comparison.csv").write_text(HEAD + rows, encoding="utf-8")
    return read_gains(folder).set_index(["model", "way"])


def test_the_last_of_two_rows_of_a_seed_counts(tmp_path: Path) -> None:
    gains = gains_of(tmp_path, "a,cnn,no teacher,0,0,test,9,0.1,1.0\nb,cnn,no teacher,0,0,test,9,0.5,1.0\n")
    assert gains.loc["cnn", "no teacher"][["score", "seeds"]].tolist() == [50.0, 1]


def test_students_are_compared_with_the_same_student_alone(tmp_path: Path) -> None:
    rows = (
        "a,cnn,no teacher,0,0,test,9,0.5,1.0\nb,mlp,no teacher,0,0,test,9,0.9,1.0\nc,cnn,1 teacher,0,0,test,9,0.6,1.0\n"
    )
    gains = gains_of(tmp_path, rows)
    assert gains.loc["cnn", "1 teacher"]["less_no_teacher"] == pytest.approx(10.0)
    assert gains["less_least_squares"].isna().all(), "there are no linear baselines"
    assert gains["times_faster"].isna().all(), "there is no teacher"


def test_tables_of_earlier_versions_are_read(tmp_path: Path) -> None:
    rows = (
        'a,cnn,alone,0,0,test,9,0.5,1.0\nb,cnn,"alone, epochs 8",0,0,test,9,0.7,1.0\nc,cnn,1 teacher,0,0,test,9,0.6,1\n'
    )
    gains = gains_of(tmp_path, rows)
    assert list(gains.loc["cnn"].index) == ["no teacher", "no teacher, epochs 8", "1 teacher"]
    assert gains.loc["cnn", "1 teacher"]["less_no_teacher"] == pytest.approx(10.0)


def test_a_difference_of_one_seed_is_neither_above_nor_below_its_deviation(tmp_path: Path) -> None:
    gains_of(tmp_path, "a,cnn,no teacher,0,0,test,9,0.5,1.0\nc,cnn,1 teacher,0,0,test,9,0.6,\n")
    row = next(line for line in write_gains(tmp_path).splitlines() if line.startswith("cnn, 1 teacher"))
    assert row.split()[3:] == ["60.00", "+10.00", "-", "-"], "no deviation, no mark, no latency"


def test_a_loss_is_never_marked(tmp_path: Path) -> None:
    rows = "".join(
        f"a{seed},cnn,no teacher,0,{seed},test,9,0.9,1.0\nd{seed},cnn,1 teacher,0,{seed},test,9,{score},1.0\n"
        for seed, score in enumerate((0.80, 0.81))
    )
    gains_of(tmp_path, rows)
    text = write_gains(tmp_path)
    assert "-9.50 ± 0.71" in text and "0.71 *" not in text


def test_the_speed_up_is_over_the_first_teacher_that_was_timed(tmp_path: Path) -> None:
    teachers = "t0,BERT,x,1,0,test,9,0.9,\nt1,BERT,y,1,0,test,9,0.9,12.0\nt2,BERT,z,1,0,test,9,0.9,99.0\n"
    gains = gains_of(tmp_path, f"{teachers}a,cnn,no teacher,0,0,test,9,0.5,0.5\n")
    assert gains.loc["cnn", "no teacher"]["times_faster"] == 24.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (HEAD.encode(), "no rows; delete it and give the command again"),
        (b"run,model,way,seed,split,accuracy\na,b,c,0,test,0.5\n", "its tables have other columns"),
        (f"{HEAD}a,cnn,no teacher,0,0,test,9,high,1.0\n".encode(), "its tables have other columns"),
    ],
)
def test_a_damaged_table(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "comparison.csv").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_gains(tmp_path)
