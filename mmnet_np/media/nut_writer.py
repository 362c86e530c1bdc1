"""Write raw frames with their times, for ffmpeg to read: see `mmnet_np.media.nut`."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO

import numpy as np

from .frames import Format, Frame
from .nut import CODES, FILE_ID, FOURCC, INFO, MAIN, STREAM, SYNC, Flag, crc, unsigned

__all__ = ["NutWriter"]

_FRAME_CODE = 0
_FIELDS = 6
"""Of a run in the table of frame codes: time, multiplier, stream, size, reserved, count."""

_FURTHEST = 65536
"""Bytes after a mark at which a frame's header may lie, the most that is allowed."""


class NutWriter:
    """One video stream.

    Parameters
    ----------
    stream : binary file
        Headers are written at once.
    form : Format
    rate : Fraction, optional
        About how many frames a second come. ffmpeg takes from it how long the last one is shown.
    """

    def __init__(self, stream: BinaryIO, form: Format, rate: Fraction | None = None) -> None:
        self._stream = stream
        stream.write(FILE_ID + _packet(MAIN, _main(form)) + _packet(STREAM, _stream(form)))
        if rate is not None:
            stream.write(_packet(INFO, _info(rate)))

    def write(self, frame: Frame) -> None:
        """Write a frame; its time must not be negative.

        Raises
        ------
        OSError
            Nobody reads.
        """
        pixels = np.ascontiguousarray(frame.pixels)
        # Any frame may be the first that is read: each is a key frame behind a mark of its own.
        head = _packet(SYNC, unsigned(frame.time) + unsigned(0))
        # The highest bits of a time may be left out where they are as before. None are here, and
        # what says so is the 1 that is added.
        fields = bytes([_FRAME_CODE]) + unsigned(frame.time + 1) + unsigned(pixels.nbytes)
        self._stream.write(head + fields + crc(fields).to_bytes(4, "big"))
        self._stream.write(pixels.data)
        self._stream.flush()


def _packet(code: int, content: bytes) -> bytes:
    size = unsigned(len(content) + 4)
    return code.to_bytes(8, "big") + size + content + crc(content).to_bytes(4, "big")


def _main(form: Format) -> bytes:
    """Version 3, one stream, one time base, one frame code that is valid."""
    table = [
        *(Flag.KEY | Flag.CODED_TIME | Flag.SIZE | Flag.CHECKSUM, _FIELDS, 0, 1, 0, 0, 0, 1),
        *(Flag.INVALID, _FIELDS, 0, 1, 0, 0, 0, CODES - 2),  # N counts by itself
    ]
    base = form.time_base
    head = [3, 1, _FURTHEST, 1, base.numerator, base.denominator]
    return b"".join(map(unsigned, [*head, *table, 0]))  # 0 common beginnings of frames


def _stream(form: Format) -> bytes:
    fourcc = FOURCC[form.channels]
    before = [0, 0, len(fourcc)]  # stream 0, class video
    # Time base 0; no bit of a time is left out; any time may follow any; no frame waits for a later
    # one; no flags; no data for the decoder. After the size: no statement on the colours.
    after = [0, 0, 0, 0, 0, 0, form.width, form.height, *form.aspect, 0]
    return b"".join(map(unsigned, before)) + fourcc + b"".join(map(unsigned, after))


def _info(rate: Fraction) -> bytes:
    """Tell the rate, under the name that ffmpeg uses."""
    name, value = b"r_frame_rate", f"{rate.numerator}/{rate.denominator}".encode()
    stream, chapter, text = 1, 0, 2  # the first stream, no chapter; a value that is text
    before = [stream, chapter, 0, 0, 1, len(name)]  # from time 0, of no length; one value
    return b"".join(map(unsigned, before)) + name + bytes([text]) + unsigned(len(value)) + value
