"""NUT, the container in which raw frames and their exact times travel to and from ffmpeg.

A bare pipe of pixels has no times, so a video of varying frame rate would lose them. NUT carries
each frame's time in the video's own time base, and is plain enough to be written down here: what
both directions share is the variable-length integer and the check sum.

A file is a name and packets: start code, length, content, check sum. A frame is none of these but
one byte, an index into a table in the main header that says which fields follow.

References
----------
.. [1] M. Niedermayer et al., "NUT Open Container Format", 2013.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = [
    "CODES",
    "FILE_ID",
    "FOURCC",
    "INFO",
    "MAIN",
    "STREAM",
    "SYNC",
    "Flag",
    "crc",
    "read_unsigned",
    "unsigned",
]

FILE_ID = b"nut/multimedia container\0"
MAIN, STREAM, INFO, SYNC = (
    int.from_bytes(b"N" + letter, "big") << 48 | low
    for letter, low in (
        (b"M", 0x7A561F5F04AD),
        (b"S", 0x11405BF2F9DB),
        (b"I", 0xAB68B596BA78),
        (b"K", 0xE4ADEECA4569),
    )
)
"""Start codes: of the main header, a stream's header, what is told of it, the mark of a frame."""

FOURCC = {1: b"Y800", 3: b"RGB\x18", 4: b"RGBA"}
"""What ffmpeg calls raw frames of 1, 3 and 4 bytes a pixel."""

CODES = 256
"""Entries of the table of frame codes. That of the letter N, with which start codes begin, is
never a frame's."""


class Flag:
    """Bits of a frame code: which fields follow it."""

    KEY = 1
    CODED_TIME = 8
    STREAM_ID = 16
    SIZE = 32
    CHECKSUM = 64
    RESERVED = 128
    HEADER = 1024
    MATCH_TIME = 2048
    CODED = 4096
    INVALID = 8192


def unsigned(value: int) -> bytes:
    """Write a number in groups of seven bits, the highest first, the eighth bit saying "more".

    >>> unsigned(300).hex()
    '822c'
    """
    groups = [value & 127]
    while value := value >> 7:
        groups.append(value & 127 | 128)
    return bytes(reversed(groups))


def read_unsigned(byte: Callable[[], int]) -> int:
    """Read what `unsigned` wrote, a byte at a time."""
    value, more = 0, True
    while more:
        group = byte()
        value, more = value << 7 | group & 127, group > 127
    return value


def crc(data: bytes) -> int:
    """Return the check sum: CRC of 0x04C11DB7, highest bit first, from 0 and not inverted [1]_.

    >>> hex(crc(b"NUT"))
    '0xd184641b'
    """
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x104C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value
