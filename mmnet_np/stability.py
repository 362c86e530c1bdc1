"""A steady matte: alpha of a video without the flicker of its still edges.

Noise and compression move the network's alpha a little from frame to frame, also where nothing
moves, and an edge that ought to stand still trembles. So alpha is averaged over time, but only
where the video itself stands still. With R the average of the photos so far, S that of alpha, I and
A those of the new frame, all at the network's size:

    d = largest over colours of |mean of I - R over a window|
    g = largest over a neighbourhood of clip((d - STILL) / (MOVING - STILL), 0, 1)
    k = KEPT * (1 - g)
    R = I + k * (R - I),  S = A + k * (S - A)

Noise cancels out in the window's mean, motion does not. Where g is 1 the matte is that frame's own:
a moving edge has no lag. R remembers just the photos that S remembers, so a drift too slow to see
between two frames adds up to one that is seen. A cut to another scene is a motion everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .kernels import guided

__all__ = ["Stabilizer"]

KEPT = 0.85
"""How much of the past stays where nothing moves: an average over about 12 frames."""

STILL, MOVING = 0.008, 0.03
"""Changes of the window's mean colour, in [0, 1], up to which nothing and from which all moves."""

RADIUS = 2
"""Of the window, in the network's pixels."""

REACH = 3
"""How far around a motion alpha is taken afresh, in the network's pixels. A moving edge changes
little where person and background have like colours, but its neighbours give it away."""


class Stabilizer:
    """Takes the frames of one video in order.

    Examples
    --------
    Alpha that trembles before a photo that does not:

    >>> steady, photo = Stabilizer(), np.zeros((8, 8, 3), np.float32)
    >>> for tremble in (0.5, 0.6, 0.4, 0.6):
    ...     alpha = steady(photo, np.full((8, 8), tremble, np.float32))
    >>> round(float(alpha[0, 0]), 2)
    0.51
    """

    def __init__(self) -> None:
        self._photo: NDArray[np.float32] | None = None
        self._alpha: NDArray[np.float32] | None = None

    def __call__(
        self, photo: NDArray[np.float32], alpha: NDArray[np.float32], *, numba: bool = False
    ) -> NDArray[np.float32]:
        """Return the steady alpha of the next frame.

        Parameters
        ----------
        photo : (h, w, 3) float32 array in [0, 1]
            What the network saw; the same size for all frames.
        alpha : (h, w) float32 array in [0, 1]
            The network's.
        numba : bool
            Compute the windows' means by the Numba kernel; it agrees with NumPy to rounding.

        Returns
        -------
        (h, w) float32 array in [0, 1]
        """
        if self._photo is None or self._alpha is None:
            self._photo, self._alpha = photo, alpha
            return alpha
        kept = np.float32(KEPT) * (1 - _motion(photo - self._photo, numba))
        # New arrays: what was returned before may still be waiting to be enlarged. And in this
        # order, so that where nothing is kept the new values come out to the bit.
        self._photo = photo + kept[:, :, np.newaxis] * (self._photo - photo)
        self._alpha = alpha + kept * (self._alpha - alpha)
        return self._alpha


def _motion(change: NDArray[np.float32], numba: bool) -> NDArray[np.float32]:
    """Return g, (h, w) in [0, 1], of I - R."""
    mean = np.empty_like(change)
    if numba:
        guided.smooth(change, RADIUS, mean, 0, len(change))
    else:
        guided.smooth_reference(change, RADIUS, mean)
    gate = np.abs(mean, out=mean).max(axis=2)
    gate = np.clip((gate - np.float32(STILL)) / np.float32(MOVING - STILL), 0, 1)
    return _widened(_widened(gate, 0), 1)


def _widened(gate: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return the largest of each pixel's neighbours up to REACH along an axis, itself included."""
    wide = gate.copy()
    for step in range(1, REACH + 1):
        front, back = [slice(None)] * 2, [slice(None)] * 2
        front[axis], back[axis] = slice(None, -step), slice(step, None)
        for here, there in ((tuple(front), tuple(back)), (tuple(back), tuple(front))):
            np.maximum(wide[here], gate[there], out=wide[here])
    return wide
