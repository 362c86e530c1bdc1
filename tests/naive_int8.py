"""The integer arithmetic once more in Python integers, as the contract words it: the oracle.

Slow, obvious, and independent of the code under test: no import from the package. ``tdiv`` is C's
division, which truncates; `wrap32` is two's complement.
"""

import math

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
