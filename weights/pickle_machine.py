"""The stack machine that pickles program: its state, and the values it handles.

Its instructions are in `mmnet_np.weights.pickle_reader`.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from .errors import WeightsError

__all__ = ["Global", "Machine", "StorageRef", "TensorRef"]

LINE_LIMIT = 256  # bytes of a module's or a function's name


class Global(NamedTuple):
    """A name of something importable, which is never imported."""

    module: str
    name: str


class StorageRef(NamedTuple):
    """A run of values in the archive: PyTorch's name of the type, the entry's key, the count."""

    kind: str
    key: str
    length: int


class TensorRef(NamedTuple):
    """A strided view of a storage, as written: only the types are checked, and the rank.

    ``offset`` and ``strides`` count values, not bytes.
    """

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine:
    """The state of one run: the program, the stack, the marks in it, and the memo."""

    def __init__(self, program: bytes) -> None:
        self.program = program
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes of the program."""
        if count > len(self.program) - self.position:
            raise WeightsError("its pickle ends in the middle of an instruction")
        self.position += count
        return self.program[self.position - count : self.position]

    def number(self, layout: str) -> Any:
        """Return the next number of the program, of a `struct` layout."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def text(self, count: int) -> str:
        """Return the next ``count`` bytes as text."""
        try:
            return self.take(count).decode()
        except UnicodeDecodeError:
            raise WeightsError("its pickle holds text that is not UTF-8") from None

    def line(self) -> str:
        """Return the text up to the next newline, and pass that."""
        end = self.program.find(b"\n", self.position, self.position + LINE_LIMIT)
        if end < 0:
            raise WeightsError("its pickle holds a name without an end")
        line = self.text(end - self.position)
        self.position += 1
        return line

    def pop(self) -> Any:
        """Return the top of the stack, removed; never from below the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise WeightsError("its pickle takes a value from an empty stack")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        """Return all values above the last mark, removed with it."""
        if not self.marks:
            raise WeightsError("its pickle closes a group it never opened")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        """Return the top of the stack, left there, which must be of type ``kind``."""
        value = self.pop()
        if type(value) is not kind:
            raise WeightsError(f"its pickle fills a {type(value).__name__} as a {kind.__name__}")
        self.stack.append(value)
        return value
