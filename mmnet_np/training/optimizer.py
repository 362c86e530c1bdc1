"""Adam, weight decay and the moving average of weights, on one flat vector of float32.

Each has ``state()``, a dict of arrays, and ``restore(state)``, after which it goes on to the same
bits. A value whose gradient has always been 0, such as a batch norm's moving average, stays as it
is under Adam, so the vector may hold all variables of the network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import WeightsError

from .parameters import Parameters

__all__ = ["Adam", "ExponentialMovingAverage", "WeightDecay"]

Vector = NDArray[np.float32]
State = dict[str, NDArray]


class Adam:
    """Adam (Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015).

    In TensorFlow 1's form, the "epsilon hat" of the text before the paper's section 2.1:
    ``w -= rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)``. Algorithm 1
    proper, and PyTorch, add epsilon to the bias-corrected ``sqrt(v)``: the same as an epsilon here
    that is ``sqrt(1 - beta2**t)`` times as large, 0.03 in the first step and 1 in the limit.

    Parameters
    ----------
    size : int
        Values in the vector.
    beta1, beta2, epsilon : float
    """

    def __init__(
        self, size: int, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
    ) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.steps = 0
        self._mean: Vector = np.zeros(size, np.float32)
        self._square: Vector = np.zeros(size, np.float32)
        self._room: Vector = np.empty(size, np.float32)

    def step(self, weights: Vector, gradient: Vector, rate: float) -> None:
        """Change ``weights`` by one step of learning rate ``rate`` along ``gradient``."""
        self.steps += 1
        mean, square, room = self._mean, self._square, self._room
        np.subtract(gradient, mean, out=room)
        room *= np.float32(1 - self.beta1)
        mean += room
        np.multiply(gradient, gradient, out=room)
        room -= square
        room *= np.float32(1 - self.beta2)
        square += room
        corrected = rate * math.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        np.sqrt(square, out=room)
        room += np.float32(self.epsilon)
        np.divide(mean, room, out=room)
        room *= np.float32(corrected)
        weights -= room

    def state(self) -> State:
        """Return copies of the moments and the number of steps."""
        return {
            "mean": self._mean.copy(),
            "square": self._square.copy(),
            "steps": np.array(self.steps, np.int64),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over what `state` gave; `WeightsError` if it is of another network."""
        _fill(state, {"mean": self._mean, "square": self._square})
        self.steps = _count(state, "steps")


class WeightDecay:
    """L2 weight decay on the filters of full and pointwise convolutions.

    As slim's ``l2_regularizer``: the loss grows by ``scale * sum(w**2) / 2``, so the gradient by
    ``scale * w``, and Adam scales that like the rest of the gradient (this is not AdamW). Depthwise
    filters, batch norm and biases are left out, as in the authors' program.

    Parameters
    ----------
    parameters : Parameters
        Whose names tell the filters: their last part is ``weights``.
    scale : float
        The paper's 4e-7.
    """

    def __init__(self, parameters: Parameters, scale: float = 4e-7) -> None:
        chosen = Parameters(parameters.shapes)
        for name, view in chosen.views.items():
            view[...] = name.rpartition("/")[2] == "weights"
        self.scale = scale
        self._scales: Vector = chosen.flat * np.float32(scale)
        self._room: Vector = np.empty_like(chosen.flat)

    def loss(self, weights: Vector) -> float:
        """Return ``scale * sum(w**2) / 2`` over the chosen filters."""
        np.multiply(weights, self._scales, out=self._room)
        return float(np.dot(self._room.astype(np.float64), weights)) / 2

    def add_gradient(self, weights: Vector, gradient: Vector) -> None:
        """Add the decay's gradient to ``gradient``."""
        np.multiply(weights, self._scales, out=self._room)
        gradient += self._room


class ExponentialMovingAverage:
    """A moving average of weights, which tells better mattes than the last weights do.

    ``average += (1 - d) * (weights - average)`` with ``d = min(decay, (1 + t) / (10 + t))`` in
    update t = 1, 2, ..., as TensorFlow's with ``num_updates``: early on it forgets quickly, so the
    initial weights leave no trace. Batch norm's moving averages are averaged with the rest.

    Parameters
    ----------
    weights : (size,) float32 array
        What to start from; copied.
    decay : float
        In [0, 1).
    """

    def __init__(self, weights: Vector, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.average: Vector = weights.astype(np.float32)
        self._room: Vector = np.empty_like(self.average)

    def update(self, weights: Vector) -> None:
        """Move the average towards ``weights``."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        np.subtract(weights, self.average, out=self._room)
        self._room *= np.float32(1 - decay)
        self.average += self._room

    def state(self) -> State:
        """Return copies of the average and the number of updates."""
        return {"average": self.average.copy(), "updates": np.array(self.updates, np.int64)}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over what `state` gave; `WeightsError` if it is of another network."""
        _fill(state, {"average": self.average})
        self.updates = _count(state, "updates")


def _fill(state: Mapping[str, NDArray], targets: Mapping[str, Vector]) -> None:
    """Copy arrays of the state into place, or into none of them if one does not fit."""
    for name, target in targets.items():
        found = state.get(name)
        if found is None:
            raise WeightsError(f"the optimizer's {name!r} is missing")
        if found.shape != target.shape or found.dtype != target.dtype:
            raise WeightsError(
                f"the optimizer's {name!r} is {found.shape} {found.dtype}; "
                f"it must be {target.shape} {target.dtype}"
            )
    for name, target in targets.items():
        target[...] = state[name]


def _count(state: Mapping[str, NDArray], name: str) -> int:
    found = state.get(name)
    if found is None or found.shape != () or found.dtype.kind not in "iu" or found < 0:
        raise WeightsError(f"the optimizer's {name!r} is {found!r}; it must be a count")
    return int(found)
