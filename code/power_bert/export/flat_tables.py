"""Writer and bounded reader of FlatBuffers tables, without generated classes.

A table to write is a dict from slot (position of the field in the schema) to value: text, a table, a list of tables, or
a `UInt8` for enumerations and union types. Absent fields are left out of the dict.

The reader exists because `flatbuffers.table.Table`, on which ai-edge-litert's classes rest, trusts the file. It returns
a text that ends outside the buffer cut off, without an error; a damaged offset raises TypeError or struct.error; and
tables that refer to the same data again and again are not limited. It would replace ten lines of this module.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers

_OFFSET_BYTES = 4
_VTABLE_HEADER_BYTES = 4
_SLOT_BYTES = 2
# Bytes that may be read from one buffer. Every field of a real file is read about once. A few megabytes of tables that
# refer to the same data again and again could fill any memory.
_MOST_BYTES_READ = 32 << 20
_BYTES_OF_A_TABLE = 256
_NUMBERS = {kind: struct.Struct(f"<{kind}") for kind in "BbHiI"}


@dataclass(frozen=True)
class UInt8:
    """A one-byte field: an enumeration, or the type of a union (which stands one slot before its value)."""

    value: int


FlatTable = Mapping[int, Any]


def write_root(table: FlatTable, identifier: bytes) -> bytes:
    """Return a finished buffer with `table` as its root.

    Args:
        table: Slot → text, table, list of tables or `UInt8`.
        identifier: Four bytes that mark the kind of file.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, table), identifier)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Write a text, a table or a list of tables, children before their parent, and return its offset."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, list):
        return _write_list(builder, [_write(builder, entry) for entry in value])
    offsets = {slot: _write(builder, entry) for slot, entry in value.items() if not isinstance(entry, UInt8)}
    builder.StartObject(max(value, default=0) + 1)
    for slot, entry in value.items():
        if isinstance(entry, UInt8):
            builder.PrependUint8Slot(slot, entry.value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return int(builder.EndObject())


def _write_list(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(_OFFSET_BYTES, len(offsets), _OFFSET_BYTES)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


class _Buffer:
    """The bytes of a file. Reading outside them, or more than an allowance in total, raises a ValueError."""

    def __init__(self, content: bytes) -> None:
        self.content, self._left = content, _MOST_BYTES_READ

    def charge(self, number_bytes: int) -> None:
        self._left -= number_bytes
        if self._left < 0:
            raise ValueError(f"its tables refer to the same data again and again, over {_MOST_BYTES_READ >> 20} MiB")

    def number(self, kind: str, position: int) -> int:
        """Read a little-endian number of a `struct` kind."""
        number = _NUMBERS[kind]
        self.check(position, number.size)
        return int(number.unpack_from(self.content, position)[0])

    def check(self, start: int, size: int) -> None:
        if start < 0 or start + size > len(self.content):
            raise ValueError(f"byte {start + size:,} is referred to, and it has {len(self.content):,}")


class TableReader:
    """Reads the fields of a table by slot; absent fields are empty. Any damage raises a ValueError.

    Args:
        buffer: The whole FlatBuffers file.
        position: Position of the table.
    """

    def __init__(self, buffer: _Buffer, position: int) -> None:
        buffer.charge(_BYTES_OF_A_TABLE)
        self._buffer, self._position = buffer, position
        self._vtable = position - buffer.number("i", position)
        self._vtable_bytes = buffer.number("H", self._vtable)
        if self._vtable_bytes < _VTABLE_HEADER_BYTES:
            raise ValueError(f"byte {position:,} is referred to as a table, but there is none")

    @classmethod
    def root(cls, content: bytes) -> TableReader:
        buffer = _Buffer(content)
        return cls(buffer, buffer.number("I", 0))

    def _find(self, slot: int) -> int:
        """Return the position of a field, or 0 if it is absent."""
        entry = _VTABLE_HEADER_BYTES + slot * _SLOT_BYTES
        if entry >= self._vtable_bytes:
            return 0
        offset = self._buffer.number("H", self._vtable + entry)
        return offset and self._position + offset

    def _follow(self, position: int) -> int:
        return position + self._buffer.number("I", position)

    def number(self, slot: int, kind: str = "i") -> int:
        """Read a number: "B" (uint8), "b" (int8), "i" (int32) or "I" (uint32); 0 if it is absent."""
        position = self._find(slot)
        return self._buffer.number(kind, position) if position else 0

    def vector(self, slot: int, element_bytes: int) -> tuple[int, int]:
        """Return the position of the first element and the number of elements, all of which are inside the file."""
        position = self._find(slot)
        if not position:
            return 0, 0
        start = self._follow(position)
        count = self._buffer.number("I", start)
        self._buffer.check(start + _OFFSET_BYTES, count * element_bytes)
        return start + _OFFSET_BYTES, count

    def data(self, slot: int) -> bytes:
        """Read a vector of bytes."""
        start, count = self.vector(slot, 1)
        self._buffer.charge(count)
        return self._buffer.content[start : start + count]

    def text(self, slot: int) -> str:
        return self.data(slot).decode("utf-8")

    def int32s(self, slot: int) -> tuple[int, ...]:
        start, count = self.vector(slot, _OFFSET_BYTES)
        self._buffer.charge(_OFFSET_BYTES * count)
        return struct.unpack_from(f"<{count}i", self._buffer.content, start)

    def table(self, slot: int) -> TableReader | None:
        position = self._find(slot)
        return TableReader(self._buffer, self._follow(position)) if position else None

    def tables(self, slot: int) -> list[TableReader]:
        start, count = self.vector(slot, _OFFSET_BYTES)
        positions = range(start, start + _OFFSET_BYTES * count, _OFFSET_BYTES)
        return [TableReader(self._buffer, self._follow(position)) for position in positions]
