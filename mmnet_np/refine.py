"""Edges at the photo's resolution: alpha enlarged with the photo itself as guide.

The network sees 256 x 256 pixels, the photo may have twelve million. `kernels.guided` has the
method; here is what belongs to photos: the small guide, the settings, and the bands of rows that
bound the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .kernels import guided
from .kernels.resize import along, coordinates
from .rgb import bands

__all__ = ["guide", "refined_bands"]

RADIUS = 2
"""Pixels of the small guide. Wider windows find edges that the network did not mean."""

EPSILON = 3e-4
"""Contrast, squared, from which on an edge is followed: 0.017, about 4 of 255."""


def guide(photo: Image.Image, height: int, width: int) -> NDArray[np.float32]:
    """Reduce a photo to the size of its alpha, without aliasing.

    Parameters
    ----------
    photo : PIL.Image.Image
        RGB.
    height, width : int

    Returns
    -------
    (height, width, 3) float32 array in [0, 1]
        Pixel j lies where pixel j of alpha does, as align_corners has it; each is a mean over
        about its share of the photo.
    """
    factors = max(1, photo.width // width), max(1, photo.height // height)
    pixels = np.asarray(photo.reduce(factors) if factors != (1, 1) else photo, np.float32)
    for axis, (full, size, factor) in enumerate(
        ((photo.height, height, factors[1]), (photo.width, width, factors[0]))
    ):
        _, _, fraction = at = coordinates(full, size, "align_corners")
        # Cell i of the reduced photo has its centre at pixel i * factor + (factor - 1) / 2.
        position = (at[0] + fraction - (factor - 1) / 2) / factor
        position = np.clip(position, 0, pixels.shape[axis] - 1)
        lower = np.floor(position).astype(np.intp)
        upper = np.minimum(lower + 1, pixels.shape[axis] - 1)
        pixels = along(pixels, axis, lower, upper, (position - lower).astype(np.float32))
    pixels *= np.float32(1 / 255)
    return np.ascontiguousarray(pixels)


def refined_bands(
    alpha: NDArray[np.float32], photo: Image.Image, *, numba: bool
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Enlarge alpha to a photo's size along the photo's edges, a band of rows at a time.

    Parameters
    ----------
    alpha : (h, w) float32 array in [0, 1]
        The network's.
    photo : PIL.Image.Image
        RGB.
    numba : bool
        Compute by the Numba kernels; they agree with the NumPy references to rounding.

    Yields
    ------
    first row : int
    rows : (n, photo.width) float32 array in [0, 1]
    """
    fields = _fields(guide(photo, *alpha.shape), np.array(alpha, order="C"), numba)
    y = coordinates(alpha.shape[0], photo.height, "align_corners")
    x = coordinates(alpha.shape[1], photo.width, "align_corners")
    for first, last in bands(photo.height):
        rows = np.array(photo.crop((0, first, photo.width, last)))  # kernels want it writable
        made = np.empty(rows.shape[:2], np.float32)
        if numba:
            guided.apply(fields, rows, *y, *x, first, made, 0, len(rows))
        else:
            guided.apply_reference(fields, rows, photo.height, first, made)
        yield first, made


def _fields(
    small: NDArray[np.float32], alpha: NDArray[np.float32], numba: bool
) -> NDArray[np.float32]:
    """Return the smooth linear coefficients, (h, w, 4)."""
    fitted, fields = (np.empty((*alpha.shape, 4), np.float32) for _ in range(2))
    if numba:
        guided.fit(small, alpha, RADIUS, np.float32(EPSILON), fitted, 0, len(alpha))
        guided.smooth(fitted, RADIUS, fields, 0, len(alpha))
    else:
        guided.fit_reference(small, alpha, RADIUS, EPSILON, fitted)
        guided.smooth_reference(fitted, RADIUS, fields)
    return fields
