"""Read the raw frames that ffmpeg writes, with their times: see `mmnet_np.media.nut`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

import numpy as np

from ..errors import VideoError
from .frames import Format, Frame
from .nut import CODES, FILE_ID, MAIN, STREAM, SYNC, Flag, read_unsigned

__all__ = ["EndedError", "NutReader"]

_CHANNELS = {b"Y800": 1, b"RGB\x18": 3, b"RGBA": 4}
_N = ord("N")
_LARGEST = 2**20
"""Bytes of the largest header that is believed."""


class EndedError(VideoError):
    """The pipe ends before what was begun is whole."""


@dataclass(frozen=True)
class _Code:
    """An entry of the table of frame codes."""

    flags: int
    time_step: int
    stream: int
    multiplier: int
    size: int
    reserved: int
    header: int


class NutReader:
    """The only stream of a pipe from ffmpeg.

    Parameters
    ----------
    stream : binary file

    Attributes
    ----------
    form : Format
        Known as soon as the object is.

    Raises
    ------
    EndedError
        It ends too early.
    VideoError
        What comes is no NUT, or not a stream of raw frames.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._last = 0
        if self._take(len(FILE_ID)) != FILE_ID:
            raise VideoError("the decoder's output is damaged")
        self._bases: list[Fraction] = []
        self._codes: list[_Code] = []
        self._headers: list[bytes] = []
        while True:
            code, content = self._packet(self._take(1))
            if code == MAIN:
                self._read_main(content)
            elif code == STREAM:
                self.form = self._read_stream(content)
                return

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames to come.

        Raises
        ------
        EndedError
            The pipe ends within a frame.
        VideoError
            Frames change their size.
        """
        while first := self._stream.read(1):
            if first[0] == _N:
                code, content = self._packet(first)
                if code == SYNC:
                    self._read_mark(content)
            else:
                yield self._frame(self._codes[first[0]])

    def _frame(self, code: _Code) -> Frame:
        flags, size, header, reserved = code.flags, code.size, code.header, code.reserved
        time = self._last + code.time_step
        if flags & Flag.CODED:
            flags ^= self._unsigned()
        if flags & Flag.INVALID:
            raise VideoError("the decoder's output is damaged")
        if flags & Flag.STREAM_ID:
            self._unsigned()
        if flags & Flag.CODED_TIME:
            time = self._time(self._unsigned())
        if flags & Flag.SIZE:
            size += self._unsigned() * code.multiplier
        if flags & Flag.MATCH_TIME:
            self._unsigned()
        if flags & Flag.HEADER:
            header = self._unsigned()
        if flags & Flag.RESERVED:
            reserved = self._unsigned()
        for _ in range(reserved):
            self._unsigned()
        if flags & Flag.CHECKSUM:
            self._take(4)
        if size != self.form.size:
            raise VideoError("its frames change their size")
        if header >= len(self._headers):
            raise VideoError("the decoder's output is damaged")
        self._last = time
        # Some beginnings of frames are so common that they are said once, in the main header.
        known = self._headers[header]
        pixels = np.empty(size, np.uint8)
        pixels[: len(known)] = np.frombuffer(known, np.uint8)
        self._fill(memoryview(pixels)[len(known) :])  # type: ignore[arg-type]
        return Frame(time, pixels.reshape(self.form.shape))

    def _time(self, coded: int) -> int:
        """Complete a time of which the highest bits may be left out."""
        span = 1 << self._shift
        if coded >= span:
            return coded - span
        lowest = self._last - span // 2
        return lowest + (coded - lowest) % span

    def _packet(self, first: bytes) -> tuple[int, BytesIO]:
        """Read a packet that is no frame: start code and content."""
        code = int.from_bytes(first + self._take(7), "big")
        size = self._unsigned()
        if first[0] != _N or not 4 <= size <= _LARGEST:
            raise VideoError("the decoder's output is damaged")
        if size > 4096:
            self._take(4)  # check sum of the length
        return code, BytesIO(self._take(size)[:-4])

    def _read_main(self, content: BytesIO) -> None:
        def number() -> int:
            return read_unsigned(lambda: content.read(1)[0])

        version = number()
        if version > 3:
            number()
        number()  # streams
        number()  # bytes between marks
        self._bases = [Fraction(number(), number()) for _ in range(number())]
        code = _Code(0, 0, 0, 1, 0, 0, 0)
        while len(self._codes) < CODES:
            flags, fields = number(), number()
            given = [number() for _ in range(fields)] + [0] * 8
            code = replace(
                code,
                flags=flags,
                time_step=_signed(given[0]) if fields > 0 else code.time_step,
                multiplier=given[1] if fields > 1 else code.multiplier,
                stream=given[2] if fields > 2 else code.stream,
                size=given[3],
                reserved=given[4],
                header=given[7] if fields > 7 else code.header,
            )
            count = given[5] if fields > 5 else code.multiplier - code.size
            for step in range(count):
                if len(self._codes) == _N:
                    self._codes.append(replace(code, flags=Flag.INVALID))
                self._codes.append(replace(code, size=code.size + step))
        self._headers = [b"", *(content.read(number()) for _ in range(number()))]

    def _read_stream(self, content: BytesIO) -> Format:
        def number() -> int:
            return read_unsigned(lambda: content.read(1)[0])

        _identity, _class = number(), number()
        fourcc = content.read(number())
        base, self._shift = self._bases[number()], number()
        for _ in range(3):  # furthest step of time, delay, flags
            number()
        content.read(number())  # for the decoder
        width, height, aspect = number(), number(), (number(), number())
        if fourcc not in _CHANNELS:
            raise VideoError("the decoder's output is not of raw frames")
        return Format(width, height, _CHANNELS[fourcc], base, aspect)

    def _read_mark(self, content: BytesIO) -> None:
        """Take over the time that a mark sets: the next one's missing bits are counted from it."""
        time = read_unsigned(lambda: content.read(1)[0])
        base = self._bases[time % len(self._bases)]
        self._last = int(time // len(self._bases) * base / self.form.time_base)

    def _unsigned(self) -> int:
        return read_unsigned(lambda: self._take(1)[0])

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise EndedError("the decoder ended too early")
        return data

    def _fill(self, view: memoryview) -> None:
        while view:
            count = self._stream.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise EndedError("the decoder ended too early")
            view = view[count:]


def _signed(coded: int) -> int:
    """Undo the coding of a number with a sign: 0, 1, -1, 2, -2, ...

    >>> [_signed(coded) for coded in range(5)]
    [0, 1, -1, 2, -2]
    """
    return (coded + 1) // 2 if coded & 1 else -(coded // 2)
