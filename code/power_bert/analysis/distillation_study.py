"""The measurement of distillation: teachers, students alone and distilled, on several sets and from several seeds.

Each run is a process of its own and a run folder; what is done is not done again, so a killed measurement goes on.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from power_bert.analysis.gains import write_gains, write_summary
from power_bert.errors import UserError
from power_bert.locks import writes
from power_bert.model.student_kinds import student_defaults
from power_bert.run_dir import DISTILL, PHASES, RunDir
from power_bert.text.glue_tasks import get_task
from power_bert.train.glue import explain_failure
from power_bert.train.run_folder import is_set_aside

USUAL_WAYS = ("alone", "distilled", "two_teachers", "augmented")
_UNLABELLED = "unlabelled"  # needs a file of texts
_WAYS = (*USUAL_WAYS, _UNLABELLED)
_NUM_TEACHERS = 2
# (arguments of the program) → exit status and the end of what it wrote to stderr.
RunProgram = Callable[[Sequence[str]], tuple[int, str]]


@dataclass(frozen=True)
class DistillationStudy:
    """What is measured.

    Attributes:
        tasks: name of a task → its data folder, as --data-dir takes it.
        students: names of students.
        seeds: of the students.
        out: folder of all runs: ``<out>/<task>/<run>``.
        ways: how each student learns: some of USUAL_WAYS, and "unlabelled".
        teachers: name of a task → runs that teach it. Teachers that are missing are fine-tuned, from seeds 0 and 1.
        unlabelled: name of a task → a file of texts, one a line, for the way "unlabelled".
        teacher_epochs: of fine-tuning a teacher.
        teacher_lr_bert: its LR_BERT; small encoders want more than the paper's, which are for BERT-base.
        teacher_max_length: word pieces of an example at most, for teachers that are fine-tuned; None takes the task's.
        train_examples: training examples at most, of teachers and students; None takes all.
        epochs: of every student; None takes the student's own.
        epsilon: likewise, of AdamW.
        max_length: word pieces of an example at most, for the students; None takes the student's or the task's.
        start: where the weights or embeddings of all students come from, in every way; None is at random.
        loss: of students with teachers, as of `Distillation`; None takes the default.
        alpha: likewise.
        temperature: likewise.
        augment_copies: further texts of each training text, where there is augmentation.
    """

    tasks: dict[str, str]
    students: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    ways: tuple[str, ...] = USUAL_WAYS
    teachers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unlabelled: dict[str, str] = field(default_factory=dict)
    teacher_epochs: int = 3
    teacher_lr_bert: float = 1e-4
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
            get_task(task)  # an unknown one is said before anything takes time
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
    """A run: its folder, the arguments of the program that make it, and the runs that teach it."""

    folder: Path
    arguments: list[str]
    teachers: tuple[Path, ...] = ()


@writes(lambda study, *_, **__: study.out)
def run_distillation_study(study: DistillationStudy, console: Console, run: RunProgram) -> dict[str, str]:
    """Run everything that is not done yet, then compare the runs of each task.

    Args:
        study: what is measured.
        console: where to say what goes on.
        run: runs this program.

    Returns:
        Name of what failed → its error. One failure does not stop the others, but for the students of a teacher.
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
                console.print(f"left out: {', '.join(missing)}, which is to teach it, has failed", markup=False)
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
    """Finished runs of earlier measurements in the same folder, with other students or ways."""
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
    """Each student in each way and from every seed."""
    jobs = []
    for student, way, seed in itertools.product(study.students, study.ways, study.seeds):
        folder = study.out / task / f"{student}-{way}-seed{seed}"
        settings = ["--task", task, "--data-dir", data_dir, "--student", student, "--seed", str(seed)]
        settings += [*_option("--train-examples", study.train_examples), *_option("--max-length", study.max_length)]
        settings += [*_option("--epsilon", study.epsilon), *_option("--start", study.start)]
        settings += ["--logits", str(_logits_folder(study, task)), "--out", str(folder)]
        epochs = study.epochs or student_defaults(student).epochs
        chosen = tuple(teachers[: {"alone": 0, "two_teachers": _NUM_TEACHERS}.get(way, 1)])
        jobs.append(_Job(folder, ["distill", *_way_arguments(study, task, way, epochs, chosen), *settings], chosen))
    return jobs


def _way_arguments(study: DistillationStudy, task: str, way: str, epochs: int, teachers: Sequence[Path]) -> list[str]:
    """What decides how a student learns; `epochs` are those without augmentation."""
    if not teachers:
        return ["--teacher", "none", "--epochs", str(epochs)]
    arguments = [part for teacher in teachers for part in ("--teacher", str(teacher))]
    arguments += [*_option("--loss", study.loss), *_option("--alpha", study.alpha)]
    arguments += _option("--temperature", study.temperature)
    if way == "augmented":
        # About as many updates as without augmentation, and the same texts for every seed: they are labelled once.
        epochs = max(1, round(epochs / (1 + study.augment_copies)))
        copies = str(study.augment_copies)
        arguments += ["--augment", "mask,class,ngram", "--augment-copies", copies, "--augment-seed", "0"]
    elif way == _UNLABELLED:
        arguments += ["--unlabelled", study.unlabelled[task]]
    return [*arguments, "--epochs", str(epochs)]


def _teachers_needed(study: DistillationStudy) -> int:
    if "two_teachers" in study.ways:
        return _NUM_TEACHERS
    return 0 if study.ways == ("alone",) else 1


def _option(name: str, value: float | str | None) -> list[str]:
    """The arguments of an option; none where it is not given."""
    return [] if value is None else [name, str(value)]


def _logits_folder(study: DistillationStudy, task: str) -> Path:
    return study.out / task / "teacher_logits"


def parse_tasks(given: Sequence[str]) -> dict[str, str]:
    """Tasks and their data folders from "emotion=data/emotion".

    Raises:
        UserError: a text of another form.
    """
    tasks = {}
    for text in given:
        name, is_pair, folder = text.partition("=")
        if not is_pair or not name or not folder:
            raise UserError(f"{text}: expected TASK=FOLDER, as in emotion=data/emotion")
        tasks[name] = folder if folder.startswith("tfds:") else os.path.abspath(folder)
    return tasks


def parse_unlabelled(given: Sequence[str]) -> dict[str, str]:
    """Tasks and their files of texts from "emotion=texts.txt".

    Raises:
        UserError: a text of another form, or a file that is not there.
    """
    files = {}
    for text in given:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UserError(f"--unlabelled {text}: expected TASK=FILE, as in emotion=texts.txt")
        if not Path(path).is_file():
            raise UserError(f"--unlabelled {text}: no such file; expected a text a line")
        files[name] = os.path.abspath(path)
    return files


def parse_teachers_of_tasks(given: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Tasks and the runs that teach them from "emotion=runs/one,runs/two".

    Raises:
        UserError: a text of another form, or a run that is not there.
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
