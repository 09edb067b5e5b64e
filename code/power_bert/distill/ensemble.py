"""An ensemble of finished runs as a run of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from power_bert.distill_config import Ensemble
from power_bert.errors import UserError
from power_bert.files import atomic_directory
from power_bert.locks import writes
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import tokenizer_of
from power_bert.model.students import build_student
from power_bert.model.students.ensemble import EnsembleBackbone
from power_bert.run_dir import DISTILL, RunDir, write_json
from power_bert.settings import CUSTOM_SETTINGS
from power_bert.text.examples import read_examples
from power_bert.text.predictions import read_predictions, write_predictions
from power_bert.train.cautions import caution_constant
from power_bert.train.driver import write_run_description
from power_bert.train.metrics import compute_scores, format_scores
from power_bert.train.predict import Predictor, to_predictions
from power_bert.train.predicting_test_sets import write_missing_predictions
from power_bert.train.run_folder import check_run_dir, set_aside
from power_bert.train.stored_run import StoredRun, load_stored_run


@writes(lambda members, out, *_, **__: out)
def make_ensemble(
    members: Sequence[Path], out: Path, console: Console, predict_test: bool = True, resume: bool = True
) -> RunDir:
    """Average the members' probabilities (or scores) in one model, score it on dev and leave it as a run.

    An ensemble of the same members is made anew: they may have been trained again.

    Args:
        members: folders of finished runs of one task that read the same word pieces.
        out: the run folder.
        console: where to print.
        predict_test: whether the test data are predicted in GLUE's form.
        resume: False sets another run in the same folder aside.

    Raises:
        UserError: fewer than two members, members that do not fit each other, or a folder that holds another run.
    """
    runs = [load_stored_run(member) for member in members]
    _check_members(runs)
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
    classifier = _average([run.classifier for run in runs], settings.max_length)
    predictions = to_predictions(task, Predictor(classifier, settings.max_length).outputs(dev))
    if not resume:
        set_aside(run_dir)
    if phase_dir.path.exists():
        shutil.rmtree(phase_dir.path)  # predictions and figures of an ensemble of other weights
    write_run_description(settings, run_dir)
    with atomic_directory(phase_dir.model) as folder:
        classifier.save_to_preset(str(folder))
    write_predictions(phase_dir.predictions("dev"), task, predictions)
    scores = compute_scores(task.metrics, dev.labels, read_predictions(phase_dir.predictions("dev"), task))
    warnings = list(caution_constant(task, dev.labels, scores))
    write_json(
        phase_dir.metrics,
        {
            "phase": DISTILL,
            "metric": task.metrics[0],
            "scores": scores,
            "warnings": warnings,
            "parameters": int(classifier.count_params()),
        },
    )
    phase_dir.mark_done()
    console.print(f"ensemble of {len(runs)}: dev {format_scores(scores)}", markup=False)
    for warning in warnings:
        console.print(f"ensemble: warning: {warning}", markup=False)
    if predict_test:
        write_missing_predictions(settings, phase_dir, console)
    return run_dir


def _check_members(runs: Sequence[StoredRun]) -> None:
    if len(runs) < 2:
        raise UserError("an ensemble needs at least two runs")
    first = runs[0]
    for run in runs[1:]:
        if run.task != first.task:
            raise UserError(
                f"{run.run_dir.path} is a run of {run.task.name}, and {first.run_dir.path} one of {first.task.name}; "
                "an ensemble has one task"
            )
        if not run.tokenizer.reads_as(first.tokenizer):
            raise UserError(
                f"{run.run_dir.path} and {first.run_dir.path} read different word pieces; train them with one "
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
