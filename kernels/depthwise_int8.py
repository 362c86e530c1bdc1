"""Depthwise 3x3 convolution in int8 with stride 1 or 2 and any dilation.

``out[n, y, x, c] = stage(sum over ky, kx of weights[ky, kx, c] * (input[n, y * stride - top
+ ky * dilation, x * stride - left + kx * dilation, c] - zero_point))``

over the taps inside the image: SAME padding is a real 0, which adds nothing. The `output_stage`
adds the bias, requantizes and clamps. The float32 sibling is `depthwise`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .depthwise import add_taps
from .jit import Inline, kernel
from .output_stage import BIAS, OutputStage, finish
from .taps_int8 import sums_of_taps_8, sums_of_taps_16
from .tile_int8 import BLOCK

__all__ = ["convolve_row", "depthwise_int8", "reference"]


def reference(
    x: NDArray[np.int8],
    zero_point: int,
    weights: NDArray[np.int8],
    stage: OutputStage,
    stride: int,
    dilation: int,
    out: NDArray[np.int8],
    at: int,
) -> None:
    """Convolve each channel with its own 3x3 filter, in NumPy.

    Parameters
    ----------
    x : (N, H, W, C) int8 array
    zero_point : int
        Of ``x``.
    weights : (3, 3, C) int8 array
    stage : OutputStage
    stride, dilation : int
    out : (N, ceil(H / stride), ceil(W / stride), D) int8 array
        Receives the result in channels ``at : at + C``.
    at : int
    """
    channels = weights.shape[2]
    total = np.zeros((*out.shape[:3], channels), np.int32)
    add_taps(x.astype(np.int32) - zero_point, weights.astype(np.int32), stride, dilation, total)
    out[..., at : at + channels] = stage.apply(total)


@Inline
def _sums_one_by_one(
    x, x_at, line, x_step, y_taps, run, p, stride, c, count, filters, channels, zero_point, bias,
    sums, pixels,
):  # fmt: skip
    """Sum up the taps of ``count`` channels, fewer than the eight of a vector."""
    for q in range(pixels):
        for k in range(count):
            total = bias[c + k]
            for i in range(3):
                for j in range(3):
                    weight = filters[(y_taps[3 + i] * 4 + run[5 + j]) * channels + c + k]
                    column = run[2 + j] + (p + q) * stride
                    value = x[x_at + y_taps[i] * line + column * x_step + c + k]
                    total += weight * (value - zero_point)
            sums[q * 16 + k] = total


@Inline
def convolve_row(
    x, x_at, x_step, width, channels, row, y_taps, runs, stride, filters, zero_point, stage, sums,
    out, o_at, o_step,
):  # fmt: skip
    """Convolve one output row of one image that starts at ``x[x_at]``, into ``out[o_at]`` on.

    ``y_taps`` and ``runs`` are `taps.row_table` and `taps.run_table`, ``filters`` the flat
    `taps.zero_bordered` weights, ``x_step`` and ``o_step`` the distances of pixels; ``sums`` has
    room for `BLOCK` pixels of 16 int32.
    """
    line = width * x_step
    y0 = x_at + y_taps[row, 0] * line
    y1 = x_at + y_taps[row, 1] * line
    y2 = x_at + y_taps[row, 2] * line
    v0, v1, v2 = y_taps[row, 3], y_taps[row, 4], y_taps[row, 5]
    bias = stage[BIAS]
    for r in range(runs.shape[0]):
        first, last = runs[r, 0], runs[r, 1]
        h0, h1, h2 = runs[r, 5], runs[r, 6], runs[r, 7]
        for p in range(0, last - first, BLOCK):
            pixels = min(BLOCK, last - first - p)
            x0 = (runs[r, 2] + p * stride) * x_step
            x1 = (runs[r, 3] + p * stride) * x_step
            x2 = (runs[r, 4] + p * stride) * x_step
            c = 0
            while c < channels:
                count = min(16, channels - c)
                if count == 16:
                    sums_of_taps_16(
                        x, y0 + c, y1 + c, y2 + c, x0, x1, x2, stride * x_step, filters, c,
                        4 * channels, channels, v0, v1, v2, h0, h1, h2, bias, c, zero_point, sums,
                        16, pixels,
                    )  # fmt: skip
                elif count >= 8:
                    count = 8
                    sums_of_taps_8(
                        x, y0 + c, y1 + c, y2 + c, x0, x1, x2, stride * x_step, filters, c,
                        4 * channels, channels, v0, v1, v2, h0, h1, h2, bias, c, zero_point, sums,
                        16, pixels,
                    )  # fmt: skip
                else:
                    _sums_one_by_one(
                        x, x_at, line, x_step, y_taps[row], runs[r], p, stride, c, count, filters,
                        channels, zero_point, bias, sums, pixels,
                    )  # fmt: skip
                target = o_at + (first + p) * o_step + c
                finish(sums, 16, stage, c, count, out, target, o_step, pixels)
                c += count


@kernel(
    "void(int8[:,:,:,::1], int32, int8[:,:,::1], int32[:,::1], intp, intp[:,::1], intp[:,::1], "
    "int8[:,:,:,::1], intp, intp, intp)",
    "int8",
)
def depthwise_int8(x, zero_point, filters, stage, stride, y_taps, runs, out, at, start, stop):
    """Convolve output rows ``start`` to ``stop`` of the N * rows, in Numba.

    As `reference`, with ``filters`` from `taps.zero_bordered`, ``stage`` the stage's
    `OutputStage.table` and the dilation in ``y_taps`` and ``runs``, which come from
    `taps.row_table` and `taps.run_table`.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    sums = np.empty(BLOCK * 16, np.int32)
    for row in range(start, stop):
        convolve_row(
            x.reshape(-1), row // rows * height * width * channels, channels, width, channels,
            row % rows, y_taps, runs, stride, filters.reshape(-1), zero_point, stage, sums,
            out.reshape(-1), row * columns * step + at, step,
        )  # fmt: skip
