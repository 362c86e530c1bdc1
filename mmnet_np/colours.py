"""A person's own colours, without the old background that shines through their edge.

`kernels.foreground` estimates foreground F and background B of a reduced photo. The photo's own
pixels are not resampled: from ``I = alpha * F + (1 - alpha) * B`` follows
``F = I + (1 - alpha) * (F - B)``, and only the difference F - B, which is smooth, is enlarged. So a
pixel of full alpha keeps its value to the bit, and all texture stays.
"""

from __future__ import annotations

import sys
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .alpha import as_uint8, check_alpha
from .kernels import cache
from .kernels import foreground as kernels
from .rgb import bands, photo_shape, rgb_profile, to_rgb

__all__ = ["foreground"]

Picture = TypeVar("Picture", Image.Image, NDArray[np.uint8])

_SIDE = 320
"""Pixels of the longer side above which a photo is reduced for the estimate."""


def foreground(image: Picture, alpha: NDArray, *, numba: bool | None = None) -> Picture:
    """Estimate a photo's foreground colours, for a cutout or composite without a halo.

    Parameters
    ----------
    image : PIL.Image.Image or (H, W, 3) uint8 array
        The photo.
    alpha : (H, W) array
        Float in [0, 1] or uint8 in 0..255.
    numba : bool, optional
        Compute with the Numba kernels rather than NumPy; by default if Numba is loaded already and
        its kernels are compiled. The two differ by rounding.

    Returns
    -------
    PIL.Image.Image or (H, W, 3) uint8 array
        Of the same kind as ``image``. Where alpha is 0 or 1 the photo's pixels are unchanged.

    Raises
    ------
    ImageError
        ``image`` is neither kind, or ``alpha`` has another height or width.
    OptionError
        ``alpha`` has another dtype, or values outside its range.

    Examples
    --------
    A pixel half white and half black, between a white person and a black background:

    >>> import numpy as np
    >>> photo = np.array([[[255] * 3, [128] * 3, [0] * 3]], np.uint8)
    >>> foreground(photo, np.array([[1.0, 0.5, 0.0]]))[0, :, 0].tolist()
    [255, 252, 0]
    """
    height, width = photo_shape(image)
    check_alpha(alpha, height, width)
    photo = to_rgb(image) if isinstance(image, Image.Image) else Image.fromarray(image)
    result = np.array(photo)
    numba = _has_kernels() if numba is None else numba
    difference, factor = _difference(photo, alpha, numba)
    for top, bottom in bands(height):
        rows, opacity = result[top:bottom], as_uint8(alpha[top:bottom])
        if numba:
            opacity = np.require(opacity, requirements="W")  # kernels want it so
            kernels.shift(difference, factor, opacity, top, rows, 0, len(rows))
        else:
            kernels.shift_reference(difference, factor, opacity, top, rows)
    if isinstance(image, np.ndarray):
        return result
    picture = Image.fromarray(result)
    picture.info = rgb_profile(image)
    return picture


def _has_kernels() -> bool:
    return "numba" in sys.modules and cache.is_warm("photo")


def _difference(photo: Image.Image, alpha: NDArray, numba: bool) -> tuple[NDArray[np.float32], int]:
    """Return F - B, (h, w, 3), of the photo reduced by a whole factor, and that factor."""
    factor = -(-max(photo.size) // _SIDE)
    opacity = Image.fromarray(as_uint8(alpha))
    if factor > 1:
        photo, opacity = photo.reduce(factor), opacity.reduce(factor)
    pixels, weights = (np.array(part, np.float32) for part in (photo, opacity))
    pixels *= np.float32(1 / 255)
    weights *= np.float32(1 / 255)
    front, back = kernels.estimate(pixels, weights, _sweep if numba else kernels.sweep_reference)
    return front - back, factor


def _sweep(photo: NDArray, alpha: NDArray, old: NDArray, new: NDArray) -> None:
    kernels.sweep(photo, alpha, old, new, 0, len(alpha))
