"""The tables of a FlatBuffer, read with suspicion.

How such a file is built stands in `mmnet_np.weights.flatbuffer_writer`; which fields a table has,
in `mmnet_np.weights.tflite_schema`. A file's offsets may lead anywhere. So each is checked against
the file before it is followed; tables are counted, as a crafted file could use one of them a
million times; and the schema, in which no table contains its own kind, bounds the depth. Vectors
are views of the file, so that reading allocates nothing but what describes it.

Reference: "FlatBuffer Internals", flatbuffers.dev/internals.
"""

from __future__ import annotations

from struct import unpack_from
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import WeightsError
from .tflite_schema import Child, Children, Choice, Fields, Scalar, Vector

__all__ = ["decode"]

TABLE_LIMIT = 20_000  # a model of MMNet has 1,300
TEXT_LIMIT = 4096


def decode(fields: Fields, data: bytes) -> dict[str, Any]:
    """Return the outermost table of a FlatBuffer.

    Parameters
    ----------
    fields : mapping of str to Field
        Of that table.
    data : bytes
        The whole file.

    Returns
    -------
    dict
        Field name -> number, read-only array, text, dict or list of dicts. A number that the file
        leaves out is its default, anything else None (a vector: empty, a list of tables: [ ]).
        Fields that the schema does not know are passed over.

    Raises
    ------
    WeightsError
        An offset leads out of the file, or there are more tables or longer texts than any network
        has.
    """
    return _Reader(data).table(fields, 0)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tables = 0

    def table(self, fields: Fields, place: int) -> dict[str, Any]:
        """Return the table that the offset at ``place`` leads to."""
        self.tables += 1
        if self.tables > TABLE_LIMIT:
            raise WeightsError(f"it has more than {TABLE_LIMIT} tables")
        start = self._follow(place)
        vtable = start - self._number("<i", start)
        length, size = (self._number("<H", vtable + i) for i in (0, 2))
        if length < 4 or length % 2 or size < 4:
            raise WeightsError(f"its table at byte {start} is damaged")
        self._check(vtable, length)
        self._check(start, size)
        found: dict[str, Any] = {}
        for name, (slot, kind) in fields.items():
            at = self._number("<H", vtable + 4 + 2 * slot) if 4 + 2 * slot < length else 0
            width = np.dtype(kind.dtype).itemsize if isinstance(kind, Scalar) else 4
            if at and not 4 <= at <= size - width:
                raise WeightsError(f"its table at byte {start} has a {name} outside of itself")
            found[name] = self._value(kind, start + at if at else None, found)
        return found

    def _value(self, kind: Any, place: int | None, found: dict[str, Any]) -> Any:
        """Return the field at ``place``; ``found`` are the fields before it."""
        if isinstance(kind, Scalar):
            if place is None:
                return kind.default
            return np.frombuffer(self.data, kind.dtype, 1, place)[0].item()
        if isinstance(kind, Vector):
            return self._numbers(kind.dtype, place)
        if isinstance(kind, Children):
            rows = self._numbers("<u4", place)
            # The rows are offsets; where they stand is what they count from.
            first = 0 if place is None else self._follow(place) + 4
            return [self.table(kind.fields, first + 4 * i) for i in range(len(rows))]
        if isinstance(kind, Choice):
            fields = kind.fields.get(found[kind.by])
            return None if place is None or fields is None else self.table(fields, place)
        if place is None:
            return None
        if isinstance(kind, Child):
            return self.table(kind.fields, place)
        return self._text(place)

    def _numbers(self, dtype: str, place: int | None) -> NDArray:
        if place is None:
            return np.empty(0, dtype)
        start = self._follow(place)
        count = self._number("<I", start)
        self._check(start + 4, count * np.dtype(dtype).itemsize)
        return np.frombuffer(self.data, dtype, count, start + 4)

    def _text(self, place: int) -> str:
        letters = self._numbers("<u1", place)
        if letters.size > TEXT_LIMIT:
            raise WeightsError(f"it has a text of {letters.size} bytes; at most {TEXT_LIMIT}")
        return letters.tobytes().decode("utf-8", "replace")

    def _follow(self, place: int) -> int:
        """Return where the offset at ``place`` leads."""
        return place + self._number("<I", place)

    def _number(self, form: str, place: int) -> int:
        self._check(place, 2 if form == "<H" else 4)
        return unpack_from(form, self.data, place)[0]

    def _check(self, place: int, size: int) -> None:
        if not 0 <= place <= len(self.data) - size:
            raise WeightsError(f"an offset leads to byte {place}, outside the file or cut off")
