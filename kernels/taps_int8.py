"""The inner loop of an int8 depthwise 3x3 convolution, as LLVM vector IR.

``sums[p, c] = bias[c] + sum over the nine taps of w[tap, c] * (x[tap, p, c] - zero_point)``, in
int32, over a run of pixels whose taps `taps.row_table` and `taps.run_table` describe: a tap outside
the image has weight 0 there, so that it adds nothing, as a real 0 should.

The zero point is taken out of the loop: ``zero_point * sum of the run's weights`` goes into the
bias, once a run. What is left are products |w * x| <= 127 * 128, and two of them are at most
32,512: they are added in int16 before they are widened.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from .integer_vector import Integers
from .jit import Intrinsic

__all__ = ["sums_of_taps_8", "sums_of_taps_16"]


def _make_sums(lanes: int) -> Intrinsic:
    """Make the intrinsic for ``lanes`` channels."""

    def sums_of_taps(
        typingctx, x, y0, y1, y2, x0, x1, x2, x_step, w, w_at, w_row, w_column, v0, v1, v2,
        h0, h1, h2, bias, b_at, zero_point, sums, s_step, count,
    ):  # fmt: skip
        from numba import types

        arguments = (
            x, y0, y1, y2, x0, x1, x2, x_step, w, w_at, w_row, w_column, v0, v1, v2,
            h0, h1, h2, bias, b_at, zero_point, sums, s_step, count,
        )  # fmt: skip
        return types.void(*arguments), _emit(lanes)

    return Intrinsic(sums_of_taps)


def _emit(lanes: int) -> Callable[..., Any]:
    """Return Numba's code generator."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, signature, arguments)
        (_, y0, y1, y2, x0, x1, x2, x_step, _, w_at, w_row, w_column, v0, v1, v2,
         h0, h1, h2, _, b_at, zero_point, _, s_step, count) = arguments  # fmt: skip
        filters, sources = [], []
        for y, v in ((y0, v0), (y1, v1), (y2, v2)):
            for x, h in ((x0, h0), (x1, h1), (x2, h2)):
                offset = builder.add(builder.mul(v, w_row), builder.mul(h, w_column))
                weight = vectors.load(vectors.pointer(8, w_at), offset, lanes)
                filters.append(vectors.widen(weight, 16))
                sources.append(vectors.pointer(0, builder.add(y, x)))
        total = vectors.constant(0, 32, lanes)
        for weight in filters:
            total = builder.add(total, vectors.widen(weight, 32))
        folded = builder.mul(total, vectors.splat(zero_point, lanes))
        start = builder.sub(vectors.load(vectors.pointer(18, b_at), lanes=lanes), folded)
        target = vectors.pointer(21, vectors.index(0))
        with vectors.loop(count) as p:
            at = builder.mul(p, x_step)
            products = [
                builder.mul(vectors.widen(vectors.load(source, at, lanes), 16), weight)
                for source, weight in zip(sources, filters, strict=True)
            ]
            total = start
            for one, other in zip_longest(products[::2], products[1::2]):
                pair = one if other is None else builder.add(one, other)
                total = builder.add(total, vectors.widen(pair, 32))
            vectors.store(total, target, builder.mul(p, s_step))
        return context.get_dummy_value()

    return codegen


sums_of_taps_16 = _make_sums(16)
"""Sum up the taps of sixteen channels of ``count`` pixels of one output row.

``sums_of_taps(x, y0, y1, y2, x0, x1, x2, x_step, w, w_at, w_row, w_column, v0, v1, v2, h0, h1, h2,
bias, b_at, zero_point, sums, s_step, count)`` on flat arrays: int8 x and w, int32 bias, zero_point
and sums. Tap (i, j) of pixel p reads ``x[yi + xj + p * x_step]`` and is weighted by
``w[w_at + vi * w_row + hj * w_column]``; the sum goes to ``sums[p * s_step]``. Nothing is checked:
the caller owns the bounds.
"""
sums_of_taps_8 = _make_sums(8)
