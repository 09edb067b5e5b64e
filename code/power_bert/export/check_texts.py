"""Texts that a model was not trained for, on which an exported file is compared with Keras as well."""

from __future__ import annotations

import io
from pathlib import Path

from power_bert.errors import UserError
from power_bert.text.examples import Examples
from power_bert.text.raw_texts import stream_raw_examples

# Two texts a line, with a tab between: questions and answers, statements and paraphrases or contradictions, reviews,
# news, requests, code, numbers, other scripts. Written for this project.
_OWN = Path(__file__).with_name("check_texts.tsv")


def own_check_texts(is_pair: bool) -> Examples:
    """Return the texts of this project.

    Args:
        is_pair: Pairs instead of single texts: those of a line, and each first text with the second one of the next
            line, which have nothing to do with each other.
    """
    pairs = _read(_OWN.read_bytes(), _OWN.name, is_pair=True)
    first, second = pairs.first, pairs.second or []
    if is_pair:
        return Examples([*first, *first], [*second, *second[1:], second[0]], None)
    return Examples([*first, *second], None, None)


def read_check_texts(path: Path, is_pair: bool) -> Examples:
    """Read texts of the user: one a line, or two with a tab between. Empty lines do not count.

    Raises:
        UserError: The file cannot be read, is not UTF-8, has no text, or a line has more or fewer texts than expected.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"--check-texts {path}: cannot be read ({error.strerror}); expected a text file") from None
    texts = _read(content, f"--check-texts {path}", is_pair)
    joined = (
        texts.first
        if texts.second is None
        else [f"{first}{second}" for first, second in zip(texts.first, texts.second, strict=True)]
    )
    filled = [row for row, text in enumerate(joined) if text.strip()]
    if not filled:
        raise UserError(f"--check-texts {path}: there is no text in it. Expected a text a line")
    return texts.take(filled)


def _read(content: bytes, name: str, is_pair: bool) -> Examples:
    chunks = list(stream_raw_examples(io.BytesIO(content), name, is_pair))
    return Examples(
        first=[text for chunk in chunks for text in chunk.first],
        second=[text for chunk in chunks for text in chunk.second or ()] if is_pair else None,
        labels=None,
    )
