"""Softmax over two channels: background and foreground. Alpha is the second.

``p1 = exp(z1) / (exp(z0) + exp(z1)) = 1 / (1 + exp(z0 - z1))``, computed from
``e = exp(-|z0 - z1|)``, which never overflows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

__all__ = ["reference", "softmax"]


def reference(x: NDArray, out: NDArray) -> None:
    """Compute the softmax of two channels, in NumPy.

    Parameters
    ----------
    x : (N, H, W, 2) float array
        Logits.
    out : (N, H, W, 2) float array
        Receives probabilities in [0, 1].
    """
    difference = x[..., 1] - x[..., 0]
    small = np.exp(-np.abs(difference))
    larger, smaller = 1 / (1 + small), small / (1 + small)
    out[..., 0] = np.where(difference < 0, larger, smaller)
    out[..., 1] = np.where(difference < 0, smaller, larger)


@kernel("void(float32[:,:,:,::1], float32[:,:,:,::1], intp, intp)")
def softmax(x, out, start, stop):
    """Compute the softmax of rows ``start`` to ``stop`` of the N * H, in Numba."""
    rows, columns = x.shape[1], x.shape[2]
    one = np.float32(1.0)
    for row in range(start, stop):
        source, target = x[row // rows, row % rows], out[row // rows, row % rows]
        for column in range(columns):
            difference = source[column, 1] - source[column, 0]
            small = math.exp(-abs(difference))
            larger, smaller = one / (one + small), small / (one + small)
            if difference < 0:
                larger, smaller = smaller, larger
            target[column, 0] = smaller
            target[column, 1] = larger
