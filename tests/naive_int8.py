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


def resize(x, height, width, mode):
    """Bilinear in units of 1/1024, one output value at a time."""

    def taps(i, size, out):
        if mode == "align_corners" and out > 1:
            step = (1024 * (size - 1) + (out - 1) // 2) // (out - 1)
        else:
            step = (1024 * size + out // 2) // out
        p = i * step + (step // 2 - 512 if mode == "half_pixel" else 0)
        lower = max(tdiv(p, 1024), 0)
        return lower, min(tdiv(p + 1023, 1024), size - 1), p - 1024 * lower

    n, h, w, channels = x.shape
    x = x.tolist()
    out = np.zeros((n, height, width, channels), np.int8)
    for b, y, z, c in np.ndindex(out.shape):
        y0, y1, fy = taps(y, h, height)
        x0, x1, fx = taps(z, w, width)
        total = (
            x[b][y0][x0][c] * (1024 - fy) * (1024 - fx)
            + x[b][y1][x0][c] * fy * (1024 - fx)
            + x[b][y0][x1][c] * (1024 - fy) * fx
            + x[b][y1][x1][c] * fy * fx
        )
        out[b, y, z, c] = tdiv(total + (2**19 if total > 0 else -(2**19)), 2**20)
    return out


def exponential(a):
    """exp of a number a <= 0 in Q5.26, in Q0.31."""
    if a == 0:
        return INT32_MAX
    quarter = (a & (2**24 - 1)) - 2**24
    x = (quarter << 5) + 2**28
    x2 = srdhm(x, x)
    x3, x4 = srdhm(x2, x), srdhm(x2, x2)
    t = rdpot(srdhm(rdpot(x4, 2) + x3, 715827883) + x2, 1)
    result = 1895147668 + srdhm(1895147668, x + t)
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for k, factor in zip(range(-2, 5), factors, strict=True):
        if (quarter - a) >> (26 + k) & 1:
            result = srdhm(result, factor)
    return result


def reciprocal(total):
    """1 over a sum of exps in Q12.19 -> mantissa in Q0.31, and the shift of what it multiplies."""
    zeros = 32 - total.bit_length()
    fraction = (total << zeros) % 2**32 - 2**31
    half = tdiv(fraction + INT32_MAX + 1, 2)
    x = 1515870810 + srdhm(half, -1010580540)
    for _ in range(3):
        x += saturate32(srdhm(x, 2**29 - srdhm(half, x)) << 2)
    return saturate32(x << 1), 12 - zeros + 31 - 8


def softmax(pair, scale):
    """Two int8 logits of a scale -> two int8 at scale 1/256, zero point -128."""
    multiplier, shift = quantize_multiplier(min(float(np.float32(scale)) * 2**26, INT32_MAX))
    least = -math.floor(31 * 2**26 / 2**shift)
    powers = []
    for q in pair:
        d = q - max(pair)
        inside = d >= least
        powers.append(exponential(srdhm(wrap32(d << shift), multiplier)) if inside else None)
    inverse, drop = reciprocal(sum(rdpot(power, 12) for power in powers if power is not None))
    return [
        -128 if p is None else clamp(rdpot(srdhm(inverse, p), drop) - 128, -128, 127)
        for p in powers
    ]
