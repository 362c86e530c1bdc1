"""3x3 convolution over all channels in int8, any stride.

``out[n, y, x, o] = stage(sum over ky, kx, i of weights[ky, kx, i, o]
* (input[n, y * stride - top + ky, x * stride - left + kx, i] - zero_point))``

over the taps inside the image: SAME padding is a real 0, that is an input equal to ``zero_point``.
The `output_stage` adds the bias, requantizes and clamps. The float32 sibling is `convolution`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .convolution import gather_row, windows
from .jit import kernel
from .output_stage import OutputStage
from .padding import same_padding
from .pointwise_int8 import sums
from .tile import ROWS
from .tile_int8 import BLOCK, pixels_tiled

__all__ = ["convolution_int8", "reference"]


def reference(
    x: NDArray[np.int8],
    zero_point: int,
    weights: NDArray[np.int8],
    stage: OutputStage,
    stride: int,
    out: NDArray[np.int8],
    at: int,
) -> None:
    """Convolve with 3x3 filters, in NumPy.

    Parameters
    ----------
    x : (N, H, W, I) int8 array
    zero_point : int
        Of ``x``.
    weights : (3, 3, I, O) int8 array
    stage : OutputStage
    stride : int
    out : (N, ceil(H / stride), ceil(W / stride), C) int8 array
        Receives the result in channels ``at : at + O``.
    at : int
    """
    n, rows, columns, _ = out.shape
    total = np.zeros((n, rows, columns, weights.shape[3]))
    real = x.astype(np.float64) - zero_point  # in steps of the scale, so that outside is 0
    for tap, window in windows(real, stride, rows, columns):
        total += sums(window, weights[tap])
    out[..., at : at + weights.shape[3]] = stage.apply(total)


@kernel(
    "void(int8[:,:,:,::1], int32, int16[::1], int32[:,::1], intp, intp, int8[:,:,:,::1], intp, "
    "intp, intp)",
    "int8",
)
def convolution_int8(x, zero_point, packed, stage, channels, stride, out, at, start, stop):
    """Convolve output rows ``start`` to ``stop`` of the N * rows with 3x3 filters, in Numba.

    As `reference`; ``packed`` is `tile_int8.pack` of the weights reshaped to (9 * I, O), ``stage``
    the table after `OutputStage.folding`. Each row of patches is gathered, with ``zero_point``
    outside the image, and then is a pointwise convolution.
    """
    height, width, depth = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    even = 9 * depth + 9 * depth % 2
    patches = np.zeros((columns + ROWS, even), np.int16)
    scratch = np.empty(BLOCK * 16, np.int32)
    for row in range(start, stop):
        gather_row(
            x, row // rows, row % rows, stride, top, left, columns, np.int16(zero_point), patches
        )
        for p in range(0, columns, BLOCK):
            pixels_tiled(
                patches.reshape(-1)[p * even :], even, min(BLOCK, columns - p), packed, stage,
                channels, scratch, out.reshape(-1), (row * columns + p) * step + at, step,
            )  # fmt: skip
