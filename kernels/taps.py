"""The inner loops of a depthwise 3x3 convolution and of its gradients, as LLVM vector IR.

Eight channels and a run of neighbouring pixels at a time: nine filter vectors (or nine sums) stay
in registers while the loop slides along the row. Where a tap is outside the image, it is pointed at
a filter of zeros and at any pixel inside, so the loops themselves know no border: `row_table` and
`run_table` say, ahead of time, which taps are where.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .jit import Intrinsic
from .padding import same_padding
from .vector import Vectors

__all__ = [
    "OUTSIDE",
    "add_scaled",
    "filter_gradient",
    "row_table",
    "run_of_taps",
    "run_table",
    "zero_bordered",
]

OUTSIDE = 3
"""Row or column of a `zero_bordered` filter that a tap outside the image uses."""


def zero_bordered(weights: NDArray) -> NDArray:
    """Return (4, 4, C) filters: the (3, 3, C) ones with a row and a column of zeros after them."""
    bordered = np.zeros((4, 4, weights.shape[2]), weights.dtype)
    bordered[:3, :3] = weights
    return bordered


@lru_cache(maxsize=256)
def row_table(size: int, out: int, stride: int, dilation: int) -> NDArray[np.intp]:
    """Say which input rows the three rows of taps read, for each output row.

    Parameters
    ----------
    size, out : int
        Rows of the input and of the output.
    stride, dilation : int

    Returns
    -------
    (out, 6) intp array, kept and shared: not to be written to
        The input rows of the taps, 0 for one outside; then the filter rows: 0, 1, 2, or `OUTSIDE`.
    """
    before = same_padding(size, out, 3, stride, dilation)
    taps = np.arange(3)
    source = np.arange(out)[:, None] * stride - before + taps * dilation
    inside = (source >= 0) & (source < size)
    return np.hstack([np.where(inside, source, 0), np.where(inside, taps, OUTSIDE)]).astype(np.intp)


@lru_cache(maxsize=256)
def run_table(size: int, out: int, stride: int, dilation: int) -> NDArray[np.intp]:
    """Cut an output row into runs over which the same columns of taps are inside.

    Parameters
    ----------
    size, out : int
        Columns of the input and of the output.
    stride, dilation : int

    Returns
    -------
    (runs, 8) intp array, kept and shared: not to be written to
        First output column and the one after the last; the input columns of the taps at the first
        (for a tap outside: one from which the run stays in the row); the filter columns: 0, 1, 2,
        or `OUTSIDE`.
    """
    columns = row_table(size, out, stride, dilation)
    h = columns[:, 3:]
    cuts = [0, *(np.flatnonzero((h[1:] != h[:-1]).any(axis=1)) + 1), out]
    table = []
    for first, last in pairwise(cuts):
        # SAME padding keeps the centre tap, first * stride and all its followers inside the row.
        safe = min(first * stride, size - 1 - (last - 1 - first) * stride)
        x = [columns[first, k] if h[first, k] != OUTSIDE else safe for k in range(3)]
        table.append([first, last, *x, *h[first]])
    return np.array(table, np.intp)


def _run_of_taps(
    typingctx, x, y0, y1, y2, x0, x1, x2, x_step, w, w_row, w_column, v0, v1, v2, h0, h1, h2,
    bias, b_at, lower, upper, out, o_at, o_step, count,
):  # fmt: skip
    from numba import types

    arguments = (
        x, y0, y1, y2, x0, x1, x2, x_step, w, w_row, w_column, v0, v1, v2, h0, h1, h2,
        bias, b_at, lower, upper, out, o_at, o_step, count,
    )  # fmt: skip
    return types.void(*arguments), _emit_run_of_taps


def _emit_run_of_taps(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(context, builder, signature, arguments)
    (_, y0, y1, y2, x0, x1, x2, x_step, _, w_row, w_column, v0, v1, v2, h0, h1, h2,
     _, b_at, lower, upper, _, o_at, o_step, count) = arguments  # fmt: skip
    filters, sources = [], []
    for y, v in ((y0, v0), (y1, v1), (y2, v2)):
        for x, h in ((x0, h0), (x1, h1), (x2, h2)):
            offset = builder.add(builder.mul(v, w_row), builder.mul(h, w_column))
            filters.append(vectors.load(vectors.pointer(8, offset)))
            sources.append(vectors.pointer(0, builder.add(y, x)))
    bias = vectors.load(vectors.pointer(17, b_at))
    low, high = vectors.splat(lower), vectors.splat(upper)
    target = vectors.pointer(21, o_at)
    with vectors.loop(count) as p:
        at = builder.mul(p, x_step)
        total = vectors.zero
        for source, weight in zip(sources, filters, strict=True):
            total = vectors.fma(vectors.load(source, at), weight, total)
        value = vectors.clamp(builder.fadd(total, bias), low, high)
        vectors.store(value, target, builder.mul(p, o_step))
    return context.get_dummy_value()


run_of_taps = Intrinsic(_run_of_taps)
"""Convolve eight channels of ``count`` pixels of one output row.

``run_of_taps(x, y0, y1, y2, x0, x1, x2, x_step, w, w_row, w_column, v0, v1, v2, h0, h1, h2, bias,
b_at, lower, upper, out, o_at, o_step, count)`` on flat float32 arrays. Tap (i, j) of pixel p reads
``x[yi + xj + p * x_step]`` and is weighted by ``w[vi * w_row + hj * w_column]``; the result goes to
``out[o_at + p * o_step]``. Nothing is checked: the caller owns the bounds.
"""


def _filter_gradient(
    typingctx, x, y0, y1, y2, x0, x1, x2, x_step, d, d_at, d_step, sums, s_row, s_column,
    v0, v1, v2, h0, h1, h2, count,
):  # fmt: skip
    from numba import types

    arguments = (
        x, y0, y1, y2, x0, x1, x2, x_step, d, d_at, d_step, sums, s_row, s_column,
        v0, v1, v2, h0, h1, h2, count,
    )  # fmt: skip
    return types.void(*arguments), _emit_filter_gradient


def _emit_filter_gradient(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(context, builder, signature, arguments)
    (_, y0, y1, y2, x0, x1, x2, x_step, _, d_at, d_step, _, s_row, s_column,
     v0, v1, v2, h0, h1, h2, count) = arguments  # fmt: skip
    places, sources = [], []
    for y, v in ((y0, v0), (y1, v1), (y2, v2)):
        for x, h in ((x0, h0), (x1, h1), (x2, h2)):
            offset = builder.add(builder.mul(v, s_row), builder.mul(h, s_column))
            places.append(vectors.pointer(11, offset))
            sources.append(vectors.pointer(0, builder.add(y, x)))
    gradient = vectors.pointer(8, d_at)
    sums = [vectors.zero] * 9
    with vectors.loop(count, sums) as p:
        at = builder.mul(p, x_step)
        value = vectors.load(gradient, builder.mul(p, d_step))
        for k, source in enumerate(sources):
            sums[k] = vectors.fma(vectors.load(source, at), value, sums[k])
    for place, total in zip(places, sums, strict=True):
        # One after another: taps outside share a place, whose value nobody reads.
        vectors.store(builder.fadd(vectors.load(place), total), place)
    return context.get_dummy_value()


filter_gradient = Intrinsic(_filter_gradient)
"""Add a run's share to the gradient of eight channels' filters.

``filter_gradient(x, y0, y1, y2, x0, x1, x2, x_step, d, d_at, d_step, sums, s_row, s_column, v0, v1,
v2, h0, h1, h2, count)``: with the taps of `run_of_taps`, ``sums[vi * s_row + hj * s_column]`` grows
by the sum over the run of the tap times the output's gradient ``d[d_at + p * d_step]``.
"""


def _add_scaled(typingctx, x, x_at, x_step, w, w_at, out, o_at, o_step, count):
    from numba import types

    arguments = (x, x_at, x_step, w, w_at, out, o_at, o_step, count)
    return types.void(*arguments), _emit_add_scaled


def _emit_add_scaled(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    vectors = Vectors(context, builder, signature, arguments)
    _, x_at, x_step, _, w_at, _, o_at, o_step, count = arguments
    source, target = vectors.pointer(0, x_at), vectors.pointer(5, o_at)
    weight = vectors.load(vectors.pointer(3, w_at))
    with vectors.loop(count) as p:
        place = builder.mul(p, o_step)
        value = vectors.load(source, builder.mul(p, x_step))
        vectors.store(vectors.fma(value, weight, vectors.load(target, place)), target, place)
    return context.get_dummy_value()


add_scaled = Intrinsic(_add_scaled)
"""Add ``x[x_at + p * x_step] * w[w_at]`` to ``out[o_at + p * o_step]``, eight channels of a run.

``add_scaled(x, x_at, x_step, w, w_at, out, o_at, o_step, count)``: one tap of a strided
convolution's input gradient.
"""
