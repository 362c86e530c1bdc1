"""The register tile that pointwise and 3x3 convolutions share, as LLVM vector IR.

``out[r, c] = clamp(sum over k of x[r, k] * w[k, c] + bias[c])`` for a few pixels r and 16 or 8
output channels c at a time. The accumulators live in vector registers for the whole sum, which no
loop that Numba compiles does by itself: six pixels by sixteen channels are twelve accumulators of
eight floats, and each weight loaded serves six pixels. LLVM lowers the same IR to AVX2, AVX-512 and
NEON (two registers for each vector of eight).

The sum runs over k in order with fused multiply-adds, whatever the tile's height, so a pixel's
result does not depend on which tile it fell into.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .jit import Intrinsic

__all__ = ["LANES", "ROWS", "tile_1x8", "tile_1x16", "tile_6x8", "tile_6x16"]

LANES = 8
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
        from llvmlite import ir
        from numba.core import cgutils

        index = ir.IntType(64)
        scalar = ir.FloatType()
        vector = ir.VectorType(scalar, LANES)
        vectors = columns // LANES
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{LANES}f32"
        )

        def pointer(position: int, offset: Any) -> Any:
            array = context.make_array(signature.args[position])(
                context, builder, arguments[position]
            )
            return builder.gep(array.data, [offset])

        def load_vector(base: Any, offset: Any) -> Any:
            address = builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())
            return builder.load(address, align=4)

        def splat(value: Any) -> Any:
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, index(0))
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)

        _, x_at, x_step, _, w_at, depth, _, b_at, lower, upper, _, o_at, o_step = arguments
        x_rows = [
            builder.gep(pointer(0, x_at), [builder.mul(x_step, index(r))]) for r in range(rows)
        ]
        w_base, b_base, o_base = pointer(3, w_at), pointer(6, b_at), pointer(10, o_at)

        entry = builder.block
        loop = builder.append_basic_block("tile.loop")
        done = builder.append_basic_block("tile.done")
        zero = ir.Constant(vector, [0.0] * LANES)
        builder.branch(loop)  # depth is at least 1: every layer has an input channel
        builder.position_at_end(loop)
        k = builder.phi(index)
        k.add_incoming(index(0), entry)
        sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(rows)]
        w_row = builder.mul(k, index(columns))
        lanes = [builder.add(w_row, index(LANES * v)) for v in range(vectors)]
        weights = [load_vector(w_base, lane) for lane in lanes]
        following = []
        for r in range(rows):
            value = splat(builder.load(builder.gep(x_rows[r], [k])))
            following.append(
                [builder.call(fma, [value, weights[v], sums[r][v]]) for v in range(vectors)]
            )
        k_next = builder.add(k, index(1))
        k.add_incoming(k_next, loop)
        for r in range(rows):
            for v in range(vectors):
                sums[r][v].add_incoming(zero, entry)
                sums[r][v].add_incoming(following[r][v], loop)
        builder.cbranch(builder.icmp_signed("<", k_next, depth), loop, done)

        builder.position_at_end(done)
        low, high = splat(lower), splat(upper)
        for v in range(vectors):
            bias = load_vector(b_base, index(LANES * v))
            for r in range(rows):
                value = builder.fadd(following[r][v], bias)
                # "value < low ? low : value" lets a NaN through, as numpy.clip does.
                value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
                value = builder.select(builder.fcmp_ordered(">", value, high), high, value)
                offset = builder.add(builder.mul(o_step, index(r)), index(LANES * v))
                address = builder.bitcast(builder.gep(o_base, [offset]), vector.as_pointer())
                builder.store(value, address, align=4)
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
