"""Batch norm and ReLU6, or requantization, on the fly: training stores each layer's raw output z.

A consumer of z computes ``y = clamp(scale * z + shift, lower, upper)`` as it reads, so y never goes
to memory. Going back, with u = scale * z + shift and g the gradient with respect to y,

    g' = g where lower < u < upper, else 0                        (ReLU6)
    dbeta = sum of g',  dgamma = sum of g' * (z - mean) / deviation
    dz = a * g' + b + c * z                                       (batch norm, see `gradient_terms`)

All per channel. The eight numbers that a channel needs are the rows of one (8, C) float32 array,
its ``norms``; each loop below takes eight channels of a run of pixels at a time.

In quantization-aware training norms have three rows more, and z, exactly, the integer sums of
``w * (x - zero_point)`` in an int8 layer. Its consumer then computes what the int8 network does,
``y = clamp(MBQM(z + bias, M, e), lower, upper)``, which is the int8 value minus its zero point. The
gradient goes straight through the rounding: it is that of ``clamp(scale * z + shift)``, with scale
the real factor that M and e stand for and shift the bias times that, so going back is as above.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .integer_vector import Integers
from .jit import Inline, Intrinsic
from .output_stage import OutputStage, emit_mbqm
from .vector import Vectors

__all__ = [
    "BIAS",
    "CONSTANT",
    "EXPONENT",
    "FLOAT_ROWS",
    "GRADIENT",
    "LOWER",
    "MEAN",
    "MULTIPLIER",
    "QUANTIZED_ROWS",
    "SCALE",
    "SHIFT",
    "SLOPE",
    "UPPER",
    "activate",
    "add_moments",
    "add_reductions",
    "gradient_terms",
    "normalized_gradient",
    "set_integers",
]  # fmt: skip

SCALE, SHIFT, LOWER, UPPER, MEAN, GRADIENT, CONSTANT, SLOPE = range(8)
"""Rows of ``norms``; GRADIENT, CONSTANT and SLOPE are a, b and c above."""
FLOAT_ROWS = 8

BIAS, MULTIPLIER, EXPONENT = range(8, 11)
"""Further rows for int8. They hold the bits of int32 values."""
QUANTIZED_ROWS = 11

_RUN = 512


def gradient_terms(
    scale: NDArray, inverse: NDArray, mean: NDArray, d_gamma: NDArray, d_beta: NDArray, count: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Return a, b and c of ``dz = a * g' + b + c * z``.

    From `batch_norm.backward`: dz = scale * (g' - dbeta / n - (z - mean) * inverse * dgamma / n).

    Parameters
    ----------
    scale, inverse, mean, d_gamma, d_beta : (C,) float64 arrays
        ``inverse`` is 1 / sqrt(variance + EPSILON), ``scale`` gamma times that.
    count : int
        Values of a channel in the batch: n.
    """
    slope = -scale * inverse * d_gamma / count
    return scale, -scale * d_beta / count - slope * mean, slope


def set_integers(norms: NDArray[np.float32], stage: OutputStage) -> None:
    """Write into (QUANTIZED_ROWS, C) norms what it takes to read z as an int8 layer does."""
    norms[LOWER] = stage.lower - stage.zero_point
    norms[UPPER] = stage.upper - stage.zero_point
    integers = norms.view(np.int32)
    integers[BIAS] = stage.bias
    integers[MULTIPLIER], integers[EXPONENT] = stage.multiplier, stage.shift


def _intrinsic(emit: Callable[..., Any], doc: str) -> Intrinsic:
    def typed(typingctx, z, z_at, z_step, norms, n_at, n_row, g, g_at, g_step, out, o_at, o_step,
              count):  # fmt: skip
        from numba import types

        arguments = (z, z_at, z_step, norms, n_at, n_row, g, g_at, g_step, out, o_at, o_step, count)
        return types.void(*arguments), emit

    made = Intrinsic(typed)
    made.__doc__ = doc
    return made


class _Channels(Vectors):
    """The eight channels' norms, loaded when asked for, and what is computed with them."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        super().__init__(context, builder, signature, arguments)
        (_, z_at, self._z_step, _, self._n_at, self._n_row, _, g_at, self._g_step,
         _, o_at, self._o_step, self.count) = arguments  # fmt: skip
        self._z, self._g = self.pointer(0, z_at), self.pointer(6, g_at)
        self.out = self.pointer(9, o_at)

    def norm(self, row: int) -> Any:
        offset = self._builder.mul(self._n_row, self.index(row))
        return self.load(self.pointer(3, self._builder.add(self._n_at, offset)))

    def z(self, p: Any) -> Any:
        return self.load(self._z, self._builder.mul(p, self._z_step))

    def gate(self, p: Any, u: Any, lower: Any, upper: Any) -> Any:
        """Load g where u is strictly between the bounds: ReLU6 is flat at 0 and at 6."""
        builder = self._builder
        g = self.load(self._g, builder.mul(p, self._g_step))
        inside = builder.and_(
            builder.fcmp_ordered(">", u, lower), builder.fcmp_ordered("<", u, upper)
        )
        return builder.select(inside, g, self.zero)

    def put(self, p: Any, value: Any) -> None:
        self.store(value, self.out, self._builder.mul(p, self._o_step))


def _emit_activate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    channels = _Channels(context, builder, signature, arguments)
    scale, shift, lower, upper = (channels.norm(row) for row in (SCALE, SHIFT, LOWER, UPPER))
    with channels.loop(channels.count) as p:
        u = channels.fma(channels.z(p), scale, shift)
        channels.put(p, channels.clamp(u, lower, upper))
    return context.get_dummy_value()


def _emit_requantize(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    channels = _Channels(context, builder, signature, arguments)
    integers = Integers(context, builder, signature, arguments)
    lower, upper = channels.norm(LOWER), channels.norm(UPPER)
    bias, multiplier, exponent = (
        builder.bitcast(channels.norm(row), integers.vector(32))
        for row in (BIAS, MULTIPLIER, EXPONENT)
    )
    requantize = emit_mbqm(integers, builder, multiplier, exponent)
    with channels.loop(channels.count) as p:
        total = builder.add(builder.fptosi(channels.z(p), integers.vector(32)), bias)
        # Beyond 2**24 a float32 is near enough: the bounds are within -255 to 255.
        value = builder.sitofp(requantize(total), channels.zero.type)
        channels.put(p, channels.clamp(value, lower, upper))
    return context.get_dummy_value()


def _emit_gradient(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    channels = _Channels(context, builder, signature, arguments)
    scale, shift, lower, upper, a, b, c = (
        channels.norm(row) for row in (SCALE, SHIFT, LOWER, UPPER, GRADIENT, CONSTANT, SLOPE)
    )
    with channels.loop(channels.count) as p:
        z = channels.z(p)
        g = channels.gate(p, channels.fma(z, scale, shift), lower, upper)
        channels.put(p, channels.fma(a, g, channels.fma(c, z, b)))
    return context.get_dummy_value()


def _emit_moments(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    channels = _Channels(context, builder, signature, arguments)
    sums = [channels.zero, channels.zero]
    with channels.loop(channels.count, sums) as p:
        z = channels.z(p)
        sums[0] = builder.fadd(sums[0], z)
        sums[1] = channels.fma(z, z, sums[1])
    for value, row in zip(sums, (0, 1), strict=True):
        channels.put(channels.index(row), value)
    return context.get_dummy_value()


def _emit_reductions(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    channels = _Channels(context, builder, signature, arguments)
    scale, shift, lower, upper, mean = (
        channels.norm(row) for row in (SCALE, SHIFT, LOWER, UPPER, MEAN)
    )
    sums = [channels.zero, channels.zero]
    with channels.loop(channels.count, sums) as p:
        z = channels.z(p)
        g = channels.gate(p, channels.fma(z, scale, shift), lower, upper)
        sums[0] = builder.fadd(sums[0], g)
        sums[1] = channels.fma(g, builder.fsub(z, mean), sums[1])
    for value, row in zip(sums, (0, 1), strict=True):
        channels.put(channels.index(row), value)
    return context.get_dummy_value()


_activate = _intrinsic(_emit_activate, "out = clamp(scale * z + shift).")
_requantize = _intrinsic(_emit_requantize, "out = clamp(MBQM(z + bias)).")
_gradient = _intrinsic(_emit_gradient, "out = dz, from g and z.")
_moments = _intrinsic(_emit_moments, "out rows 0 and 1 = sums of z and of z * z.")
_reductions = _intrinsic(_emit_reductions, "out rows 0 and 1 = sums of g' and g' * (z - mean).")


@Inline
def activate(z, z_at, z_step, norms, n_at, channels, out, o_at, o_step, pixels):
    """Write y of ``pixels`` pixels; norms of the first channel at n_at."""
    row = norms.shape[1]
    flat = norms.reshape(-1)
    if norms.shape[0] == FLOAT_ROWS:
        for c in range(0, channels, 8):
            _activate(
                z, z_at + c, z_step, flat, n_at + c, row, z, 0, 0, out, o_at + c, o_step, pixels
            )
    else:
        for c in range(0, channels, 8):
            _requantize(
                z, z_at + c, z_step, flat, n_at + c, row, z, 0, 0, out, o_at + c, o_step, pixels
            )


@Inline
def normalized_gradient(
    z, z_at, z_step, norms, n_at, channels, g, g_at, g_step, out, o_at, o_step, pixels
):
    """Write dz of ``pixels`` pixels."""
    row = norms.shape[1]
    flat = norms.reshape(-1)
    for c in range(0, channels, 8):
        _gradient(
            z, z_at + c, z_step, flat, n_at + c, row, g, g_at + c, g_step, out, o_at + c, o_step,
            pixels,
        )  # fmt: skip


@Inline
def add_moments(z, z_at, z_step, norms, channels, pixels, sums):
    """Add the sums of z and z * z over ``pixels`` pixels to the (2, C) float64 ``sums``.

    At most `_RUN` pixels are summed in float32 before the float64 sum takes over. Nothing is added
    in quantization-aware training, whose statistics stay as they are.
    """
    if norms.shape[0] != FLOAT_ROWS:
        return
    part = np.empty(16, np.float32)
    flat = norms.reshape(-1)
    for p in range(0, pixels, _RUN):
        count = min(_RUN, pixels - p)
        for c in range(0, channels, 8):
            _moments(z, z_at + p * z_step + c, z_step, flat, 0, 0, z, 0, 0, part, 0, 8, count)
            for k in range(8):
                sums[0, c + k] += part[k]
                sums[1, c + k] += part[8 + k]


@Inline
def add_reductions(z, z_at, z_step, norms, n_at, channels, g, g_at, g_step, pixels, sums):
    """Add the sums of g' and g' * (z - mean) over ``pixels`` pixels to the float64 ``sums``.

    The first channel has its norms, and its two sums, at ``n_at``.
    """
    part = np.empty(16, np.float32)
    row = norms.shape[1]
    flat = norms.reshape(-1)
    for p in range(0, pixels, _RUN):
        count = min(_RUN, pixels - p)
        for c in range(0, channels, 8):
            _reductions(
                z, z_at + p * z_step + c, z_step, flat, n_at + c, row,
                g, g_at + p * g_step + c, g_step, part, 0, 8, count,
            )  # fmt: skip
            for k in range(8):
                sums[0, n_at + c + k] += part[k]
                sums[1, n_at + c + k] += part[8 + k]
