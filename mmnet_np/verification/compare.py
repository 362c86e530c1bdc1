"""Two results of one layer, compared number by number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Tally", "compare"]


@dataclass(frozen=True)
class Difference:
    """The first place where two results differ.

    Attributes
    ----------
    where : str
        Which input was fed, or which integers were looked at.
    position : tuple of int
        Index into the array: row, column and channel of an activation.
    expected, found : int, float or str
    """

    where: str
    position: tuple[int, ...]
    expected: float | str
    found: float | str

    def __str__(self) -> str:
        at = f" [{', '.join(map(str, self.position))}]" if self.position else ""
        return f"{self.where}{at}: {self.found} for {self.expected}"


@dataclass
class Tally:
    """What was found about one layer so far.

    ``culprit`` is set where a layer differs although what it was given was the same.
    """

    values: int = 0
    mismatches: int = 0
    largest: float = 0.0
    first: Difference | None = None
    culprit: bool = False

    def add(self, other: Tally) -> None:
        """Count another comparison of the same layer, made after this one."""
        self.values += other.values
        self.mismatches += other.mismatches
        self.largest = max(self.largest, other.largest)
        self.culprit |= other.culprit
        # A difference that the layer itself is to blame for tells more than one it was handed.
        if self.first is None:
            self.first = other.first

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, which knows no infinity."""
        first = self.first and {**vars(self.first), "position": list(self.first.position)}
        largest = self.largest if math.isfinite(self.largest) else None
        return {**vars(self), "largest": largest, "first": first}


def compare(where: str, expected: NDArray, found: NDArray, tolerance: float = 0.0) -> Tally:
    """Compare a result to the expected one.

    Parameters
    ----------
    where : str
    expected, found : arrays
        Of another shape or dtype, all values differ.
    tolerance : float
        What |expected - found| / (1 + |expected|) may be.

    Returns
    -------
    Tally
        The position in it is that in an activation (1, h, w, C) without the leading 0.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        kinds = [f"{array.dtype.name} {array.shape}" for array in (expected, found)]
        return Tally(expected.size, expected.size, math.inf, Difference(where, (), *kinds))
    wide = np.float64 if expected.dtype.kind == "f" else np.int64
    difference = np.abs(expected.astype(wide) - found.astype(wide))
    wrong = ~(difference <= tolerance * (1 + np.abs(expected.astype(wide))))  # NaN is wrong
    tally = Tally(expected.size, int(wrong.sum()), float(difference.max(initial=0)))
    if tally.mismatches:
        at = tuple(map(int, np.argwhere(wrong)[0]))
        position = at[1:] if expected.ndim == 4 and len(expected) == 1 else at
        tally.first = Difference(where, position, expected[at].item(), found[at].item())
    return tally
