"""Runs a graph: folds and prepares weights once, plans memory once per input size, then steps.

An `Engine` belongs to one set of weights and one backend; a `Workspace` to one input size. Several
threads may run one engine at a time, each with a workspace of its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import batch_norm
from mmnet_np.weights.errors import WeightsError

from .backends import Backend, Prepared, Step
from .graph import NORM_LEAVES, Concat, Depthwise, Filtered, Graph, Input
from .plan import ALIGNMENT, plan

__all__ = ["Engine", "Workspace", "folded"]

_SIZES_KEPT = 4
"""Input sizes whose workspaces are kept for reuse."""


def folded(
    layer: Filtered, tensors: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a layer's weights and bias in kernel layout, its batch norm folded in.

    A pointwise filter becomes (I, O), a depthwise one (3, 3, C), a full one stays (3, 3, I, O).
    """
    weights = tensors[layer.weights_name]
    if isinstance(layer, Depthwise):
        weights = weights[..., 0]  # (3, 3, C, 1) -> (3, 3, C)
    elif layer.kernel_size == 1:
        weights = weights[0, 0]  # (1, 1, I, O) -> (I, O)
    if not layer.batch_norm:
        return weights, tensors[layer.bias_name]
    norm = (tensors[layer.norm_name(leaf)] for leaf in NORM_LEAVES)
    return batch_norm.fold(weights, *norm)


class Engine:
    """A graph with weights, ready to run on one backend.

    Parameters
    ----------
    graph : Graph
    tensors : mapping of str to float32 array
        The variables by their checkpoint names (`graph.parameters`).
    backend : Backend
    """

    def __init__(
        self, graph: Graph, tensors: Mapping[str, NDArray[np.float32]], backend: Backend
    ) -> None:
        self.graph = graph
        self.backend = backend
        self.groups = backend.groups(graph)
        self.prepared: dict[str, Prepared] = {}
        for layer in graph:
            if isinstance(layer, Filtered):
                with np.errstate(all="ignore"):
                    weights, bias = folded(layer, tensors)
                if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                    raise WeightsError(
                        f"the batch norm of {layer.name} is impossible: folding it gives no numbers"
                    )
                self.prepared[layer.name] = backend.prepare(layer, weights, bias)
        self._free: OrderedDict[tuple[int, int], list[Workspace]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def workspace(self, height: int, width: int) -> Iterator[Workspace]:
        """Lend a workspace for one input size, made when none is free."""
        key = (height, width)
        with self._lock:
            free = self._free.setdefault(key, [])
            self._free.move_to_end(key)
            while len(self._free) > _SIZES_KEPT:
                self._free.popitem(last=False)
            lent = free.pop() if free else None
        lent = lent or Workspace(self, height, width)
        try:
            yield lent
        finally:
            with self._lock:
                if key in self._free:
                    self._free[key].append(lent)


class Workspace:
    """The arena and the bound steps for one image of one size.

    Attributes
    ----------
    input : (1, height, width, 3) float32 array
        Write the image here before each `run`, which reuses its space.
    output : (1, height, width, 2) float32 array
        Softmax of the logits; alpha is channel 1. Valid until the next `run`.
    """

    def __init__(self, engine: Engine, height: int, width: int) -> None:
        names = [[layer.name for layer in group] for group in engine.groups]
        laid_out = plan(engine.graph, 1, height, width, together=names)
        raw = np.zeros(laid_out.size + ALIGNMENT, np.uint8)
        arena = raw[-raw.ctypes.data % ALIGNMENT :]
        self._buffers: dict[str, NDArray] = {}
        self._places = laid_out.places
        for name, place in laid_out.places.items():
            length = int(np.prod(place.shape)) * 4
            part = arena[place.offset : place.offset + length]
            self._buffers[name] = part.view(np.float32).reshape(place.shape)
        self.input = self._buffers["input"]
        self.output = self._buffers[engine.graph.output]
        self.steps = list(self._bind(engine))

    def _bind(self, engine: Engine) -> Iterator[Step]:
        def place(name: str) -> tuple[NDArray, int]:
            return self._buffers[name], self._places[name].at

        for group in engine.groups:
            first = group[0]
            if isinstance(first, Input):
                continue
            if isinstance(first, Concat):
                yield Step((first.name,), self._copies(first))
            else:
                yield engine.backend.step(group, engine.prepared, place)

    def _copies(self, layer: Concat) -> Callable[[], None]:
        """Return what fills a concat with those inputs that were not computed in place."""
        out, pending, at = self._buffers[layer.name], [], 0
        for name in layer.inputs:
            source = self.value(name)
            if not np.shares_memory(source, out):
                pending.append((out[..., at : at + source.shape[3]], source))
            at += source.shape[3]

        def copy() -> None:
            for target, source in pending:
                np.copyto(target, source)

        return copy

    def value(self, name: str) -> NDArray[np.float32]:
        """Return a view of a layer's output: valid after its step, until its space is reused."""
        place = self._places[name]
        return self._buffers[name][..., place.at : place.at + place.channels]

    def run(self, visit: Callable[[str, NDArray[np.float32]], None] | None = None) -> None:
        """Compute all layers in order.

        Parameters
        ----------
        visit : callable, optional
            Called as ``visit(layer name, view of its output)`` after each step.
        """
        for step in self.steps:
            step.run()
            if visit is not None:
                for name in step.layers:
                    visit(name, self.value(name))
