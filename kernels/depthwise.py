"""Depthwise 3x3 convolution with stride 1 or 2 and any dilation.

``out[n, y, x, c] = clamp(bias[c] + sum over ky, kx of weights[ky, kx, c]
* input[n, y * stride - top + ky * dilation, x * stride - left + kx * dilation, c])``

with zeros outside the image (TensorFlow SAME padding).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .padding import same_padding

__all__ = ["depthwise", "reference"]


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
    n, height, width, channels = x.shape
    rows, columns = out.shape[1:3]
    top = same_padding(height, rows, 3, stride, dilation)
    left = same_padding(width, columns, 3, stride, dilation)
    total = np.broadcast_to(bias, (n, rows, columns, channels)).copy()
    for ky in range(3):
        y0, y1, source_y = _inside(height, rows, stride, ky * dilation - top)
        for kx in range(3):
            x0, x1, source_x = _inside(width, columns, stride, kx * dilation - left)
            if y0 < y1 and x0 < x1:
                total[:, y0:y1, x0:x1] += x[:, source_y, source_x] * weights[ky, kx]
    np.clip(total, lower, upper, out=out[..., at : at + channels])


def _inside(size: int, out: int, stride: int, shift: int) -> tuple[int, int, slice]:
    """Return the outputs [first, last) whose tap ``i * stride + shift`` is inside, and the taps."""
    first = max(0, -(shift // stride))  # ceil(-shift / stride)
    last = min(out, (size - 1 - shift) // stride + 1)
    begin = first * stride + shift
    return first, last, slice(begin, begin + max(last - first - 1, 0) * stride + 1, stride)


@kernel(
    "void(float32[:,:,:,::1], float32[:,:,::1], float32[::1], float32, float32, intp, intp, "
    "float32[:,:,:,::1], intp, intp, intp)"
)
def depthwise(x, weights, bias, lower, upper, stride, dilation, out, at, start, stop):
    """Convolve output rows ``start`` to ``stop`` of the N * rows, in Numba. As `reference`.

    A row of three taps is added at a time: with nine, the compiler would need more aliasing checks
    than it is willing to make, and would not vectorize over the channels.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    rows, columns = out.shape[1], out.shape[2]
    top = same_padding(height, rows, 3, stride, dilation)
    left = same_padding(width, columns, 3, stride, dilation)
    for row in range(start, stop):
        n, y = row // rows, row % rows
        for column in range(columns):
            target = out[n, y, column, at : at + channels]
            for c in range(channels):
                target[c] = bias[c]
            x0 = column * stride - left
            x2 = x0 + 2 * dilation
            for ky in range(3):
                source_y = y * stride - top + ky * dilation
                if source_y < 0 or source_y >= height:
                    continue
                line = x[n, source_y]
                if x0 >= 0 and x2 < width:
                    v0, v1, v2 = line[x0], line[x0 + dilation], line[x2]
                    w0, w1, w2 = weights[ky, 0], weights[ky, 1], weights[ky, 2]
                    for c in range(channels):
                        target[c] += v0[c] * w0[c] + v1[c] * w1[c] + v2[c] * w2[c]
                else:
                    for kx in range(3):
                        source_x = x0 + kx * dilation
                        if 0 <= source_x < width:
                            v0, w0 = line[source_x], weights[ky, kx]
                            for c in range(channels):
                                target[c] += v0[c] * w0[c]
            for c in range(channels):
                target[c] = min(max(target[c], lower), upper)
