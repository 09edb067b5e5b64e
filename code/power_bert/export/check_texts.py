"""Texts from elsewhere, which a model was not trained for: an exported file is compared with Keras on them as well."""

from __future__ import annotations

import io
from pathlib import Path

from power_bert.errors import UserError
from power_bert.text.examples import Examples
from power_bert.text.raw_texts import stream_raw_examples

# Two texts on each line, separated by a tab: questions and answers, statements and paraphrases or contradictions,
# reviews, news, requests, code, numbers, other scripts. Written for this project.
_OWN = Path(__file__).with_name("check_texts.tsv")


def own_check_texts(is_pair: bool) -> Examples:
    """Return the texts of this project.

    Args:
        is_pair: Whether to return pairs instead of single texts: the two texts of each line, and each first text with
            the unrelated second text of the next line.
    """
    pairs = _read(_OWN.read_bytes(), _OWN.name, is_pair=True)
    first, second = pairs.first, pairs.second or []
    if is_pair:
        return Examples([*first, *first], [*second, *second[1:], second[0]], None)
    return Examples([*first, *second], None, None)


def read_check_texts(path: Path, is_pair: bool) -> Examples:
    """Read the user's texts: one on each line, or two separated by a tab. Empty lines are skipped.

    Args:
        path: File of the texts.
        is_pair: Whether each line has two texts.

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
        raise UserError(f"--check-texts {path}: there is no text in it. Expected one text on each line")
    return texts.take(filled)


def _read(content: bytes, name: str, is_pair: bool) -> Examples:
    chunks = list(stream_raw_examples(io.BytesIO(content), name, is_pair))
    return Examples(
        first=[text for chunk in chunks for text in chunk.first],
        second=[text for chunk in chunks for text in chunk.second or ()] if is_pair else None,
        labels=None,
    )
