"""The fine-tuned model as the teacher of search and re-training (self-distillation).

Elimination and narrowing change what a model can compute, not what it should say. The model of phase 1 says that for
every training example, softer than a label; its outputs are computed once and kept until the run is done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

from power_bert.config.experiment import Experiment
from power_bert.config.validation import TrainingSettings
from power_bert.config.values import Schedule
from power_bert.model.classifier import PowerBertTextClassifier
from power_bert.model.encoder_states import cls_states
from power_bert.objectives.objective import NO_CLASS, Objective, pack_targets
from power_bert.predict.forward import compiled_forward
from power_bert.predict.predict_texts import EVALUATION_BATCH_SIZE
from power_bert.storage.files import atomic_file
from power_bert.text.augmentation import Rates, augment, has_mask
from power_bert.text.batches import evaluation_batches
from power_bert.text.examples import concatenate
from power_bert.text.tokenizer import WordPieceTokenizer
from power_bert.text.word_classes import find_word_classes
from power_bert.train.training import EncodedExamples, RunContext
from power_bert_runtime.parsing import parsing

# Weight α of the labels in the search; that of the teacher is 1 − α.
SEARCH_ALPHA = Schedule.constant(0.1)
# In re-training the labels take over, because a teacher that has not converged would hold the model back (teacher
# annealing, Clark et al. 2019, BAM!, arXiv 1907.04829). Augmented texts have no label: they only have the teacher.
RETRAIN_ALPHA = Schedule("linear", 0.1, 1.0)
# Weight of the [CLS] states of all blocks, relative to that of the teacher's outputs.
CLS_WEIGHT = 1 / 3
# Fraction of the words of an augmented text that are masked, and fraction that are replaced within their class; as in
# distillation.
_CHANGED = 0.1


@dataclass(frozen=True)
class Lesson:
    """What a phase learns from.

    Attributes:
        objective: Loss to minimize.
        targets: Targets of `pack_targets`, float32 (examples, columns).
    """

    objective: Objective
    targets: np.ndarray


def labels_alone(context: RunContext[TrainingSettings]) -> Lesson:
    """Return the objective and targets without a teacher."""
    num_outputs = context.experiment.task_definition.num_outputs
    objective = Objective(num_outputs, 0, Schedule.constant(1.0), Schedule.constant(1.0), "kl")
    return Lesson(objective, pack_targets(_labels(context), []))


def taught_by(
    teacher: PowerBertTextClassifier, context: RunContext[TrainingSettings], path: Path, alpha: Schedule
) -> Lesson:
    """Return the objective and targets with a teacher: its logits, and its ``[CLS]`` states after each block.

    A class that it predicts wrongly is not learned from it: a teacher that has not converged would hold the model back
    (docs/results/elimination.md).

    Args:
        teacher: Fine-tuned model that eliminates nothing.
        context: Context of the run.
        path: File in which the targets are kept.
        alpha: Weight of the labels.

    Raises:
        UserError: The file is damaged, or was made for other training examples.
    """
    task = context.experiment.task_definition
    objective = Objective(
        task.num_outputs,
        1,
        alpha,
        Schedule.constant(1.0),
        "mse",
        cls_weight=CLS_WEIGHT,
        conditional=not task.is_regression,
    )
    if not path.exists():
        context.reporter.say("computing the outputs of the fine-tuned model on the training examples")
        _write_targets(teacher, context, path)
    with parsing(path, "the targets of a training", "Delete it, and it is made again"):
        targets = np.load(path, mmap_mode="r", allow_pickle=False)
        labels = pack_targets(_labels(context), [])[:, 0]
        if not np.array_equal(targets[:, 0], labels, equal_nan=True):
            raise ValueError(f"of other examples: {len(targets)} rows for {len(labels)}, or other labels")
    return Lesson(objective, targets)


def with_augmented_texts(context: RunContext[Experiment], tokenizer: WordPieceTokenizer) -> RunContext[Experiment]:
    """Add augmented texts, which have no label, to the training set; they depend on the seed of the run alone."""
    experiment, train = context.experiment, context.train.examples
    classes = find_word_classes([*train.first, *(train.second or ())], experiment.seed)
    rates = Rates(mask=_CHANGED if has_mask(tokenizer) else 0.0, word_class=_CHANGED, ngram=0.0, lm=0.0)
    made = augment(train, experiment.augment_copies, rates, experiment.seed, classes)
    context.reporter.say(f"{len(made)} augmented texts, labeled by the fine-tuned model")
    no_label = np.nan if experiment.task_definition.is_regression else int(NO_CLASS)
    labels = _labels(context)
    labels = np.append(labels, np.full(len(made), no_label, labels.dtype))
    together = replace(concatenate([train, made]), labels=labels)
    return replace(context, train=EncodedExamples.of(together, tokenizer, experiment.max_length))


def _labels(context: RunContext[TrainingSettings]) -> np.ndarray:
    labels = context.train.examples.labels
    if labels is None:
        raise ValueError("the training split has no labels")
    return labels


def _write_targets(teacher: PowerBertTextClassifier, context: RunContext[TrainingSettings], path: Path) -> None:
    """Write the targets in parts, so that they need not fit into memory."""
    states, pooled = cls_states(teacher.backbone, teacher.input)  # (batch, blocks, hidden)
    flat = ops.reshape(states, (-1, states.shape[1] * states.shape[2]))
    forward = compiled_forward(keras.Model(teacher.input, ops.concatenate([teacher.logits_of(pooled), flat], axis=1)))
    labels, encoded = _labels(context), context.train.encoded
    columns = 1 + teacher.num_classes + flat.shape[1]
    with atomic_file(path) as file:
        temporary = Path(file.name)
        targets = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(len(encoded), columns))
        for batch in evaluation_batches(encoded, EVALUATION_BATCH_SIZE, context.experiment.max_length):
            targets[batch.rows] = pack_targets(labels[batch.rows], [np.asarray(forward(batch.inputs))])
        targets.flush()
