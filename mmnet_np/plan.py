"""Where each tensor lives: one arena, planned once, its space reused as tensors die.

An input of a concat that nobody else reads is computed straight into its channels of the concat's
own buffer, so that concatenating costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from .graph import Concat, Graph, shapes

__all__ = ["ALIGNMENT", "Place", "Plan", "plan"]

ALIGNMENT = 64
"""Buffers start at multiples of this many bytes: a cache line."""


@dataclass(frozen=True)
class Place:
    """A tensor's place: buffer ``shape`` (N, H, W, C) at ``offset`` bytes, from channel ``at``.

    ``channels`` of the buffer's C are the tensor's own; they differ only inside a concat.
    """

    offset: int
    shape: tuple[int, int, int, int]
    at: int
    channels: int


@dataclass(frozen=True)
class Plan:
    """Places of all layers' outputs in an arena of ``size`` bytes."""

    places: dict[str, Place]
    size: int


def plan(graph: Graph, batch: int, height: int, width: int, itemsize: int = 4) -> Plan:
    """Plan the arena for one batch size and input size.

    Buffers that are alive at the same time never overlap. Larger ones are placed first, each at
    the lowest offset that is free for its whole life ("greedy by size").

    Parameters
    ----------
    graph : Graph
    batch, height, width : int
        Input shape; height and width are multiples of 16.
    itemsize : int
        Bytes a value: 4 for float32.
    """
    layers = {layer.name: layer for layer in graph}
    shape = shapes(graph, height, width)
    home = {name: (name, 0) for name in layers}  # tensor -> (buffer, first channel)
    for layer in graph:
        if isinstance(layer, Concat):
            at = 0
            for name in layer.inputs:
                if layers[name].inputs and graph.consumers(name) == [layer]:
                    home[name] = (layer.name, at)
                at += layers[name].channels

    born: dict[str, int] = {}
    dies: dict[str, int] = {}
    for time, layer in enumerate(graph):
        for name in (layer.name, *layer.inputs):
            buffer = home[name][0]
            born.setdefault(buffer, time)
            dies[buffer] = time
    dies[graph.output] = len(layers)

    def size(buffer: str) -> int:
        h, w, c = shape[buffer]
        return -(-batch * h * w * c * itemsize // ALIGNMENT) * ALIGNMENT

    offsets: dict[str, int] = {}
    for buffer in sorted(born, key=lambda b: (-size(b), born[b])):
        neighbours = sorted(
            (offsets[other], offsets[other] + size(other))
            for other in offsets
            if born[other] <= dies[buffer] and born[buffer] <= dies[other]
        )
        offset = 0
        for begin, end in neighbours:
            if offset + size(buffer) <= begin:
                break
            offset = max(offset, end)
        offsets[buffer] = offset

    places = {
        name: Place(offsets[buffer], (batch, *shape[buffer]), at, layers[name].channels)
        for name, (buffer, at) in home.items()
    }
    return Plan(places, max(offsets[b] + size(b) for b in offsets))
