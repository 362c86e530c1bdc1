"""A photo's own background, out of focus, without the person's colours in it.

Blurring the photo as it is would smear the person around themselves: a glow along every edge. So
each pixel counts with the weight of its background, 1 - alpha, and the blurred colours are divided
by the blurred weights (normalized convolution: Knutsson and Westin, 1993). What lies behind the
person is filled from around, which is what shows through a soft edge.
"""

from __future__ import annotations

import math

from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .alpha import as_uint8
from .rgb import ROWS

__all__ = ["blurred"]

_SHARE = 1 / 50
"""Default radius as a share of the photo's longer side."""

_FINEST = 4
"""Pixels of a reduced photo that the radius keeps: fewer show that it was reduced."""


def blurred(photo: Image.Image, alpha: NDArray, radius: float | None = None) -> Image.Image:
    """Blur a photo's background.

    Parameters
    ----------
    photo : PIL.Image.Image
        RGB.
    alpha : (H, W) array
        Float in [0, 1] or uint8 in 0..255: where the person is.
    radius : float, optional
        Standard deviation of the Gaussian in the photo's pixels; by default a fiftieth of its
        longer side.

    Returns
    -------
    PIL.Image.Image
        RGB, of the photo's shape, and as much smaller as the blur allows, so that a photo of any
        size is blurred in about the same time. Deep inside the person it is black.

    Examples
    --------
    >>> import numpy as np
    >>> photo = Image.new("RGB", (40, 30), "blue")
    >>> photo.paste("red", (10, 10, 20, 30))
    >>> alpha = np.all(np.asarray(photo) == (255, 0, 0), axis=2).astype(np.float32)
    >>> blurred(photo, alpha, 5).getpixel((12, 12))
    (0, 0, 255)
    """
    if radius is None:
        radius = max(photo.size) * _SHARE
    factor = _factor(radius)
    columns, rows = (-(-side // factor) for side in photo.size)
    small = Image.new("RGBA", (columns, rows))
    for top in range(0, photo.height, ROWS):
        bottom = min(top + ROWS, photo.height)
        band = photo.crop((0, top, photo.width, bottom)).convert("RGBA")
        band.putalpha(Image.fromarray(255 - as_uint8(alpha[top:bottom])))
        small.paste(band.reduce(factor), (0, top // factor))
    # "RGBa" has its colours multiplied by its weights, and back: Pillow's normalized convolution.
    softened = small.convert("RGBa").filter(ImageFilter.GaussianBlur(radius / factor))
    filled = softened.convert("RGBA")
    filled.putalpha(255)
    return filled.convert("RGB")


def _factor(radius: float) -> int:
    """Return by how much to reduce first: a power of two, so that bands hold whole cells."""
    return min(ROWS, 2 ** max(0, math.floor(math.log2(max(radius, 1) / _FINEST))))
