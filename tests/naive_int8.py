"""The integer arithmetic once more in Python integers, as the contract words it: the oracle.

Slow, obvious, and independent of the code under test: no import from the package. ``tdiv`` is C's
division, which truncates; `wrap32` is two's complement.
"""

import math

import numpy as np
from naive import clamp, pad_before

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def tdiv(a, b):
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def wrap32(x):
    x %= 2**32
    return x - 2**32 if x >= 2**31 else x


def saturate32(x):
    return max(INT32_MIN, min(INT32_MAX, x))


def quantize_multiplier(real):
    if real == 0:
        return 0, 0
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    if mantissa == 2**31:
        mantissa //= 2
        exponent += 1
    return (0, 0) if exponent < -31 else (mantissa, exponent)


def srdhm(a, b):
    if a == b == INT32_MIN:
        return INT32_MAX
    product = a * b
    return tdiv(product + (2**30 if product >= 0 else 1 - 2**30), 2**31)


def rdpot(x, n):
    mask = 2**n - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> n) + (1 if (x & mask) > threshold else 0)


def mbqm(x, multiplier, shift):
    return rdpot(srdhm(wrap32(x << max(shift, 0)), multiplier), max(-shift, 0))


def mbqm_single(x, multiplier, shift):
    return (x * multiplier + 2 ** (30 - shift)) >> (31 - shift)


def finish(total, layer, channel):
    """The sum of one output value, bias included, to int8."""
    multiply = mbqm if layer.rounding == "double" else mbqm_single
    value = multiply(total, layer.multiplier[channel], layer.shift[channel])
    return clamp(value + layer.zero_point, layer.lower, layer.upper)


def convolution(x, zero_point, weights, layer, stride, dilation=1):
    """x (N, H, W, I), weights (k, k, I, O) -> (N, ceil(H/s), ceil(W/s), O).

    ``layer`` has Python integers: lists ``bias``, ``multiplier`` and ``shift``, the output's
    ``zero_point``, ``lower`` and ``upper``, and ``rounding``.
    """
    n, height, width, depth = x.shape
    k, _, _, channels = weights.shape
    x, weights = x.tolist(), weights.tolist()
    rows, columns = math.ceil(height / stride), math.ceil(width / stride)
    top = pad_before(height, rows, k, stride, dilation)
    left = pad_before(width, columns, k, stride, dilation)
    out = np.zeros((n, rows, columns, channels), np.int8)
    for b, y, z, o in np.ndindex(out.shape):
        total = layer.bias[o]
        for ky in range(k):
            for kx in range(k):
                sy = y * stride - top + ky * dilation
                sx = z * stride - left + kx * dilation
                if 0 <= sy < height and 0 <= sx < width:
                    for i in range(depth):
                        total += (x[b][sy][sx][i] - zero_point) * weights[ky][kx][i][o]
        out[b, y, z, o] = finish(total, layer, o)
    return out


def pointwise(x, zero_point, weights, layer):
    """x (N, H, W, I), weights (I, O)."""
    return convolution(x, zero_point, weights[None, None], layer, 1)


def depthwise(x, zero_point, weights, layer, stride, dilation):
    """x (N, H, W, C), weights (3, 3, C): each channel convolved by itself."""
    parts = []
    for c in range(x.shape[3]):
        own = layer._replace(
            bias=layer.bias[c:], multiplier=layer.multiplier[c:], shift=layer.shift[c:]
        )
        own_weights = weights[:, :, c].reshape(3, 3, 1, 1)
        parts.append(convolution(x[..., c : c + 1], zero_point, own_weights, own, stride, dilation))
    return np.concatenate(parts, axis=3)


def quantize(x, scale, zero_point):
    """One float32; the quotient is a float32."""
    with np.errstate(over="ignore"):
        steps = float(np.float32(x) / np.float32(scale))
    if math.isinf(steps):
        return 127 if steps > 0 else -128
    whole = math.floor(abs(steps) + 0.5)  # in double: exact where it matters
    return clamp((whole if steps >= 0 else -whole) + zero_point, -128, 127)


def dequantize(q, scale, zero_point):
    return np.float32(float(np.float32(scale)) * (q - zero_point))


def requantize(q, scale, zero_point, to_scale, to_zero_point, rounding="double"):
    multiply = mbqm if rounding == "double" else mbqm_single
    multiplier = quantize_multiplier(float(np.float32(scale)) / float(np.float32(to_scale)))
    return clamp(multiply(q - zero_point, *multiplier) + to_zero_point, -128, 127)
