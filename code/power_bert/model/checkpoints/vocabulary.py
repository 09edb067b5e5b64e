"""The vocabulary that comes with a checkpoint: reading it, and checking that it fits."""

from collections.abc import Sequence
from pathlib import Path

from power_bert.errors import UserError
from power_bert.files import read_lines

_NEEDED_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# Some checkpoints pad the embedding to a multiple of 8, 64 or 1024 rows for speed. A larger gap is another vocabulary.
_PADDING_ROWS = 1024


def read_vocabulary(path: Path) -> list[str]:
    """Reads a `vocab.txt`: one word piece a line, its id the line's number less one.

    Raises:
        UserError: The file is missing, empty or not UTF-8, or [PAD], [UNK], [CLS] or [SEP] is not in it.
    """
    vocabulary = read_lines(path)
    missing = sorted(set(_NEEDED_TOKENS) - set(vocabulary))
    if missing:
        raise UserError(
            f"{path}: no line {', '.join(missing)}. Expected a WordPiece vocabulary of BERT, one token a line; "
            "use the vocab.txt that came with the checkpoint."
        )
    return vocabulary


def check_vocabulary_fits(
    vocabulary: Sequence[str], vocabulary_source: str, embedding_rows: int, checkpoint_source: str
) -> None:
    """Raises UserError unless the vocabulary has one token a row of the token embedding, padding rows aside."""
    spare = embedding_rows - len(vocabulary)
    if 0 <= spare < _PADDING_ROWS:
        return
    raise UserError(
        f"{vocabulary_source} has {len(vocabulary)} tokens, but the token embedding of {checkpoint_source} has "
        f"{embedding_rows} rows: a vocabulary that does not fit the checkpoint. Expected as many tokens as rows; use "
        "the vocab.txt that came with the checkpoint."
    )
