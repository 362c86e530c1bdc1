"""Where each tensor lives: one arena, planned once, its space reused as tensors die.

An input of a concat that nobody else reads is computed straight into its channels of the concat's
own buffer, so that concatenating costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .graph import Concat, Graph, shapes

__all__ = ["ALIGNMENT", "Place", "Plan", "homes", "pack", "plan"]

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


def plan(
    graph: Graph,
    batch: int,
    height: int,
    width: int,
    itemsize: int = 4,
    together: Sequence[Sequence[str]] | None = None,
) -> Plan:
    """Plan the arena for one batch size and input size.

    Parameters
    ----------
    graph : Graph
    batch, height, width : int
        Input shape; height and width are multiples of 16.
    itemsize : int
        Bytes a value: 4 for float32.
    together : sequence of sequences of str, optional
        Layers that are computed in one step, in graph order: nothing that such a group reads or
        writes shares space. Each layer alone by default.
    """
    layers = {layer.name: layer for layer in graph}
    shape = shapes(graph, height, width)
    home = homes(graph)
    born: dict[str, int] = {}
    dies: dict[str, int] = {}
    for time, group in enumerate(together or [[name] for name in layers]):
        for member in group:
            for name in (member, *layers[member].inputs):
                buffer = home[name][0]
                born.setdefault(buffer, time)
                dies[buffer] = time
    dies[graph.output] = len(layers)

    def size(buffer: str) -> int:
        h, w, c = shape[buffer]
        return batch * h * w * c * itemsize

    offsets, total = pack({buffer: (size(buffer), born[buffer], dies[buffer]) for buffer in born})
    places = {
        name: Place(offsets[buffer], (batch, *shape[buffer]), at, layers[name].channels)
        for name, (buffer, at) in home.items()
    }
    return Plan(places, total)


def homes(graph: Graph) -> dict[str, tuple[str, int]]:
    """Say which buffer each tensor lives in and from which channel, buffers named by their tensor.

    A concat's input that nobody else reads lives in the concat's buffer, any other in its own.
    """
    layers = {layer.name: layer for layer in graph}
    home = {name: (name, 0) for name in layers}
    for layer in graph:
        if isinstance(layer, Concat):
            at = 0
            for name in layer.inputs:
                if layers[name].inputs and graph.consumers(name) == [layer]:
                    home[name] = (layer.name, at)
                at += layers[name].channels
    return home


def pack(buffers: Mapping[str, tuple[int, int, int]]) -> tuple[dict[str, int], int]:
    """Place buffers so that those alive at the same time never overlap.

    Larger ones are placed first, each at the lowest offset that is free for its whole life
    ("greedy by size").

    Parameters
    ----------
    buffers : mapping
        Name to size in bytes, first and last moment of use, both included.

    Returns
    -------
    offsets : dict of str to int
        In bytes, multiples of `ALIGNMENT`.
    total : int
    """
    offsets: dict[str, int] = {}
    ends: dict[str, int] = {}
    for name, (size, born, dies) in sorted(
        buffers.items(), key=lambda item: (-item[1][0], item[1][1])
    ):
        offset = 0
        rounded = -(-size // ALIGNMENT) * ALIGNMENT
        for other in sorted(offsets, key=offsets.__getitem__):
            _, other_born, other_dies = buffers[other]
            if other_born <= dies and born <= other_dies:
                if offset + rounded <= offsets[other]:
                    break
                offset = max(offset, ends[other])
        offsets[name], ends[name] = offset, offset + rounded
    return offsets, max(ends.values(), default=0)
