"""The register tile of int8 pointwise and 3x3 convolutions, as LLVM vector IR.

``sums[r, c] = bias[c] + sum over k of x[r, k] * w[k, c]`` for six pixels r and 16 or 8 output
channels c, in int32. Activations were widened to int16 and both they and the weights lie in pairs
of neighbouring k, so that one instruction multiplies and adds two products a lane: with |x| <= 128
and |w| <= 127 a pair is at most 32,512, and nothing saturates anywhere. An int32 sum is exact in
any order.

As in `tile`, the accumulators stay in registers for the whole sum: six pixels by sixteen channels
are twelve vectors of eight int32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integer_vector import Integers
from .jit import Inline, Intrinsic
from .output_stage import finish
from .tile import ROWS
from .vector import LANES

__all__ = ["BLOCK", "pack", "pixels_tiled", "tile_6x8", "tile_6x16", "unpack"]

BLOCK = 48
"""Pixels whose sums are kept at a time: their int16 inputs and one column block stay in L1."""


def _make_tile(columns: int) -> Intrinsic:
    """Make the intrinsic of a tile of six pixels by ``columns`` output channels."""

    def tile(typingctx, x, x_at, x_step, w, w_at, pairs, bias, b_at, sums, s_at, s_step):
        from numba import types

        arguments = (x, x_at, x_step, w, w_at, pairs, bias, b_at, sums, s_at, s_step)
        return types.void(*arguments), _emit(columns)

    return Intrinsic(tile)


def _emit(columns: int) -> Callable[..., Any]:
    """Return Numba's code generator for one tile."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, signature, arguments)
        _, x_at, x_step, _, w_at, pairs, _, b_at, _, s_at, s_step = arguments
        # A pair of int16 activations is moved as one int32.
        pair = vectors.vector(32, 1).element.as_pointer()
        first = vectors.pointer(0, x_at)
        x_rows = [
            builder.bitcast(builder.gep(first, [builder.mul(x_step, vectors.index(r))]), pair)
            for r in range(ROWS)
        ]
        w_base, b_base = vectors.pointer(3, w_at), vectors.pointer(6, b_at)
        s_base = vectors.pointer(8, s_at)
        lanes = [vectors.index(lane) for lane in range(0, columns, LANES)]

        start = [vectors.load(b_base, lane) for lane in lanes]
        sums = start * ROWS  # row by row
        with vectors.loop(pairs, sums) as k:  # every layer has an input channel: pairs >= 1
            w_row = builder.mul(k, vectors.index(2 * columns))
            weights = [
                vectors.load(w_base, builder.add(w_row, vectors.index(at)), 2 * LANES)
                for at in range(0, 2 * columns, 2 * LANES)
            ]
            for r in range(ROWS):
                both = vectors.splat(builder.load(builder.gep(x_rows[r], [k]), align=2))
                values = builder.bitcast(both, vectors.vector(16, 2 * LANES))
                for v, weight in enumerate(weights):
                    at = r * len(lanes) + v
                    sums[at] = builder.add(sums[at], vectors.multiply_pairs(values, weight))
        for at, total in enumerate(sums):
            r, v = divmod(at, len(lanes))
            place = builder.add(builder.mul(s_step, vectors.index(r)), lanes[v])
            vectors.store(total, s_base, place)
        return context.get_dummy_value()

    return codegen


tile_6x16 = _make_tile(16)
"""Six pixels by sixteen channels.

``tile(x, x_at, x_step, w, w_at, pairs, bias, b_at, sums, s_at, s_step)`` on flat arrays: int16 x
and w, int32 bias and sums. Pixel r reads ``x[x_at + r * x_step + k]`` for k below ``2 * pairs`` and
writes ``sums[s_at + r * s_step + c]``; the weight of (k, c) is
``w[w_at + (k // 2 * 16 + c) * 2 + k % 2]``, the bias ``bias[b_at + c]``. Nothing is checked: the
caller owns the bounds.
"""
tile_6x8 = _make_tile(8)


def pack(weights: NDArray[np.int8]) -> NDArray[np.int16]:
    """Reorder (I, O) weights into the column blocks of pairs that the tile reads.

    Blocks of 16 output channels, then one of 8 when 8 or fewer are left over, each
    (ceil(I / 2), block, 2) and zero filled; flattened to one contiguous int16 array.
    """
    depth, count = weights.shape
    pairs = -(-depth // 2)
    blocks, first = [], 0
    while first < count:
        width = 16 if count - first > 8 else 8
        block = np.zeros((2 * pairs, width), np.int16)
        part = weights[:, first : first + width]
        block[:depth, : part.shape[1]] = part
        blocks.append(block.reshape(pairs, 2, width).swapaxes(1, 2).reshape(-1))
        first += width
    return np.concatenate(blocks)


def unpack(packed: NDArray[np.int16], depth: int, count: int) -> NDArray[np.int8]:
    """Return the (I, O) weights, I = ``depth`` and O = ``count``, that `pack` packed."""
    pairs = -(-depth // 2)
    columns, at = [], 0
    while at < len(packed):
        width = 16 if count - sum(part.shape[1] for part in columns) > 8 else 8
        block = packed[at : at + 2 * pairs * width].reshape(pairs, width, 2)
        columns.append(block.swapaxes(1, 2).reshape(2 * pairs, width))
        at += 2 * pairs * width
    return np.concatenate(columns, axis=1)[:depth, :count].astype(np.int8)


@Inline
def pixels_tiled(x, x_step, pixels, packed, stage, channels, sums, out, o_at, o_step):
    """Convolve up to `BLOCK` pixels of int16 and write ``channels`` int8 values of each.

    Pixel p reads ``x[p * x_step : (p + 1) * x_step]``, an even number of values, and writes from
    ``out[o_at + p * o_step]``. The last tile may run over more pixels than there are: ``x`` has
    room for a multiple of six, ``sums``, int32, for `BLOCK` times 16, and nobody reads the rest.
    """
    pairs = x_step // 2
    bias = stage.reshape(-1)
    column = 0
    w_at = 0
    while column < channels:
        left = channels - column
        block = 16 if left > 8 else 8
        for p in range(0, pixels, 6):
            x_at, s_at = p * x_step, p * 16
            if block == 16:
                tile_6x16(x, x_at, x_step, packed, w_at, pairs, bias, column, sums, s_at, 16)
            else:
                tile_6x8(x, x_at, x_step, packed, w_at, pairs, bias, column, sums, s_at, 16)
        finish(sums, 16, stage, column, min(left, block), out, o_at + column, o_step, pixels)
        w_at += 2 * pairs * block
        column += block
