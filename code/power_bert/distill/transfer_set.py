"""What a student learns from: labelled, augmented and unlabelled texts with what the teachers say of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from power_bert.distill.augmentation import FillMasks, Rates, augment
from power_bert.distill.objective import pack_targets
from power_bert.distill.word_classes import find_word_classes
from power_bert.distill_config import Distillation
from power_bert.errors import UserError
from power_bert.text.examples import Examples
from power_bert.text.task import Task
from power_bert.text.text_files import stream_text_file


@dataclass(frozen=True)
class TransferSet:
    """Texts of a training and their targets.

    Attributes:
        parts: what the texts are → the texts: "train", and as asked for "augmented" and "unlabelled".
        targets: of `pack_targets`, of all parts in their order.
    """

    parts: dict[str, Examples]
    targets: np.ndarray

    @property
    def examples(self) -> Examples:
        """The texts of all parts in their order; their labels are in the targets."""
        return concatenate(list(self.parts.values()))


def collect_texts(settings: Distillation, train: Examples, fill_masks: FillMasks | None) -> dict[str, Examples]:
    """The parts of the transfer set.

    Args:
        settings: of the run.
        train: the training data.
        fill_masks: of augmentation "lm".

    Raises:
        UserError: the unlabelled texts cannot be read, or augmentation made nothing new.
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
        parts["unlabelled"] = read_unlabelled(Path(settings.unlabelled), settings.task_definition)
    return parts


def read_unlabelled(path: Path, task: Task) -> Examples:
    """Read the texts of a file, as `stream_text_file` does; empty ones do not count.

    Raises:
        UserError: The file is missing or has no texts, is not UTF-8, or a line has not as many texts as the task.
    """
    try:
        chunks = list(stream_text_file(path, task))
    except OSError as error:
        raise UserError(f"--unlabelled {path}: cannot be read ({error.strerror}); expected a text file") from None
    texts = concatenate(chunks) if chunks else Examples([], None, None)
    filled = [
        row for row, text in enumerate(texts.first) if text.strip() or (texts.second and texts.second[row].strip())
    ]
    if not filled:
        raise UserError(f"--unlabelled {path}: the file is empty. Expected a text a line")
    return texts.take(filled)


def make_targets(parts: dict[str, Examples], logits: list[dict[str, np.ndarray]], is_regression: bool) -> np.ndarray:
    """Targets of all parts, float32 (examples, 1 + teachers · outputs).

    Args:
        parts: texts by name.
        logits: of each teacher, by the name of the part.
        is_regression: whether labels are scores.
    """
    missing = np.nan if is_regression else -1.0
    packed = []
    for name, examples in parts.items():
        labels = np.full(len(examples), missing) if examples.labels is None else examples.labels.astype(np.float64)
        packed.append(pack_targets(labels, [of_teacher[name] for of_teacher in logits]))
    return np.concatenate(packed)


def concatenate(parts: list[Examples]) -> Examples:
    """The texts of all parts in their order, without labels."""
    is_pair = parts[0].second is not None
    return Examples(
        [text for part in parts for text in part.first],
        [text for part in parts for text in part.second or ()] if is_pair else None,
        None,
    )
