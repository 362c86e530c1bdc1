"""What a training network keeps where: buffers, the lives of gradients, the order of steps."""

from __future__ import annotations

from collections import Counter
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import Concat, Filtered, Graph, Input, Layer, Pointwise, Softmax, shapes
from mmnet_np.kernels import training
from mmnet_np.plan import homes, pack

__all__ = ["Layout", "by_eights", "is_head"]


def by_eights(channels: int) -> int:
    """Round a channel count up to what kernels take: a multiple of eight."""
    return -(-channels // 8) * 8


def is_head(layer: Layer) -> TypeGuard[Filtered]:
    """Say whether a layer gives logits: it has a bias instead of batch norm."""
    return isinstance(layer, Filtered) and not layer.batch_norm


class Layout:
    """Where the tensors of a graph live, for one batch size and input size.

    Attributes
    ----------
    layers : list of Layer
        All but the softmax, in graph order.
    steps : list of Layer
        Those that take a step: of pointwise layers that read the same tensor (an encoder block's
        branches) the first, which computes them all.
    home : dict of str to (str, int)
        A tensor's buffer and its first channel there.
    shape : dict of str to tuple of int
        Of each tensor and each buffer, channels by eights. A buffer of several branches has them
        one after another along the first axis.
    channels : dict of str to int
        Of each buffer, of all its branches.
    """

    def __init__(self, graph: Graph, batch: int, size: int) -> None:
        self.graph, self.batch = graph, batch
        self.home = homes(graph)
        self.layers = [layer for layer in graph if not isinstance(layer, Softmax)]
        self._siblings = _siblings(self.layers)
        for first, group in self._siblings.items():
            for k, layer in enumerate(group):
                self.home[layer.name] = f"{first}, all branches", k * layer.channels
        followers = {layer.name for group in self._siblings.values() for layer in group[1:]}
        self.steps = [layer for layer in self.layers if layer.name not in followers]
        # The two logits have six idle companions.
        self.shape = {
            name: (batch, h, w, c if name == "input" else by_eights(c))
            for name, (h, w, c) in shapes(graph, size, size).items()
        }
        for first, group in self._siblings.items():
            self.shape[self.home[first][0]] = (batch * len(group), *self.shape[first][1:])
        owners = {self.home[layer.name][0] for layer in self.layers}
        self.channels = {
            name: self.shape[name][0] // batch * self.shape[name][3] for name in owners
        }

    def group(self, layer: Layer) -> list[Filtered]:
        """Return the filtered layers that a layer's step computes."""
        if layer.name in self._siblings:
            return self._siblings[layer.name]
        return [layer] if isinstance(layer, Filtered) else []

    def copied(self, layer: Concat) -> list[tuple[str, slice]]:
        """Return a concat's inputs that live elsewhere, with their channels in it."""
        found, at = [], 0
        for name in layer.inputs:
            end = at + self.graph[name].channels
            if self.home[name][0] != layer.name:
                found.append((name, slice(at, end)))
            at = end
        return found

    def backward(self) -> list[tuple[Layer, dict[str, tuple[bool, bool]]]]:
        """Return the steps in reverse; for each g they add to: is it begun, is it complete."""
        sources = {layer.name: self._sources(layer) for layer in self.steps}
        readers = Counter(name for names in sources.values() for name in names)
        seen: Counter[str] = Counter()
        plan = []
        for layer in reversed(self.steps):
            state = {}
            for name in sources[layer.name]:
                seen[name] += 1
                state[name] = (seen[name] > 1, seen[name] == readers[name])
            plan.append((layer, state))
        return plan

    def _sources(self, layer: Layer) -> list[str]:
        """Return the inputs that a step reads: not those that a concat already holds."""
        if isinstance(layer, Concat):
            return [name for name, _ in self.copied(layer)]
        return list(layer.inputs)

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """Make g of all buffers in one arena: each lives from its last reader to its writer."""
        length = len(self.layers)
        born, dies = dict.fromkeys(self.channels, length), dict.fromkeys(self.channels, 0)
        for index, layer in enumerate(self.layers):
            time = length - index
            mine = self.home[layer.name][0]
            dies[mine] = max(dies[mine], time)
            born[mine] = min(born[mine], 0 if is_head(layer) else time)
            for name in layer.inputs:
                source = self.home[name][0]
                born[source] = min(born[source], time)
        sizes = {name: 4 * int(np.prod(self.shape[name])) for name in dies if name != "input"}
        offsets, total = pack({name: (sizes[name], born[name], dies[name]) for name in sizes})
        arena = np.zeros(total, np.uint8)
        return {
            name: arena[offsets[name] : offsets[name] + sizes[name]]
            .view(np.float32)
            .reshape(self.shape[name])
            for name in sizes
        }

    def scratch_floats(self) -> int:
        """Return how many floats of scratch a band needs."""
        need = 0
        for layer in self.layers:
            if not isinstance(layer, Input | Concat):
                source = self.shape[self.home[layer.inputs[0]][0]]
                own = self.shape[self.home[layer.name][0]]
                need = max(need, training.scratch_needed(*source[1:], *own[1:3]))
        return need


def _siblings(layers: list[Layer]) -> dict[str, list[Filtered]]:
    """Find the pointwise layers that read the same input: an encoder block's branches.

    They are computed as one layer, in one pass over that input.
    """
    groups: dict[tuple[str, ...], list[Filtered]] = {}
    for layer in layers:
        if isinstance(layer, Pointwise) and layer.batch_norm:
            groups.setdefault(layer.inputs, []).append(layer)
    return {group[0].name: group for group in groups.values() if len(group) > 1}
