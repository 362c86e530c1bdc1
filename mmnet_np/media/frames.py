"""What flows from a source to a sink: frames with their times, all of one format."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoError

__all__ = ["Format", "Frame"]

MAX_PIXELS = 36_000_000
"""Pixels of the largest frame that is taken, somewhat above 8K: up to a dozen frames of 3 to 4
bytes a pixel are in memory at once."""


class Frame(NamedTuple):
    """One picture.

    Attributes
    ----------
    time : int
        When it is shown, in units of its `Format.time_base`.
    pixels : (H, W, C) uint8 array
        RGB, RGBA with straight alpha, or grey.
    """

    time: int
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class Format:
    """What all frames of a video share.

    Attributes
    ----------
    width, height : int
    channels : int
        1 grey, 3 RGB, 4 RGBA.
    time_base : Fraction
        Seconds a unit of time lasts.
    aspect : (int, int)
        Width to height of a pixel; (0, 0) where it is not known.

    Raises
    ------
    VideoError
        No pixels, or more than 36 million.
    """

    width: int
    height: int
    channels: int = 3
    time_base: Fraction = Fraction(1, 30)
    aspect: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise VideoError(f"a frame is {self.width} x {self.height}: it has no pixels")
        if self.width * self.height > MAX_PIXELS:
            raise VideoError(
                f"a frame is {self.width} x {self.height}, more than {MAX_PIXELS:,} pixels"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return self.height * self.width * self.channels
