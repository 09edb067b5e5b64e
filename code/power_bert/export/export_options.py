"""Options of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from power_bert.export.description import Description
from power_bert.storage.files import read_lines


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        quantize: One of `power_bert.export.forms.FORMS`, or `AUTO`.
        lengths: Sequence lengths in tokens, each for a file or signature of its own; empty for the model's max length.
        one_file: Whether several lengths become signatures of one file that share the weights, instead of sibling
            files. MediaPipe cannot open such a file.
        seed: Random seed for the choice of the examples that calibrate int8.
        labels: Class names that replace those of the task; empty to keep them.
        min_agreement: Smallest label agreement with Keras, in percent, which replaces all limits; None to keep them.
        check_texts: File with texts from elsewhere, on which the label agreement is measured as well; None for the
            texts of this project.
        surviving_tokens: Whether the file also returns which tokens are left after each block. MediaPipe cannot open
            such a file.
        description: Description for the metadata.
    """

    quantize: str = "none"
    lengths: tuple[int, ...] = ()
    one_file: bool = False
    seed: int = 0
    labels: tuple[str, ...] = ()
    min_agreement: float | None = None
    check_texts: Path | None = None
    surviving_tokens: bool = False
    description: Description = field(default_factory=Description)


def parse_labels(text: str | None) -> tuple[str, ...]:
    """Parse labels such as "negative,positive", or read them from a file with one on each line.

    Raises:
        UserError: The file cannot be read.
    """
    if not text:
        return ()
    return tuple(read_lines(text) if Path(text).is_file() else (part.strip() for part in text.split(",")))
