"""FlatBuffers tables as plain Python values: written from dicts, read by slot, with no generated classes.

A table is a dict from slot (position of the field in the schema) to value: text, a table, a list of tables, or a
`UInt8` for enumerations and union types. Absent fields are left out of the dict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
from flatbuffers import number_types
from flatbuffers.table import Table as _FlatTable

_OFFSET_BYTES = 4
_VTABLE_HEADER_BYTES = 4
_SLOT_BYTES = 2


@dataclass(frozen=True)
class UInt8:
    """A one-byte field: an enumeration, or the type of a union (which stands one slot before its value)."""

    value: int


Table = Mapping[int, Any]


def write_root(table: Table, identifier: bytes) -> bytes:
    """A finished buffer with `table` as its root.

    Args:
        table: slot → text, table, list of tables or `UInt8`.
        identifier: the four bytes that mark the kind of file.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, table), identifier)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Offset of a text, a table or a list of tables; children are written before their parent."""
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


class TableReader:
    """Reads the fields of a table by slot; absent fields are empty.

    Args:
        buffer: the whole FlatBuffers file.
        position: where the table starts.
    """

    def __init__(self, buffer: bytes, position: int) -> None:
        self._table = _FlatTable(buffer, position)

    @classmethod
    def root(cls, buffer: bytes) -> TableReader:
        return cls(buffer, _FlatTable(buffer, 0).Get(number_types.UOffsetTFlags, 0))

    def _offset(self, slot: int) -> int:
        """Bytes from the start of the table to the field; 0 where it is absent."""
        return int(self._table.Offset(_VTABLE_HEADER_BYTES + slot * _SLOT_BYTES))

    def text(self, slot: int) -> str:
        offset = self._offset(slot)
        return str(self._table.String(offset + self._table.Pos), "utf-8") if offset else ""

    def uint8(self, slot: int) -> int:
        offset = self._offset(slot)
        return int(self._table.Get(number_types.Uint8Flags, offset + self._table.Pos)) if offset else 0

    def table(self, slot: int) -> TableReader | None:
        offset = self._offset(slot)
        if not offset:
            return None
        return TableReader(self._table.Bytes, self._table.Indirect(offset + self._table.Pos))

    def tables(self, slot: int) -> list[TableReader]:
        offset = self._offset(slot)
        if not offset:
            return []
        start = self._table.Vector(offset)
        entries = range(self._table.VectorLen(offset))
        return [
            TableReader(self._table.Bytes, self._table.Indirect(start + _OFFSET_BYTES * entry)) for entry in entries
        ]
