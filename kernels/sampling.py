"""Bilinear sampling of a four-channel image on an affine grid: the one resampling of augmentation.

Sample (x, y) reads the source at ``(a x + b y + c, d x + e y + f)``, in pixel numbers: whole
numbers are pixel centres. A kernel because a NumPy gather of 256 x 256 samples takes ten times as
long, and mirrored borders cost nothing in it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import Inline, has_numba, kernel

__all__ = ["BORDERS", "affine_sample", "reference"]

BORDERS = ("zero", "edge", "mirror")
"""What lies beyond the source: zeros; its outermost pixels; its mirror image, edge not repeated."""


def affine_sample(
    source: NDArray[np.uint8],
    grid: NDArray[np.float64],
    colour: NDArray[np.float32],
    alpha: NDArray[np.float32],
    border: str,
    margin: NDArray[np.float64],
) -> None:
    """Sample in Numba where it is installed, else in NumPy.

    Parameters
    ----------
    source : (H, W, 4) uint8 array
    grid : (2, 3) float64 array
        ``[[a, b, c], [d, e, f]]``.
    colour : (h, w, 3) float32 array
        Receives the first three channels, in [0, 1].
    alpha : (h, w) float32 array
        Receives the fourth.
    border : {"zero", "edge", "mirror"}
    margin : (2,) float64 array
        How far in x and y a sample may lie beyond the outermost pixels' centres before it counts
        as beyond the source; only for ``"zero"``. Up to there the outermost pixels continue.
    """
    run = _numba if has_numba() else reference
    source, grid = np.ascontiguousarray(source), np.ascontiguousarray(grid)
    run(source, grid, colour, alpha, BORDERS.index(border), margin)


def reference(
    source: NDArray[np.uint8],
    grid: NDArray[np.float64],
    colour: NDArray[np.float32],
    alpha: NDArray[np.float32],
    border: int,
    margin: NDArray[np.float64],
) -> None:
    """Sample in NumPy; parameters as `affine_sample`, ``border`` a position in `BORDERS`."""
    y, x = np.indices(alpha.shape, np.float64)
    taps, outside = [], np.zeros(alpha.shape, bool)
    lasts = source.shape[1] - 1, source.shape[0] - 1
    for (by_x, by_y, offset), last, beyond in zip(grid, lasts, margin, strict=True):
        at = by_x * x + by_y * y + offset
        outside |= (at < -beyond) | (at > last + beyond)
        if border == 2 and last > 0:
            at = np.abs(at) % (2 * last)
            at = np.minimum(at, 2 * last - at)
        at = np.clip(at, 0, last)
        lower = np.floor(at).astype(np.intp)
        taps.append((lower, np.minimum(lower + 1, last), (at - lower).astype(np.float32)))
    (x0, x1, fx), (y0, y1, fy) = taps
    fx, fy = fx[..., None], fy[..., None]
    above, below = (
        source[row, x0] + (source[row, x1].astype(np.float32) - source[row, x0]) * fx
        for row in (y0, y1)
    )
    mixed = (above + (below - above) * fy) * np.float32(1 / 255)
    if border == 0:
        mixed[outside] = 0
    colour[...], alpha[...] = mixed[..., :3], mixed[..., 3]


@Inline
def _along(by_x, start, last, step, border, margin, offsets, steps, fractions, weights):
    """Find where a row of samples reads one axis of the source.

    Parameters
    ----------
    by_x, start : float
        The x-th sample is at ``by_x * x + start``.
    last, step : int
        Number of the axis's last pixel, and bytes from one of its pixels to the next.
    border : int
    margin : float
    offsets : (w,) int32 array
        The lower neighbour's offset in bytes is added to it.
    steps : (w,) int32 array
        Receives the bytes from there to the upper neighbour; 0 if there is none.
    fractions : (w,) float32 array
        Receives the weight of the upper neighbour.
    weights : (w,) float32 array
        Multiplied by 0 where the sample counts as beyond the source, else by 1.
    """
    end, period = float(last), max(2.0 * last, 1.0)
    for x in range(offsets.size):
        at = by_x * x + start
        if border == 0:
            weights[x] *= np.float32((at >= -margin) & (at <= end + margin))
        if border == 2:
            at = abs(at)
            at -= period * math.floor(at * (1.0 / period))
            at = min(at, period - at)
        at = min(max(at, 0.0), end)
        lower = np.int32(at)
        fractions[x] = np.float32(at - lower)
        offsets[x] += lower * np.int32(step)
        steps[x] = np.int32(step) if at < end else np.int32(0)


@kernel(
    "void(Array(uint8, 3, 'C', readonly=True), float64[:,::1], float32[:,:,::1], float32[:,::1], "
    "intp, float64[::1])",
    "training",
)
def _numba(source, grid, colour, alpha, border, margin):
    """As `reference`. Positions first, a row at a time: that loop becomes vector instructions."""
    pixels = source.reshape(-1)
    width, stride = alpha.shape[1], 4 * source.shape[1]
    offsets, weights = np.empty(width, np.int32), np.empty(width, np.float32)
    steps_x, steps_y = np.empty(width, np.int32), np.empty(width, np.int32)
    fractions_x, fractions_y = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(alpha.shape[0]):
        offsets[:], weights[:] = 0, np.float32(1 / 255)
        _along(
            grid[0, 0], grid[0, 1] * y + grid[0, 2], source.shape[1] - 1, 4, border, margin[0],
            offsets, steps_x, fractions_x, weights,
        )  # fmt: skip
        _along(
            grid[1, 0], grid[1, 1] * y + grid[1, 2], source.shape[0] - 1, stride, border,
            margin[1], offsets, steps_y, fractions_y, weights,
        )  # fmt: skip
        for x in range(width):
            # Unsigned, or Numba would look at each index whether it counts from the end.
            a = np.uintp(offsets[x])
            b, d = a + np.uintp(steps_x[x]), a + np.uintp(steps_y[x])
            e = b + np.uintp(steps_y[x])
            fx, fy, weight = fractions_x[x], fractions_y[x], weights[x]
            for c in range(3):
                k = np.uintp(c)
                above = pixels[a + k] + (np.float32(pixels[b + k]) - pixels[a + k]) * fx
                below = pixels[d + k] + (np.float32(pixels[e + k]) - pixels[d + k]) * fx
                colour[y, x, c] = (above + (below - above) * fy) * weight
            k = np.uintp(3)
            above = pixels[a + k] + (np.float32(pixels[b + k]) - pixels[a + k]) * fx
            below = pixels[d + k] + (np.float32(pixels[e + k]) - pixels[d + k]) * fx
            alpha[y, x] = (above + (below - above) * fy) * weight
