"""Measure distillation: teachers, and students with and without a teacher, on several data sets and seeds.

Each run is its own process with its own run directory. Finished runs are kept, so a killed measurement is resumed.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from power_bert.child_processes import explain_failure
from power_bert.config.values import parse_names
from power_bert.errors import UserError
from power_bert.experiments.gains import write_gains, write_summary
from power_bert.model.student_kinds import student_defaults
from power_bert.runs.run_dir import DISTILL, PHASES, RunDir
from power_bert.runs.run_folder import is_set_aside
from power_bert.storage.locks import writes
from power_bert.text.glue_tasks import get_task

NO_TEACHER = "no_teacher"
_EARLIER_NAME = "alone"  # of this variant
USUAL_WAYS = (NO_TEACHER, "distilled", "two_teachers", "augmented")
_UNLABELLED = "unlabelled"  # needs a file of texts
_WAYS = (*USUAL_WAYS, _UNLABELLED)
_NUM_TEACHERS = 2
# Maps the arguments of the program to its exit status and the end of its stderr.
RunProgram = Callable[[Sequence[str]], tuple[int, str]]


@dataclass(frozen=True)
class DistillationStudy:
    """Settings of a measurement of distillation.

    Attributes:
        tasks: Name of each task → its data folder, as --data-dir takes it.
        students: Names of the students.
        seeds: Seeds of the students.
        out: Folder of all runs: ``<out>/<task>/<run>``.
        ways: Variants in which each student is trained: some of USUAL_WAYS, and "unlabelled".
        teachers: Name of a task → run directories of its teachers. Missing teachers are fine-tuned from seeds 0 and 1.
        unlabelled: Name of a task → a file with one text per line, for the variant "unlabelled".
        teacher_epochs: Epochs of fine-tuning a teacher.
        teacher_lr_bert: Peak learning rate of fine-tuning a teacher; None takes that of the task and encoder.
        teacher_max_length: Max length of the teachers that are fine-tuned; None takes that of the task.
        train_examples: Largest number of training examples of teachers and students; None takes all.
        epochs: Epochs of every student; None takes the default of the student.
        epsilon: AdamW's epsilon for every student; None takes the default of the student.
        max_length: Max length of the students; None takes that of the student or of the task.
        start: Checkpoint of the initial weights or embeddings of all students, in every variant; None initializes them
            at random.
        loss: Loss of students with teachers, as in `Distillation`; None takes the default.
        alpha: Weight of the labels for students with teachers, as in `Distillation`; None takes the default.
        temperature: Temperature for students with teachers, as in `Distillation`; None takes the default.
        augment_copies: Number of augmented copies of each training text, in the variant "augmented".
    """

    tasks: dict[str, str]
    students: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    ways: tuple[str, ...] = USUAL_WAYS
    teachers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unlabelled: dict[str, str] = field(default_factory=dict)
    teacher_epochs: int = 3
    teacher_lr_bert: float | None = None
    teacher_max_length: int | None = None
    train_examples: int | None = None
    epochs: int | None = None
    epsilon: float | None = None
    max_length: int | None = None
    start: str | None = None
    loss: str | None = None
    alpha: str | None = None
    temperature: str | None = None
    augment_copies: int = 2

    def __post_init__(self) -> None:
        if unknown := [way for way in self.ways if way not in _WAYS]:
            raise UserError(f"--ways {', '.join(unknown)}: unknown; expected some of {', '.join(_WAYS)}")
        for task in self.tasks:
            get_task(task)  # fails fast if it is unknown
        for name, of_tasks in (("--teachers", self.teachers), ("--unlabelled", self.unlabelled)):
            if strangers := sorted(set(of_tasks) - set(self.tasks)):
                raise UserError(f"{name} {', '.join(strangers)}: not among the tasks {', '.join(self.tasks)}")
        if _UNLABELLED in self.ways and (bare := [task for task in self.tasks if task not in self.unlabelled]):
            raise UserError(f"--ways {_UNLABELLED}: no texts for {', '.join(bare)}; give --unlabelled {bare[0]}=FILE")
        for name, given in (("--students", self.students), ("--seeds", self.seeds), ("--ways", self.ways)):
            if not given:
                raise UserError(f"{name} is empty: give at least one")


@dataclass(frozen=True)
class _Job:
    """A run: its directory, the arguments of this program that make it, and the runs of its teachers."""

    folder: Path
    arguments: list[str]
    teachers: tuple[Path, ...] = ()


@writes(lambda study, *_, **__: study.out)
def run_distillation_study(study: DistillationStudy, console: Console, run: RunProgram) -> dict[str, str]:
    """Run everything that is not done yet, then compare the runs of each task.

    Args:
        study: Measurement to make.
        console: Console for progress.
        run: Runs this program.

    Returns:
        Name of each run or report that failed → its error. A failure stops no other run, except that the students of a
        failed teacher are left out.
    """
    errors: dict[str, str] = {}
    for task, data_dir in study.tasks.items():
        given = [Path(teacher) for teacher in study.teachers.get(task, ())]
        trained = _teacher_jobs(study, task, data_dir)[len(given) :]
        teachers = [*given, *(job.folder for job in trained)]
        jobs = [*trained, *_student_jobs(study, task, data_dir, teachers)]
        done = [folder for folder in given if RunDir(folder).holds_run]  # a preset cannot be compared
        failed: set[Path] = set()
        for number, job in enumerate(jobs, start=1):
            console.print(f"\n=== {task}: {job.folder.name}, run {number} of {len(jobs)}", markup=False)
            if missing := [teacher.name for teacher in job.teachers if teacher in failed]:
                console.print(f"left out: its teacher {', '.join(missing)} has failed", markup=False)
                continue
            status, error = run(job.arguments)
            if status == 0:
                done.append(job.folder)
            else:
                failed.add(job.folder)
                errors[f"{task}/{job.folder.name}"] = explain_failure(status, error)
        runs = list(dict.fromkeys([*done, *_finished_runs(study.out / task)]))
        if runs:
            _report(study, task, data_dir, runs, console, run, errors)
    try:
        console.print(f"\n=== all tasks\n{write_summary(study.out)}", markup=False)
    except UserError as error:
        errors["summary"] = str(error)
    return errors


def _finished_runs(folder: Path) -> list[Path]:
    """Return the finished runs in a folder, also those of earlier measurements with other students or variants."""
    folders = sorted(folder.iterdir()) if folder.is_dir() else []
    runs = [RunDir(path) for path in folders if not is_set_aside(path)]
    return [run.path for run in runs if any(run.phase(phase).is_done for phase in (PHASES[0], DISTILL))]


def _report(
    study: DistillationStudy,
    task: str,
    data_dir: str,
    runs: Sequence[Path],
    console: Console,
    run: RunProgram,
    errors: dict[str, str],
) -> None:
    console.print(f"\n=== {task}: comparing {len(runs)} runs", markup=False)
    folder = study.out / task / "comparison"
    out, limit = ["--out", str(folder)], _option("--train-examples", study.train_examples)
    reports = {"comparison": ["compare", *map(str, runs), *out, "--logits", str(_logits_folder(study, task))]}
    if not get_task(task).is_regression:
        reports["linear baselines"] = ["linear-baselines", "--task", task, "--data-dir", data_dir, *limit, *out]
    for name, arguments in reports.items():
        status, output = run(arguments)
        if status:
            errors[f"{task}/{name}"] = explain_failure(status, output)
    if f"{task}/comparison" not in errors:
        try:
            console.print(f"\n{write_gains(folder)}", markup=False)
        except UserError as error:
            errors[f"{task}/gains"] = str(error)


def _teacher_jobs(study: DistillationStudy, task: str, data_dir: str) -> list[_Job]:
    settings = ["--task", task, "--data-dir", data_dir, "--fine-tune-only"]
    settings += [*_option("--epoch", study.teacher_epochs), *_option("--lr-bert", study.teacher_lr_bert)]
    settings += _option("--max-length", study.teacher_max_length)
    settings += _option("--train-examples", study.train_examples)
    folders = [study.out / task / f"teacher{seed}" for seed in range(_teachers_needed(study))]
    return [
        _Job(folder, ["run", *settings, "--seed", str(seed), "--output-dir", str(folder)])
        for seed, folder in enumerate(folders)
    ]


def _student_jobs(study: DistillationStudy, task: str, data_dir: str, teachers: Sequence[Path]) -> list[_Job]:
    """Return the runs of each student in each variant and from each seed."""
    jobs = []
    for student, way, seed in itertools.product(study.students, study.ways, study.seeds):
        folder = _student_folder(study.out / task, student, way, seed)
        settings = ["--task", task, "--data-dir", data_dir, "--student", student, "--seed", str(seed)]
        settings += [*_option("--train-examples", study.train_examples), *_option("--max-length", study.max_length)]
        settings += [*_option("--epsilon", study.epsilon), *_option("--start", study.start)]
        settings += ["--logits", str(_logits_folder(study, task)), "--out", str(folder)]
        epochs = study.epochs or student_defaults(student).epochs
        chosen = tuple(teachers[: {NO_TEACHER: 0, "two_teachers": _NUM_TEACHERS}.get(way, 1)])
        jobs.append(_Job(folder, ["distill", *_way_arguments(study, task, way, epochs, chosen), *settings], chosen))
    return jobs


def _student_folder(folder: Path, student: str, way: str, seed: int) -> Path:
    earlier = folder / f"{student}-{_EARLIER_NAME}-seed{seed}"
    return earlier if way == NO_TEACHER and earlier.exists() else folder / f"{student}-{way}-seed{seed}"


def _way_arguments(study: DistillationStudy, task: str, way: str, epochs: int, teachers: Sequence[Path]) -> list[str]:
    """Return the arguments of a variant; `epochs` is the number of epochs without augmentation."""
    if not teachers:
        return ["--teacher", "none", "--epochs", str(epochs)]
    arguments = [part for teacher in teachers for part in ("--teacher", str(teacher))]
    arguments += [*_option("--loss", study.loss), *_option("--alpha", study.alpha)]
    arguments += _option("--temperature", study.temperature)
    if way == "augmented":
        # About as many training steps as without augmentation. All seeds use the same texts, which are labeled once.
        epochs = max(1, round(epochs / (1 + study.augment_copies)))
        copies = str(study.augment_copies)
        arguments += ["--augment", "mask,class,ngram", "--augment-copies", copies, "--augment-seed", "0"]
    elif way == _UNLABELLED:
        arguments += ["--unlabelled", study.unlabelled[task]]
    return [*arguments, "--epochs", str(epochs)]


def _teachers_needed(study: DistillationStudy) -> int:
    if "two_teachers" in study.ways:
        return _NUM_TEACHERS
    return 0 if study.ways == (NO_TEACHER,) else 1


def _option(name: str, value: float | str | None) -> list[str]:
    """Return the arguments of an option; none if it is not given."""
    return [] if value is None else [name, str(value)]


def _logits_folder(study: DistillationStudy, task: str) -> Path:
    return study.out / task / "teacher_logits"


def parse_ways(given: str) -> tuple[str, ...]:
    """Parse the names of variants, separated by commas; the earlier name of one is still known."""
    return tuple(NO_TEACHER if name == _EARLIER_NAME else name for name in parse_names(given))


def parse_tasks(given: Sequence[str]) -> dict[str, str]:
    """Parse texts such as "emotion=data/emotion" to tasks and their data folders.

    Raises:
        UserError: A text has another form.
    """
    tasks = {}
    for text in given:
        name, is_pair, folder = text.partition("=")
        if not is_pair or not name or not folder:
            raise UserError(f"{text}: expected TASK=FOLDER, as in emotion=data/emotion")
        tasks[name] = folder if folder.startswith("tfds:") else os.path.abspath(folder)
    return tasks


def parse_unlabelled(given: Sequence[str]) -> dict[str, str]:
    """Parse texts such as "emotion=texts.txt" to tasks and their files.

    Raises:
        UserError: A text has another form, or a file does not exist.
    """
    files = {}
    for text in given:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UserError(f"--unlabelled {text}: expected TASK=FILE, as in emotion=texts.txt")
        if not Path(path).is_file():
            raise UserError(f"--unlabelled {text}: no such file; expected one text per line")
        files[name] = os.path.abspath(path)
    return files


def parse_teachers_of_tasks(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parse texts such as "emotion=runs/one,runs/two" to tasks and the runs of their teachers.

    Raises:
        UserError: A text has another form, or a run does not exist.
    """
    teachers: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, _, listed = text.partition("=")
        runs = [run.strip() for run in listed.split(",") if run.strip()]
        if not name or not 1 <= len(runs) <= _NUM_TEACHERS:
            raise UserError(f"--teachers {text}: expected TASK=RUN or TASK=RUN,RUN, as in emotion=runs/one,runs/two")
        if missing := [run for run in runs if not Path(run).is_dir()]:
            raise UserError(f"--teachers {text}: no such run: {', '.join(missing)}")
        teachers[name] = tuple(os.path.abspath(run) for run in runs)
    return teachers
