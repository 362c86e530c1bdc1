"""The register tile that pointwise and 3x3 convolutions share, as LLVM vector IR.

``out[r, c] = clamp(sum over k of x[r, k] * w[k, c] + bias[c])`` for a few pixels r and 16 or 8
output channels c at a time. The accumulators live in vector registers for the whole sum, which no
loop that Numba compiles does by itself: six pixels by sixteen channels are twelve accumulators of
eight floats, and each weight loaded serves six pixels.

The sum runs over k in order with fused multiply-adds, whatever the tile's height, so a pixel's
result does not depend on which tile it fell into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .jit import Intrinsic
from .vector import LANES, Vectors

__all__ = [
    "ROWS", "product_1x8", "product_1x16", "product_6x8", "product_6x16",
    "tile_1x8", "tile_1x16", "tile_6x8", "tile_6x16",
]  # fmt: skip

ROWS = 6


def _make_tile(rows: int, columns: int) -> Intrinsic:
    """Make the intrinsic of a tile of ``rows`` pixels by ``columns`` output channels."""

    # The parameter names of the inner function are the call's: see `tile_6x16` for their meaning.
    def tile(
        typingctx, x, x_at, x_step, w, w_at, depth, bias, b_at, lower, upper, out, o_at, o_step
    ):
        from numba import types

        arguments = (x, x_at, x_step, w, w_at, depth, bias, b_at, lower, upper, out, o_at, o_step)
        return types.void(*arguments), _emit(rows, columns)

    return Intrinsic(tile)


def _emit(rows: int, columns: int) -> Callable[..., Any]:
    """Return Numba's code generator for one tile."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(context, builder, signature, arguments)
        _, x_at, x_step, _, w_at, depth, _, b_at, lower, upper, _, o_at, o_step = arguments
        first = vectors.pointer(0, x_at)
        x_rows = [builder.gep(first, [builder.mul(x_step, vectors.index(r))]) for r in range(rows)]
        w_base, b_base = vectors.pointer(3, w_at), vectors.pointer(6, b_at)
        o_base = vectors.pointer(10, o_at)
        lanes = [vectors.index(lane) for lane in range(0, columns, LANES)]

        sums = [vectors.zero] * (rows * len(lanes))  # row by row
        with vectors.loop(depth, sums) as k:  # every layer has an input channel: depth >= 1
            w_row = builder.mul(k, vectors.index(columns))
            weights = [vectors.load(w_base, builder.add(w_row, lane)) for lane in lanes]
            for r in range(rows):
                value = vectors.splat(builder.load(builder.gep(x_rows[r], [k])))
                for v, weight in enumerate(weights):
                    at = r * len(lanes) + v
                    sums[at] = vectors.fma(value, weight, sums[at])
        low, high = vectors.splat(lower), vectors.splat(upper)
        for v, lane in enumerate(lanes):
            bias = vectors.load(b_base, lane)
            for r in range(rows):
                value = builder.fadd(sums[r * len(lanes) + v], bias)
                offset = builder.add(builder.mul(o_step, vectors.index(r)), lane)
                vectors.store(vectors.clamp(value, low, high), o_base, offset)
        return context.get_dummy_value()

    return codegen


tile_6x16 = _make_tile(ROWS, 16)
"""Six pixels by sixteen channels.

``tile(x, x_at, x_step, w, w_at, depth, bias, b_at, lower, upper, out, o_at, o_step)`` on flat
float32 arrays. Pixel r reads ``x[x_at + r * x_step + k]`` for k below ``depth`` and writes
``out[o_at + r * o_step + c]``; weights are ``w[w_at + k * 16 + c]``, the bias ``bias[b_at + c]``.
Nothing is checked: the caller owns the bounds.
"""
tile_6x8 = _make_tile(ROWS, 8)
tile_1x16 = _make_tile(1, 16)
tile_1x8 = _make_tile(1, 8)


def _make_product(rows: int, columns: int) -> Intrinsic:
    """Make the intrinsic of a plain matrix product's tile, with any strides."""

    def product(typingctx, a, a_at, a_row, a_k, b, b_at, b_k, depth, out, o_at, o_row, add):
        from numba import types

        arguments = (a, a_at, a_row, a_k, b, b_at, b_k, depth, out, o_at, o_row, add)
        return types.void(*arguments), _emit_product(rows, columns)

    return Intrinsic(product)


def _emit_product(rows: int, columns: int) -> Callable[..., Any]:
    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Vectors(context, builder, signature, arguments)
        _, a_at, a_row, a_k, _, b_at, b_k, depth, _, o_at, o_row, add = arguments
        first, b_base, o_base = (
            vectors.pointer(0, a_at), vectors.pointer(4, b_at), vectors.pointer(8, o_at)
        )  # fmt: skip
        a_rows = [builder.gep(first, [builder.mul(a_row, vectors.index(r))]) for r in range(rows)]
        lanes = [vectors.index(lane) for lane in range(0, columns, LANES)]
        places = [
            builder.add(builder.mul(o_row, vectors.index(r)), lane)
            for r in range(rows)
            for lane in lanes
        ]
        adding = builder.icmp_signed("!=", add, vectors.index(0))
        sums = [
            builder.select(adding, vectors.load(o_base, place), vectors.zero) for place in places
        ]
        with vectors.loop(depth, sums) as k:
            b_row, a_column = builder.mul(k, b_k), builder.mul(k, a_k)
            weights = [vectors.load(b_base, builder.add(b_row, lane)) for lane in lanes]
            for r in range(rows):
                value = vectors.splat(builder.load(builder.gep(a_rows[r], [a_column])))
                for v, weight in enumerate(weights):
                    at = r * len(lanes) + v
                    sums[at] = vectors.fma(value, weight, sums[at])
        for place, total in zip(places, sums, strict=True):
            vectors.store(total, o_base, place)
        return context.get_dummy_value()

    return codegen


product_6x16 = _make_product(ROWS, 16)
"""Six rows by sixteen columns of a matrix product, for gradients.

``product(a, a_at, a_row, a_k, b, b_at, b_k, depth, out, o_at, o_row, add)`` on flat float32 arrays:
``out[o_at + r * o_row + c]`` becomes, or grows by when ``add`` is not 0, the sum over k of
``a[a_at + r * a_row + k * a_k] * b[b_at + k * b_k + c]``.
"""
product_6x8 = _make_product(ROWS, 8)
product_1x16 = _make_product(1, 16)
product_1x8 = _make_product(1, 8)
