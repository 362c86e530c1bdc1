"""3x3 convolution over all channels, any stride: MMNet's first layer.

``out[n, y, x, o] = clamp(bias[o] + sum over ky, kx, i of
input[n, y * stride - top + ky, x * stride - left + kx, i] * weights[ky, kx, i, o])``

with zeros outside the image (TensorFlow SAME padding).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .jit import Inline, kernel
from .padding import same_padding
from .pointwise import pixels_tiled

__all__ = ["backward", "convolution", "gather_row", "reference", "windows"]


def reference(
    x: NDArray,
    weights: NDArray,
    bias: NDArray,
    lower: float,
    upper: float,
    stride: int,
    out: NDArray,
    at: int,
) -> None:
    """Convolve with 3x3 filters, in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) float array
    weights : (3, 3, I, O) float array
    bias : (O,) float array
    lower, upper : float
        Clamp of the result.
    stride : int
    out : (N, ceil(H / stride), ceil(W / stride), C) float array
        Receives the result in channels ``at : at + O``.
    at : int
    """
    n, rows, columns = out.shape[:3]
    total = np.broadcast_to(bias, (n, rows, columns, len(bias))).copy()
    for tap, window in windows(x, stride, rows, columns):
        total += window @ weights[tap]  # (N, rows, columns, I) @ (I, O)
    np.clip(total, lower, upper, out=out[..., at : at + len(bias)])


def windows(
    x: NDArray, stride: int, rows: int, columns: int, outside: float = 0
) -> Iterator[tuple[tuple[int, int], NDArray]]:
    """Give, for each tap (ky, kx), the inputs (N, rows, columns, I) that it reads.

    Beyond the image they are ``outside``.
    """
    _, height, width, _ = x.shape
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    border = ((0, 0), (top, 2 * stride), (left, 2 * stride), (0, 0))
    padded = np.pad(x, border, constant_values=outside)
    for ky in range(3):
        for kx in range(3):
            tap = padded[:, ky:, kx:]
            yield (ky, kx), tap[:, : rows * stride : stride, : columns * stride : stride]


def backward(x: NDArray, weights: NDArray, stride: int, d_out: NDArray) -> tuple[NDArray, NDArray]:
    """Differentiate the convolution (without bias and clamp), in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) float array
    weights : (3, 3, I, O) float array
    stride : int
    d_out : (N, rows, columns, O) float array
        Gradient with respect to the output.

    Returns
    -------
    dx : (N, H, W, I) array, dweights : (3, 3, I, O) array
    """
    _, height, width, _ = x.shape
    rows, columns = d_out.shape[1:3]
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    border = ((0, 0), (top, 2 * stride), (left, 2 * stride), (0, 0))
    padded = np.pad(x, border)
    d_padded, d_weights = np.zeros_like(padded), np.zeros_like(weights)
    for ky in range(3):
        for kx in range(3):
            at = (
                slice(None),
                slice(ky, ky + rows * stride, stride),
                slice(kx, kx + columns * stride, stride),
            )
            d_weights[ky, kx] = np.tensordot(padded[at], d_out, ((0, 1, 2), (0, 1, 2)))
            d_padded[at] += d_out @ weights[ky, kx].T
    return d_padded[:, top : top + height, left : left + width], d_weights


@Inline
def gather_row(x, n, y, stride, top, left, columns, outside, patches):
    """Lay the 3x3 patches of output row ``y`` of image ``n`` side by side: (columns, 9 * I).

    A tap beyond the image reads ``outside``.
    """
    height, width, depth = x.shape[1], x.shape[2], x.shape[3]
    for column in range(columns):
        k = 0
        for ky in range(3):
            source_y = y * stride - top + ky
            for kx in range(3):
                source_x = column * stride - left + kx
                inside = 0 <= source_y < height and 0 <= source_x < width
                for i in range(depth):
                    patches[column, k] = x[n, source_y, source_x, i] if inside else outside
                    k += 1


@kernel(
    "void(float32[:,:,:,::1], float32[::1], float32[::1], intp, float32, float32, intp, "
    "float32[:,:,:,::1], intp, intp, intp)"
)
def convolution(x, packed, bias, channels, lower, upper, stride, out, at, start, stop):
    """Convolve output rows ``start`` to ``stop`` of the N * rows with 3x3 filters, in Numba.

    As `reference`; ``packed`` is `pointwise.pack` of the weights reshaped to (9 * I, O). Each row
    of patches is gathered beside one another and then is a pointwise convolution.
    """
    height, width, depth = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    patches = np.empty((columns, 9 * depth), np.float32)  # one row's worth, a few kB
    for row in range(start, stop):
        gather_row(x, row // rows, row % rows, stride, top, left, columns, np.float32(0), patches)
        pixels_tiled(
            patches.reshape(-1), 0, columns, 9 * depth, packed, bias, channels, lower, upper,
            out.reshape(-1), row * columns * step + at, step,
        )  # fmt: skip
