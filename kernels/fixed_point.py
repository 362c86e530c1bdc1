"""Fixed-point multiplication: what stands in for a float scale in an integer network.

A real factor r > 0 becomes a mantissa M of 31 bits and an exponent e, ``r ~ M * 2**(e - 31)``,
once, ahead of time (`quantize_multiplier`). A kernel then multiplies its int32 sums by r with
integers alone, in one of two dialects:

- ``"double"`` (gemmlowp's and TensorFlow Lite's reference): `mbqm`, which rounds twice, at bit 31
  of the product with M (`srdhm`) and again when it drops the exponent's bits (`rdpot`);
- ``"single"``: `mbqm_single`, which rounds once, a half up.

The two differ by at most one, and only where the first rounding lands on a half of the second.

The functions below are plain expressions without a branch, so that one definition serves Python
integers, NumPy arrays (int64, any shapes that broadcast) and, inlined, the Numba kernels. Values
are those of int32; every intermediate fits in int64, as each docstring shows. ``>>`` is the
arithmetic shift, which floors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .jit import Inline

__all__ = [
    "LARGEST_SHIFT", "ROUNDINGS", "mbqm", "mbqm_single", "quantize_multiplier", "rdpot", "srdhm",
    "wrap32",
]  # fmt: skip

ROUNDINGS = ("double", "single")

LARGEST_SHIFT = 30
"""Largest exponent that `mbqm` and `mbqm_single` take: beyond, an int32 has no bit left."""


def quantize_multiplier(real: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return mantissa M and exponent e with ``real ~ M * 2**(e - 31)``.

    With ``real = f * 2**e``, f in [1/2, 1), M is ``f * 2**31`` rounded half up. A mantissa that
    rounds up to 2**31 is halved and e grows by one, so 2**30 <= M < 2**31. Below 2**-32 every sum
    rounds to 0, which is said by M = e = 0; so is 0 itself.

    Parameters
    ----------
    real : float64 array or scalar
        For a convolution ``double(s_in) * double(s_w[c]) / double(s_out)``, left to right.

    Returns
    -------
    multiplier, shift : int32 arrays of the shape of ``real``
        0 or in [2**30, 2**31), and -31 or more. A shift above `LARGEST_SHIFT` is of no use to a
        kernel; the caller refuses it.

    Raises
    ------
    ValueError
        ``real`` is negative, NaN or infinite somewhere.

    Examples
    --------
    >>> [int(part) for part in quantize_multiplier(0.375)]
    [1610612736, -1]
    """
    real = np.asarray(real, np.float64)
    if not (np.isfinite(real) & (real >= 0)).all():
        raise ValueError("a multiplier is negative or no finite number")
    fraction, exponent = np.frexp(real)
    mantissa = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64)
    carried = mantissa == 2**31
    mantissa = np.where(carried, 2**30, mantissa)
    exponent = exponent + carried
    vanishing = exponent < -31
    multiplier = np.where(vanishing, 0, mantissa).astype(np.int32)
    return multiplier, np.where(vanishing, 0, exponent).astype(np.int32)


@Inline
def wrap32(x):
    """Wrap to int32 in two's complement, as C does when it shifts bits out on the left.

    ``x`` is an int32 shifted by at most 31 bits: below 2**62.
    """
    return ((x + 0x80000000) & 0xFFFFFFFF) - 0x80000000


@Inline
def srdhm(a, b):
    """Return a * b / 2**31 rounded, a half upwards (saturating rounding doubling high mul).

    gemmlowp adds 2**30 (or 1 - 2**30 to a negative product) and divides by 2**31 towards zero.
    For a negative p the quotient towards zero of v = p + 1 - 2**30 < 0 is its ceiling, that is
    ``floor((v + 2**31 - 1) / 2**31) = floor((p + 2**30) / 2**31)``, so both signs are one floor.
    |p| <= 2**62, hence the sum fits in int64. The result is below 2**31 but for a = b = -2**31,
    which saturates: then, and only then, it is 2**31 and 1 is taken off.
    """
    high = (a * b + 0x40000000) >> 31
    return high - (high == 0x80000000)


@Inline
def rdpot(x, n):
    """Return x / 2**n rounded, a half away from zero (rounding divide by power of two).

    The floor ``x >> n`` leaves a remainder r in [0, 2**n). A positive x goes up from r >= 2**(n-1)
    on, a negative one only above it, since at a half the floor already is away from zero: the
    threshold below is (2**n - 1) >> 1, one more for a negative x. 0 <= n <= 31.
    """
    mask = (1 << n) - 1
    return (x >> n) + ((x & mask) > (mask >> 1) + (x < 0))


@Inline
def mbqm(x, multiplier, left, right):
    """Multiply an int32 by a quantized multiplier with double rounding.

    ``RDPOT(SRDHM(wrap32(x << left), M), right)`` with left = max(e, 0) and right = max(-e, 0).
    The shifted x is an int32 again, |product| < 2**62, and |result| <= |x << left| < 2**31. It
    wraps only if ``|x| * 2**e >= 2**31``: then the true result has a magnitude of 2**30 or more.
    """
    return rdpot(srdhm(wrap32(x << left), multiplier), right)


@Inline
def mbqm_single(x, multiplier, shift):
    """Multiply an int32 by a quantized multiplier with single rounding, a half up.

    ``(x * M + 2**(30 - e)) >> (31 - e)``: |product| < 2**62 and 2**(30 - e) <= 2**61 for e >= -31,
    so the sum fits in int64. Nothing wraps; the result may exceed int32 when e > 0.
    """
    return (x * multiplier + (1 << (30 - shift))) >> (31 - shift)
