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

from .jit import Inline, kernel

__all__ = [
    "MODES",
    "along",
    "backward",
    "coordinates",
    "reference",
    "resize",
    "resize_row",
    "spread_tables",
]

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


def backward(d_out: NDArray, height: int, width: int, mode: str = "legacy") -> NDArray:
    """Differentiate the resize: spread each output's gradient over the samples it was made of.

    Parameters
    ----------
    d_out : (N, rows, columns, C) float array
        Gradient with respect to the output.
    height, width : int
        Size of the input.
    mode : {"legacy", "align_corners", "half_pixel"}

    Returns
    -------
    (N, height, width, C) array
    """
    dx = d_out
    for axis, size in ((2, width), (1, height)):
        lower, upper, fraction = coordinates(size, dx.shape[axis], mode)
        weight = fraction.reshape(-1, *[1] * (3 - axis)).astype(dx.dtype)
        spread = np.zeros((*dx.shape[:axis], size, *dx.shape[axis + 1 :]), dx.dtype)
        lines = (slice(None),) * axis
        np.add.at(spread, (*lines, lower), dx * (1 - weight))
        np.add.at(spread, (*lines, upper), dx * weight)
        dx = spread
    return dx


def spread_tables(
    height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.intp]]:
    """Return the x2 resize's gradient as a convolution with stride 2 over the output.

    Input sample i is read by outputs 2i - 1, 2i and 2i + 1 with weights 1/2, 1 and 1/2; the last
    one, its edge being repeated, by output 2i + 1 with weight 1.

    Returns
    -------
    filters : (4, 4) float32 array
        As `taps.zero_bordered` makes them, for one channel.
    y_taps, runs : intp arrays
        As `taps.row_table` and `taps.run_table` make them.
    """
    line = np.array([0.5, 1.0, 0.5, 0.0], np.float32)
    y_taps, x_taps = (_spread_taps(size) for size in (height, width))
    runs = [[i, i + 1, *x_taps[i]] for i in (0, width - 1)]
    if width == 1:
        runs = runs[:1]
    elif width > 2:
        runs.insert(1, [1, width - 1, *x_taps[1]])
    return np.outer(line, line), y_taps, np.array(runs, np.intp)


def _spread_taps(size: int) -> NDArray[np.intp]:
    source = np.arange(size)[:, None] * 2 + np.arange(-1, 2)
    which = np.tile(np.arange(3), (size, 1))
    which[-1, 2] = 1  # weight 1
    which[0, 0] = 3  # outside
    return np.hstack([np.maximum(source, 0), which]).astype(np.intp)


@Inline
def resize_row(
    x, x_at, channels, row, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, width, out,
    o_at, o_step,
):  # fmt: skip
    """Resize into one output row; the image starts at ``x[x_at]``, the row at ``out[o_at]``."""
    line = width * channels
    above = x[x_at + y_lower[row] * line :]
    below = x[x_at + y_upper[row] * line :]
    fy = y_fraction[row]
    for column in range(len(x_lower)):
        left, right, fx = x_lower[column] * channels, x_upper[column] * channels, x_fraction[column]
        a, b = above[left : left + channels], above[right : right + channels]
        c, d = below[left : left + channels], below[right : right + channels]
        target = out[o_at + column * o_step : o_at + column * o_step + channels]
        for i in range(channels):
            high = a[i] + (b[i] - a[i]) * fx
            low = c[i] + (d[i] - c[i]) * fx
            target[i] = high + (low - high) * fy


@kernel(
    "void(float32[:,:,:,::1], intp[::1], intp[::1], float32[::1], intp[::1], intp[::1], "
    "float32[::1], float32[:,:,:,::1], intp, intp, intp)"
)
def resize(x, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, out, at, start, stop):
    """Resize output rows ``start`` to ``stop`` of the N * height, in Numba.

    As `reference`, with the `coordinates` of both axes computed ahead.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    for row in range(start, stop):
        resize_row(
            x.reshape(-1), row // rows * height * width * channels, channels, row % rows, y_lower,
            y_upper, y_fraction, x_lower, x_upper, x_fraction, width, out.reshape(-1),
            row * columns * step + at, step,
        )  # fmt: skip
