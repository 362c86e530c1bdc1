"""The low level of an HDF5 file: its superblock, and the headers of its objects.

Only what HDF5's library writes for plain groups and datasets in its format of version 1.10 is
understood, and every address is checked against the file before it is followed.

Reference: "HDF5 File Format Specification Version 3.0", The HDF Group: superblock II.A, object
header IV.A.1.b.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .errors import WeightsError
from .lookup3 import lookup3

__all__ = ["MAGIC", "Image", "Message"]

MAGIC = b"\x89HDF\r\n\x1a\n"
NIL, CONTINUATION = 0x00, 0x10
WORK_LIMIT = 200_000  # messages and links read from one file; MMNet has 6,000
CHUNK_LIMIT = 64
HEADER_LIMIT = 1 << 20  # bytes of a header's chunk; eight attributes of 64 kB fit


class Message(NamedTuple):
    """One message of an object header."""

    kind: int
    body: bytes


class Image:
    """The bytes of a file, read with bounds.

    Parameters
    ----------
    data : bytes
        The whole file.

    Raises
    ------
    WeightsError
        The superblock is not one of HDF5 1.10, or does not fit the file's length.
    """

    def __init__(self, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise WeightsError("it is not an HDF5 file")
        if len(data) < 48:
            raise WeightsError("it is cut off")
        version, self.width, lengths = data[8], data[9], data[10]
        if version not in (2, 3):
            raise WeightsError(
                f"it is HDF5 with superblock version {version}; expected 2 or 3, as we write"
            )
        if self.width not in (4, 8) or lengths != self.width:
            raise WeightsError("its HDF5 superblock is damaged")
        self.data = data
        self.undefined = (1 << 8 * self.width) - 1
        self.work = WORK_LIMIT
        base, extension, end, self.root = (self.number(12 + i * self.width) for i in range(4))
        if end > len(data):
            raise WeightsError(f"it is cut off after {len(data)} bytes of {end}")
        if end != len(data) or base != 0 or extension != self.undefined:
            raise WeightsError("it has parts of HDF5 that we never write")

    def at(self, address: int, size: int) -> bytes:
        """Return ``size`` bytes at ``address``, all inside the file."""
        if size > len(self.data) - address:
            raise WeightsError(f"its HDF5 structure points outside the file, at byte {address}")
        return self.data[address : address + size]

    def number(self, address: int) -> int:
        """Return the address or length written at ``address``."""
        return int.from_bytes(self.at(address, self.width), "little")

    def effort(self) -> None:
        """Count one more thing read; a crafted file must not be endless."""
        self.work -= 1
        if self.work < 0:
            raise WeightsError(f"it has more than {WORK_LIMIT} parts")

    def messages(self, address: int, checked: bool = False) -> list[Message]:
        """Return the messages of the object header at ``address``.

        Parameters
        ----------
        address : int
            Of a version 2 header.
        checked : bool
            Whether to check the header's checksum. It takes 0.3 ms, so the hundreds of headers
            of datasets go without: the digest of all they describe tells more.
        """
        head = self.at(address, 6)
        if head[:5] != b"OHDR\x02":
            raise WeightsError(f"its HDF5 structure has no object header at byte {address}")
        flags = head[5]
        start = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        size = int.from_bytes(self.at(start, width), "little")
        start += width
        chunks = [(address, start, size)]
        found: list[Message] = []
        for first, body, length in chunks:  # grows while it is walked
            if length > HEADER_LIMIT:
                raise WeightsError("its HDF5 structure has a header larger than any we write")
            block = self.at(body, length + 4)
            if checked:
                self.check(first, body + length)
            for message in self._split(block[:-4], 2 if flags & 4 else 0):
                if message.kind == CONTINUATION:
                    chunks.append(self._continuation(message.body))
                elif message.kind != NIL:
                    found.append(message)
            if len(chunks) > CHUNK_LIMIT:
                raise WeightsError("its HDF5 structure has a header in too many parts")
        return found

    def check(self, start: int, end: int) -> None:
        """Check the checksum at ``end`` of the bytes from ``start``."""
        if lookup3(self.data[start:end]) != int.from_bytes(self.at(end, 4), "little"):
            raise WeightsError(f"the checksum of the header at byte {start} is wrong")

    def _continuation(self, body: bytes) -> tuple[int, int, int]:
        """Return the (start, first message, size of messages) of a header's further chunk."""
        address = int.from_bytes(body[: self.width], "little")
        size = int.from_bytes(body[self.width : 2 * self.width], "little")
        if size < 8 or self.at(address, 4) != b"OCHK":
            raise WeightsError(f"its HDF5 structure has no header chunk at byte {address}")
        return address, address + 4, size - 8  # less the signature and the checksum

    def _split(self, block: bytes, extra: int) -> Iterator[Message]:
        position, head = 0, 4 + extra
        while position + head <= len(block):  # a shorter rest is a gap
            self.effort()
            kind, flags = block[position], block[position + 3]
            size = int.from_bytes(block[position + 1 : position + 3], "little")
            position += head
            if size > len(block) - position or flags & 2:  # 2: the message is stored elsewhere
                raise WeightsError("its HDF5 structure has a message that we never write")
            yield Message(kind, block[position : position + size])
            position += size
