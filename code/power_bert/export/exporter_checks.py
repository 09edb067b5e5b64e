"""What the exports of all formats check and say."""

from __future__ import annotations

import os
from pathlib import Path

from power_bert.errors import UserError
from power_bert.export.parity import MIN_AGREEMENT, Parity
from power_bert.model.backbone import PowerBertBackbone
from power_bert.model.classifier import PowerBertTextClassifier


def eliminates(classifier: PowerBertTextClassifier) -> bool:
    """Return whether a classifier chooses tokens, which int8 and even rounding can turn."""
    return isinstance(classifier.backbone, PowerBertBackbone) and classifier.backbone.extraction == "hard"


def check_writable(targets: list[Path], is_folder: bool = False) -> None:
    """Check before the work that the files, or a folder, can be written after it.

    Raises:
        UserError: A target is of the other kind, or its folder cannot be written.
    """
    for target in targets:
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        if is_folder and target.is_file():
            raise UserError(f"{target} is a file; give --out the name of a folder")
        if not is_folder and target.is_dir():
            raise UserError(f"{target} is a folder; give --out the name of a file, such as {target / 'model.tflite'}")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UserError(f"{target} cannot be written: {folder} is not a folder that you may write to; change --out")


def elsewhere_warning(length: int, parity: Parity, texts_source: str) -> str | None:
    """Return a warning if the label agreement on texts from elsewhere is low, else None.

    Args:
        length: Length of the inputs, in tokens.
        parity: Comparison with Keras.
        texts_source: Where the texts come from.
    """
    if parity.elsewhere.share >= MIN_AGREEMENT:
        return None
    return (
        f"warning    length {length}: {parity.agreement_text(parity.elsewhere)} on {parity.elsewhere.texts} texts from "
        f"elsewhere ({texts_source}), under {100 * MIN_AGREEMENT:g} %: on texts unlike the dev set the file may "
        "predict other labels than the model more often. Measure it on texts of your own use (--check-texts FILE), "
        "or choose a larger form, which is nearer to the model (--quantize none)"
    )
