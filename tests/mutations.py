"""Damaged copies of good files, for property tests of readers: the right value or a `UserError`, never anything else.

    @mutation_settings
    @given(mutated(b"sentence\tlabel\ngood\t1\n"))
    def test_reader(data: bytes) -> None:
        rows = value_or_user_error(lambda: read(data))
        assert rows is None or rows == …

POWER_BERT_MUTATIONS=2000 raises the number of examples.
"""

import os
from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from power_bert.errors import UserError

Value = TypeVar("Value")

# Small in the default tier, which runs often; the same examples every time.
mutation_settings = settings(
    max_examples=int(os.environ.get("POWER_BERT_MUTATIONS", "25")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

# What has broken readers before, in text, JSON, CSV, TOML and archives.
NASTY = (
    b"\x00",
    b"\r",
    b"\r\n",
    b"\n",
    b"\n\n\n",
    b"\t",
    b",",
    b'"',
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xff",
    b"\xed\xa0\x80",
    "\u0085\u2028".encode(),
    b"\\ud83d",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 3000,
    b'{"a":' * 2000,
    b"9" * 5000,
    b"\x00" * 64,
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"a" * 70_000,
)


@st.composite
def mutated(draw: st.DrawFn, original: bytes) -> bytes:
    """Draw a copy of `original` with one to four damages: flips, cuts, repetitions, insertions and replacements.

    Args:
        draw: Given by hypothesis.
        original: The undamaged content.
    """
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 64)))
        damage = draw(st.sampled_from(("flip", "cut", "remove", "repeat", "insert", "replace", "nasty", "move")))
        if damage == "flip" and start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif damage == "cut":
            del data[start:]
        elif damage == "remove":
            del data[start:stop]
        elif damage == "repeat":
            data[start:start] = data[start:stop]
        elif damage == "insert":
            data[start:start] = draw(st.binary(max_size=8))
        elif damage == "replace":
            data[start:stop] = draw(st.sampled_from(NASTY))
        elif damage == "nasty":
            data[start:start] = draw(st.sampled_from(NASTY))
        elif damage == "move":
            part = bytes(data[start:stop])
            del data[start:stop]
            place = draw(st.integers(0, len(data)))
            data[place:place] = part
    return bytes(data)


def value_or_user_error(read: Callable[[], Value]) -> Value | None:
    """Return what a reader returns, or None for a `UserError`, whose message must be short; anything else passes."""
    try:
        return read()
    except UserError as error:
        assert len(str(error)) < 1200, f"{len(str(error))} characters: {str(error)[:300]}…"
        return None
