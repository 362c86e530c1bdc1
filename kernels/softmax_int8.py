"""Softmax over two int8 logits by a table of all 65,536 pairs (the paper, supplement A).

The table is made once for the logits' scale, in integers, by TensorFlow Lite's rule: no float
softmax rounds to it at all places. With a = scale * (q - max) in Q5.26 (five integer bits, 26 of
fraction),

    exp(a) = exp(m) * product of exp(-2**k) over the bits k = -2 to 4 that are set in m - a

where m in [-1/4, 0) is what is left, and exp(m) is a Taylor polynomial about -1/8. The reciprocal
of the sum is three Newton-Raphson steps from 48/17 - 32/17 * d. Everything is a product of Q0.31
numbers, `fixed_point.srdhm`; a comment gives each one's format.

The table depends on the difference of the logits alone, and one table serves both channels: p0 of
(q0, q1) is p1 of (q1, q0).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .fixed_point import quantize_multiplier, rdpot, srdhm, wrap32
from .jit import kernel

__all__ = ["SMALLEST_SCALE", "reference", "scaling", "softmax_int8", "table"]

SMALLEST_SCALE = 2.0**-26
"""At this scale of the logits and below, their differences are less than one unit of Q5.26."""

_ONE = 2**31 - 1
"""1 in Q0.31, or all but."""

_EXP_MINUS_EIGHTH, _THIRD = 1895147668, 715827883  # Q0.31

_EXP_MINUS_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-2**k) for k = -2 to 4, in Q0.31."""


def scaling(scale: float) -> tuple[int, int, int]:
    """Return what turns a difference of logits into Q5.26, and where it leaves that format.

    Returns
    -------
    multiplier, shift : int
        Of ``scale * 2**26``, at most 2**31 - 1.
    least : int
        The lowest difference (0 or below) that is not beyond -31; below it exp is 0.

    Raises
    ------
    ValueError
        The scale is not above `SMALLEST_SCALE`, or infinite.
    """
    scale = float(np.float32(scale))
    if not SMALLEST_SCALE < scale < math.inf:
        raise ValueError(f"the logits' scale is {scale}; it must be above 2**-26")
    multiplier, shift = map(int, quantize_multiplier(min(scale * 2**26, 2.0**31 - 1)))
    return multiplier, shift, -math.floor(31 * 2**26 / 2**shift)


def table(scale: float) -> NDArray[np.int8]:
    """Return p1 of all pairs of logits, at scale 1/256 and zero point -128.

    Parameters
    ----------
    scale : float
        Of the logits, taken as float32.

    Returns
    -------
    (256, 256) int8 array
        ``table[q0 + 128, q1 + 128]``.

    Raises
    ------
    ValueError
        As for `scaling`.
    """
    multiplier, shift, least = scaling(scale)
    q = np.arange(-128, 128, dtype=np.int64)
    q0, q1 = q[:, np.newaxis], q[np.newaxis, :]
    exps = []
    for one, other in ((q0, q1), (q1, q0)):
        difference = np.minimum(one - other, 0)  # from the larger of the two
        inside = difference >= least
        a = srdhm(wrap32(np.where(inside, difference, 0) << shift), multiplier)
        exps.append(np.where(inside, _exp(a), 0))
    reciprocal, drop = _reciprocal(rdpot(exps[0], 12) + rdpot(exps[1], 12))
    # Q0.31 * Q0.31, then down to eight bits of fraction. RDPOT(0) is 0, as an exp left out must be.
    return np.clip(rdpot(srdhm(reciprocal, exps[1]), drop) - 128, -128, 127).astype(np.int8)


def _exp(a: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return exp of a <= 0 in Q5.26, as Q0.31."""
    m = (a & (2**24 - 1)) - 2**24  # in [-1/4, 0), Q5.26
    x = (m << 5) + 2**28  # m + 1/8, Q0.31
    x2 = srdhm(x, x)
    x3, x4 = srdhm(x2, x), srdhm(x2, x2)
    # x2/2 + x3/6 + x4/24, as ((x4/4 + x3)/3 + x2)/2
    t = rdpot(srdhm(rdpot(x4, 2) + x3, _THIRD) + x2, 1)
    result = _EXP_MINUS_EIGHTH + srdhm(_EXP_MINUS_EIGHTH, x + t)
    rest = m - a
    for bit, factor in enumerate(_EXP_MINUS_POWERS, 24):
        result = np.where(rest >> bit & 1, srdhm(result, factor), result)
    return np.where(a == 0, _ONE, result)


def _reciprocal(total: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return 1 / total of a total in Q12.19 as Q0.31, and the shift that its product then needs.

    ``total = (1 + f) * 2**(12 - z)`` with z leading zeros in 32 bits; the result is 1 / (1 + f).
    """
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)  # frexp: the bit length
    fraction = (total << zeros) - 2**31  # f, Q0.31
    half = (fraction + _ONE + 1) // 2  # (1 + f) / 2, Q0.31; nothing here is negative
    x = 1515870810 + srdhm(half, -1010580540)  # 48/17 - 32/17 * half, Q2.29
    for _ in range(3):
        step = srdhm(x, 2**29 - srdhm(half, x))  # x * (1 - half * x), Q4.27
        x = x + _saturate(step << 2)
    return _saturate(x << 1), 12 - zeros + 31 - 8


def _saturate(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(x, -(2**31), 2**31 - 1)


def reference(x: NDArray[np.int8], pairs: NDArray[np.int8], out: NDArray[np.int8]) -> None:
    """Look up the softmax of two channels, in NumPy.

    Parameters
    ----------
    x : (N, H, W, 2) int8 array
        Logits.
    pairs : (256, 256) int8 array
        Their `table`.
    out : (N, H, W, 2) int8 array
        Receives probabilities at scale 1/256, zero point -128.
    """
    at = x.astype(np.intp) + 128
    out[..., 0] = pairs[at[..., 1], at[..., 0]]
    out[..., 1] = pairs[at[..., 0], at[..., 1]]


@kernel("void(int8[:,:,:,::1], int8[:,::1], int8[:,:,:,::1], intp, intp)", "int8")
def softmax_int8(x, pairs, out, start, stop):
    """Look up the softmax of rows ``start`` to ``stop`` of the N * H, in Numba."""
    rows, columns = x.shape[1], x.shape[2]
    for row in range(start, stop):
        source, target = x[row // rows, row % rows], out[row // rows, row % rows]
        for column in range(columns):
            zero, one = np.intp(source[column, 0]) + 128, np.intp(source[column, 1]) + 128
            target[column, 0] = pairs[one, zero]
            target[column, 1] = pairs[zero, one]
