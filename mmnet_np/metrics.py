"""How far an alpha matte is from the truth: the paper's two figures and the usual others.

Every function takes two (H, W) arrays, ``alpha`` (ours) and ``truth``, with values in [0, 1],
computes in float64 and gives a float, 0 for equal mattes. `METRICS` names them all. Two metrics
have "gradient" in their name and differ in kind, not only in scale.

References
----------
.. [1] S. Seo et al., "Towards Real-Time Automatic Portrait Matting on Mobile Devices", 2019,
   section 3, equations 11 and 12.
.. [2] C. Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting",
   CVPR 2009, section 3, with the program of alphamatting.com.
.. [3] M. Erofeev et al., "Perceptually Motivated Benchmark for Video Matting", BMVC 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import OptionError

__all__ = [
    "METRICS",
    "alphamatting_gradient",
    "connectivity_error",
    "dtssd",
    "gradient_error",
    "mad",
    "mse",
    "sad",
]

SIGMA = 1.4
RADIUS = 4  # of the 9 x 9 filter: beyond it the Gaussian is below 0.01 [2]_

# Resizing may leave a float32 alpha a rounding error outside [0, 1].
_SLACK = 1e-5


def mad(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Mean absolute difference, in [0, 1] (equation 12 of [1]_).

    >>> mad([[0.0, 1.0]], [[0.5, 1.0]])
    0.25
    """
    a, g = _pair(alpha, truth)
    return float(np.mean(np.abs(a - g)))


def mse(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Mean squared error, in [0, 1].

    >>> mse([[0.0, 1.0]], [[0.5, 1.0]])
    0.125
    """
    a, g = _pair(alpha, truth)
    return float(np.mean((a - g) ** 2))


def sad(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Sum of absolute differences, in thousands of pixels, as [2]_ and most papers print it.

    >>> sad([[0.0, 1.0]], [[0.5, 1.0]])
    0.0005
    """
    a, g = _pair(alpha, truth)
    return float(np.sum(np.abs(a - g))) / 1000


def gradient_error(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Mean length of the difference of gradients: the paper's gradient error (equation 11 of [1]_).

    The gradients are derivatives of a Gaussian of sigma 1.4 that sums to 1, as a 9 x 9 filter.
    Only pixels where the whole filter is inside the image count.

    Raises
    ------
    OptionError
        As all metrics; also if a side is below 9 pixels: then no pixel counts.
    """
    a, g = _pair(alpha, truth)
    if min(a.shape) < 2 * RADIUS + 1:
        raise OptionError(f"gradient_error needs 9 x 9 pixels or more, not {a.shape}")
    smooth, slope = _gaussian()
    inside = slice(RADIUS, -RADIUS)
    # The filter is linear: the difference of gradients is the gradient of the difference.
    x, y = _gradient(a - g, smooth / smooth.sum(), slope / smooth.sum())
    return float(np.mean(np.hypot(x, y)[inside, inside]))


def alphamatting_gradient(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Gradient metric of alphamatting.com [2]_: squared difference of gradient lengths, sum.

    The filter is that of `gradient_error` scaled to L2 norm 1, the edge pixels are repeated
    outwards. The sum runs over all pixels (no trimap) and is given in thousands.
    """
    a, g = _pair(alpha, truth)
    smooth, slope = _gaussian()
    smooth, slope = smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)
    difference = np.hypot(*_gradient(a, smooth, slope)) - np.hypot(*_gradient(g, smooth, slope))
    return float(np.sum(difference**2)) / 1000


def connectivity_error(alpha: ArrayLike, truth: ArrayLike) -> float:
    """Lost connectivity as on alphamatting.com [2]_: parts that have come off the main part.

    For thresholds 0.1, 0.2, ... 1 the largest 4-connected part of the pixels at or above the
    threshold in both mattes is found. A pixel counts as connected up to the threshold before
    the first at which it is outside that part; what it has beyond, unless below 0.15, is lost
    connectivity. The absolute differences between the mattes' losses are summed over all pixels
    (no trimap) and given in thousands. Of equally large parts the first in reading order counts.
    """
    from scipy import ndimage

    a, g = _pair(alpha, truth)
    common = np.minimum(a, g)
    connected = np.ones(a.shape)
    undecided = np.ones(a.shape, bool)
    for step in range(1, 11):
        labels, count = ndimage.label(common >= step / 10)
        if count:
            sizes = np.bincount(labels.ravel())
            main = labels == 1 + np.argmax(sizes[1:])
        else:
            main = np.zeros(a.shape, bool)
        connected[undecided & ~main] = (step - 1) / 10
        undecided &= main
    lost_a, lost_g = a - connected, g - connected
    lost_a[lost_a < 0.15] = 0
    lost_g[lost_g < 0.15] = 0
    return float(np.sum(np.abs(lost_a - lost_g))) / 1000


def dtssd(alphas: Iterable[ArrayLike], truths: Iterable[ArrayLike]) -> float:
    """Temporal error of a video [3]_: how differently the mattes change from frame to frame.

    Parameters
    ----------
    alphas, truths : iterable of (H, W) arrays
        Frames in order, as many of either, at least two; a (T, H, W) array will do.

    Returns
    -------
    float
        Root of the mean squared difference of the changes over a frame's pixels, mean over the
        pairs of neighbouring frames. In [0, 2]; some papers print it times 100.

    Raises
    ------
    OptionError
        Fewer than two frames, unequal numbers of frames, or bad frames as for all metrics.
    """
    errors: list[float] = []
    before = None
    for alpha, truth in zip_longest(alphas, truths):
        if alpha is None or truth is None:
            raise OptionError("dtssd needs as many alphas as truths")
        a, g = _pair(alpha, truth)
        if before is not None:
            if before.shape != a.shape:
                raise OptionError(f"frames differ in size: {before.shape} and {a.shape}")
            errors.append(float(np.sqrt(np.mean((a - g - before) ** 2))))
        before = a - g
    if not errors:
        raise OptionError("dtssd needs two frames or more")
    return float(np.mean(errors))


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "mad": mad,
    "mse": mse,
    "sad": sad,
    "gradient_error": gradient_error,
    "alphamatting_gradient": alphamatting_gradient,
    "connectivity_error": connectivity_error,
}
"""Name, as in the output of `mmnet_np.tools.evaluate`, to function (alpha, truth) -> float."""


def _pair(alpha: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check two mattes; NaN and values outside [0, 1] would make a figure that means nothing."""
    a, g = np.asarray(alpha, np.float64), np.asarray(truth, np.float64)
    if a.shape != g.shape:
        raise OptionError(f"alpha is {a.shape}, but truth is {g.shape}")
    for name, values in (("alpha", a), ("truth", g)):
        if values.ndim != 2 or values.size == 0:
            raise OptionError(f"{name} is (H, W) with at least one pixel, not {values.shape}")
        low, high = float(values.min()), float(values.max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # so written, NaN does not pass
            raise OptionError(f"{name} lies in [0, 1], not {low:g} to {high:g}")
    return a, g


def _gaussian() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sample exp(-x^2 / 2 sigma^2) and its derivative at -4..4, neither of them normalised."""
    x = np.arange(-RADIUS, RADIUS + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * SIGMA**2))
    return smooth, -x / SIGMA**2 * smooth


def _gradient(
    image: NDArray[np.float64], smooth: NDArray[np.float64], slope: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlate with slope along one axis and smooth along the other: (along x, along y).

    The sign is that of correlation, the opposite of a derivative; lengths do not see it.
    """
    from scipy.ndimage import correlate1d

    x = correlate1d(correlate1d(image, slope, 1, mode="nearest"), smooth, 0, mode="nearest")
    y = correlate1d(correlate1d(image, slope, 0, mode="nearest"), smooth, 1, mode="nearest")
    return x, y
