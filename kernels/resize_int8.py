"""Bilinear resize in int8, in the three conventions of `resize`, on a grid of 1/1024.

The output keeps the input's scale and zero point, so the raw values are interpolated:

``out = round(sum over the four neighbours of q * (1024 - fy | fy) * (1024 - fx | fx) / 2**20)``

with halves away from zero. Positions are integers too: ``p(i) = i * step`` with the step rounded,
``step = (1024 * n_in + n_out // 2) // n_out`` ("legacy"; the others in `coordinates`). Weights add
up to 2**20, so with |q| <= 128 every sum is at most 2**27 and fits in int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .fixed_point import rdpot
from .integer_vector import Integers
from .jit import Intrinsic, kernel
from .resize import MODES

__all__ = ["coordinates", "reference", "resize_int8"]


def coordinates(
    size: int, out: int, mode: str = "legacy"
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Return where each output sample of one axis reads the input.

    Parameters
    ----------
    size, out : int
        Length of the axis before and after.
    mode : {"legacy", "align_corners", "half_pixel"}

    Returns
    -------
    lower, upper : (out,) int32 arrays
        The two neighbours.
    fraction : (out,) int32 array
        Weight of ``upper`` in 1024ths, 0 to 1023.

    Raises
    ------
    ValueError
        An unknown mode.

    Notes
    -----
    TensorFlow Lite's fraction is -512 to -1 at the border of "half_pixel", where both neighbours
    are the first sample; the two weights then multiply one number, and 0 in its place changes
    nothing. When an axis grows so much that the rounded step runs past its end, TensorFlow Lite
    reads beyond the tensor; here the last sample is repeated.
    """
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")
    i = np.arange(out, dtype=np.int64)
    if mode == "align_corners" and out > 1:
        position = i * ((1024 * (size - 1) + (out - 1) // 2) // (out - 1))
    else:
        step = (1024 * size + out // 2) // out
        position = i * step + (step // 2 - 512 if mode == "half_pixel" else 0)
    position = np.maximum(position, 0)  # below 0 both neighbours are sample 0
    lower = np.minimum(position // 1024, size - 1)
    upper = np.minimum((position + 1023) // 1024, size - 1)
    fraction = np.where(lower == upper, 0, position - 1024 * lower)
    return lower.astype(np.int32), upper.astype(np.int32), fraction.astype(np.int32)


def reference(x: NDArray[np.int8], out: NDArray[np.int8], at: int, mode: str = "legacy") -> None:
    """Resize to the size of ``out``, in NumPy.

    Parameters
    ----------
    x : (N, h, w, C) int8 array
    out : (N, H, W, D) int8 array
        Receives the result in channels ``at : at + C``.
    at : int
    mode : {"legacy", "align_corners", "half_pixel"}
    """
    total = x.astype(np.int64)
    for axis in (2, 1):
        lower, upper, fraction = coordinates(x.shape[axis], out.shape[axis], mode)
        weight = fraction.reshape(-1, *[1] * (3 - axis))
        total = total.take(lower, axis) * (1024 - weight) + total.take(upper, axis) * weight
    out[..., at : at + x.shape[3]] = rdpot(total, 20)


def _mix_eight(
    typingctx, x, above, below, fy, x_lower, x_upper, x_fraction, channels, out, o_at, o_step, count
):
    from numba import types

    arguments = (
        x, above, below, fy, x_lower, x_upper, x_fraction, channels, out, o_at, o_step, count
    )  # fmt: skip
    return types.void(*arguments), _emit_mix_eight


def _emit_mix_eight(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Integers(context, builder, signature, arguments)
    _, above, below, fy, _, _, _, channels, _, o_at, o_step, count = arguments
    tables = [vectors.pointer(position, vectors.index(0)) for position in (4, 5, 6)]
    rows = [vectors.pointer(0, at) for at in (above, below)]
    target, down = vectors.pointer(8, o_at), vectors.splat(fy)
    ten, half = vectors.constant(10, 32), vectors.constant(1 << 19, 32)

    def mix(a: Any, b: Any, fraction: Any) -> Any:
        step = builder.mul(builder.sub(b, a), fraction)
        return builder.add(builder.shl(a, ten), step)

    with vectors.loop(count) as column:
        left, right, fx = (builder.load(builder.gep(table, [column])) for table in tables)
        places = [builder.mul(builder.sext(at, channels.type), channels) for at in (left, right)]
        high, low = (
            mix(*(vectors.widen(vectors.load(row, at), 32) for at in places), vectors.splat(fx))
            for row in rows
        )
        total = mix(high, low, down)
        # RDPOT by 20: down by one before the floor for a negative number, so that halves go away.
        sign = builder.ashr(total, vectors.constant(31, 32))
        total = builder.add(builder.add(total, half), sign)
        value = vectors.narrow(builder.ashr(total, vectors.constant(20, 32)), 8)
        vectors.store(value, target, builder.mul(column, o_step))
    return context.get_dummy_value()


_mix_eight_channels = Intrinsic(_mix_eight)


@kernel(
    "void(int8[:,:,:,::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], "
    "int32[::1], int8[:,:,:,::1], intp, intp, intp)",
    "int8",
)
def resize_int8(
    x, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, out, at, start, stop
):
    """Resize output rows ``start`` to ``stop`` of the N * height, in Numba.

    As `reference`, with the `coordinates` of both axes computed ahead. A linear step in int32 is
    ``1024 * a + (b - a) * f``: the same number with one product. Eight channels at a time are
    vectors, the rest go one by one.
    """
    height, width, channels = x.shape[1], x.shape[2], x.shape[3]
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    source, target = x.reshape(-1), out.reshape(-1)
    whole = channels - channels % 8
    for row in range(start, stop):
        y = row % rows
        image = row // rows * height
        above = (image + y_lower[y]) * width * channels
        below = (image + y_upper[y]) * width * channels
        fy = y_fraction[y]
        o_at = row * columns * step + at
        for c in range(0, whole, 8):
            _mix_eight_channels(
                source, above + c, below + c, fy, x_lower, x_upper, x_fraction, channels, target,
                o_at + c, step, columns,
            )  # fmt: skip
        for column in range(columns if whole < channels else 0):
            left, right = x_lower[column] * channels, x_upper[column] * channels
            fx = x_fraction[column]
            for c in range(whole, channels):
                a, b = np.int32(source[above + left + c]), np.int32(source[above + right + c])
                high = a * 1024 + (b - a) * fx
                a, b = np.int32(source[below + left + c]), np.int32(source[below + right + c])
                low = a * 1024 + (b - a) * fx
                target[o_at + column * step + c] = rdpot(high * 1024 + (low - high) * fy, 20)
