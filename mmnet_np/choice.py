"""Which backend ``backend="auto"`` takes, and when it goes over from NumPy to Numba.

NumPy needs no compilation and is slower; Numba is faster once its kernels are compiled, or loaded
from the cache of an earlier run.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from mmnet_np.kernels import cache, jit

__all__ = ["Choice"]

_COMPILE_SECONDS = 5.0
"""About what compiling all kernels costs on a 2-core x86-64. `backend="auto"` goes on with NumPy
until that much time was spent in it: whatever comes next, at most twice the best is lost."""

_COMPILE_IMAGES = 150
"""Images announced ahead from which compiling first is the faster way."""

_LOAD_IMAGES = 20
"""Images announced ahead from which loading compiled kernels is: importing Numba alone takes as
long as NumPy takes for ten."""

_LOAD_SECONDS = 0.6
"""As `_COMPILE_SECONDS`, when the kernels are compiled already and need only be loaded."""


class Choice:
    """The backend of one model.

    Parameters
    ----------
    asked : {"auto", "numpy", "numba"}
    images : int, optional
        How many are coming, where that is known.
    kernels : sequence of str
        The groups of kernels that the model runs.

    Attributes
    ----------
    name : {"numpy", "numba"}
        The backend to use.
    open : bool
        Whether it may still change from NumPy to Numba.
    """

    def __init__(self, asked: str, images: int | None, kernels: Sequence[str]) -> None:
        self._kernels = kernels
        self._numpy_seconds = 0.0
        self._lock = threading.Lock()
        self.name, self.open = asked, False
        if asked == "auto":
            ready = jit.has_numba() and self._repays(images)
            self.name, self.open = "numba" if ready else "numpy", jit.has_numba() and not ready

    def _repays(self, images: int | None) -> bool:
        """Say whether Numba is the faster way; with no number known, if it is compiled already."""
        if images is None:
            return self._warm()
        if images < _LOAD_IMAGES:
            return False
        return images >= _COMPILE_IMAGES or self._warm()

    def _warm(self) -> bool:
        return all(cache.is_warm(group) for group in self._kernels)

    def spent(self, seconds: float) -> None:
        """Tell how long an image took."""
        if self.open:
            self._numpy_seconds += seconds

    def changes(self) -> bool:
        """Go over to Numba if NumPy has taken as long as compiling would have; say if so, once."""
        if not self.open or self._numpy_seconds <= _LOAD_SECONDS:
            return False
        if self._numpy_seconds <= (_LOAD_SECONDS if self._warm() else _COMPILE_SECONDS):
            return False
        with self._lock:  # of several threads one makes the change
            first, self.open = self.open, False
        self.name = "numba"
        return first
