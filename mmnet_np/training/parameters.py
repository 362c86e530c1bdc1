"""All variables of a network in one flat vector, each also reachable by its name.

The optimizer, weight decay and averaging are then a handful of operations on one vector of 199,420
values instead of loops over 530 small arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import WeightsError

__all__ = ["Parameters"]


class Parameters:
    """Named float32 arrays that lie one after another in one vector.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        As `mmnet_np.graph.parameters` gives them; their order is the vector's.

    Attributes
    ----------
    flat : (size,) float32 array
        All values, zeros at first.
    views : dict of str to float32 array
        Each variable as a view into ``flat``: writing to one writes to the other.

    Examples
    --------
    >>> p = Parameters({"a": (2,), "b": (1, 2)})
    >>> p.views["b"][0, 1] = 7
    >>> p.flat.tolist()
    [0.0, 0.0, 0.0, 7.0]
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        sizes = {name: math.prod(shape) for name, shape in shapes.items()}
        self.flat: NDArray[np.float32] = np.zeros(sum(sizes.values()), np.float32)
        self.views: dict[str, NDArray[np.float32]] = {}
        start = 0
        for name, shape in shapes.items():
            self.views[name] = self.flat[start : start + sizes[name]].reshape(shape)
            start += sizes[name]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every variable's shape."""
        return {name: view.shape for name, view in self.views.items()}

    def load(self, tensors: Mapping[str, NDArray]) -> None:
        """Copy values in by name; more names than needed do no harm.

        Raises
        ------
        WeightsError
            A variable is missing or has another shape; nothing is copied then.
        """
        for name, view in self.views.items():
            if name not in tensors:
                raise WeightsError(f"variable {name} is missing")
            if tensors[name].shape != view.shape:
                raise WeightsError(
                    f"variable {name} has shape {tensors[name].shape}; it must be {view.shape}"
                )
        for name, view in self.views.items():
            view[...] = tensors[name]

    def tensors(self) -> dict[str, NDArray[np.float32]]:
        """Return a copy of every variable by name."""
        return {name: view.copy() for name, view in self.views.items()}
