"""Observers: which range of real values an int8 tensor should hold, from the values it was seen to.

A `Histogram` collects the values; an observer, one of `OBSERVERS`, chooses the range: all of them,
all but a share of outliers, or what makes the mean squared error of quantizing least. The range
becomes a scale and zero point by `of_range`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import WeightsError
from mmnet_np.quantized import Quantization

__all__ = ["OBSERVERS", "Histogram", "Observer", "minmax", "mse", "of_range", "percentile"]

_BINS = 4096
_FIRST_LIMIT = 2.0**-20
_LEAST_SCALE = 2.0**-20
_OUTLIERS = 1e-4  # at either end: the usual 99.99 %
_STEPS = 24  # of the search, for either end of the range


def of_range(low: float, high: float) -> Quantization:
    """Return the scale and zero point whose 256 values span a range.

    A real 0 must be one of the values, exactly, for padding: the range is widened to include it,
    and then shifted by less than half a step. ReLU6's, 0 to 6, gives 6/255 and -128.

    Parameters
    ----------
    low, high : float
        Finite.

    Examples
    --------
    >>> scale, zero_point = of_range(-1.0, 4.1)
    >>> round(float(scale), 6), zero_point
    (0.02, -78)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    # A layer that gave nothing but zeros still needs a scale, and softmax none too small.
    scale = np.float32(max((high - low) / 255, _LEAST_SCALE))
    return Quantization(scale, min(max(round(-128 - low / float(scale)), -128), 127))


class Histogram:
    """Counts of values seen so far, with their exact extremes.

    Equal bins over [-limit, limit]. A value beyond doubles the limit, for which neighbouring bins
    merge in pairs: values need be seen only once, and the order in which they come does not matter
    but for rounding at the edges of bins.

    Attributes
    ----------
    low, high : float
        Least and largest value; 0 before any.
    counts : (4096,) int64 array
    limit : float
    """

    def __init__(self) -> None:
        self.low = self.high = 0.0
        self.limit = _FIRST_LIMIT
        self.counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._empty = True

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the values of an array of any shape.

        Raises
        ------
        WeightsError
            They are not all finite: the network overflows.
        """
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise WeightsError("the network's values overflow on these photos")
        self.low = low if self._empty else min(self.low, low)
        self.high = high if self._empty else max(self.high, high)
        self._empty = False
        while max(-low, high) > self.limit:
            self._double()
        self.counts += np.histogram(values, _BINS, (-self.limit, self.limit))[0]

    def _double(self) -> None:
        merged = self.counts.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(_BINS, np.int64)
        self.counts[_BINS // 4 : _BINS // 4 * 3] = merged
        self.limit *= 2

    def centres(self) -> NDArray[np.float64]:
        """Return the middle of each bin."""
        return ((np.arange(_BINS) + 0.5) / _BINS * 2 - 1) * self.limit


Range = tuple[float, float]
Observer = Callable[[Histogram], Range]


def minmax(seen: Histogram) -> Range:
    """Choose the range of all values seen."""
    return seen.low, seen.high


def percentile(seen: Histogram, outliers: float = _OUTLIERS) -> Range:
    """Choose the range that leaves out a share of the values at either end.

    To a bin's width, and never more than was seen.
    """
    total = seen.counts.cumsum()
    first = np.searchsorted(total, outliers * total[-1], "right")
    last = np.searchsorted(total, (1 - outliers) * total[-1], "left")
    edges = np.linspace(-seen.limit, seen.limit, _BINS + 1)
    return max(float(edges[first]), seen.low), min(float(edges[last + 1]), seen.high)


def mse(seen: Histogram) -> Range:
    """Choose the range with the least mean squared error of quantizing the values seen.

    Either end is tried at equal steps between 0 and the outermost value; a narrower range clips
    outliers but has smaller steps for all others.
    """
    full = seen.counts > 0
    values, counts = seen.centres()[full], seen.counts[full]

    def error(candidate: Range) -> float:
        scale, zero_point = of_range(*candidate)
        steps = np.clip(np.rint(values / float(scale)), -128 - zero_point, 127 - zero_point)
        return float((counts * np.square(steps * float(scale) - values)).sum())

    parts = np.arange(1, _STEPS + 1) / _STEPS
    lows, highs = min(seen.low, 0.0) * parts, max(seen.high, 0.0) * parts
    return min(((low, high) for low in np.unique(lows) for high in np.unique(highs)), key=error)


OBSERVERS: dict[str, Observer] = {"minmax": minmax, "percentile": percentile, "mse": mse}
"""The observers by name."""
