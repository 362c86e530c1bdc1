"""How each kind of layer is computed: by the NumPy references or by the Numba kernels.

Here is what all backends have in common and the two of float32; `backends_int8` has int8's.

A backend works in three moments. `prepare` turns a layer's parameters into what its kernel wants,
once for each model. `step` binds a kernel to arrays, once for each workspace. `Step.run`
then computes and allocates nothing (the references do; they are there to be read).

A backend also says, with `groups`, which layers it computes together. In both of these that is
always one; a backend that fuses encoder blocks gives each block's layers (`Graph.block` says which
they are) as a group, gets one call of `step` for it, and finds the block's inputs still in place
when it writes the block's last layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import convolution, depthwise, pointwise, resize, softmax, taps
from mmnet_np.kernels.jit import Kernel

from .graph import Convolution, Depthwise, Filtered, Graph, Layer, Pointwise, Resize, Softmax
from .threads import Bands

__all__ = [
    "Backend", "Group", "Kernels", "NumbaBackend", "NumpyBackend", "Operations", "Place",
    "Prepared", "References", "Step",
]  # fmt: skip

Prepared = tuple[Any, ...]
Group = tuple[Layer, ...]
Place = Callable[[str], tuple[NDArray, int]]
"""A tensor's buffer, by name, and the tensor's first channel in it (not 0 in a concat's buffer)."""


@dataclass(frozen=True)
class Step:
    """One kernel bound to its arrays; ``layers`` are the names of the layers it computes."""

    layers: tuple[str, ...]
    run: Callable[[], None]


class Backend(Protocol):
    """What the engine asks of a backend."""

    name: str
    dtype: np.dtype
    """Of all activations."""

    def prepare(self, layer: Any, parameters: Any) -> Prepared:
        """Turn what a layer was trained to (in float32: folded weights and bias) into arguments.

        For a concat, give what moves each of its inputs into it, ``move(source, target)``, or None
        where a copy does.
        """

    def groups(self, graph: Graph) -> list[Group]:
        """Cut the graph, in order, into the layers that are computed together."""

    def step(self, group: Group, prepared: Mapping[str, Prepared], place: Place) -> Step:
        """Bind a group's kernel to the buffers of its inputs and outputs."""


def clamp(layer: Filtered) -> tuple[np.float32, np.float32]:
    """Return the range of a layer's output: ReLU6's, or no bound."""
    bounds = (0.0, 6.0) if layer.relu6 else (-np.inf, np.inf)
    return np.float32(bounds[0]), np.float32(bounds[1])


class Operations(NamedTuple):
    """What computes each kind of layer: references of NumPy or kernels of Numba."""

    pointwise: Any
    depthwise: Any
    convolution: Any
    resize: Any
    softmax: Any


class LayerByLayer:
    """Computes each layer alone: what all backends of today do."""

    def groups(self, graph: Graph) -> list[Group]:
        """Each layer alone."""
        return [(layer,) for layer in graph]


class References(LayerByLayer):
    """Runs NumPy references. Needs no compilation; BLAS alone decides on its threads."""

    name = "numpy"
    operations: Operations

    def step(self, group: Group, prepared: Mapping[str, Prepared], place: Place) -> Step:
        """Bind the reference of the layer's kind."""
        (layer,) = group
        x, _ = place(layer.inputs[0])
        out, at = place(layer.name)
        ready = prepared.get(layer.name, ())
        if isinstance(layer, Pointwise):
            return self._bind(layer, self.operations.pointwise, x, *ready, out, at)
        if isinstance(layer, Depthwise):
            geometry = layer.stride, layer.dilation
            return self._bind(layer, self.operations.depthwise, x, *ready, *geometry, out, at)
        if isinstance(layer, Convolution):
            return self._bind(layer, self.operations.convolution, x, *ready, layer.stride, out, at)
        if isinstance(layer, Resize):
            return self._bind(layer, self.operations.resize, x, out, at)
        if isinstance(layer, Softmax):
            return self._bind(layer, self.operations.softmax, x, *ready, out)
        raise TypeError(f"no kernel for {type(layer).__name__}")

    def _bind(self, layer: Layer, function: Callable[..., None], *arguments: Any) -> Step:
        return Step((layer.name,), lambda: function(*arguments))


class Kernels(LayerByLayer):
    """Runs Numba kernels, their rows shared among threads.

    ``coordinates`` gives a resize kernel its tables: ``coordinates(size, out)`` of an axis.
    """

    name = "numba"
    operations: Operations
    coordinates: Callable[[int, int], tuple[NDArray, ...]]

    def __init__(self, bands: Bands) -> None:
        self._bands = bands

    def step(self, group: Group, prepared: Mapping[str, Prepared], place: Place) -> Step:
        """Bind the kernel of the layer's kind."""
        (layer,) = group
        x, _ = place(layer.inputs[0])
        out, at = place(layer.name)
        ready = prepared.get(layer.name, ())
        if isinstance(layer, Pointwise):
            return self._bind(layer, self.operations.pointwise, x, *ready, out, at)
        if isinstance(layer, Depthwise):
            geometry = layer.stride, layer.dilation
            tables = (
                taps.row_table(x.shape[1], out.shape[1], *geometry),
                taps.run_table(x.shape[2], out.shape[2], *geometry),
            )
            arguments = (x, *ready, layer.stride, *tables, out, at)
            return self._bind(layer, self.operations.depthwise, *arguments)
        if isinstance(layer, Convolution):
            return self._bind(layer, self.operations.convolution, x, *ready, layer.stride, out, at)
        if isinstance(layer, Resize):
            rows = self.coordinates(x.shape[1], out.shape[1])
            columns = self.coordinates(x.shape[2], out.shape[2])
            return self._bind(layer, self.operations.resize, x, *rows, *columns, out, at)
        if isinstance(layer, Softmax):
            return self._bind(layer, self.operations.softmax, x, *ready, out)
        raise TypeError(f"no kernel for {type(layer).__name__}")

    def _bind(self, layer: Layer, kernel: Kernel, *arguments: Any) -> Step:
        out = next(a for a in reversed(arguments) if isinstance(a, np.ndarray))
        rows = out.shape[0] * out.shape[1]
        values = rows * out.shape[2] * layer.channels
        compiled, run = kernel.compiled(), self._bands.run
        return Step((layer.name,), lambda: run(compiled, arguments, rows, values))


class NumpyBackend(References):
    """The readable references."""

    dtype = np.dtype(np.float32)
    operations = Operations(
        pointwise.reference,
        depthwise.reference,
        convolution.reference,
        resize.reference,
        softmax.reference,
    )

    def prepare(self, layer: Filtered, parameters: tuple[NDArray, NDArray]) -> Prepared:
        """Keep weights and bias as they are, with the clamp."""
        return (*parameters, *clamp(layer))


class NumbaBackend(Kernels):
    """The tuned kernels."""

    dtype = np.dtype(np.float32)
    operations = Operations(
        pointwise.pointwise,
        depthwise.depthwise,
        convolution.convolution,
        resize.resize,
        softmax.softmax,
    )
    coordinates = staticmethod(resize.coordinates)

    def prepare(self, layer: Filtered, parameters: tuple[NDArray, NDArray]) -> Prepared:
        """Pack the weights for the register tile, or border them with zeros for depthwise."""
        weights, bias = parameters
        if isinstance(layer, Depthwise):
            return (taps.zero_bordered(weights), np.ascontiguousarray(bias), *clamp(layer))
        matrix = weights.reshape(-1, layer.channels)  # (taps * I, O)
        packed, padded = pointwise.pack(matrix), pointwise.pack_bias(bias)
        return (packed, padded, layer.channels, *clamp(layer))
