"""The output stage of an integer layer: from int32 sums to int8 (gemmlowp's word for it).

``y[c] = clamp(MBQM(sum[c] + bias[c], multiplier[c], shift[c]) + zero_point, lower, upper)``

A layer's scales have become integers here once and for all; `OutputStage.apply` is the definition
in NumPy. What the Numba kernels read is the same seven numbers a channel as the rows of one int32
array, `OutputStage.table`.

That int32 is enough: |w| <= 127 and |x - zero_point| <= 255, so a sum over K products is below
``K * 32385`` in magnitude, and below 2**31 up to K = 66,311; the widest sum of MMNet at width 1.0
has K = 240. With the bias, `mmnet_np.quantized` checks the bound channel by channel. MBQM of an
int32 is below 2**31 again (`fixed_point.mbqm`). Adding the zero point might pass it, so the kernels
clamp to ``[lower - zero_point, upper - zero_point]`` first and add it then, which is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fixed_point import mbqm, mbqm_single
from .integer_vector import Integers
from .jit import Inline, Intrinsic

__all__ = [
    "BIAS", "LOWER", "MULTIPLIER", "SHIFT", "SINGLE", "UPPER", "ZERO_POINT", "OutputStage",
    "emit_mbqm", "finish", "finished",
]  # fmt: skip

BIAS, MULTIPLIER, SHIFT, ZERO_POINT, LOWER, UPPER, SINGLE = range(7)
"""Rows of `OutputStage.table`; SINGLE is 1 for single rounding, 0 for double."""


class OutputStage(NamedTuple):
    """A layer's bias, its quantized multiplier and its output's range.

    Attributes
    ----------
    bias : (O,) int32 array
        At the scale of the sums.
    multiplier, shift : (O,) int32 arrays
        `fixed_point.quantize_multiplier` of the scale of the sums over the output's.
    zero_point : int
        Of the output, -128 to 127.
    lower, upper : int
        Clamp, within -128 to 127.
    rounding : {"double", "single"}
    """

    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    zero_point: int
    lower: int
    upper: int
    rounding: str = "double"

    def apply(self, total: NDArray) -> NDArray[np.int8]:
        """Add the bias, requantize and clamp.

        Parameters
        ----------
        total : (..., O) integer or float array
            Sums of products, whole numbers that with the bias fit in int32.
        """
        total = total.astype(np.int64) + self.bias
        multiplier, shift = self.multiplier.astype(np.int64), self.shift.astype(np.int64)
        if self.rounding == "single":
            total = mbqm_single(total, multiplier, shift)
        else:
            total = mbqm(total, multiplier, np.maximum(shift, 0), np.maximum(-shift, 0))
        return np.clip(total + self.zero_point, self.lower, self.upper).astype(np.int8)

    def folding(self, zero_point: int, weights: NDArray[np.int8]) -> OutputStage:
        """Return the stage for sums of ``w * x`` in place of sums of ``w * (x - zero_point)``.

        The zero point's part, ``zero_point * sum of w[..., c]``, goes into the bias. That is exact,
        int32 arithmetic being modular, if every tap of every sum is counted: a tap outside the
        image, a real 0, must read x = zero_point.

        Parameters
        ----------
        zero_point : int
            Of the input.
        weights : (..., O) int8 array
        """
        total = weights.sum(axis=tuple(range(weights.ndim - 1)), dtype=np.int64)
        return self._replace(bias=(self.bias - zero_point * total).astype(np.int32))

    def table(self) -> NDArray[np.int32]:
        """Return what the Numba kernels read: (7, O up to a multiple of 16), zeros after O."""
        count = len(self.bias)
        rows = np.zeros((7, -(-count // 16) * 16), np.int32)
        rows[BIAS, :count] = self.bias
        rows[MULTIPLIER, :count] = self.multiplier
        rows[SHIFT, :count] = self.shift
        rows[ZERO_POINT], rows[LOWER], rows[UPPER] = self.zero_point, self.lower, self.upper
        rows[SINGLE] = self.rounding == "single"
        return rows


@Inline
def finished(total, stage, c):
    """Return the int8 value, as int64, of one sum that has its bias already."""
    total, multiplier, shift = np.int64(total), stage[MULTIPLIER, c], np.int64(stage[SHIFT, c])
    if stage[SINGLE, c]:
        total = mbqm_single(total, multiplier, shift)
    else:
        total = mbqm(total, multiplier, max(shift, 0), max(-shift, 0))
    return min(max(total + stage[ZERO_POINT, c], stage[LOWER, c]), stage[UPPER, c])


def emit_mbqm(vectors: Integers, builder: Any, multiplier: Any, shift: Any) -> Callable[[Any], Any]:
    """Emit `fixed_point.mbqm` for int32 vectors: first what all sums of a channel share.

    Returns
    -------
    callable
        Emits the rest: the product of one vector of sums.
    """

    def constant(value: int, bits: int = 32) -> Any:
        return vectors.constant(value, bits, shift.type.count)

    multiplier = vectors.widen(multiplier, 64)
    left = vectors.at_least(shift, constant(0))
    right = vectors.at_least(builder.neg(shift), constant(0))
    mask = builder.sub(builder.shl(constant(1), right), constant(1))
    threshold = builder.lshr(mask, constant(1))

    def requantize(total: Any) -> Any:
        total = builder.shl(total, left)  # wraps
        # SRDHM; the mantissa is no INT32_MIN, so nothing saturates.
        product = builder.mul(vectors.widen(total, 64), multiplier)
        nudged = builder.add(product, constant(1 << 30, 64))
        # Bits 31 to 62 are the result, whichever shift brings them down.
        high = vectors.narrow(builder.lshr(nudged, constant(31, 64)), 32)
        # RDPOT; a comparison that holds is -1, and so is the sign of a negative number.
        sign = builder.ashr(high, constant(31))
        rest, limit = builder.and_(high, mask), builder.sub(threshold, sign)
        above = vectors.widen(builder.icmp_signed(">", rest, limit), 32)
        return builder.sub(builder.ashr(high, right), above)

    return requantize


def _make_run(lanes: int) -> Intrinsic:
    """Make the intrinsic that finishes ``lanes`` channels of a run of pixels."""

    def finish_run(typingctx, sums, s_at, s_step, stage, c, row, out, o_at, o_step, count):
        from numba import types

        arguments = (sums, s_at, s_step, stage, c, row, out, o_at, o_step, count)
        return types.void(*arguments), _emit_run(lanes)

    return Intrinsic(finish_run)


def _emit_run(lanes: int) -> Callable[..., Any]:
    """Return Numba's code generator, for double rounding."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vectors = Integers(context, builder, signature, arguments)
        _, s_at, s_step, _, c, row, _, o_at, o_step, count = arguments

        def field(name: int) -> Any:
            at = builder.add(builder.mul(row, vectors.index(name)), c)
            return vectors.load(vectors.pointer(3, at), lanes=lanes)

        zero_point = field(ZERO_POINT)
        requantize = emit_mbqm(vectors, builder, field(MULTIPLIER), field(SHIFT))
        lower, upper = (builder.sub(field(name), zero_point) for name in (LOWER, UPPER))
        source, target = vectors.pointer(0, s_at), vectors.pointer(6, o_at)
        with vectors.loop(count) as p:
            value = requantize(vectors.load(source, builder.mul(p, s_step), lanes))
            value = vectors.at_most(vectors.at_least(value, lower), upper)
            value = vectors.narrow(builder.add(value, zero_point), 8)
            vectors.store(value, target, builder.mul(p, o_step))
        return context.get_dummy_value()

    return codegen


_run_16, _run_8 = _make_run(16), _make_run(8)


@Inline
def finish(sums, s_step, stage, c, channels, out, o_at, o_step, pixels):
    """Finish up to 16 channels of a run of pixels, the first being channel ``c`` of the stage.

    Pixel p reads ``sums[p * s_step]`` on, 8 or 16 int32 which have their biases already, and writes
    ``channels`` values from ``out[o_at + p * o_step]``. Double rounding is done in vectors of 16 or
    8 channels, of which those that are too many are dropped; single rounding one by one.
    """
    table, row = stage.reshape(-1), stage.shape[1]
    if stage[SINGLE, 0]:
        for p in range(pixels):
            for k in range(channels):
                out[o_at + p * o_step + k] = finished(sums[p * s_step + k], stage, c + k)
    elif channels == 16:
        _run_16(sums, 0, s_step, table, c, row, out, o_at, o_step, pixels)
    elif channels == 8:
        _run_8(sums, 0, s_step, table, c, row, out, o_at, o_step, pixels)
    else:
        wide = np.empty(pixels * 16, np.int8)
        if channels > 8:
            _run_16(sums, 0, s_step, table, c, row, wide, 0, 16, pixels)
        else:
            _run_8(sums, 0, s_step, table, c, row, wide, 0, 16, pixels)
        for p in range(pixels):
            for k in range(channels):
                out[o_at + p * o_step + k] = wide[p * 16 + k]
