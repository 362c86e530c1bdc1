"""Foreground colours: what a photo's pixels would be without the background that shines through.

A pixel of partial alpha is a mixture, ``I = alpha * F + (1 - alpha) * B``. F and B are found as the
smooth pair that explains the photo: the least of

    sum over pixels i of |alpha_i F_i + (1 - alpha_i) B_i - I_i|**2
    + sum over neighbours j of (r + |alpha_i - alpha_j|) * (|F_i - F_j|**2 + |B_i - B_j|**2)

so that colours spread along the edge and across it. Germer, Uelwer, Conrad and Harmeling, "Fast
Multi-Level Foreground Estimation", 2020: the photo is solved at sizes from 1 x 1 upward, each
starting from the last one's F and B, and a few sweeps over all pixels at each are enough. In a
sweep every pixel takes the F and B that are best for it while its four neighbours stay as they were
in the sweep before (Jacobi's rule), so rows may be shared among threads. With w the sum of the
weights to the neighbours and F', B' their weighted means, that best pair is

    F = F' + alpha * e,  B = B' + (1 - alpha) * e,
    e = (I - alpha * F' - (1 - alpha) * B') / (alpha**2 + (1 - alpha)**2 + w)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

__all__ = ["estimate", "shift", "shift_reference", "sweep", "sweep_reference"]

SMOOTHNESS = 1e-5
"""r: what holds colours together where alpha is flat."""

SMALL, SMALL_SWEEPS, LARGE_SWEEPS = 32, 10, 4
"""Sizes up to 32 x 32 get ten sweeps, as with the authors; larger ones get four instead of two:
Jacobi's rule needs more, and on composites of known foreground, four brought the error from 7.5 of
255 to 6.1."""

Colours = NDArray[np.float32]
Sweep = Callable[[Colours, NDArray[np.float32], Colours, Colours], None]


def sweep_reference(photo: Colours, alpha: NDArray[np.float32], old: Colours, new: Colours) -> None:
    """Make one sweep, in NumPy.

    Parameters
    ----------
    photo : (h, w, 3) float32 array in [0, 1]
    alpha : (h, w) float32 array in [0, 1]
    old, new : (2, h, w, 3) float32 arrays
        F and B before, and, written, after.
    """
    a = alpha[..., np.newaxis]
    b = 1 - a
    weight: NDArray[np.float32] = np.zeros_like(a)
    around: Colours = np.zeros_like(new)
    for axis in (0, 1):
        # Forward to the next neighbour and back to the last one; the border has none beyond it.
        first = (slice(None),) * axis + (slice(None, -1),)
        second = (slice(None),) * axis + (slice(1, None),)
        tie = np.float32(SMOOTHNESS) + np.abs(a[first] - a[second])
        for here, there in ((first, second), (second, first)):
            weight[here] += tie
            around[(slice(None), *here)] += tie * old[(slice(None), *there)]
    # [a*a + w, a*b; a*b, b*b + w] (F, B) = (a*I + F', b*I + B') with the neighbours' F' and B'
    if alpha.size == 1:  # no neighbour: it is its own
        weight, around = np.full_like(weight, 4 * SMOOTHNESS), np.float32(4 * SMOOTHNESS) * old
    # The neighbours' means, moved by what they leave unexplained: no difference of near numbers.
    around /= weight
    left = photo - a * around[0] - b * around[1]
    left /= a * a + b * b + weight
    new[0] = around[0] + a * left
    new[1] = around[1] + b * left
    np.clip(new, 0, 1, out=new)


@kernel(
    "void(float32[:,:,::1], float32[:,::1], float32[:,:,:,::1], float32[:,:,:,::1], intp, intp)",
    "photo",
)
def sweep(photo, alpha, old, new, start, stop):
    """Make one sweep over rows ``start`` to ``stop``, in Numba; see `sweep_reference`."""
    height, width = alpha.shape
    one, zero = np.float32(1.0), np.float32(0.0)
    for y in range(start, stop):
        for x in range(width):
            a = alpha[y, x]
            b = one - a
            weight = zero
            f0, f1, f2, b0, b1, b2 = zero, zero, zero, zero, zero, zero
            for k in range(4):
                v = y + (k == 0) - (k == 1)
                h = x + (k == 2) - (k == 3)
                if height * width == 1:  # no neighbour: it is its own
                    v, h = y, x
                if 0 <= v < height and 0 <= h < width:
                    tie = np.float32(SMOOTHNESS) + abs(a - alpha[v, h])
                    weight += tie
                    f0 += tie * old[0, v, h, 0]
                    f1 += tie * old[0, v, h, 1]
                    f2 += tie * old[0, v, h, 2]
                    b0 += tie * old[1, v, h, 0]
                    b1 += tie * old[1, v, h, 1]
                    b2 += tie * old[1, v, h, 2]
            mean = one / weight
            f0, f1, f2 = f0 * mean, f1 * mean, f2 * mean
            b0, b1, b2 = b0 * mean, b1 * mean, b2 * mean
            scale = one / (a * a + b * b + weight)
            r0 = (photo[y, x, 0] - a * f0 - b * b0) * scale
            r1 = (photo[y, x, 1] - a * f1 - b * b1) * scale
            r2 = (photo[y, x, 2] - a * f2 - b * b2) * scale
            new[0, y, x, 0] = min(max(f0 + a * r0, zero), one)
            new[0, y, x, 1] = min(max(f1 + a * r1, zero), one)
            new[0, y, x, 2] = min(max(f2 + a * r2, zero), one)
            new[1, y, x, 0] = min(max(b0 + b * r0, zero), one)
            new[1, y, x, 1] = min(max(b1 + b * r1, zero), one)
            new[1, y, x, 2] = min(max(b2 + b * r2, zero), one)


def shift_reference(
    difference: NDArray[np.float32], factor: int, alpha: NDArray[np.uint8], first: int,
    rows: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Turn some rows of a photo into foreground: ``I + (1 - alpha) * (F - B)``, in NumPy.

    Parameters
    ----------
    difference : (h, w, 3) float32 array
        F - B of the photo reduced by ``factor``. It is sampled bilinearly; cell (i, j) has its
        centre at (i + 1/2, j + 1/2).
    factor : int
    alpha : (n, W) uint8 array
    first : int
        Number of the first of these rows in the photo.
    rows : (n, W, 3) uint8 array
        Changed where alpha is neither 0 nor 255.
    """
    y, x = np.nonzero((alpha > 0) & (alpha < 255))
    top, bottom, fy = _cells((y + first + 0.5) / factor - 0.5, difference.shape[0])
    left, right, fx = _cells((x + 0.5) / factor - 0.5, difference.shape[1])
    above = difference[top, left] * (1 - fx) + difference[top, right] * fx
    below = difference[bottom, left] * (1 - fx) + difference[bottom, right] * fx
    change = above * (1 - fy) + below * fy
    change *= (255 - alpha[y, x]).astype(np.float32)[:, np.newaxis]
    change += rows[y, x]
    rows[y, x] = np.rint(np.clip(change, 0, 255))


def _cells(at: NDArray[np.float64], size: int) -> tuple[NDArray, NDArray, NDArray[np.float32]]:
    """Return the two samples around a position, and how far it is from the first."""
    at = np.clip(at, 0, size - 1)
    lower = at.astype(np.intp)
    fraction = (at - lower).astype(np.float32)[:, np.newaxis]
    return lower, np.minimum(lower + 1, size - 1), fraction


@kernel("void(float32[:,:,::1], intp, uint8[:,::1], intp, uint8[:,:,::1], intp, intp)", "photo")
def shift(difference, factor, alpha, first, rows, start, stop):
    """Turn rows ``start`` to ``stop`` of those given into foreground; see `shift_reference`."""
    height, width, _ = difference.shape
    one = np.float32(1.0)
    for n in range(start, stop):
        v = min(max((n + first + 0.5) / factor - 0.5, 0.0), height - 1.0)
        top = int(v)
        bottom, fy = min(top + 1, height - 1), np.float32(v - top)
        for x in range(rows.shape[1]):
            a = alpha[n, x]
            if 0 < a < 255:
                h = min(max((x + 0.5) / factor - 0.5, 0.0), width - 1.0)
                left = int(h)
                right, fx = min(left + 1, width - 1), np.float32(h - left)
                through = np.float32(255 - a)
                for c in range(3):
                    above = difference[top, left, c] * (one - fx) + difference[top, right, c] * fx
                    below = (
                        difference[bottom, left, c] * (one - fx) + difference[bottom, right, c] * fx
                    )
                    value = (above * (one - fy) + below * fy) * through + np.float32(rows[n, x, c])
                    rows[n, x, c] = np.uint8(np.rint(min(max(value, 0.0), 255.0)))


def estimate(
    photo: Colours, alpha: NDArray[np.float32], run: Sweep = sweep_reference
) -> tuple[Colours, Colours]:
    """Estimate F and B.

    Parameters
    ----------
    photo : (h, w, 3) float32 array in [0, 1]
    alpha : (h, w) float32 array in [0, 1]
    run : callable
        What makes a sweep; `sweep_reference` by default.

    Returns
    -------
    foreground, background : (h, w, 3) float32 arrays in [0, 1]
    """
    height, width = alpha.shape
    colours: Colours = np.full((2, 1, 1, 3), photo.mean(axis=(0, 1)), np.float32)
    for h, w in _sizes(height, width):
        at = np.ix_(_nearest(height, h), _nearest(width, w))
        small_photo, small_alpha = photo[at], alpha[at]
        grown = np.ix_((0, 1), _nearest(colours.shape[1], h), _nearest(colours.shape[2], w))
        colours = colours[grown]
        other = np.empty_like(colours)
        for _ in range(SMALL_SWEEPS if max(h, w) <= SMALL else LARGE_SWEEPS):
            run(small_photo, small_alpha, colours, other)
            colours, other = other, colours
    return colours[0], colours[1]


def _sizes(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Give the sizes from 1 x 1 to the photo's, each axis growing by its own constant factor."""
    levels = max(1, (max(height, width) - 1).bit_length())
    for level in range(levels + 1):
        yield round(height ** (level / levels)), round(width ** (level / levels))


def _nearest(size: int, out: int) -> NDArray[np.intp]:
    """Return which of ``size`` samples each of ``out`` takes."""
    return np.arange(out) * size // out
