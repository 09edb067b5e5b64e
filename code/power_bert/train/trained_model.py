"""A trained model that is to evaluate or to predict: of a stored run, or of a checkpoint with a head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.pretrained import check_max_length, rebuild_classifier, without_elimination
from power_bert.model.retention import format_retention
from power_bert.model.retention_choice import parse_retention_choice
from power_bert.model.trained_classifier import align_with_task, load_trained_classifier
from power_bert.run_dir import RunDir
from power_bert.text.task import Task
from power_bert.train.stored_run import load_stored_run

# Of a checkpoint from elsewhere, where neither the user nor a task says how long an example may be.
_USUAL_MAX_LENGTH = 128


@dataclass(frozen=True)
class TrainedModel:
    """A model and what is known of its use.

    Attributes:
        source: where it lies.
        classifier: with the retention configuration in force.
        task: what it was trained for, or is asked for; None where nobody says.
        data_dir: where the task's data lie; None where nobody says.
        max_length: word pieces of an example at most.
        retention: the configuration in force and whence it comes, for the user.
    """

    source: str
    classifier: PowerBertTextClassifier
    task: Task | None
    data_dir: str | None
    max_length: int
    retention: str


def load_trained_model(
    target: str,
    task: Task | None = None,
    data_dir: str | None = None,
    retention_choice: str | None = None,
    phase: str | None = None,
    max_length: int | None = None,
) -> TrainedModel:
    """Load the model of a run or of a checkpoint.

    Args:
        target: OUTPUT_DIR of a run, a preset of ours, or a Hugging Face folder of a sequence classifier.
        task: another one of the run's family (MNLI), or the task of a checkpoint; None takes the run's.
        data_dir: where the data lie; None takes the run's.
        retention_choice: see `parse_retention_choice`; None or "" takes that of the run or checkpoint, if it has one.
        phase: of a run; None takes the last that is done.
        max_length: word pieces of an example at most; None takes the run's, the checkpoint's or the task's.

    Raises:
        UserError: there is no such model, or the arguments do not fit it or each other.
    """
    if RunDir(Path(target)).holds_run:
        stored = load_stored_run(target, phase)
        _refuse_other_task(task, stored.task, target)
        source, classifier = str(stored.phase_dir.model), stored.classifier
        task, data_dir = task or stored.task, data_dir or stored.experiment.data_dir
        length = max_length or stored.experiment.max_length
    else:
        if phase is not None:
            raise UserError(f"{target}: no run there, so it has no phase {phase}; leave --phase out")
        default = task.defaults.max_length if task else _USUAL_MAX_LENGTH
        source, classifier = target, load_trained_classifier(target, max_length or default)
        length = max_length or stored_max_length(classifier)
        if task is not None:
            align_with_task(classifier, task, target)
    check_max_length(length, classifier.backbone)
    classifier, retention = _with_retention(classifier, retention_choice, length, source)
    return TrainedModel(source, classifier, task, data_dir, length, retention)


def task_and_data(model: TrainedModel) -> tuple[Task, str]:
    """What to predict and where it lies; a UserError where neither the user nor a run says."""
    if model.task is None:
        raise UserError(f"{model.source}: a checkpoint does not say what it was trained for; give --task")
    if not model.data_dir:
        raise UserError(f"{model.source}: a checkpoint does not say where the data are; give --data-dir")
    return model.task, model.data_dir


def _refuse_other_task(asked: Task | None, stored: Task, target: str) -> None:
    if asked is not None and asked.family != stored.family:
        raise UserError(
            f"{target}: a run of {stored.name}, which cannot predict {asked.name}; give a run of {asked.name}, or "
            f"--task {stored.name} (TASK={stored.name})"
        )


def stored_max_length(classifier: PowerBertTextClassifier) -> int:
    """Word pieces of an example at most, as the checkpoint says."""
    if classifier.preprocessor is None:
        raise ValueError("the classifier has no preprocessor, so it has no maximum length")
    return int(classifier.preprocessor.sequence_length)


def _with_retention(
    classifier: PowerBertTextClassifier, choice: str | None, max_length: int, source: str
) -> tuple[PowerBertTextClassifier, str]:
    """The classifier with the configuration in force, and the words that tell which."""
    own = classifier.backbone
    if not choice:
        if own.extraction == "soft":
            raise UserError(
                f"{source}: the model of a search, in which nothing is eliminated yet but faded; give the run, or say "
                "with RETENTION_CONFIG what to eliminate (none: nothing)"
            )
        if own.retention is None:
            return classifier, "none: nothing is eliminated"
        return classifier, f"{format_retention(own.retention)} (the model's own)"
    if not isinstance(own, PowerBertBackbone):
        raise UserError(f"{source}: RETENTION_CONFIG={choice} is for a BERT, and this model is none; leave it empty")
    retention = parse_retention_choice(choice, own.num_layers, max_length)
    if retention is None:
        return without_elimination(classifier), "none: nothing is eliminated (as asked)"
    rebuilt = rebuild_classifier(classifier, extraction="hard", retention=retention)
    return rebuilt, f"{format_retention(retention)} (as asked)"
