"""Transfer set of a student: labeled, augmented and unlabeled texts with the teachers' logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from power_bert.config.distillation import Distillation
from power_bert.errors import UserError
from power_bert.objectives.objective import pack_targets
from power_bert.text.augmentation import FillMasks, Rates, augment
from power_bert.text.examples import Examples, concatenate
from power_bert.text.task import Task
from power_bert.text.text_files import find_text_columns, stream_text_file
from power_bert.text.word_classes import find_word_classes


@dataclass(frozen=True)
class TransferSet:
    """Texts and targets of a training.

    Attributes:
        parts: Texts by part: "train" and, if the settings ask for them, "augmented" and "unlabelled".
        targets: Targets of `pack_targets` for all parts in order, float32 (examples, 1 + teachers · outputs).
    """

    parts: dict[str, Examples]
    targets: np.ndarray

    @property
    def examples(self) -> Examples:
        """Texts of all parts in order; their labels are in the targets."""
        return concatenate(list(self.parts.values()))


def collect_texts(settings: Distillation, train: Examples, fill_masks: FillMasks | None) -> dict[str, Examples]:
    """Collect the parts of the transfer set.

    Args:
        settings: Settings of the run.
        train: Training examples.
        fill_masks: Function that fills masks, for augmentation "lm"; None without it.

    Raises:
        UserError: The unlabeled texts cannot be read, or augmentation made no new text.
    """
    parts = {"train": train}
    if settings.augment:
        wanted = set(settings.augment)
        rates = Rates(
            mask=settings.mask_rate if "mask" in wanted else 0.0,
            word_class=settings.class_rate if "class" in wanted else 0.0,
            ngram=settings.ngram_rate if "ngram" in wanted else 0.0,
            lm=settings.lm_rate if "lm" in wanted else 0.0,
        )
        texts = [*train.first, *(train.second or ())]
        seed = settings.seed if settings.augment_seed is None else settings.augment_seed
        classes = find_word_classes(texts, seed) if rates.word_class else None
        parts["augmented"] = augment(train, settings.augment_copies, rates, seed, classes, fill_masks)
    if settings.unlabelled is not None:
        parts["unlabelled"] = read_unlabeled(Path(settings.unlabelled), settings.task_definition)
    return parts


def read_unlabeled(path: Path, task: Task) -> Examples:
    """Read unlabeled texts from a file in the format of `stream_text_file`; empty texts are skipped.

    Raises:
        UserError: The file is missing, has no texts or is not UTF-8, or a line has a wrong number of texts.
    """
    try:
        columns, _ = find_text_columns(path, task)
        chunks = [chunk.examples for chunk in stream_text_file(path, columns, task.is_pair)]
    except OSError as error:
        raise UserError(f"--unlabelled {path}: cannot be read ({error.strerror}); expected a text file") from None
    texts = concatenate(chunks) if chunks else Examples([], None, None)
    filled = [
        row for row, text in enumerate(texts.first) if text.strip() or (texts.second and texts.second[row].strip())
    ]
    if not filled:
        raise UserError(f"--unlabelled {path}: the file is empty. Expected one text per line")
    return texts.take(filled)


def make_targets(parts: dict[str, Examples], logits: list[dict[str, np.ndarray]], is_regression: bool) -> np.ndarray:
    """Make the targets of all parts.

    Args:
        parts: Texts by part.
        logits: Logits of each teacher by part, (examples, outputs) each.
        is_regression: Whether labels are scores.

    Returns:
        Targets, float32 (examples, 1 + teachers · outputs).
    """
    missing = np.nan if is_regression else -1.0
    packed = []
    for name, examples in parts.items():
        labels = np.full(len(examples), missing) if examples.labels is None else examples.labels.astype(np.float64)
        packed.append(pack_targets(labels, [of_teacher[name] for of_teacher in logits]))
    return np.concatenate(packed)
