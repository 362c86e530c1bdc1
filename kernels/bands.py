"""How a training batch is shared among threads without its bits depending on them.

A batch is always cut into the same `BANDS` groups of images. Sums over the batch (batch norm
statistics, weight gradients) are made per band and added up in band order, so it does not matter
which thread did which band.
"""

from __future__ import annotations

from .jit import Inline

__all__ = ["BANDS", "CHUNK", "NORMS", "SHARE", "SUMS", "Z", "first_image"]

BANDS = 8

CHUNK = 96
"""Pixels that pointwise training kernels take at a time: small enough for the L1 and L2 caches, a
multiple of the register tile's six rows."""

Z = "float32[:,:,:,::1]"
"""Numba type of z or g: (N, H, W, C)."""
NORMS = "float32[:,::1]"
"""Of norms: (rows, C), see `normalize`."""
SUMS = "float64[:,:,::1]"
"""Of sums over pixels: (BANDS, 2, C)."""
SHARE = "float32[:,::1], intp, intp"
"""Of scratch, (BANDS, floats), the first band, and the band after the last."""


@Inline
def first_image(images, band):
    """Return the first image of a band; the last band's end is ``first_image(images, BANDS)``."""
    return images * band // 8


assert BANDS == 8  # first_image, compiled by itself, has the number too
