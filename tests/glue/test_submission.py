"""Tests of power_bert.glue.submission and power_bert.glue.prediction_faults."""

import dataclasses
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest
from hypothesis import given

from mutations import mutated, mutation_settings
from power_bert.errors import UserError
from power_bert.glue.prediction_faults import MAX_LISTED, FaultList, find_prediction_faults
from power_bert.glue.submission import MAJORITY, find_submission_faults, majority_predictions, write_submission
from power_bert.text.glue_tasks import TASKS

FILES = {
    **{"CoLA.tsv": 1063, "SST-2.tsv": 1821, "MRPC.tsv": 1725, "STS-B.tsv": 1379, "QQP.tsv": 390965},
    **{"MNLI-m.tsv": 9796, "MNLI-mm.tsv": 9847, "QNLI.tsv": 5463, "RTE.tsv": 3000, "WNLI.tsv": 146, "AX.tsv": 1104},
}
GOOD = [b"index\tprediction\n", *(b"%d\t1\n" % row for row in range(146))]  # of WNLI


def found(lines: Iterable[bytes], task: str = "wnli") -> FaultList:
    return find_prediction_faults("file.tsv", lines, TASKS[task])


def changed(**rows: bytes) -> list[bytes]:
    """Good predictions with some lines replaced: ``line_3=b"1\\t0\\n"``."""
    lines = list(GOOD)
    for name, line in rows.items():
        lines[int(name.removeprefix("line_")) - 1] = line
    return lines


class TestPredictionFile:
    def test_a_good_one(self) -> None:
        assert found(GOOD).count == 0
        assert found(changed(line_147=b"145\t0")).count == 0, "a missing last line end is no fault"

    @pytest.mark.parametrize("task", TASKS)
    def test_majority_predictions_are_good(self, task: str) -> None:
        assert found(majority_predictions(TASKS[task]), task).count == 0
        assert set(MAJORITY) == set(TASKS)

    @pytest.mark.parametrize(
        ("lines", "fault"),
        [
            (
                changed(line_1=b"id\tprediction\n"),
                "line 1: expected the header 'index<TAB>prediction', found 'id\\tpred",
            ),
            (changed(line_1=b"\xef\xbb\xbfindex\tprediction\n"), "line 1: begins with a byte order mark"),
            (GOOD[1:], "line 1: expected the header 'index<TAB>prediction', found '0\\t1'"),
            (changed(line_4=b"2\t2\n"), "line 4: prediction '2': expected one of 0, 1"),
            (changed(line_4=b"2\tentailment\n"), "line 4: prediction 'entailment': expected one of 0, 1"),
            (changed(line_4=b"2\t1 \n"), "line 4: prediction '1 ': expected one of 0, 1"),
            (changed(line_4=b"2\t\n"), "line 4: prediction '': expected one of 0, 1"),
            (changed(line_4=b"2,1\n"), "line 4: expected 2 columns separated by a tab, found 1 columns"),
            (changed(line_4=b"\n"), "line 4: expected 2 columns separated by a tab, found an empty line"),
            (changed(line_4=b"2\t1\t0.9\n"), "line 4: expected 2 columns separated by a tab, found 3 columns"),
            (changed(line_4=b"two\t1\n"), "line 4: index 'two': expected 2, a whole number"),
            (changed(line_4=b"02\t1\n"), "line 4: index '02': expected 2, a whole number"),
            (changed(line_4=b"1\t1\n", line_5=b"3\t1\n"), "line 4: index 1 once more, or out of order: expected 2"),
        ],
    )
    def test_a_fault_is_named_with_its_line(self, lines: list[bytes], fault: str) -> None:
        assert found(lines).listed[0].startswith(f"file.tsv, {fault}")

    @pytest.mark.parametrize(
        ("lines", "faults"),
        [
            (GOOD[:6] + GOOD[8:], ["line 7: index 7 before 5 to 6: ", "144 rows; expected 146"]),
            (GOOD[:6] + GOOD[7:], ["line 7: index 6 before 5: ", "145 rows; expected 146"]),
            (GOOD[:6] + GOOD[5:], ["line 7: index 4 once more, or out of order: expected 5", "147 rows; expected 146"]),
            (GOOD[:-1], ["145 rows; expected 146, ", "no row after index 144; expected rows up to index 145"]),
            ([*GOOD, b"146\t1\n"], ["line 148: index 146: the last one is 145", "147 rows; expected 146"]),
            ([*GOOD[:3], GOOD[4], GOOD[3], *GOOD[5:]], ["line 4: index 3 before 2: ", "line 5: index 2 once more"]),
            ([line.replace(b"\n", b"\r\n") for line in GOOD], ["line 1: ends with CR LF, and so do 146 more lines; "]),
            ([], ["0 rows; expected 146"]),
        ],
    )  # fmt: skip
    def test_indices_rows_and_line_ends(self, lines: list[bytes], faults: list[str]) -> None:
        listed = found(lines).listed
        assert len(listed) == len(faults)
        assert all(fault in line for fault, line in zip(faults, listed, strict=True)), listed

    @pytest.mark.parametrize("score", [b"nan", b"inf", b"-0.001", b"5.001", b"1,5", b"1_0", b"", b"high"])
    def test_scores(self, score: bytes) -> None:
        lines = [b"index\tprediction\n", *(b"%d\t%b\n" % (row, score if row == 7 else b"2.5") for row in range(1379))]
        (fault,) = found(lines, "sts-b").listed
        assert fault == f"file.tsv, line 9: prediction {score.decode()!r}: expected a number from 0 to 5"

    def test_only_the_first_faults_are_listed_and_all_are_counted(self) -> None:
        faults = found([GOOD[0], *(line.replace(b"\t1", b"\tyes") for line in GOOD[1:])])
        assert (faults.count, len(faults.listed)) == (146, MAX_LISTED)
        assert faults.lines()[-1] == "file.tsv: 126 more faults"


@pytest.fixture
def small_qqp(monkeypatch: pytest.MonkeyPatch) -> None:
    """QQP with few test rows: its 390,965 take seconds."""
    monkeypatch.setitem(TASKS, "qqp", dataclasses.replace(TASKS["qqp"], rows={"test": 30}))


def majority() -> dict[str, list[bytes]]:
    return {name: list(majority_predictions(task)) for name, task in TASKS.items()}


@pytest.fixture
def spoiled(small_qqp: None, tmp_path: Path) -> Callable[..., list[str]]:
    """The faults of a submission in which some files are replaced; None leaves one out."""

    def faults(files: Mapping[str, bytes | None]) -> list[str]:
        path = tmp_path / "spoiled.zip"
        with zipfile.ZipFile(path, "w") as new:
            for task in TASKS.values():
                if task.prediction_file not in files:
                    new.writestr(task.prediction_file, b"".join(majority_predictions(task)))
            for name, content in files.items():
                if content is not None:
                    new.writestr(name, content)
        return [line for found in find_submission_faults(path) for line in found.lines()]

    return faults


class TestSubmission:
    def test_eleven_files_at_the_top(self, tmp_path: Path) -> None:
        path = tmp_path / "submission.zip"
        write_submission(path, majority())
        with zipfile.ZipFile(path) as archive:
            rows = {name: archive.read(name).count(b"\n") - 1 for name in archive.namelist()}
            assert all(archive.read(name).startswith(b"index\tprediction\n0\t") for name in rows)
        assert rows == FILES

    @pytest.mark.usefixtures("small_qqp")
    def test_the_same_predictions_make_the_same_bytes(self, tmp_path: Path) -> None:
        write_submission(tmp_path / "submission.zip", majority())
        write_submission(tmp_path / "again.zip", dict(reversed(majority().items())))
        assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "submission.zip").read_bytes()
        assert find_submission_faults(tmp_path / "again.zip") == []

    @pytest.mark.usefixtures("small_qqp")
    def test_one_with_faults_is_not_written(self, tmp_path: Path) -> None:
        path, predictions = tmp_path / "submission.zip", majority()
        path.write_bytes(b"older")
        with pytest.raises(UserError, match=r"not written; .* faults:\nCoLA\.tsv: 1062 rows; expected 1063") as error:
            write_submission(path, predictions | {"cola": predictions["cola"][:-1]})
        assert "CoLA.tsv: no row after index 1061" in str(error.value)
        assert path.read_bytes() == b"older" and [entry.name for entry in tmp_path.iterdir()] == ["submission.zip"]

    def test_nowhere_to_write(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(UserError, match=r"cannot be written .*; give another --out"):
            write_submission(tmp_path / "file" / "submission.zip", {"wnli": GOOD})

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({"RTE.tsv": None}, ["spoiled.zip: RTE.tsv is missing"]),
            ({"README": b"hello"}, ["spoiled.zip: README does not belong to a submission; expected CoLA.tsv, "]),
            (
                {"WNLI.tsv": None, "glue/WNLI.tsv": b"".join(GOOD)},
                ["spoiled.zip: glue/WNLI.tsv lies in a folder", "spoiled.zip: WNLI.tsv is missing"],
            ),
            ({"__MACOSX/": b""}, ["spoiled.zip: __MACOSX/ lies in a folder"]),
            ({"WNLI.tsv": b""}, ["WNLI.tsv: 0 rows; expected 146"]),
            (
                {"WNLI.tsv": b"".join(GOOD[:4]), "AX.tsv": b"".join(GOOD[:2])},
                ["WNLI.tsv: 3 rows", "WNLI.tsv: no row", "AX.tsv, line 2: prediction '1'", "AX.tsv: 1 rows", "AX.tsv"],
            ),
        ],
    )
    def test_faults(
        self, files: dict[str, bytes | None], expected: list[str], spoiled: Callable[..., list[str]]
    ) -> None:
        listed = spoiled(files)
        assert len(listed) == len(expected)
        assert all(line.startswith(start) for line, start in zip(listed, expected, strict=True)), listed

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_a_file_that_is_there_twice(self, spoiled: Callable[..., list[str]], tmp_path: Path) -> None:
        assert spoiled({}) == []
        with zipfile.ZipFile(tmp_path / "spoiled.zip", "a") as archive:
            archive.writestr("WNLI.tsv", b"".join(GOOD))
        (faults,) = find_submission_faults(tmp_path / "spoiled.zip")
        assert faults.lines() == ["spoiled.zip: WNLI.tsv is there 2 times; expected once"]

    @pytest.mark.usefixtures("small_qqp")
    def test_a_zip_that_ends_early(self, tmp_path: Path) -> None:
        path = tmp_path / "half.zip"
        write_submission(path, majority())
        path.write_bytes(path.read_bytes()[:-300])
        (faults,) = find_submission_faults(path)
        assert faults.lines()[0].startswith("half.zip: damaged, or no zip file")

    def test_a_damaged_file_inside(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("WNLI.tsv", b"".join(GOOD))
        path = tmp_path / "damaged.zip"
        path.write_bytes(buffer.getvalue().replace(b"\n7\t1\n", b"\n7\t0\n"))
        lines = [line for found in find_submission_faults(path) for line in found.lines()]
        assert lines[-1].startswith("WNLI.tsv: damaged, cannot be read (Bad CRC-32")

    def test_no_such_zip(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"nothing\.zip: no such file; expected a submission zip"):
            find_submission_faults(tmp_path / "nothing.zip")

    def test_mutations(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("WNLI.tsv", b"".join(GOOD))
        path = tmp_path / "mutated.zip"

        @mutation_settings
        @given(mutated(buffer.getvalue()))
        def check(data: bytes) -> None:
            path.write_bytes(data)
            listed = [line for faults in find_submission_faults(path) for line in faults.lines()]
            assert any("is missing" in line or "no zip file" in line for line in listed)
            assert all(len(line) < 600 for line in listed)

        check()

    def test_a_file_that_unpacks_to_far_too_much_is_not_read(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "big.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("WNLI.tsv", b"0" * (64 * 2**20 + 1))
        lines = [line for found in find_submission_faults(tmp_path / "big.zip") for line in found.lines()]
        assert any("WNLI.tsv: unpacks to 67,108,865 bytes" in line for line in lines)
