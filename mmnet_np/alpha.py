"""A matte as functions take it: checked, and in eight bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .errors import ImageError, OptionError
from .rgb import bands

__all__ = ["as_uint8", "check_alpha"]

# Resizing may leave a float32 alpha a rounding error outside [0, 1].
_SLACK = 1e-5


def check_alpha(alpha: NDArray, height: int, width: int) -> None:
    """Raise unless alpha is an (height, width) array of uint8, or of floats in [0, 1]."""
    if not isinstance(alpha, np.ndarray):
        raise OptionError(f"alpha is an array, not {type(alpha).__name__}")
    if alpha.shape != (height, width):
        raise ImageError(f"alpha is {alpha.shape}, but the photo has {(height, width)} pixels")
    if alpha.dtype == np.uint8:
        return
    if alpha.dtype.kind != "f":
        raise OptionError(f"alpha is float in [0, 1] or uint8, not {alpha.dtype}")
    for top, bottom in bands(height):
        low, high = float(alpha[top:bottom].min()), float(alpha[top:bottom].max())
        if not (low >= -_SLACK and high <= 1 + _SLACK):  # so written, NaN does not pass
            raise OptionError(f"alpha lies in [0, 1], not {low:g} to {high:g}")


def as_uint8(alpha: NDArray) -> NDArray[np.uint8]:
    """Return alpha in 0..255, rounded if it is float."""
    if alpha.dtype == np.uint8:
        return np.ascontiguousarray(alpha)
    return np.rint(np.clip(alpha, 0, 1) * np.float32(255)).astype(np.uint8)
