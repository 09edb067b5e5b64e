"""A trained model to evaluate or to predict with, from a stored run or a checkpoint with a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from power_bert.elimination.retention_choice import parse_retention_choice
from power_bert.errors import UserError
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.classifier_building import build_without_elimination, rebuild_classifier
from power_bert.model.pretrained import check_max_length
from power_bert.model.trained_classifier import align_with_task, load_trained_classifier
from power_bert.runs.resolve_model import StoredPhase, resolve_model
from power_bert.text.task import Task

# Used for a checkpoint from elsewhere if neither the user nor a task gives a max length.
_USUAL_MAX_LENGTH = 128


@dataclass(frozen=True)
class TrainedModel:
    """A model with its task, data and retention configuration.

    Attributes:
        source: Folder or checkpoint that the model was loaded from.
        classifier: Classifier with the retention configuration in use.
        task: Task that the model was trained for or is asked for; None if unknown.
        data_dir: Folder of the task's data; None if unknown.
        max_length: Maximum sequence length, in tokens.
        retention: Text for the user: the retention configuration in use and its origin.
        seed: Seed of the run; 0 for a checkpoint.
    """

    source: str
    classifier: PowerBertTextClassifier
    task: Task | None
    data_dir: str | None
    max_length: int
    retention: str
    seed: int = 0


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
        target: Run, phase or checkpoint, as for `resolve_model`.
        task: Task of a checkpoint, or another task of the run's family (MNLI); None takes the run's task.
        data_dir: Folder of the data; None takes the run's.
        retention_choice: Choice as for `parse_retention_choice`; None or "" takes the model's own configuration.
        phase: Phase of a run; None takes the final model.
        max_length: Maximum sequence length, in tokens; None takes the run's, the checkpoint's or the task's.

    Raises:
        UserError: There is no such model, or the arguments do not fit it or each other.
    """
    found = resolve_model(target, phase, data_dir)
    if isinstance(found, StoredPhase):
        _refuse_other_task(task, found.task, target)
        source, classifier = str(found.model), found.load_classifier()
        task, data_dir, seed = task or found.task, found.experiment.data_dir, found.experiment.seed
        length = max_length or found.experiment.max_length
    else:
        default = task.defaults.max_length if task else _USUAL_MAX_LENGTH
        source, classifier, seed = target, load_trained_classifier(found, max_length or default), 0
        length = max_length or stored_max_length(classifier)
        if task is not None:
            align_with_task(classifier, task, target)
    check_max_length(length, classifier.backbone)
    classifier, retention = _with_retention(classifier, retention_choice, length, source)
    return TrainedModel(source, classifier, task, data_dir, length, retention, seed)


class DescribedModel(Protocol):
    """What says which task a model is for, and where its data lie."""

    @property
    def source(self) -> str: ...

    @property
    def task(self) -> Task | None: ...

    @property
    def data_dir(self) -> str | None: ...


def task_and_data(model: DescribedModel) -> tuple[Task, str]:
    """Return the task and its data directory; a UserError if neither the user nor a run names them."""
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
    """Return the maximum sequence length of a checkpoint, in tokens."""
    if classifier.preprocessor is None:
        raise ValueError("the classifier has no preprocessor, so it has no maximum length")
    return int(classifier.preprocessor.sequence_length)


def _with_retention(
    classifier: PowerBertTextClassifier, choice: str | None, max_length: int, source: str
) -> tuple[PowerBertTextClassifier, str]:
    """Return the classifier with the requested retention configuration, and its description."""
    own = classifier.backbone
    if not choice:
        if own.extraction == "soft":
            raise UserError(
                f"{source}: the model of a search, whose soft extraction does not eliminate tokens yet; give the run, "
                "or a RETENTION_CONFIG to eliminate with (none: no elimination)"
            )
        if own.retention is None:
            return classifier, "none: nothing is eliminated"
        return classifier, f"{own.retention.shown(own.fuse_dropped)} (the model's own)"
    if not isinstance(own, PowerBertBackbone):
        raise UserError(f"{source}: RETENTION_CONFIG={choice} is for a BERT, and this model is none; leave it empty")
    retention = parse_retention_choice(choice, own.num_layers, max_length)
    if retention is None:
        return build_without_elimination(classifier), "none: nothing is eliminated (as asked)"
    rebuilt = rebuild_classifier(classifier, extraction="hard", retention=retention)
    return rebuilt, f"{retention.shown(own.fuse_dropped)} (as asked)"
