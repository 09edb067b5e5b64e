"""Check that the vocabulary of a checkpoint fits its weights."""

from collections.abc import Sequence

from power_bert.errors import UserError

# Some checkpoints pad the embedding to a multiple of 8, 64 or 1024 rows for speed. A larger difference means that the
# vocabulary is not the checkpoint's.
_PADDING_ROWS = 1024


def check_vocabulary_fits(
    vocabulary: Sequence[str], vocabulary_source: str, embedding_rows: int, checkpoint_source: str
) -> None:
    """Raise a UserError unless the vocabulary has one token per row of the token embedding, padding rows aside."""
    if 0 <= embedding_rows - len(vocabulary) < _PADDING_ROWS:
        return
    raise UserError(
        f"{vocabulary_source} has {len(vocabulary)} tokens, but the token embedding of {checkpoint_source} has "
        f"{embedding_rows} rows: a vocabulary that does not fit the checkpoint. Expected as many tokens as rows; use "
        "the vocab.txt that came with the checkpoint."
    )


def padding_notes(vocabulary: Sequence[str], vocabulary_source: str, embedding_rows: int) -> list[str]:
    """Return a note if the embedding has more rows than tokens, and padding to a round number does not explain it."""
    spare = embedding_rows - len(vocabulary)
    roundness = embedding_rows & -embedding_rows  # the largest power of two that divides it
    if spare < max(roundness, 2):
        return []
    return [
        f"{vocabulary_source} has {len(vocabulary)} tokens, and the token embedding {embedding_rows} rows: {spare} "
        "rows have no token. If the file was cut off, download it again"
    ]
