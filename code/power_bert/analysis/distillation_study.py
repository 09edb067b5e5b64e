"""The measurement of distillation: teachers, students alone and distilled, on several sets and from several seeds.

Each run is a process of its own and a run folder; what is done is not done again, so a killed measurement goes on.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from power_bert.errors import UserError
from power_bert.files import atomic_write_text
from power_bert.train.glue import run_as_process

_COPIES = 2  # of each training text, where there is augmentation
_NUM_TEACHERS = 2
# (arguments of the program) → exit status and the end of what it wrote to stderr.
RunProgram = Callable[[Sequence[str]], tuple[int, str]]


@dataclass(frozen=True)
class DistillationStudy:
    """What is measured.

    Attributes:
        tasks: name of a task → its data folder, as --data-dir takes it.
        students: names of students.
        seeds: of the students; the teachers have seeds 0 and 1.
        out: folder of all runs: ``<out>/<task>/<run>``.
        teacher_epochs: of fine-tuning a teacher.
    """

    tasks: dict[str, str]
    students: tuple[str, ...]
    seeds: tuple[int, ...]
    out: Path
    teacher_epochs: int


def run_distillation_study(
    study: DistillationStudy, console: Console, run_program: RunProgram | None = None
) -> dict[str, str]:
    """Run everything that is not done yet, then compare the runs of each task.

    Args:
        study: what is measured.
        console: where to say what goes on.
        run_program: runs this program; None for a process of its own.

    Returns:
        Name of what failed → its error. One failure does not stop the others.
    """
    errors: dict[str, str] = {}
    run = run_program or (lambda arguments: run_as_process(arguments, os.environ))
    for task, data_dir in study.tasks.items():
        folder = study.out / task
        jobs = [*_teacher_jobs(study, task, data_dir), *_student_jobs(study, task, data_dir)]
        done = []
        for number, (name, arguments) in enumerate(jobs, start=1):
            console.print(f"\n=== {task}: {name}, run {number} of {len(jobs)}", markup=False)
            status, error = run(arguments)
            if status == 0:
                done.append(folder / name)
            else:
                errors[f"{task}/{name}"] = error.strip() or f"ended with status {status}"
        if done:
            _report(task, data_dir, done, folder / "comparison", console, run, errors)
    return errors


def _report(
    task: str,
    data_dir: str,
    runs: Sequence[Path],
    out: Path,
    console: Console,
    run: RunProgram,
    errors: dict[str, str],
) -> None:
    console.print(f"\n=== {task}: comparing {len(runs)} runs", markup=False)
    for name, arguments in {
        "comparison": ["compare", *map(str, runs), "--out", str(out)],
        "linear baselines": ["linear-baselines", "--task", task, "--data-dir", data_dir, "--out", str(out)],
    }.items():
        status, error = run(arguments)
        if status:
            errors[f"{task}/{name}"] = error.strip() or f"ended with status {status}"


def _teacher_jobs(study: DistillationStudy, task: str, data_dir: str) -> list[tuple[str, list[str]]]:
    return [
        (
            f"teacher{seed}",
            [
                *("run", "--task", task, "--data-dir", data_dir, "--seed", str(seed), "--fine-tune-only"),
                *("--epoch", str(study.teacher_epochs), "--output-dir", str(study.out / task / f"teacher{seed}")),
                # Small encoders want a larger rate than the paper's, which are for BERT-base.
                *("--lr-bert", "1e-4"),
            ],
        )
        for seed in range(_NUM_TEACHERS)
    ]


def _student_jobs(study: DistillationStudy, task: str, data_dir: str) -> list[tuple[str, list[str]]]:
    """Each student alone, with one teacher, with two, and with one and augmentation; from every seed."""
    teachers = [str(study.out / task / f"teacher{seed}") for seed in range(_NUM_TEACHERS)]
    augmented = ["--augment", "mask,class,ngram", "--augment-copies", str(_COPIES)]
    ways = {
        "alone": ["--teacher", "none"],
        "distilled": ["--teacher", teachers[0]],
        "two_teachers": [part for teacher in teachers for part in ("--teacher", teacher)],
        "augmented": ["--teacher", teachers[0], *augmented],
    }
    jobs = []
    for student, (way, arguments), seed in itertools.product(study.students, ways.items(), study.seeds):
        name = f"{student}-{way}-seed{seed}"
        settings = ["--task", task, "--data-dir", data_dir, "--student", student, "--seed", str(seed)]
        out = ["--out", str(study.out / task / name)]
        jobs.append((name, ["distill", *arguments, *settings, *out]))
    return jobs


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


def write_baselines(out: Path, text: str) -> Path:
    """``linear_baselines.txt``."""
    path = out / "linear_baselines.txt"
    atomic_write_text(path, text)
    return path
