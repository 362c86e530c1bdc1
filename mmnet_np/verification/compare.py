"""Two results of one layer, compared number by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Tally", "compare"]

FLOAT32_TOLERANCE = 1e-4
"""Of float32, relative to 1 + |expected|, for a whole network; int8 has none."""


@dataclass(frozen=True)
class Difference:
    """The first place where two results differ.

    Attributes
    ----------
    where : str
        Which input was fed, or which integers were looked at.
    position : tuple of int
        Index into the array: row, column and channel of an activation.
    expected, found : int or float
    """

    where: str
    position: tuple[int, ...]
    expected: float
    found: float

    def __str__(self) -> str:
        at = ", ".join(map(str, self.position))
        return f"{self.where} [{at}]: {self.found:g} for {self.expected:g}"


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
        """Return what JSON can hold."""
        first = self.first and {**vars(self.first), "position": list(self.first.position)}
        return {**vars(self), "first": first}


def compare(where: str, expected: NDArray, found: NDArray) -> Tally:
    """Compare a result to the expected one: int8 and int32 exactly, float32 within a tolerance.

    Of activations (1, h, w, C) the position is given without the leading 0. Another shape or dtype
    is a mismatch of every value.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        first = Difference(f"{where}, shape or dtype", (), expected.ndim, found.ndim)
        return Tally(expected.size, expected.size, np.inf, first)
    wide = np.float64 if expected.dtype.kind == "f" else np.int64
    difference = np.abs(expected.astype(wide) - found.astype(wide))
    if expected.dtype.kind == "f":
        wrong = ~(difference <= FLOAT32_TOLERANCE * (1 + np.abs(expected)))
    else:
        wrong = difference != 0
    tally = Tally(expected.size, int(wrong.sum()), float(difference.max(initial=0)))
    if tally.mismatches:
        at = tuple(map(int, np.argwhere(wrong)[0]))
        position = at[1:] if expected.ndim == 4 and len(expected) == 1 else at
        tally.first = Difference(where, position, expected[at].item(), found[at].item())
    return tally
