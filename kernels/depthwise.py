"""Depthwise 3x3 convolution with stride 1 or 2 and any dilation.

``out[n, y, x, c] = clamp(bias[c] + sum over ky, kx of weights[ky, kx, c]
* input[n, y * stride - top + ky * dilation, x * stride - left + kx * dilation, c])``

with zeros outside the image (TensorFlow SAME padding).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Inline, kernel
from .padding import same_padding
from .taps import run_of_taps

__all__ = ["add_taps", "backward", "convolve_row", "depthwise", "reference"]


def reference(
    x: NDArray,
    weights: NDArray,
    bias: NDArray,
    lower: float,
    upper: float,
    stride: int,
    dilation: int,
    out: NDArray,
    at: int,
) -> None:
    """Convolve each channel with its own 3x3 filter, in NumPy.

    Parameters
    ----------
    x : (N, H, W, C) float array
    weights : (3, 3, C) float array
    bias : (C,) float array
    lower, upper : float
        Clamp of the result.
    stride, dilation : int
    out : (N, ceil(H / stride), ceil(W / stride), D) float array
        Receives the result in channels ``at : at + C``.
    at : int
    """
    n, rows, columns = out.shape[:3]
    total = np.broadcast_to(bias, (n, rows, columns, len(bias))).copy()
    add_taps(x, weights, stride, dilation, total)
    np.clip(total, lower, upper, out=out[..., at : at + len(bias)])


def add_taps(x: NDArray, weights: NDArray, stride: int, dilation: int, total: NDArray) -> None:
    """Add to ``total`` (N, rows, columns, C) the products of all taps inside the image."""
    height, width = x.shape[1:3]
    rows, columns = total.shape[1:3]
    top = same_padding(height, rows, 3, stride, dilation)
    left = same_padding(width, columns, 3, stride, dilation)
    for ky in range(3):
        y0, y1, source_y = _inside(height, rows, stride, ky * dilation - top)
        for kx in range(3):
            x0, x1, source_x = _inside(width, columns, stride, kx * dilation - left)
            if y0 < y1 and x0 < x1:
                total[:, y0:y1, x0:x1] += x[:, source_y, source_x] * weights[ky, kx]


def backward(
    x: NDArray, weights: NDArray, stride: int, dilation: int, d_out: NDArray
) -> tuple[NDArray, NDArray]:
    """Differentiate the convolution (without bias and clamp), in NumPy.

    Parameters
    ----------
    x : (N, H, W, C) float array
    weights : (3, 3, C) float array
    stride, dilation : int
    d_out : (N, rows, columns, C) float array
        Gradient with respect to the output.

    Returns
    -------
    dx : (N, H, W, C) array, dweights : (3, 3, C) array
    """
    _, height, width, _ = x.shape
    rows, columns = d_out.shape[1:3]
    top = same_padding(height, rows, 3, stride, dilation)
    left = same_padding(width, columns, 3, stride, dilation)
    dx, d_weights = np.zeros_like(x), np.zeros_like(weights)
    for ky in range(3):
        y0, y1, source_y = _inside(height, rows, stride, ky * dilation - top)
        for kx in range(3):
            x0, x1, source_x = _inside(width, columns, stride, kx * dilation - left)
            if y0 < y1 and x0 < x1:
                part = d_out[:, y0:y1, x0:x1]
                dx[:, source_y, source_x] += part * weights[ky, kx]
                d_weights[ky, kx] = (part * x[:, source_y, source_x]).sum(axis=(0, 1, 2))
    return dx, d_weights


def _inside(size: int, out: int, stride: int, shift: int) -> tuple[int, int, slice]:
    """Return the outputs [first, last) whose tap ``i * stride + shift`` is inside, and the taps."""
    first = max(0, -(shift // stride))  # ceil(-shift / stride)
    last = min(out, (size - 1 - shift) // stride + 1)
    begin = first * stride + shift
    return first, last, slice(begin, begin + max(last - first - 1, 0) * stride + 1, stride)


@Inline
def convolve_row(
    x, x_at, x_step, width, channels, row, y_taps, runs, stride, filters, bias, lower, upper, out,
    o_at, o_step,
):  # fmt: skip
    """Convolve one output row of one image that starts at ``x[x_at]``, into ``out[o_at]`` on.

    ``y_taps`` and ``runs`` are `taps.row_table` and `taps.run_table`, ``filters`` the flat
    `taps.zero_bordered` weights, ``x_step`` and ``o_step`` the distances of pixels. Channels beyond
    a multiple of eight, which MMNet does not have, go one by one.
    """
    line = width * x_step
    y0 = x_at + y_taps[row, 0] * line
    y1 = x_at + y_taps[row, 1] * line
    y2 = x_at + y_taps[row, 2] * line
    v0, v1, v2 = y_taps[row, 3], y_taps[row, 4], y_taps[row, 5]
    vectored = channels - channels % 8
    for r in range(runs.shape[0]):
        first, count = runs[r, 0], runs[r, 1] - runs[r, 0]
        x0, x1, x2 = runs[r, 2] * x_step, runs[r, 3] * x_step, runs[r, 4] * x_step
        h0, h1, h2 = runs[r, 5], runs[r, 6], runs[r, 7]
        target = o_at + first * o_step
        for c in range(0, vectored, 8):
            run_of_taps(
                x, y0 + c, y1 + c, y2 + c, x0, x1, x2, stride * x_step, filters[c:],
                4 * channels, channels, v0, v1, v2, h0, h1, h2, bias, c, lower, upper, out,
                target + c, o_step, count,
            )  # fmt: skip
        for c in range(vectored, channels):
            for p in range(count):
                total = np.float32(0.0)
                for i in range(3):
                    for j in range(3):
                        line_at = x_at + y_taps[row, i] * line
                        column = runs[r, 2 + j] + p * stride
                        weight = filters[(y_taps[row, 3 + i] * 4 + runs[r, 5 + j]) * channels + c]
                        total += x[line_at + column * x_step + c] * weight
                out[target + p * o_step + c] = min(max(total + bias[c], lower), upper)


@kernel(
    "void(float32[:,:,:,::1], float32[:,:,::1], float32[::1], float32, float32, intp, "
    "intp[:,::1], intp[:,::1], float32[:,:,:,::1], intp, intp, intp)"
)
def depthwise(x, filters, bias, lower, upper, stride, y_taps, runs, out, at, start, stop):
    """Convolve output rows ``start`` to ``stop`` of the N * rows, in Numba.

    As `reference`, with ``filters`` from `taps.zero_bordered` and the dilation in ``y_taps`` and
    ``runs``, which come from `taps.row_table` and `taps.run_table`.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    for row in range(start, stop):
        convolve_row(
            x.reshape(-1), row // rows * height * width * channels, channels, width, channels,
            row % rows, y_taps, runs, stride, filters.reshape(-1), bias, lower, upper,
            out.reshape(-1), row * columns * step + at, step,
        )  # fmt: skip
