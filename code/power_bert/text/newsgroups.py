"""Archive of the 20 newsgroups: documents without headers, footers and quotes, stripped like scikit-learn does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from power_bert.errors import UserError
from power_bert.storage.archives import read_tar_gz
from power_bert.text.task import Split

ARCHIVE_NAME = "20news-bydate.tar.gz"
# One in this many training documents of a group is held out for dev.
HELD_OUT = 10
# The longest document has 160 kB, and all documents together have 36 MB.
_MAX_DOCUMENT_BYTES = 2**24
_MAX_BYTES = 2**28
_ADVICE = "Fetch it again: bash run.sh download 20newsgroups"
_MEMBER = re.compile(r"(?:\./)?20news-bydate-(train|test)/([^/]+)/([0-9]{1,18})")


def read_newsgroups(archive: Path, split: Split) -> Iterator[tuple[str, str, str]]:
    """Read the documents of a split, ordered by group and number.

    Message numbers of a group grow with time; every tenth training document of a group belongs to "dev".

    Args:
        archive: Path of `20news-bydate.tar.gz`.
        split: "train", "dev" or "test".

    Yields:
        Group, name inside the archive, stripped text, which can be empty.

    Raises:
        UserError: The archive is damaged (it is read to its end, with its checksum), or holds no newsgroup documents.
    """
    part = "test" if split == "test" else "train"
    try:
        status = archive.stat()
        documents = _read_archive(archive, (status.st_mtime_ns, status.st_size))[part]
    except UserError as error:
        raise UserError(f"{error}. {_ADVICE}") from error
    if not documents:
        raise UserError(f"{archive}: no documents like 20news-bydate-{part}/sci.space/60804. Expected {ARCHIVE_NAME}.")
    position_in_group: dict[str, int] = {}
    for (group, number), text in sorted(documents.items()):
        position = position_in_group.get(group, 0)
        position_in_group[group] = position + 1
        is_dev = position % HELD_OUT == HELD_OUT - 1
        if split == "test" or (split == "dev") == is_dev:
            yield group, f"20news-bydate-{part}/{group}/{number}", text


def strip_document(text: str) -> str:
    """Strip header, quoted lines and signature of a message, with scikit-learn's own functions."""
    from sklearn.datasets._twenty_newsgroups import (
        strip_newsgroup_footer,
        strip_newsgroup_header,
        strip_newsgroup_quoting,
    )

    # In the order of scikit-learn's fetch_20newsgroups.
    return str(strip_newsgroup_quoting(strip_newsgroup_footer(strip_newsgroup_header(text))))


# A run reads the archive several times: for train, dev, the check of the test data, predictions and scores.
@lru_cache(maxsize=1)
def _read_archive(archive: Path, version: tuple[int, int]) -> dict[str, dict[tuple[str, int], str]]:
    """Return part → (group, number) → stripped text; `version` distinguishes archives of the same name."""
    parts: dict[str, dict[tuple[str, int], str]] = {"train": {}, "test": {}}
    for name, content in read_tar_gz(
        archive, lambda name: bool(_MEMBER.fullmatch(name)), _MAX_DOCUMENT_BYTES, _MAX_BYTES
    ):
        part, group, number = _MEMBER.fullmatch(name).groups()  # type: ignore[union-attr]
        parts[part][group, int(number)] = strip_document(_with_lines(content.decode("latin-1")))
    return parts


def _with_lines(text: str) -> str:
    """Restore line ends: some copies of the archive have tabs in their place."""
    return text if "\n" in text.strip() else text.replace("\t", "\n")
