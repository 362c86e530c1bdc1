"""Dropout, in training only: values set to 0 at random, the others enlarged to keep the mean.

``out[i] = y[i] / (1 - rate)`` with probability ``1 - rate``, else 0 (Srivastava et al., "Dropout",
2014, in the inverted form of TensorFlow's). Which values those are is a hash of a key and of the
value's number i, so the mask needs no memory, the way back finds the same one, and neither threads
nor bands change a bit of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bands import first_image
from .jit import Inline, kernel
from .normalize import activate, add_reductions

__all__ = ["backward", "dropout_backward", "dropout_forward", "mask", "reference"]


@Inline
def scrambled(x):
    """Scramble 64 bits: the output function of SplitMix64 (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


_STEP = np.uint64(0x9E3779B97F4A7C15)
"""SplitMix64's step from one number to the next: 2**64 divided by the golden ratio."""


def mask(shape: tuple[int, ...], rate: float, key: int) -> NDArray[np.float32]:
    """Return what dropout multiplies an array by: 0, or ``1 / (1 - rate)``.

    Parameters
    ----------
    shape : tuple of int
    rate : float
        Share of zeros, in [0, 1).
    key : int
        64 bits; another mask for each.
    """
    number = np.arange(int(np.prod(shape)), dtype=np.uint64)
    with np.errstate(over="ignore"):
        bits = scrambled(np.uint64(key) + number * _STEP) >> np.uint64(40)
    kept = bits >= np.uint64(round(rate * 2**24))
    return kept.reshape(shape) * np.float32(1 / (1 - rate))


def reference(x: NDArray, rate: float, key: int) -> NDArray:
    """Apply dropout to an array of any shape, in NumPy."""
    return x * mask(x.shape, rate, key)


def backward(d_out: NDArray, rate: float, key: int) -> NDArray:
    """Differentiate `reference`, in NumPy."""
    return d_out * mask(d_out.shape, rate, key)


@Inline
def _masked(values, at, first, count, least, scale, key):
    """Mask ``count`` values from ``values[at]`` on; the first one is number ``first``."""
    for k in range(count):
        bits = scrambled(key + np.uint64(first + k) * _STEP) >> np.uint64(40)
        values[at + k] *= scale if bits >= least else np.float32(0.0)


@kernel(
    "void(float32[:,:,:,::1], float32[:,::1], uint64, float32, uint64, float32[:,:,:,::1], "
    "float32[:,::1], intp, intp)",
    "training",
)
def dropout_forward(z, norms, least, scale, key, out, scratch, first, last):
    """Compute out = dropout(activated(z)) for some bands of images.

    ``least`` is the rate times 2**24, ``scale`` is 1 / (1 - rate); see `mask`.
    """
    n, height, width, channels = z.shape
    image = height * width * channels
    flat, target = z.reshape(-1), out.reshape(-1)
    for i in range(first_image(n, first), first_image(n, last)):
        activate(flat, i * image, channels, norms, 0, channels, target, i * image, channels,
                 height * width)  # fmt: skip
        _masked(target, i * image, i * image, image, least, scale, key)


@kernel(
    "void(float32[:,:,:,::1], float32[:,:,:,::1], float32[:,::1], uint64, float32, uint64, "
    "float32[:,:,:,::1], float64[:,:,::1], float32[:,::1], intp, intp)",
    "training",
)
def dropout_backward(g_out, z, norms, least, scale, key, g, sums, scratch, first, last):
    """Compute the input's g, and its reductions, for some bands; nothing else reads the input."""
    n, height, width, channels = z.shape
    image = height * width * channels
    flat, source, target = z.reshape(-1), g_out.reshape(-1), g.reshape(-1)
    for band in range(first, last):
        sums[band] = 0.0
        for i in range(first_image(n, band), first_image(n, band + 1)):
            here = i * image
            target[here : here + image] = source[here : here + image]
            _masked(target, here, here, image, least, scale, key)
            add_reductions(flat, here, channels, norms, 0, channels, target, here, channels,
                           height * width, sums[band])  # fmt: skip
