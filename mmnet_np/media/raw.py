"""Bare frames without a header, as cameras and virtual cameras take and give them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from ..command import reason
from ..errors import OptionError, VideoError
from .frames import Format, Frame

__all__ = ["RATE", "RawSink", "RawSource", "parse_raw"]

RATE = Fraction(30)
"""Frames a second where nobody says."""


def parse_raw(text: str) -> tuple[int, int, int]:
    """Read ``WxH`` or ``WxH:STRIDE``: width and height in pixels, bytes from row to row.

    Raises
    ------
    OptionError
        Something else, or a stride below the three bytes of each pixel.

    Examples
    --------
    >>> parse_raw("640x480")
    (640, 480, 1920)
    """
    found = re.fullmatch(r"([1-9]\d{0,4})[xX]([1-9]\d{0,4})(?::(\d{1,6}))?", text)
    if not found:
        raise OptionError(f"--raw is WIDTHxHEIGHT or WIDTHxHEIGHT:STRIDE, not {text[:50]!r}")
    width, height = int(found[1]), int(found[2])
    stride = int(found[3]) if found[3] else 3 * width
    if stride < 3 * width:
        raise OptionError(f"a row of {width} pixels has {3 * width} bytes, the stride is {stride}")
    return width, height, stride


class RawSource:
    """Frames of RGB, three bytes a pixel, from a file descriptor.

    Parameters
    ----------
    descriptor : int
        Left open.
    name : str
        What it is called in sentences.
    size : (int, int, int)
        Width, height and stride, as `parse_raw` gives them.
    rate : Fraction
        Frames a second, by which a frame's number becomes its time.
    live : bool
        Whether the source may stop in the middle of a frame, as cameras do.

    Attributes
    ----------
    form : Format
    file, expected : None
        It is no file, and nobody knows how many frames will come.
    damage : str
        Empty: bare frames cannot be known to be damaged.
    """

    file = None
    expected = None
    damage = ""

    def __init__(
        self,
        descriptor: int,
        name: str,
        size: tuple[int, int, int],
        *,
        rate: Fraction = RATE,
        live: bool = False,
    ) -> None:
        width, height, self._stride = size
        self.form = Format(width, height, 3, 1 / rate)
        self._descriptor, self._name, self._live = descriptor, name, live

    def close(self) -> None:
        """Do nothing: who waits for input cannot be woken, but need not be waited for."""

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames; ends where the input does.

        Raises
        ------
        VideoError
            The input is no whole number of frames, or cannot be read.
        """
        height, width, _ = self.form.shape
        number = 0
        while True:
            rows = np.empty((height, self._stride), np.uint8)
            got = self._fill(memoryview(rows.reshape(-1)))  # type: ignore[arg-type]
            if got < rows.size:
                if got and not self._live:
                    raise VideoError(f"{self._name}: ends within frame {number + 1}")
                return
            pixels = np.ascontiguousarray(rows[:, : 3 * width])
            yield Frame(number, pixels.reshape(height, width, 3))
            number += 1

    def _fill(self, view: memoryview) -> int:
        """Read until the view is full or the input ends; return how many bytes came."""
        got = 0
        # Below Python's own files: a thread that waits in one of those makes the exit fail.
        try:
            while got < len(view) and (count := os.readv(self._descriptor, [view[got:]])):
                got += count
        except OSError as error:
            raise VideoError(f"{self._name}: cannot be read ({reason(error)})") from None
        return got


class RawSink:
    """Frames to a file descriptor, row after row without a gap.

    Parameters
    ----------
    descriptor : int
        Left open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, frame: Frame) -> None:
        """Write a frame.

        Raises
        ------
        OSError
            Nobody reads (`BrokenPipeError`), or the disk is full.
        """
        pixels = np.ascontiguousarray(frame.pixels).reshape(-1)
        view = memoryview(pixels)  # type: ignore[arg-type]
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            error.filename = "standard output"
            raise

    def close(self) -> None:
        """Do nothing: the descriptor is somebody else's."""
