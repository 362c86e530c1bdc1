"""How a training batch is shared among threads without its bits depending on them.

A batch is always cut into the same `BANDS` groups of images. Sums over the batch (batch norm
statistics, weight gradients) are made per band and added up in band order, so it does not matter
which thread did which band.
"""

from __future__ import annotations

from .jit import Inline

__all__ = ["BANDS", "CHUNK", "first_image"]

BANDS = 8

CHUNK = 96
"""Pixels that pointwise training kernels take at a time: small enough for the L1 and L2 caches, a
multiple of the register tile's six rows."""


@Inline
def first_image(images, band):
    """Return the first image of a band; the last band's end is ``first_image(images, BANDS)``."""
    return images * band // 8
