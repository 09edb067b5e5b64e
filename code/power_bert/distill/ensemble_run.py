"""Make a run directory that holds the ensemble of several finished runs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from power_bert.config.distillation import Ensemble
from power_bert.config.validation import CUSTOM_SETTINGS
from power_bert.errors import UserError
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import plain_tokenizer, tokenizer_of
from power_bert.model.students.build_student import build_student
from power_bert.model.students.ensemble import EnsembleBackbone
from power_bert.predict.example_predictor import to_predictions
from power_bert.predict.metrics import compute_scores, format_scores
from power_bert.predict.predict_texts import Predictor
from power_bert.predict.predicting_test_sets import write_missing_predictions
from power_bert.predict.score_warnings import warn_of_constant
from power_bert.runs.resolve_model import StoredPhase, find_stored_phase
from power_bert.runs.run_dir import DISTILL, PhaseDir, RunDir, write_run_json
from power_bert.runs.run_folder import check_run_dir, set_run_aside
from power_bert.storage.files import atomic_directory
from power_bert.storage.locks import writes
from power_bert.text.examples import read_examples
from power_bert.text.predictions import read_predictions, write_predictions
from power_bert.text.task import Task
from power_bert.train.run_experiment import write_run_description


@writes(lambda members, out, *_, **__: out)
def make_ensemble(
    members: Sequence[Path],
    out: Path,
    console: Console,
    predict_test: bool = True,
    resume: bool = True,
    data_dir: str | None = None,
) -> RunDir:
    """Average the members' probabilities (or scores) in one model, and write it with its dev score as a run directory.

    An existing ensemble of the same members is rebuilt, because they may have been trained again.

    Args:
        members: Run directories of finished runs with the same task and the same tokenizer.
        out: Run directory of the ensemble.
        console: Console for messages.
        predict_test: Whether to write test predictions in GLUE's format.
        resume: Whether to keep an earlier run in `out`; False moves it aside.
        data_dir: Data of the members; None takes the stored data directory of the first.

    Raises:
        UserError: There are fewer than two members, they do not fit together, or `out` holds another run.
    """
    runs = [find_stored_phase(member, data_dir=data_dir) for member in members]
    classifiers = [run.load_classifier() for run in runs]
    _check_members(runs, classifiers)
    first = runs[0].experiment
    settings = Ensemble(
        task=first.task,
        data_dir=first.data_dir,
        output_dir=str(out.absolute()),
        members=tuple(str(member.absolute()) for member in members),
        batch_size=first.batch_size,
        max_length=min(run.experiment.max_length for run in runs),
        **{name: getattr(first, name) for name in CUSTOM_SETTINGS},
    )
    run_dir = check_run_dir(settings, resume)
    task, phase_dir = settings.task_definition, run_dir.phase(DISTILL)
    dev = read_examples(task, "dev", settings.data_dir)
    if dev.labels is None:
        raise UserError(f"{settings.data_dir}: the dev data of {task.name} have no labels")
    classifier = _average(classifiers, settings.max_length)
    predictions = to_predictions(task, Predictor(classifier, settings.max_length).outputs(dev))
    if not resume:
        set_run_aside(run_dir)
    if phase_dir.path.exists():
        shutil.rmtree(phase_dir.path)  # predictions and scores of the ensemble's previous weights
    write_run_description(settings, run_dir)
    with atomic_directory(phase_dir.model) as folder:
        classifier.save_to_preset(str(folder))
    write_predictions(phase_dir.predictions("dev"), task, predictions)
    scores = compute_scores(task.metrics, dev.labels, read_predictions(phase_dir.predictions("dev"), task))
    warnings = list(warn_of_constant(task, dev.labels, scores))
    _write_metrics(phase_dir, task, scores, warnings, int(classifier.count_params()))
    phase_dir.mark_done()
    console.print(f"ensemble of {len(runs)}: dev {format_scores(scores)}", markup=False)
    for warning in warnings:
        console.print(f"ensemble: warning: {warning}", markup=False)
    if predict_test:
        write_missing_predictions(settings, phase_dir, console)
    return run_dir


def _check_members(runs: Sequence[StoredPhase], classifiers: Sequence[PowerBertTextClassifier]) -> None:
    if len(runs) < 2:
        raise UserError("an ensemble needs at least two runs")
    first, tokenizer = runs[0], plain_tokenizer(classifiers[0])
    for run, classifier in zip(runs[1:], classifiers[1:], strict=True):
        if run.task != first.task:
            raise UserError(
                f"{run.run_dir.path} is a run of {run.task.name}, and {first.run_dir.path} one of {first.task.name}; "
                "an ensemble has one task"
            )
        if not plain_tokenizer(classifier).reads_as(tokenizer):
            raise UserError(
                f"{run.run_dir.path} and {first.run_dir.path} have different tokenizers; train them with one "
                "--vocabulary"
            )


def _average(classifiers: Sequence[PowerBertTextClassifier], max_length: int) -> PowerBertTextClassifier:
    first = classifiers[0]
    return build_student(
        EnsembleBackbone.of(classifiers),
        tokenizer_of(first),
        max_length,
        first.num_classes,
        first.labels,
        dropout=0.0,
    )


def _write_metrics(
    phase_dir: PhaseDir, task: Task, scores: dict[str, float], warnings: list[str], parameters: int
) -> None:
    metrics = {
        "phase": DISTILL,
        "metric": task.metrics[0],
        "scores": scores,
        "warnings": warnings,
        "parameters": parameters,
    }
    write_run_json(phase_dir.metrics, metrics)
