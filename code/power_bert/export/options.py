"""What a user can ask of an export."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from power_bert.errors import UserError
from power_bert.export.description import Description
from power_bert.files import read_lines
from power_bert.run_dir import RunDir
from power_bert.train.run_folder import read_settings


@dataclass(frozen=True)
class ExportOptions:
    """What is wanted of an export.

    Attributes:
        quantize: one of `power_bert.export.forms.FORMS`, or `AUTO`.
        lengths: word pieces of an input, a file or signature each; empty: the model's maximum length.
        one_file: several lengths as signatures of one file that share the weights, not as sibling files; MediaPipe
            does not open such a file.
        seed: of the choice of the examples that calibrate int8.
        labels: names of the classes in place of the task's; empty keeps those.
        min_agreement: smallest label agreement with Keras, in percent, in place of all limits; None keeps those.
        check_texts: file with texts from elsewhere, on which the agreement is measured as well; None takes those of
            this project.
        description: what the metadata say.
    """

    quantize: str = "none"
    lengths: tuple[int, ...] = ()
    one_file: bool = False
    seed: int = 0
    labels: tuple[str, ...] = ()
    min_agreement: float | None = None
    check_texts: Path | None = None
    description: Description = field(default_factory=Description)


def parse_lengths(text: str | None) -> tuple[int, ...]:
    """Lengths from "32,64,128"; empty for nothing.

    Raises:
        UserError: a part is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise UserError(f"--lengths {text}: expected whole numbers separated by commas, such as 32,64,128") from None


def parse_labels(text: str | None) -> tuple[str, ...]:
    """Labels from "negative,positive" or from a file with one a line; empty for nothing.

    Raises:
        UserError: the file cannot be read.
    """
    if not text:
        return ()
    return tuple(read_lines(text) if Path(text).is_file() else text.split(","))


def seed_of(target: str) -> int:
    """The seed of a stored run; 0 for a checkpoint."""
    run_dir = RunDir(Path(target))
    return read_settings(run_dir).seed if run_dir.holds_run else 0
