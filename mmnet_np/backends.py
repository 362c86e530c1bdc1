"""How each kind of layer is computed: by the NumPy references or by the Numba kernels.

A backend works in three moments. `prepare` turns a layer's folded weights into what its kernel
wants, once for each model. `step` binds a kernel to arrays, once for each workspace. `Step.run`
then computes and allocates nothing (the references do; they are there to be read).

A step names the layers that it computes. Here that is always one; a backend that fuses a whole
encoder block returns one step for all of the block's layers (`Graph.block` says which they are).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import convolution, depthwise, pointwise, resize, softmax, taps
from mmnet_np.kernels.jit import Kernel

from .graph import Convolution, Depthwise, Filtered, Layer, Pointwise, Resize, Softmax
from .threads import Bands

__all__ = ["Backend", "NumbaBackend", "NumpyBackend", "Step"]

Prepared = tuple[Any, ...]


@dataclass(frozen=True)
class Step:
    """One kernel bound to its arrays; ``layers`` are the names of the layers it computes."""

    layers: tuple[str, ...]
    run: Callable[[], None]


class Backend(Protocol):
    """What the engine asks of a backend."""

    name: str

    def prepare(self, layer: Filtered, weights: NDArray, bias: NDArray) -> Prepared:
        """Turn folded weights (kernel layout) and bias into kernel arguments."""

    def step(
        self, layer: Layer, prepared: Prepared, inputs: list[NDArray], out: NDArray, at: int
    ) -> Step:
        """Bind the layer's kernel to input and output buffers; ``at`` is its first channel."""


def clamp(layer: Filtered) -> tuple[np.float32, np.float32]:
    """Return the range of a layer's output: ReLU6's, or no bound."""
    bounds = (0.0, 6.0) if layer.relu6 else (-np.inf, np.inf)
    return np.float32(bounds[0]), np.float32(bounds[1])


class NumpyBackend:
    """The readable references. Needs no compilation; BLAS alone decides on its threads."""

    name = "numpy"

    def prepare(self, layer: Filtered, weights: NDArray, bias: NDArray) -> Prepared:
        """Keep weights and bias as they are, with the clamp."""
        return (weights, bias, *clamp(layer))

    def step(
        self, layer: Layer, prepared: Prepared, inputs: list[NDArray], out: NDArray, at: int
    ) -> Step:
        """Bind the reference of the layer's kind."""
        (x,) = inputs
        if isinstance(layer, Pointwise):
            return _call(layer, pointwise.reference, x, *prepared, out, at)
        if isinstance(layer, Depthwise):
            return _call(
                layer, depthwise.reference, x, *prepared, layer.stride, layer.dilation, out, at
            )
        if isinstance(layer, Convolution):
            return _call(layer, convolution.reference, x, *prepared, layer.stride, out, at)
        if isinstance(layer, Resize):
            return _call(layer, resize.reference, x, out, at)
        if isinstance(layer, Softmax):
            return _call(layer, softmax.reference, x, out)
        raise TypeError(f"no kernel for {type(layer).__name__}")


def _call(layer: Layer, function: Callable[..., None], *arguments: Any) -> Step:
    return Step((layer.name,), lambda: function(*arguments))


class NumbaBackend:
    """The tuned kernels, their rows shared among threads."""

    name = "numba"

    def __init__(self, bands: Bands) -> None:
        self._bands = bands

    def prepare(self, layer: Filtered, weights: NDArray, bias: NDArray) -> Prepared:
        """Pack the weights for the register tile, or border them with zeros for depthwise."""
        if isinstance(layer, Depthwise):
            return (taps.zero_bordered(weights), np.ascontiguousarray(bias), *clamp(layer))
        matrix = weights.reshape(-1, layer.channels)  # (taps * I, O)
        packed, padded = pointwise.pack(matrix), pointwise.pack_bias(bias)
        return (packed, padded, layer.channels, *clamp(layer))

    def step(
        self, layer: Layer, prepared: Prepared, inputs: list[NDArray], out: NDArray, at: int
    ) -> Step:
        """Bind the kernel of the layer's kind."""
        (x,) = inputs
        if isinstance(layer, Pointwise):
            return self._bind(layer, pointwise.pointwise, x, *prepared, out, at)
        if isinstance(layer, Depthwise):
            geometry = layer.stride, layer.dilation
            y_taps = taps.row_table(x.shape[1], out.shape[1], *geometry)
            runs = taps.run_table(x.shape[2], out.shape[2], *geometry)
            return self._bind(
                layer, depthwise.depthwise, x, *prepared, layer.stride, y_taps, runs, out, at
            )
        if isinstance(layer, Convolution):
            return self._bind(layer, convolution.convolution, x, *prepared, layer.stride, out, at)
        if isinstance(layer, Resize):
            rows = resize.coordinates(x.shape[1], out.shape[1])
            columns = resize.coordinates(x.shape[2], out.shape[2])
            return self._bind(layer, resize.resize, x, *rows, *columns, out, at)
        if isinstance(layer, Softmax):
            return self._bind(layer, softmax.softmax, x, out)
        raise TypeError(f"no kernel for {type(layer).__name__}")

    def _bind(self, layer: Layer, kernel: Kernel, *arguments: Any) -> Step:
        out = next(a for a in reversed(arguments) if isinstance(a, np.ndarray))
        rows = out.shape[0] * out.shape[1]
        values = rows * out.shape[2] * layer.channels
        compiled, run = kernel.compiled(), self._bands.run
        return Step((layer.name,), lambda: run(compiled, arguments, rows, values))
