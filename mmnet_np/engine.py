"""Runs a graph: prepares weights once, plans memory once per input size, then steps.

An `Engine` belongs to one set of weights and one backend; a `Workspace` to one input size. Several
threads may run one engine at a time, each with a workspace of its own. Nothing here knows whether a
network is float32 or int8 but by its backend's dtype; `folding` makes float32's parameters,
`quantized` int8's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .backends import Backend, Prepared, Step
from .graph import Concat, Graph, Input
from .plan import ALIGNMENT, plan

__all__ = ["Engine", "Workspace"]

_SIZES_KEPT = 4
"""Input sizes whose workspaces are kept for reuse."""


class Engine:
    """A graph with weights, ready to run on one backend.

    Parameters
    ----------
    graph : Graph
    parameters : mapping
        Layer name to what the backend's `prepare` takes: `folding.folded_layers`, or
        `quantized.QuantizedNetwork.integers`.
    backend : Backend
    """

    def __init__(self, graph: Graph, parameters: Mapping[str, Any], backend: Backend) -> None:
        self.graph = graph
        self.backend = backend
        self.groups = backend.groups(graph)
        self.prepared: dict[str, Prepared] = {
            layer.name: backend.prepare(layer, parameters[layer.name])
            for layer in graph
            if layer.name in parameters
        }
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
    input : (1, height, width, 3) array of the backend's dtype
        Write the image here before each `run`, which reuses its space.
    output : (1, height, width, 2) array
        Softmax of the logits; alpha is channel 1. Valid until the next `run`.
    """

    def __init__(self, engine: Engine, height: int, width: int) -> None:
        names = [[layer.name for layer in group] for group in engine.groups]
        dtype = engine.backend.dtype
        laid_out = plan(engine.graph, 1, height, width, dtype.itemsize, together=names)
        raw = np.zeros(laid_out.size + ALIGNMENT, np.uint8)
        arena = raw[-raw.ctypes.data % ALIGNMENT :]
        self._buffers: dict[str, NDArray] = {}
        self._places = laid_out.places
        for name, place in laid_out.places.items():
            length = int(np.prod(place.shape)) * dtype.itemsize
            part = arena[place.offset : place.offset + length]
            self._buffers[name] = part.view(dtype).reshape(place.shape)
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
                yield Step((first.name,), self._copies(first, engine.prepared.get(first.name, ())))
            else:
                yield engine.backend.step(group, engine.prepared, place)

    def _copies(self, layer: Concat, moves: Prepared) -> Callable[[], None]:
        """Return what fills a concat with those inputs that were not computed in place.

        ``moves`` has for each input what moves it, or None for a copy; it may be empty.
        """
        out, pending, at = self._buffers[layer.name], [], 0
        for name, move in zip_longest(layer.inputs, moves):
            source = self.value(name)
            target = out[..., at : at + source.shape[3]]
            at += source.shape[3]
            if move is not None:
                pending.append((move, source, target))
            elif not np.shares_memory(source, out):
                pending.append((_copy, source, target))

        def fill() -> None:
            for move, source, target in pending:
                move(source, target)

        return fill

    def value(self, name: str) -> NDArray:
        """Return a view of a layer's output: valid after its step, until its space is reused."""
        place = self._places[name]
        return self._buffers[name][..., place.at : place.at + place.channels]

    def run(self, visit: Callable[[str, NDArray], None] | None = None) -> None:
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


def _copy(source: NDArray, target: NDArray) -> None:
    np.copyto(target, source)
