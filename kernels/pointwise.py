"""Pointwise (1x1) convolution with bias and clamp: 86 % of MMNet's arithmetic.

``out[n, y, x, o] = clamp(sum over i of input[n, y, x, i] * weights[i, o] + bias[o])``

`reference` is the definition in NumPy; `pointwise` is the tuned Numba kernel, which takes its
weights packed by `pack`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import Inline, kernel
from .tile import tile_1x8, tile_1x16, tile_6x8, tile_6x16

__all__ = ["backward", "pack", "pack_bias", "pixels_tiled", "pointwise", "reference"]


def reference(
    x: NDArray, weights: NDArray, bias: NDArray, lower: float, upper: float, out: NDArray, at: int
) -> None:
    """Convolve with 1x1 filters, in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) float array
    weights : (I, O) float array
    bias : (O,) float array
    lower, upper : float
        Clamp of the result: (0, 6) for ReLU6, (-inf, inf) for a linear layer.
    out : (N, H, W, C) float array, C >= at + O
        Receives the result in channels ``at : at + O``; the others are left alone, which is how a
        concatenation costs nothing.
    at : int
        First channel to write.
    """
    total = x @ weights  # (N, H, W, I) @ (I, O) -> (N, H, W, O)
    total += bias
    np.clip(total, lower, upper, out=out[..., at : at + weights.shape[1]])


def backward(x: NDArray, weights: NDArray, d_out: NDArray) -> tuple[NDArray, NDArray]:
    """Differentiate the convolution (without bias and clamp), in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) float array
    weights : (I, O) float array
    d_out : (N, H, W, O) float array
        Gradient with respect to the output.

    Returns
    -------
    dx : (N, H, W, I) array, dweights : (I, O) array
    """
    depth, channels = weights.shape
    return d_out @ weights.T, x.reshape(-1, depth).T @ d_out.reshape(-1, channels)


def pack(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder (I, O) weights into the column blocks the register tile reads.

    Blocks of 16 output channels, then one of 8 when 8 or fewer are left over, each (I, block) and
    zero filled; flattened to one contiguous float32 array.
    """
    depth, count = weights.shape
    packed = np.zeros(depth * -(-count // 8) * 8, np.float32)
    first = 0
    while first < count:
        width = 16 if count - first > 8 else 8
        block = packed[first * depth : (first + width) * depth].reshape(depth, width)
        part = weights[:, first : first + width]
        block[:, : part.shape[1]] = part
        first += width
    return packed


def pack_bias(bias: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pad a (O,) bias with zeros to what the last column block reads, as float32."""
    padded = np.zeros(-(-len(bias) // 16) * 16, np.float32)
    padded[: len(bias)] = bias
    return padded


@Inline
def pixels_tiled(x, x_at, pixels, depth, packed, bias, channels, lower, upper, out, o_at, o_step):
    """Run the register tile over ``pixels`` pixels of flat arrays.

    Pixel p reads ``x[x_at + p * depth : ... + depth]`` and writes ``channels`` values from
    ``out[o_at + p * o_step]``. Column blocks are the outer loop, so a block's weights stay in L1.
    """
    column = 0
    w_at = 0
    while column < channels:
        left = channels - column
        block = 16 if left > 8 else 8
        if left < block:  # a last block of no multiple of 8: MMNet's two logits
            edge = np.empty(block, np.float32)
            for p in range(pixels):
                if block == 16:
                    tile_1x16(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                              lower, upper, edge, 0, 0)  # fmt: skip
                else:
                    tile_1x8(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                             lower, upper, edge, 0, 0)  # fmt: skip
                for c in range(left):
                    out[o_at + p * o_step + column + c] = edge[c]
        else:
            whole = pixels - pixels % 6
            if block == 16:
                for p in range(0, whole, 6):
                    tile_6x16(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                              lower, upper, out, o_at + p * o_step + column, o_step)  # fmt: skip
                for p in range(whole, pixels):
                    tile_1x16(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                              lower, upper, out, o_at + p * o_step + column, o_step)  # fmt: skip
            else:
                for p in range(0, whole, 6):
                    tile_6x8(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                             lower, upper, out, o_at + p * o_step + column, o_step)  # fmt: skip
                for p in range(whole, pixels):
                    tile_1x8(x, x_at + p * depth, depth, packed, w_at, depth, bias, column,
                             lower, upper, out, o_at + p * o_step + column, o_step)  # fmt: skip
        w_at += depth * block
        column += block


@kernel(
    "void(float32[:,:,:,::1], float32[::1], float32[::1], intp, float32, float32, "
    "float32[:,:,:,::1], intp, intp, intp)"
)
def pointwise(x, packed, bias, channels, lower, upper, out, at, start, stop):
    """Convolve rows ``start`` to ``stop`` of the N * H rows with 1x1 filters, in Numba.

    As `reference`, with ``packed`` and ``bias`` from `pack` and `pack_bias` and ``channels`` the
    number of output channels. Rows are independent, so bands may run on different threads.
    """
    width, depth, step = x.shape[2], x.shape[3], out.shape[3]
    pixels_tiled(
        x.reshape(-1), start * width * depth, (stop - start) * width, depth, packed, bias, channels,
        lower, upper, out.reshape(-1), start * width * step + at, step,
    )  # fmt: skip
