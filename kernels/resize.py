"""Bilinear resize, in the three conventions that TensorFlow has had.

Output sample i reads the input at position p(i), between lower = floor(p) and lower + 1:

- ``"legacy"``: p = i * n_in / n_out (TensorFlow 1's default; the network's x2 resizes)
- ``"align_corners"``: p = i * (n_in - 1) / (n_out - 1) (how photos are resized for the network)
- ``"half_pixel"``: p = (i + 1/2) * n_in / n_out - 1/2 (TensorFlow 2's default)

There is no prefilter: shrinking by more than two skips samples, as it does in TensorFlow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

__all__ = ["MODES", "along", "coordinates", "reference", "resize"]

MODES = ("legacy", "align_corners", "half_pixel")


def coordinates(
    size: int, out: int, mode: str = "legacy"
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return where each output sample of one axis reads the input.

    Parameters
    ----------
    size, out : int
        Length of the axis before and after.
    mode : {"legacy", "align_corners", "half_pixel"}

    Returns
    -------
    lower, upper : (out,) intp arrays
        The two neighbours, clamped to the axis.
    fraction : (out,) float32 array
        Weight of ``upper``, in [0, 1).

    Raises
    ------
    ValueError
        An unknown mode.
    """
    i = np.arange(out, dtype=np.float32)
    # float32 throughout, as in TensorFlow: an odd ratio must round the same way there and here.
    if mode == "align_corners":
        position = i * (np.float32(size - 1) / np.float32(out - 1)) if out > 1 else i
    elif mode == "half_pixel":
        position = (i + np.float32(0.5)) * (np.float32(size) / np.float32(out)) - np.float32(0.5)
    elif mode == "legacy":
        position = i * (np.float32(size) / np.float32(out))
    else:
        raise ValueError(f"resize mode is {mode!r}; it must be one of {', '.join(MODES)}")
    position = np.clip(position, 0, size - 1).astype(np.float32)
    lower = np.floor(position).astype(np.intp)
    upper = np.minimum(lower + 1, size - 1)
    return lower, upper, position - lower.astype(np.float32)


def reference(x: NDArray, out: NDArray, at: int, mode: str = "legacy") -> None:
    """Resize to the height and width of ``out``, in NumPy.

    Parameters
    ----------
    x : (N, H, W, C) float array
    out : (N, height, width, D) float array
        Receives the result in channels ``at : at + C``.
    at : int
    mode : {"legacy", "align_corners", "half_pixel"}
    """
    across = along(x, 2, *coordinates(x.shape[2], out.shape[2], mode))  # (N, H, width, C)
    out[..., at : at + x.shape[3]] = along(across, 1, *coordinates(x.shape[1], out.shape[1], mode))


def along(
    x: NDArray, axis: int, lower: NDArray[np.intp], upper: NDArray[np.intp], fraction: NDArray
) -> NDArray:
    """Interpolate linearly along one axis, at the `coordinates` given (or a band of them)."""
    first, second = x.take(lower, axis), x.take(upper, axis)
    second -= first
    second *= fraction.reshape(-1, *[1] * (x.ndim - 1 - axis))
    second += first
    return second


@kernel(
    "void(float32[:,:,:,::1], intp[::1], intp[::1], float32[::1], intp[::1], intp[::1], "
    "float32[::1], float32[:,:,:,::1], intp, intp, intp)"
)
def resize(x, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, out, at, start, stop):
    """Resize output rows ``start`` to ``stop`` of the N * height, in Numba.

    As `reference`, with the `coordinates` of both axes computed ahead.
    """
    channels = x.shape[3]
    rows, columns = out.shape[1], out.shape[2]
    for row in range(start, stop):
        n, y = row // rows, row % rows
        above, below, fy = x[n, y_lower[y]], x[n, y_upper[y]], y_fraction[y]
        for column in range(columns):
            a, b = above[x_lower[column]], above[x_upper[column]]
            c, d = below[x_lower[column]], below[x_upper[column]]
            fx = x_fraction[column]
            target = out[n, y, column, at : at + channels]
            for i in range(channels):
                high = a[i] + (b[i] - a[i]) * fx
                low = c[i] + (d[i] - c[i]) * fx
                target[i] = high + (low - high) * fy
