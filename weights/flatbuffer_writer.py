"""Tables of numbers, vectors and further tables as a FlatBuffer.

Which fields a table has says `mmnet_np.weights.tflite_schema`. A table is a 4-byte offset to its
vtable, then its fields; the vtable says how far into the table each slot's field lies, 0 for a slot
left out. What does not fit in a field (a vector, a text, a table) lies further on in the file, and
the field holds the distance. So everything is written from front to back, and distances are filled
in once they are known.

Reference: "FlatBuffer Internals", flatbuffers.dev/internals.
"""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack, pack_into
from typing import Any

import numpy as np

from .tflite_schema import Child, Children, Choice, Fields, Scalar, Text, Vector

__all__ = ["encode"]


def encode(fields: Fields, values: Mapping[str, Any], identifier: bytes) -> bytes:
    """Return a FlatBuffer.

    Parameters
    ----------
    fields : mapping of str to Field
        Of the outermost table.
    values : mapping
        Field name -> number, array or sequence of numbers, text, mapping, or sequence of mappings;
        what is missing or None is left out of the file.
    identifier : bytes
        Four of them, which say what kind of file it is.

    Returns
    -------
    bytes
        The same for the same values.
    """
    writer = _Writer()
    writer.out += bytes(4) + identifier
    writer.point(0, writer.table(fields, values))
    return bytes(writer.out)


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self.vtables: dict[bytes, int] = {}  # written once each, however many tables have it

    def table(self, fields: Fields, values: Mapping[str, Any]) -> int:
        """Write a table and all it refers to; return its position."""
        present = {
            name: (slot, kind)
            for name, (slot, kind) in fields.items()
            if values.get(name) is not None
            and not (isinstance(kind, Scalar) and values[name] == kind.default)
        }
        size, places = 4, {}
        # Wide fields first: then each lies at a multiple of its size without gaps.
        for name, (_, kind) in sorted(present.items(), key=lambda item: -_width(item[1][1])):
            places[name] = size
            size += _width(kind)
        count = max((slot + 1 for slot, _ in present.values()), default=0)
        offsets = [0] * count
        for name, (slot, _) in present.items():
            offsets[slot] = places[name]
        vtable = self._vtable(pack(f"<{2 + count}H", 4 + 2 * count, size, *offsets))

        self._align(4)
        start = len(self.out)
        self.out += pack("<i", start - vtable) + bytes(size - 4)
        for name, (_, kind) in present.items():
            place = start + places[name]
            if isinstance(kind, Scalar):
                number = np.array(values[name], kind.dtype).tobytes()
                self.out[place : place + len(number)] = number
            elif isinstance(kind, Choice):
                self.point(place, self.table(kind.fields[values[kind.by]], values[name]))
            else:
                self.point(place, self._apart(kind, values[name]))
        return start

    def _apart(self, kind: Vector | Text | Child | Children, value: Any) -> int:
        """Write what a field only refers to; return its position."""
        if isinstance(kind, Child):
            return self.table(kind.fields, value)
        if isinstance(kind, Children):
            start = self._start(len(value), 4)
            self.out += bytes(4 * len(value))
            for i, child in enumerate(value):
                self.point(start + 4 + 4 * i, self.table(kind.fields, child))
            return start
        if isinstance(kind, Text):
            data = value.encode()
            start = self._start(len(data), 4)
            self.out += data + b"\0"
            return start
        array = np.ascontiguousarray(value, kind.dtype).reshape(-1)
        start = self._start(array.size, max(4, kind.align, array.itemsize))
        self.out += array.tobytes()
        return start

    def _vtable(self, vtable: bytes) -> int:
        if vtable not in self.vtables:
            self._align(2)
            self.vtables[vtable] = len(self.out)
            self.out += vtable
        return self.vtables[vtable]

    def _start(self, length: int, align: int) -> int:
        """Write a length whose first element is aligned; return its position."""
        self._align(align, 4)
        self.out += pack("<I", length)
        return len(self.out) - 4

    def _align(self, align: int, ahead: int = 0) -> None:
        """Pad, so that what is ``ahead`` bytes ahead stands at a multiple of ``align``."""
        self.out += bytes(-(len(self.out) + ahead) % align)

    def point(self, place: int, target: int) -> None:
        """Fill in a distance."""
        pack_into("<I", self.out, place, target - place)


def _width(kind: Any) -> int:
    return np.dtype(kind.dtype).itemsize if isinstance(kind, Scalar) else 4
