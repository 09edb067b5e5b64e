"""The measurement of distillation: which runs there are, and that one failure does not stop the others."""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from power_bert.errors import UserError
from power_bert.experiments.distillation_study import (
    DistillationStudy,
    parse_tasks,
    parse_teachers_of_tasks,
    parse_unlabelled,
    parse_ways,
    run_distillation_study,
)
from power_bert.model.student_kinds import student_defaults
from power_bert.runs.run_dir import DISTILL, PHASES, RunDir


def compare(arguments: Sequence[str]) -> None:
    """What `compare` leaves, where it is called."""
    if arguments[0] == "compare":
        folder = Path(value(arguments, "--out"))
        folder.mkdir(parents=True)
        table = "run,model,way,is_teacher,seed,split,accuracy,p50_ms\na,linear,no teacher,0,0,test,0.5,0.1\n"
        (folder / "comparison.csv").write_text(table, encoding="utf-8")


def value(arguments: Sequence[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def test_runs(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        failed = "--teacher" in arguments and "none" in arguments
        return (2, "error: no\n") if failed else (0, "")

    study = DistillationStudy({"emotion": "data"}, ("linear", "bilstm"), (0, 1), tmp_path, teacher_epochs=2)
    errors = run_distillation_study(study, Console(file=io.StringIO()), run)
    verbs = [arguments[0] for arguments in called]
    assert verbs == ["run"] * 2 + ["distill"] * 16 + ["compare", "linear-baselines"]
    assert sorted(errors) == [
        f"emotion/{name}-no_teacher-seed{seed}" for name in ("bilstm", "linear") for seed in (0, 1)
    ]
    teachers = [str(tmp_path / "emotion" / f"teacher{seed}") for seed in (0, 1)]
    assert [arguments.count("--teacher") for arguments in called].count(2) == 4
    assert all("--fine-tune-only" in arguments for arguments in called[:2])
    for name in ("emotion/comparison/gains.txt", "emotion/comparison/gains.csv", "summary.txt"):
        assert "linear" in (tmp_path / name).read_text(encoding="utf-8")
    compared = called[-2]
    assert compared[1:3] == teachers and len(compared) == 1 + 2 + 12 + 4
    augmented = [arguments for arguments in called if "--augment" in arguments]
    assert {value(arguments, "--augment-seed") for arguments in augmented} == {"0"}
    # 3 texts for 1, so a third of the epochs.
    assert {(value(arguments, "--student"), value(arguments, "--epochs")) for arguments in augmented} == {
        (student, str(round(student_defaults(student).epochs / 3))) for student in ("linear", "bilstm")
    }


def test_a_part_of_it(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        return 0, ""

    given = tmp_path / "given"
    given.mkdir()
    teachers = parse_teachers_of_tasks([f"emotion={given}"])
    study = DistillationStudy(
        {"emotion": "data"},
        ("linear",),
        (3,),
        tmp_path,
        ("no_teacher", "two_teachers"),
        teachers,
        teacher_epochs=1,
        teacher_lr_bert=2e-4,
        teacher_max_length=32,
        train_examples=50,
        epochs=4,
        max_length=64,
    )
    assert run_distillation_study(study, Console(file=io.StringIO()), run) == {}
    fine_tuned, alone, two, compared, baselines = called
    second = str(tmp_path / "emotion" / "teacher1")
    assert value(fine_tuned, "--seed") == "1" and fine_tuned[-1] == second
    assert value(fine_tuned, "--lr-bert") == "0.0002"
    assert value(fine_tuned, "--max-length") == "32" and value(alone, "--max-length") == "64"
    assert value(alone, "--epochs") == value(two, "--epochs") == "4"
    assert alone[1:3] == ["--teacher", "none"] and two[1:5] == ["--teacher", str(given), "--teacher", second]
    for arguments in (fine_tuned, alone, two, baselines):
        assert value(arguments, "--train-examples") == "50"
    # The given teacher is no run, so that it cannot be compared.
    assert compared[1] == second and str(given) not in compared


def test_students_of_a_teacher_that_failed_are_left_out(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        return (2, "error: no\n") if arguments[-1].endswith("teacher1") else (0, "")

    study = DistillationStudy({"emotion": "data"}, ("linear",), (0,), tmp_path)
    console = Console(file=io.StringIO(), width=200)
    assert list(run_distillation_study(study, console, run)) == ["emotion/teacher1"]
    distilled = [Path(value(arguments, "--out")).name for arguments in called if arguments[0] == "distill"]
    assert distilled == ["linear-no_teacher-seed0", "linear-distilled-seed0", "linear-augmented-seed0"]
    assert "left out: its teacher teacher1 has failed" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_recipe_is_for_students_with_teachers(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        return 0, ""

    recipe = {"loss": "mse", "alpha": "0.5", "temperature": "linear:4:1", "augment_copies": 5, "start": "encoder"}
    study = DistillationStudy(
        {"emotion": "data"},
        ("linear",),
        (0,),
        tmp_path,
        ("no_teacher", "distilled", "augmented"),
        epochs=12,
        epsilon=1e-4,
        **recipe,
    )
    run_distillation_study(study, Console(file=io.StringIO()), run)
    alone, distilled, augmented = (arguments for arguments in called if arguments[0] == "distill")
    assert "--loss" not in alone and "--alpha" not in alone and "--temperature" not in alone
    # Students that are compared start from the same weights.
    assert all(value(arguments, "--start") == "encoder" for arguments in (alone, distilled, augmented))
    assert all(value(arguments, "--epsilon") == "0.0001" for arguments in (alone, distilled, augmented))
    for arguments in (distilled, augmented):
        values = [value(arguments, option) for option in ("--loss", "--alpha", "--temperature")]
        assert values == ["mse", "0.5", "linear:4:1"]
    assert value(augmented, "--augment-copies") == "5" and value(augmented, "--epochs") == "2"


def test_unlabelled_texts(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        return 0, ""

    texts = tmp_path / "texts.txt"
    texts.write_text("a text\n", encoding="utf-8")
    study = DistillationStudy(
        {"emotion": "data"},
        ("linear",),
        (0,),
        tmp_path,
        ("distilled", "unlabelled"),
        unlabelled=parse_unlabelled([f"emotion={texts}"]),
        epochs=3,
    )
    assert run_distillation_study(study, Console(file=io.StringIO()), run) == {}
    distilled, unlabelled = (arguments for arguments in called if arguments[0] == "distill")
    assert "--unlabelled" not in distilled and value(unlabelled, "--unlabelled") == str(texts)
    assert unlabelled.count("--teacher") == 1 and value(unlabelled, "--epochs") == "3"


def test_runs_of_an_earlier_call_are_compared_too(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []
    runs = {
        "linear-no_teacher-seed0": DISTILL,
        "teacher0": PHASES[0],
        "linear-no_teacher-seed0.20260102-030405": DISTILL,
    }
    for name, phase in runs.items():
        finished = RunDir(tmp_path / "emotion" / name).phase(phase)
        finished.path.mkdir(parents=True)
        finished.mark_done()
    (tmp_path / "emotion" / "cnn-no_teacher-seed0" / DISTILL).mkdir(parents=True)  # not finished

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        compare(arguments)
        return 0, ""

    study = DistillationStudy({"emotion": "data"}, ("mlp",), (0,), tmp_path, ("no_teacher",))
    run_distillation_study(study, Console(file=io.StringIO()), run)
    compared = called[-2][1 : called[-2].index("--out")]
    assert [Path(folder).name for folder in compared] == ["mlp-no_teacher-seed0", "linear-no_teacher-seed0", "teacher0"]


def test_runs_of_earlier_versions_go_on_in_their_folders(tmp_path: Path) -> None:
    called: list[Sequence[str]] = []
    (tmp_path / "emotion" / "mlp-alone-seed1").mkdir(parents=True)

    def run(arguments: Sequence[str]) -> tuple[int, str]:
        called.append(arguments)
        return 1, "no"

    run_distillation_study(
        DistillationStudy({"emotion": "data"}, ("mlp",), (0, 1), tmp_path, parse_ways("alone")),
        Console(file=io.StringIO()),
        run,
    )
    folders = [Path(value(arguments, "--out")).name for arguments in called if arguments[0] == "distill"]
    assert folders == ["mlp-no_teacher-seed0", "mlp-alone-seed1"]


def test_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--ways both: unknown; expected some of no_teacher, distilled"):
        DistillationStudy({"emotion": "data"}, ("linear",), (0,), tmp_path, ("both",))
    with pytest.raises(UserError, match=r"'emotions'.*Did you mean 'emotion'"):
        DistillationStudy({"emotions": "data"}, ("linear",), (0,), tmp_path)
    with pytest.raises(UserError, match="--students is empty"):
        DistillationStudy({"emotion": "data"}, (), (0,), tmp_path)
    with pytest.raises(UserError, match="--teachers sst-2: not among the tasks emotion"):
        DistillationStudy({"emotion": "data"}, ("linear",), (0,), tmp_path, teachers={"sst-2": ("run",)})
    with pytest.raises(UserError, match="--unlabelled sst-2: not among the tasks emotion"):
        DistillationStudy({"emotion": "data"}, ("linear",), (0,), tmp_path, unlabelled={"sst-2": "texts.txt"})
    with pytest.raises(UserError, match="--ways unlabelled: no texts for emotion; give --unlabelled emotion=FILE"):
        DistillationStudy({"emotion": "data"}, ("linear",), (0,), tmp_path, ("unlabelled",))
    with pytest.raises(UserError, match=r"--unlabelled emotion=.*none: no such file"):
        parse_unlabelled([f"emotion={tmp_path / 'none'}"])
    with pytest.raises(UserError, match="expected TASK=FILE"):
        parse_unlabelled(["texts.txt"])
    with pytest.raises(UserError, match=r"no such run: .*none"):
        parse_teachers_of_tasks([f"emotion={tmp_path / 'none'}"])
    with pytest.raises(UserError, match="expected TASK=RUN or TASK=RUN,RUN"):
        parse_teachers_of_tasks(["emotion="])


def test_tasks(tmp_path: Path) -> None:
    parsed = parse_tasks([f"emotion={tmp_path}", "sst-2=tfds:glue/sst2"])
    assert parsed == {"emotion": str(tmp_path), "sst-2": "tfds:glue/sst2"}
    with pytest.raises(UserError, match="expected TASK=FOLDER"):
        parse_tasks(["emotion"])
