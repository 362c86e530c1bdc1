"""Pointwise (1x1) convolution in int8.

``out[n, y, x, o] = stage(sum over i of (input[n, y, x, i] - zero_point) * weights[i, o])``

where the `output_stage` adds the bias, requantizes and clamps. The float32 sibling is `pointwise`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Inline, kernel
from .output_stage import OutputStage
from .tile_int8 import BLOCK, pixels_tiled

__all__ = ["pointwise_int8", "reference", "sums"]


def sums(x: NDArray[np.float64], weights: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return ``x @ weights`` of whole numbers, exactly.

    In float64, which has a fast matrix product where NumPy's integers have none. Every partial sum
    is a whole number below 2**53, so no order of adding and no fused multiply-add rounds.
    """
    return x @ weights.astype(np.float64)


def reference(
    x: NDArray[np.int8],
    zero_point: int,
    weights: NDArray[np.int8],
    stage: OutputStage,
    out: NDArray[np.int8],
    at: int,
) -> None:
    """Convolve with 1x1 filters, in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) int8 array
    zero_point : int
        Of ``x``.
    weights : (I, O) int8 array
    stage : OutputStage
    out : (N, H, W, C) int8 array, C >= at + O
        Receives the result in channels ``at : at + O``; the others are left alone.
    at : int
        First channel to write.
    """
    total = sums(x.astype(np.float64) - zero_point, weights)  # (N, H, W, I) @ (I, O)
    out[..., at : at + weights.shape[1]] = stage.apply(total)


@Inline
def widen(x, x_at, depth, pixels, wide):
    """Copy pixels of ``depth`` int8 values to int16, an odd number padded with a zero."""
    source = x[x_at : x_at + pixels * depth]
    if depth % 2 == 0:
        for i in range(len(source)):
            wide[i] = source[i]
        return
    for p in range(pixels):
        for i in range(depth):
            wide[p * (depth + 1) + i] = source[p * depth + i]
        wide[p * (depth + 1) + depth] = 0


@kernel(
    "void(int8[:,:,:,::1], int16[::1], int32[:,::1], intp, int8[:,:,:,::1], intp, intp, intp)",
    "int8",
)
def pointwise_int8(x, packed, stage, channels, out, at, start, stop):
    """Convolve rows ``start`` to ``stop`` of the N * H rows with 1x1 filters, in Numba.

    As `reference`, with ``packed`` from `tile_int8.pack`, ``channels`` the number of output
    channels, and ``stage`` the table of the stage after `OutputStage.folding`.
    """
    width, depth, step = x.shape[2], x.shape[3], out.shape[3]
    even = depth + depth % 2
    wide, scratch = np.zeros(BLOCK * even, np.int16), np.empty(BLOCK * 16, np.int32)
    first, last = start * width, stop * width
    for p in range(first, last, BLOCK):
        pixels = min(BLOCK, last - p)
        widen(x.reshape(-1), p * depth, depth, pixels, wide)
        pixels_tiled(
            wide, even, pixels, packed, stage, channels, scratch, out.reshape(-1), p * step + at,
            step,
        )  # fmt: skip
