"""Commands for distillation: what they refuse before any work is done, and what they pass on."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from power_bert.commands.distill import parse_teachers
from power_bert.config.distillation import resolve_distillation
from power_bert.config.values import Schedule
from power_bert.errors import UserError
from power_bert.experiments.distillation_study import USUAL_WAYS, DistillationStudy
from power_bert.folders import LOGITS_FOLDER

Refused = Callable[..., str]
Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]
StandIn = Callable[..., Calls]
Call = Callable[..., tuple[int, str]]

LABELED = "".join(
    f"{sentence}\t{label}\n" for sentence, label in (("red rose", 1), ("blue sky", 0), ("red hat", 1)) * 4
)


class TestTeachers:
    def test_some_or_none(self) -> None:
        assert parse_teachers(["one", "two"]) == ("one", "two")
        assert parse_teachers(["none"]) == ()

    def test_neither_a_teacher_nor_none(self) -> None:
        with pytest.raises(UserError, match=r"^--teacher is missing: give a teacher, or `--teacher none` to train"):
            parse_teachers([])
        with pytest.raises(UserError, match=r"^--teacher one, none: 'none' stands for no teacher; leave it or the"):
            parse_teachers(["one", "none"])


class TestDistill:
    @pytest.fixture
    def distilled(self, stand_in: StandIn) -> Calls:
        stand_in("power_bert.reports.finish_run.finish_with_card")
        return stand_in("power_bert.distill.run_distillation.distill", SimpleNamespace())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ((), "--teacher is missing"),
            (("--teacher", "none", "--student", "lstm"), "student 'lstm' is unknown: expected one of"),
            (("--teacher", "none", "--augment", "mask"), "--augment needs a teacher"),
            (("--teacher", "t", "--set", "units"), "--set units: expected NAME=VALUE"),
            (("--teacher", "t", "--alpha", "2"), "--alpha 2: expected a weight from 0 to 1"),
            (("--teacher", "t", "--epochs", "0"), "--epochs=0 is out of range: expected a whole number of epochs"),
        ],
    )
    def test_bad_settings_leave_no_run_folder(
        self, options: tuple[str, ...], message: str, refused: Refused, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        assert refused("distill", "--task", "emotion", *options, "--out", out).startswith(message)
        assert list(tmp_path.iterdir()) == []

    def test_what_it_passes_on(self, call: Call, distilled: Calls, tmp_path: Path) -> None:
        options: tuple[str, ...] = (
            "--teacher",
            "one",
            "--teacher",
            "two",
            "--task",
            "emotion",
            "--student",
            "cnn",
            "--seed",
            "3",
        )
        options += ("--set", "dropout=0.2", "--set", "filters=64", "--temperature", "linear:4:1", "--augment", "mask")
        call("distill", *options, "--out", tmp_path / "run", "--no-resume", "--no-pred-glue", "--logits", "cache")
        call("distill", "--teacher", "none", "--task", "emotion", "--out", tmp_path / "alone")
        (settings, *flags), (alone, *usual) = (arguments for arguments, _ in distilled)
        given = {"student": "cnn", "seed": 3, "teachers": ("one", "two"), "temperature": "linear:4:1"}
        given |= {"augment": "mask", "student_options": {"dropout": 0.2, "filters": 64}, "task": "emotion"}
        assert settings == resolve_distillation({**given, "output_dir": str(tmp_path / "run")})
        assert settings.temperature == Schedule("linear", 4.0, 1.0)
        assert flags == [False, None, False, Path("cache")]
        assert alone.teachers == () and usual == [True, None, True, LOGITS_FOLDER]

    def test_settings_of_run_are_not_its_own(self, call: Call, distilled: Calls, tmp_path: Path) -> None:
        out = ("--out", tmp_path / "run")
        call(
            "distill", "--teacher", "none", "--task", "emotion", *out, TASK="mrpc", EPOCH="9", BATCH_SIZE="9", SEED="9"
        )
        ((settings, *_), _) = distilled[0]
        assert settings == resolve_distillation({"task": "emotion", "output_dir": str(tmp_path / "run")})


def test_compare_passes_its_options_on(call: Call, stand_in: StandIn, tmp_path: Path) -> None:
    from power_bert.experiments.compare_runs import Options

    compared = stand_in("power_bert.experiments.compare_runs.compare_runs", ["figures"])
    shown = stand_in("power_bert.experiments.comparison_report.comparison_text", "shown")
    written = stand_in("power_bert.experiments.comparison_report.write_comparison", "written")
    assert call("compare", "a", "b") == (0, "shown\n") and shown == [((["figures"],), {})]
    options = ("--split", "dev", "--teacher", "t", "--length", "32", "--quantize", "int8", "--timed-runs", "9")
    status, output = call("compare", "a", *options, "--data-dir", tmp_path, "--out", tmp_path / "o", THREADS="1")
    assert (status, output) == (0, "written\n") and written == [((tmp_path / "o", ["figures"]), {})]
    (runs, first, _, logits), (_, second, *_) = (arguments for arguments, _ in compared)
    assert (runs, logits) == ([Path("a"), Path("b")], LOGITS_FOLDER)
    assert first == Options(None, None, None, "none", 2, 200, None)
    assert second == Options("dev", "t", 32, "int8", 1, 9, str(tmp_path))


@pytest.mark.parametrize("options", [("--length", "4"), ("--threads", "0"), ("--timed-runs", "0"), ("--split", "all")])
def test_compare_refuses_what_is_out_of_range(options: tuple[str, str], call: Call) -> None:
    status, output = call("compare", "a", *options)
    assert status == 2 and options[0] in output


class TestMeasureDistillation:
    @pytest.fixture
    def studies(self, stand_in: StandIn) -> Calls:
        return stand_in("power_bert.experiments.distillation_study.run_distillation_study", {})

    def test_defaults(self, call: Call, studies: Calls, tmp_path: Path) -> None:
        assert call("measure-distillation", f"emotion={tmp_path}", "--out", tmp_path / "study") == (0, "")
        students = ("bert-tiny", "bilstm", "cnn", "linear", "mlp")
        expected = DistillationStudy({"emotion": str(tmp_path)}, students, (0, 1, 2), tmp_path / "study", USUAL_WAYS)
        assert studies[0][0][0] == expected

    def test_what_it_passes_on(self, call: Call, studies: Calls, tmp_path: Path) -> None:
        (tmp_path / "texts.txt").write_text("one\n")
        options: tuple[str, ...] = (
            "--students",
            "cnn, mlp",
            "--seeds",
            "4,5",
            "--ways",
            "alone,unlabelled",
            "--epochs",
            "2",
        )
        options += ("--teacher-epochs", "6", "--teacher-lr-bert", "2e-4", "--alpha", "linear:1:0", "--loss", "mse")
        files = ("--teachers", f"emotion={tmp_path}", "--unlabelled", f"emotion={tmp_path / 'texts.txt'}")
        call("measure-distillation", f"emotion={tmp_path}", *options, *files, "--out", tmp_path / "study")
        study = studies[0][0][0]
        assert (study.students, study.seeds, study.ways) == (("cnn", "mlp"), (4, 5), ("no_teacher", "unlabelled"))
        assert (study.epochs, study.alpha, study.loss, study.start) == (2, "linear:1:0", "mse", None)
        assert (study.teacher_epochs, study.teacher_lr_bert, study.teacher_max_length) == (6, 2e-4, None)
        assert study.teachers == {"emotion": (str(tmp_path),)}
        assert study.unlabelled == {"emotion": str(tmp_path / "texts.txt")}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--students", "cnn,lstm"), "student 'lstm' is unknown"),
            (("--students", " , "), "--students is empty: give at least one"),
            (("--seeds", "0,x"), "--seeds 0,x: expected whole numbers"),
            (("--seeds", "0,-1"), "--seed=-1 is out of range: expected a whole number from 0"),
            (("--ways", "alone,both"), "--ways both: unknown; expected some of no_teacher"),
            (("--alpha", "2"), "--alpha 2: expected a weight from 0 to 1"),
            (("--loss", "mae"), "--loss='mae' is unknown: expected one of kl, mse"),
            (("--teacher-epochs", "0"), "EPOCH=0 is out of range"),
            (("--teacher-max-length", "4"), "MAX_LENGTH=4 is out of range"),
            (("--teachers", "sst-2=."), "--teachers sst-2: not among the tasks emotion"),
            (("--ways", "unlabelled"), "--ways unlabelled: no texts for emotion; give --unlabelled emotion=FILE"),
        ],
    )
    def test_a_bad_value_is_found_before_the_first_run(
        self,
        options: tuple[str, str],
        message: str,
        refused: Refused,
        studies: Calls,
        tmp_path: Path,
    ) -> None:
        text = refused("measure-distillation", f"emotion={tmp_path}", *options, "--out", tmp_path / "study")
        assert text.startswith(message)
        assert studies == [] and list(tmp_path.iterdir()) == []

    def test_failed_runs_are_listed(self, call: Call, stand_in: StandIn, tmp_path: Path) -> None:
        stand_in("power_bert.experiments.distillation_study.run_distillation_study", {"emotion/teacher0": "no disk"})
        status, output = call("measure-distillation", f"emotion={tmp_path}", "--out", tmp_path / "study")
        assert status == 1 and "failed: emotion/teacher0: no disk" in output


class TestLinearBaselines:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        for split in ("train", "dev"):
            (tmp_path / f"{split}.tsv").write_text(f"sentence\tlabel\n{LABELED}")
        (tmp_path / "test.tsv").write_text("index\tsentence\n0\tred\n")
        return tmp_path

    def test_scores_and_files(self, data: Path, call: Call) -> None:
        status, output = call("linear-baselines", "--task", "sst-2", "--data-dir", data, "--out", data / "scores")
        least_squares, logistic, path = output.splitlines()
        assert status == 0 and path == str(data / "scores" / "linear_baselines.txt")
        assert "  dev  accuracy 100.00" in least_squares and logistic.startswith("logistic regression")
        table = (data / "scores" / "linear_baselines.csv").read_text().splitlines()
        assert table[0] == "baseline,split,accuracy,macro_f1" and table[1] == "least squares,dev,1.0,1.0"

    def test_what_has_no_baselines(self, data: Path, refused: Refused) -> None:
        given = ("linear-baselines", "--data-dir", data)
        assert "the test data of sst-2 have no labels; give --split dev" in refused(
            *given, "--task", "sst-2", "--split", "test"
        )
        assert refused(*given, "--task", "sst").startswith("Unknown task 'sst'. Did you mean 'sst-2'?")
        (data / "dev.tsv").unlink()
        assert f"{data / 'dev.tsv'}: no such file" in refused(*given, "--task", "sst-2")
        assert refused(*given, "--task", "sts-b", "--split", "dev").startswith("sts-b has scores, not classes")
