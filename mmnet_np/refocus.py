"""A second look at a person who is small in the photo.

The network sees a photo as 256 x 256 pixels and learned from portraits that a person fills. Where
the first matte covers little of the photo, the part around it is cut out and matted again, larger
and framed as a portrait is, and pasted back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "closer", "paste"]

_MARGIN = 0.1
"""Around the matte, as a share of its own width or height: more makes the person small again."""

_TAIL = 0.01
"""Share of the matte that the box may leave out at each side: stray spots are not the person."""

_NARROWEST, _WIDEST = 0.6, 1.2
"""Width by height of the box, about as portraits have it: in a square input a standing person's own
box would make a stout one, and the network errs."""

_LARGEST = 0.7
"""Share of the photo up to which a box is worth a second look."""

_SMALLEST = 16
"""Pixels of the small matte that must be foreground: fewer are no person."""


class Box(NamedTuple):
    """Pixels of a photo, as `PIL.Image.Image.crop` takes them."""

    left: int
    upper: int
    right: int
    lower: int


def closer(alpha: NDArray[np.float32], height: int, width: int) -> Box | None:
    """Return the part of a photo that deserves a second look.

    Parameters
    ----------
    alpha : (h, w) float32 array in [0, 1]
        The network's, of the whole photo.
    height, width : int
        The photo's size.

    Returns
    -------
    Box or None
        None where nobody is found, where the person fills the photo anyway, or where the part has
        fewer pixels than the network sees, so that a second look would show it nothing new.
    """
    inside = alpha > 0.5
    if np.count_nonzero(inside) < _SMALLEST:
        return None
    upper, lower = _extent(inside.sum(axis=1), height)
    left, right = _extent(inside.sum(axis=0), width)
    upper, lower = _widened(upper, lower, (right - left) / _WIDEST, height)
    left, right = _widened(left, right, (lower - upper) * _NARROWEST, width)
    area = (right - left) * (lower - upper)
    if area > _LARGEST * width * height or area < alpha.size:
        return None
    return Box(left, upper, right, lower)


def _extent(counts: NDArray[np.intp], length: int) -> tuple[int, int]:
    """Return first and last + 1 of ``length`` pixels: where the counts lie, and the margin."""
    share = np.cumsum(counts) / counts.sum()
    first = int(np.searchsorted(share, _TAIL))
    last = int(np.searchsorted(share, 1 - _TAIL)) + 1
    margin = _MARGIN * (last - first)
    scale = length / len(counts)
    start, stop = round((first - margin) * scale), round((last + margin) * scale)
    start = min(max(0, start), length - 1)
    return start, min(length, max(stop, start + 1))


def _widened(start: int, stop: int, least: float, length: int) -> tuple[int, int]:
    """Return an interval of ``least`` pixels or more, about the same centre as far as possible."""
    size = max(stop - start, min(length, round(least)))
    start = min(max(0, start - (size - (stop - start)) // 2), length - size)
    return start, start + size


def paste(
    alpha: NDArray, bands: Iterable[tuple[int, NDArray[np.float32]]], box: Box, white: float
) -> None:
    """Put the second matte into the first, fading into it where the box ends inside the photo.

    Parameters
    ----------
    alpha : (H, W) array
        The first, at the photo's size; changed in place.
    bands : iterable of (first row, (n, box width) float32 array in [0, 1])
        The second, at the box's size.
    box : Box
    white : float
        What alpha has for 1.
    """
    across = _fade(box.left, box.right, alpha.shape[1])
    down = _fade(box.upper, box.lower, alpha.shape[0])
    for first, rows in bands:
        at = slice(box.upper + first, box.upper + first + len(rows))
        old = alpha[at, box.left : box.right].astype(np.float32)
        weight = np.minimum(down[first : first + len(rows), np.newaxis], across)
        old += weight * (rows * np.float32(white) - old)
        if alpha.dtype == np.uint8:
            np.rint(old, out=old)
        alpha[at, box.left : box.right] = old


def _fade(start: int, stop: int, length: int) -> NDArray[np.float32]:
    """Return weights 0 to 1 of the pixels from start to stop: they fade over half the margin."""
    position = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    width = (stop - start) * _MARGIN / (1 + 2 * _MARGIN) / 2
    weight = np.ones(stop - start, np.float32)
    if start > 0:
        weight = np.minimum(weight, (position - start) / width)
    if stop < length:
        weight = np.minimum(weight, (stop - position) / width)
    return weight.astype(np.float32)
