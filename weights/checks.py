"""Checks of named tensors, wherever they come from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .errors import WeightsError
from .files import listed, shown

__all__ = ["check_finite", "check_tensors"]


def check_tensors(
    tensors: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], source: str
) -> None:
    """Check that tensors are exactly those expected, and finite.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        What was found.
    expected : mapping of str to tuple of int
        Name -> shape of every tensor there must be.
    source : str
        What the error calls the place they come from, usually the file.

    Raises
    ------
    WeightsError
        Tensors are missing, unexpected, of another shape, or hold NaN or infinity; the message
        names the first few and how many there are.
    """
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    if missing or extra:
        lacks = f"lacks {len(missing)} of {len(expected)} tensors {listed(missing)}"
        holds = f"holds {len(extra)} unexpected tensors {listed(extra)}"
        faults = [text for text, names in ((lacks, missing), (holds, extra)) if names]
        raise WeightsError(f"{shown(source)} {' and '.join(faults)}")
    wrong = [name for name in expected if tensors[name].shape != tuple(expected[name])]
    if wrong:
        first = wrong[0]
        raise WeightsError(
            f"{shown(source)} has {len(wrong)} tensors of another shape, first {shown(first)}: "
            f"{tensors[first].shape}, expected {tuple(expected[first])}"
        )
    check_finite(tensors, source)


def check_finite(tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Raise WeightsError if any tensor of ``source`` holds NaN or infinity."""
    bad = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if bad:
        raise WeightsError(
            f"{shown(source)} has NaN or infinity in {len(bad)} tensors {listed(bad)}"
        )
