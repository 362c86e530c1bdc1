"""From a photo to its matte at the photo's own size, by one look of the network or by two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .preprocess import alpha_bands
from .refine import refined_bands
from .refocus import closer, paste

__all__ = ["matte"]

Look = Callable[[Image.Image], NDArray[np.float32]]
"""The network: an RGB image to its alpha, (size, size) in [0, 1]."""


def matte(
    look: Look, photo: Image.Image, dtype: Any, *, refine: bool, refocus: bool, numba: bool
) -> NDArray:
    """Make the matte of a photo.

    Parameters
    ----------
    look : callable
    photo : PIL.Image.Image
        RGB.
    dtype : float32 or uint8
        Of the matte; uint8 is rounded from 0..255 times alpha.
    refine : bool
        Enlarge along the photo's edges (`mmnet_np.refine`) rather than by legacy bilinear.
    refocus : bool
        Look again where the person is small (`mmnet_np.refocus`).
    numba : bool
        Refine by the Numba kernels.

    Returns
    -------
    (photo.height, photo.width) array of ``dtype``
    """
    small = look(photo)
    white = 255.0 if dtype is np.uint8 else 1.0
    alpha: NDArray = np.empty((photo.height, photo.width), dtype)
    for first, rows in _enlarged(small, photo, refine, numba):
        if dtype is np.uint8:
            rows *= np.float32(white)
            np.rint(rows, out=rows)
        alpha[first : first + len(rows)] = rows
    box = closer(small, photo.height, photo.width) if refocus else None
    if box is not None:
        part = photo.crop(box)
        paste(alpha, _enlarged(look(part), part, refine, numba), box, white)
    return alpha


def _enlarged(
    small: NDArray[np.float32], photo: Image.Image, refine: bool, numba: bool
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    if refine:
        return refined_bands(small, photo, numba=numba)
    return alpha_bands(small, photo.height, photo.width)
