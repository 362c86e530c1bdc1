"""The network in training: the one graph walked forward, then backward, on the fused kernels.

Memory holds each layer's raw output z for a whole batch (`kernels.normalize` says why), the
gradients g that are alive, and little else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import (
    Concat,
    Convolution,
    Depthwise,
    Dropout,
    Filtered,
    Graph,
    Input,
    Layer,
    Pointwise,
    Resize,
    Softmax,
    shapes,
)
from mmnet_np.kernels import dropout, normalize, pointwise, resize, taps, training
from mmnet_np.kernels.bands import BANDS
from mmnet_np.kernels.batch_norm import EPSILON
from mmnet_np.plan import homes, pack
from mmnet_np.threads import Bands

__all__ = ["DECAY", "TrainingNetwork"]

DECAY = 0.999
"""Of the moving averages of batch norm statistics, at each step (the authors' program)."""

Variables = Mapping[str, NDArray[np.float32]]


class TrainingNetwork:
    """Buffers and steps for one batch size and input size.

    Parameters
    ----------
    graph : Graph
        With the auxiliary head (``build(spec, auxiliary=True)``).
    variables : mapping of str to float32 array
        Weights, biases, gamma, beta, moving statistics by checkpoint name. Read at each `forward`,
        which updates the moving statistics in place.
    gradients : mapping of str to float32 array
        Same names for what is trained; written by `backward`.
    batch, size : int
        Images in a batch, and their side.
    bands : Bands
        The threads. No bit of the result depends on how many.
    """

    def __init__(
        self,
        graph: Graph,
        variables: Variables,
        gradients: Variables,
        batch: int,
        size: int,
        bands: Bands,
    ) -> None:
        self.graph, self.variables, self.gradients = graph, variables, gradients
        self.batch, self.size = batch, size
        self._bands = bands
        self._home = homes(graph)
        self._layers = [layer for layer in graph if not isinstance(layer, Softmax)]
        found = shapes(graph, size, size)
        self._siblings = _siblings(self._layers)
        for first, group in self._siblings.items():
            for k, layer in enumerate(group):
                self._home[layer.name] = f"{first}, all branches", k * layer.channels
        followers = {layer.name for group in self._siblings.values() for layer in group[1:]}
        self._steps = [layer for layer in self._layers if layer.name not in followers]
        # Kernels take channels by eights: the two logits have six idle companions.
        self._shape = {
            name: (batch, h, w, c if name == "input" else _by_eights(c))
            for name, (h, w, c) in found.items()
        }
        for first, group in self._siblings.items():
            buffer = self._home[first][0]
            self._shape[buffer] = (batch * len(group), *self._shape[first][1:])
        owners = {self._home[layer.name][0] for layer in self._layers}
        channels = {name: self._shape[name][0] // batch * self._shape[name][3] for name in owners}
        self.z = {name: np.zeros(self._shape[name], np.float32) for name in owners}
        self.g = self._plan_gradients(owners)
        self.norms = {name: self._neutral(channels[name]) for name in owners}
        self._sums = {name: np.zeros((BANDS, 2, channels[name])) for name in owners}
        self._scratch = np.zeros((BANDS, self._scratch_floats()), np.float32)
        self._inverse: dict[str, NDArray[np.float64]] = {}
        self._draw: Sequence[int] = (0,)
        self._backward = self._plan_backward()

    @staticmethod
    def _neutral(channels: int) -> NDArray[np.float32]:
        """Return norms under which y = z and dz = g."""
        norms = np.zeros((8, channels), np.float32)
        norms[normalize.SCALE] = norms[normalize.GRADIENT] = 1
        norms[normalize.LOWER], norms[normalize.UPPER] = -np.inf, np.inf
        return norms

    def _plan_gradients(self, owners: set[str]) -> dict[str, NDArray[np.float32]]:
        """Place g of all buffers in one arena: each lives from its last reader to its writer."""
        length = len(self._layers)
        born, dies = dict.fromkeys(owners, length), dict.fromkeys(owners, 0)
        for index, layer in enumerate(self._layers):
            time = length - index
            mine = self._home[layer.name][0]
            dies[mine] = max(dies[mine], time)
            born[mine] = min(born[mine], 0 if self._is_logits(layer) else time)
            for name in layer.inputs:
                source = self._home[name][0]
                born[source] = min(born[source], time)
        sizes = {name: 4 * int(np.prod(self._shape[name])) for name in owners if name != "input"}
        offsets, total = pack({name: (sizes[name], born[name], dies[name]) for name in sizes})
        arena = np.zeros(total, np.uint8)
        return {
            name: arena[offsets[name] : offsets[name] + sizes[name]]
            .view(np.float32)
            .reshape(self._shape[name])
            for name in sizes
        }

    @staticmethod
    def _is_logits(layer: Layer) -> TypeGuard[Filtered]:
        return isinstance(layer, Filtered) and not layer.batch_norm

    def _scratch_floats(self) -> int:
        need = 0
        for layer in self._layers:
            if not isinstance(layer, Input | Concat):
                source = self._shape[self._home[layer.inputs[0]][0]]
                own = self._shape[self._home[layer.name][0]]
                need = max(need, training.scratch_needed(*source[1:], *own[1:3]))
        return need

    def _plan_backward(self) -> list[tuple[Layer, dict[str, tuple[bool, bool]]]]:
        """Return the steps in reverse; for each g they add to: is it begun, is it complete."""
        sources = {layer.name: self._sources(layer) for layer in self._steps}
        readers = Counter(name for names in sources.values() for name in names)
        seen: Counter[str] = Counter()
        plan = []
        for layer in reversed(self._steps):
            state = {}
            for name in sources[layer.name]:
                seen[name] += 1
                state[name] = (seen[name] > 1, seen[name] == readers[name])
            plan.append((layer, state))
        return plan

    def _sources(self, layer: Layer) -> list[str]:
        """Return the inputs that a step reads: not those that a concat already holds."""
        return self._copied(layer) if isinstance(layer, Concat) else list(layer.inputs)

    def _copied(self, layer: Concat) -> list[str]:
        """Return a concat's inputs that live elsewhere."""
        return [name for name in layer.inputs if self._home[name][0] != layer.name]

    # -- forward ---------------------------------------------------------------------------------

    def forward(
        self, images: NDArray[np.float32], decay: float = DECAY, draw: Sequence[int] = (0,)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network with batch statistics.

        Parameters
        ----------
        images : (N, S, S, 3) float32 array in [0, 1]
        decay : float
            Of the moving statistics: how much of them this batch leaves in place.
        draw : sequence of int
            Chooses the values that dropout, if there is any, sets to 0: seed and step.

        Returns
        -------
        logits : (N, S, S, 2) float32 array
        auxiliary : (N, S / 16, S / 16, 2) float32 array
        """
        self.z["input"][...] = images
        self._draw = draw
        logits = []
        for layer in self._steps:
            if isinstance(layer, Concat):
                self._copy_forward(layer)
            elif not isinstance(layer, Input):
                self._layer_forward(layer, decay)
                if self._is_logits(layer):
                    bias = self.variables[layer.bias_name]
                    logits.append(self.z[layer.name][..., : layer.channels] + bias)
        final, auxiliary = logits
        return final, auxiliary

    def _share(self, kernel: Callable[..., None], *arguments: Any) -> None:
        self._bands.run(kernel, (*arguments, self._scratch), BANDS, 1 << 30)

    def _layer_forward(self, layer: Layer, decay: float) -> None:
        buffer, at = self._home[layer.name]
        source, source_at = self._home[layer.inputs[0]]
        z, norms, out = self.part(self.z, layer.inputs[0]), self.norms[source], self.z[buffer]
        group = self._group(layer)
        sums = np.zeros((BANDS, 2, sum(self._width(one) for one in group)))
        if isinstance(layer, Pointwise):
            packed = np.stack([pointwise.pack(self._matrix([one])) for one in group])
            self._share(
                training.pointwise_forward, z, norms, packed, self._width(layer), out, at, sums
            )
        elif isinstance(layer, Depthwise):
            self._share(
                training.depthwise_forward, z, norms, source_at,
                self._filters(layer).reshape(-1), layer.stride, *self._tables(layer), out, at, sums,
            )  # fmt: skip
        elif isinstance(layer, Convolution):
            packed = pointwise.pack(self.variables[layer.weights_name].reshape(-1, layer.channels))
            self._share(
                training.convolution_forward, z, packed, layer.channels, layer.stride, out, at,
                sums, norms,
            )  # fmt: skip
        elif isinstance(layer, Resize):
            rows = resize.coordinates(z.shape[1], out.shape[1])
            columns = resize.coordinates(z.shape[2], out.shape[2])
            self._share(training.resize_forward, z, norms, *rows, *columns, out, at)
        elif isinstance(layer, Dropout):
            self._share(dropout.dropout_forward, z, norms, *self._mask(layer), out)
        first = 0
        for one in group:
            if isinstance(one, Filtered):
                self._normalize(one, sums[:, :, first : first + one.channels], decay)
                first += one.channels

    def part(self, arrays: Mapping[str, NDArray], name: str) -> NDArray:
        """Return a tensor's buffer in ``z`` or ``g``; for a branch, its own part of the buffer."""
        buffer, at = self._home[name]
        whole = arrays[buffer]
        if len(whole) == self.batch:
            return whole
        branch = at // whole.shape[3]
        return whole[branch * self.batch : (branch + 1) * self.batch]

    def _group(self, layer: Layer) -> list[Any]:
        """Return the layers that a layer's step computes: its siblings, or itself."""
        return self._siblings.get(layer.name, [layer])

    def _width(self, layer: Layer) -> int:
        """Return a layer's channels as the kernels see them: a multiple of eight."""
        return _by_eights(layer.channels)

    def _matrix(self, group: list[Filtered]) -> NDArray[np.float32]:
        """Return pointwise layers' weights side by side: (I, O), O a multiple of eight."""
        matrix = np.zeros(
            (group[0].in_channels, sum(self._width(layer) for layer in group)), np.float32
        )
        first = 0
        for layer in group:
            weights = self.variables[layer.weights_name][0, 0]
            matrix[:, first : first + layer.channels] = weights
            first += layer.channels
        return matrix

    def _tables(self, layer: Filtered) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where a depthwise layer's taps are, down and across."""
        inside = self._shape[self._home[layer.inputs[0]][0]]
        out = self._shape[self._home[layer.name][0]]
        geometry = layer.stride, layer.dilation
        return (
            taps.row_table(inside[1], out[1], *geometry),
            taps.run_table(inside[2], out[2], *geometry),
        )

    def _filters(self, layer: Filtered) -> NDArray[np.float32]:
        """Return a depthwise layer's filters as the kernels take them: (4, 4, C)."""
        return taps.zero_bordered(self.variables[layer.weights_name][..., 0])

    def _normalize(self, layer: Filtered, sums: NDArray[np.float64], decay: float) -> None:
        """Turn the moments of a layer's z into its norms."""
        if not layer.batch_norm:
            return
        buffer, at = self._home[layer.name]
        _, h, w, _ = self._shape[buffer]
        count = self.batch * h * w
        total, squares = sums.sum(axis=0)
        mean = total / count
        variance = np.maximum(squares / count - mean * mean, 0)
        inverse = 1 / np.sqrt(variance + EPSILON)
        scale = self.variables[layer.norm_name("gamma")] * inverse
        norms = self.norms[buffer][:, at : at + layer.channels]
        norms[normalize.SCALE] = scale
        norms[normalize.SHIFT] = self.variables[layer.norm_name("beta")] - mean * scale
        norms[normalize.LOWER], norms[normalize.UPPER] = (
            (0, 6) if layer.relu6 else (-np.inf, np.inf)
        )
        norms[normalize.MEAN] = mean
        self._inverse[layer.name] = inverse
        # The moving variance takes the unbiased estimate, as TensorFlow's fused layer does.
        unbiased = variance * (count / max(count - 1, 1))
        for leaf, value in (("moving_mean", mean), ("moving_variance", unbiased)):
            moving = self.variables[layer.norm_name(leaf)]
            moving += (1 - decay) * (value - moving)

    def _copy_forward(self, layer: Concat) -> None:
        """Copy into a concat the raw outputs, and norms, of the inputs that live elsewhere."""
        for name, channels in self._slices(layer):
            self.z[layer.name][..., channels] = self.z[name]
            self.norms[layer.name][:, channels] = self.norms[name]

    def _slices(self, layer: Concat) -> list[tuple[str, slice]]:
        """Return the copied inputs of a concat with their channels."""
        found, at = [], 0
        copied = self._copied(layer)
        for name in layer.inputs:
            end = at + self.graph[name].channels
            if name in copied:
                found.append((name, slice(at, end)))
            at = end
        return found

    # -- backward --------------------------------------------------------------------------------

    def backward(self, d_logits: NDArray[np.float32], d_auxiliary: NDArray[np.float32]) -> None:
        """Differentiate the last `forward`; fills ``gradients``.

        Parameters
        ----------
        d_logits : (N, S, S, 2) float32 array
            Gradient of the loss with respect to the logits.
        d_auxiliary : (N, S / 16, S / 16, 2) float32 array
        """
        heads = [layer for layer in self._layers if self._is_logits(layer)]
        for head, gradient in zip(heads, (d_logits, d_auxiliary), strict=True):
            g = self.g[head.name]
            g[..., : head.channels] = gradient
            g[..., head.channels :] = 0
            self.gradients[head.bias_name][...] = gradient.sum(axis=(0, 1, 2), dtype=np.float64)
        for layer, state in self._backward:
            if isinstance(layer, Concat):
                self._copy_backward(layer, state)
            elif not isinstance(layer, Input):
                for one in self._group(layer):
                    if isinstance(one, Filtered):
                        self._normalize_backward(one)
                self._layer_backward(layer, *state[layer.inputs[0]])

    def _copy_backward(self, layer: Concat, state: Mapping[str, tuple[bool, bool]]) -> None:
        for name, channels in self._slices(layer):
            begun, _ = state[name]  # never complete: the encoder that reads a skip comes before
            part = self.g[layer.name][..., channels]
            if begun:
                self.g[name] += part
            else:
                self.g[name][...] = part

    def _normalize_backward(self, layer: Filtered) -> None:
        """From the reductions of a layer's g, get its gamma and beta gradients and dz's terms."""
        if not layer.batch_norm:
            return
        buffer, at = self._home[layer.name]
        _, h, w, _ = self._shape[buffer]
        channels = slice(at, at + layer.channels)
        inverse, norms = self._inverse[layer.name], self.norms[buffer][:, channels]
        d_beta, centred = self._sums[buffer][:, :, channels].sum(axis=0)
        d_gamma = centred * inverse
        self.gradients[layer.norm_name("gamma")][...] = d_gamma
        self.gradients[layer.norm_name("beta")][...] = d_beta
        scale, mean = (norms[row].astype(np.float64) for row in (normalize.SCALE, normalize.MEAN))
        terms = normalize.gradient_terms(scale, inverse, mean, d_gamma, d_beta, self.batch * h * w)
        for row, value in zip(
            (normalize.GRADIENT, normalize.CONSTANT, normalize.SLOPE), terms, strict=True
        ):
            norms[row] = value

    def _layer_backward(self, layer: Layer, begun: bool, complete: bool) -> None:
        buffer, at = self._home[layer.name]
        source, source_at = self._home[layer.inputs[0]]
        z = self.part(self.z, layer.inputs[0])
        g = None if source == "input" else self.part(self.g, layer.inputs[0])
        norms, sums = self.norms[source], self._sums[source]
        out = self.g[buffer], self.z[buffer], self.norms[buffer], at
        if isinstance(layer, Pointwise):
            group = self._group(layer)
            matrix = self._matrix(group)
            partial = np.empty((BANDS, matrix.size), np.float32)
            self._share(
                training.pointwise_backward, *out, len(group), self._width(layer), z, norms,
                pointwise.pack(matrix.T), g, int(begun), partial, int(complete), sums,
            )  # fmt: skip
            total = _sum(partial).reshape(matrix.shape)
            first = 0
            for one in group:
                gradient = total[:, first : first + one.channels]
                self.gradients[one.weights_name][0, 0] = gradient
                first += one.channels
        elif isinstance(layer, Depthwise):
            filters = self._filters(layer)
            partial = np.empty((BANDS, filters.size), np.float32)
            self._share(
                training.depthwise_backward, *out, z, norms, source_at,
                filters.reshape(-1), self._flipped(layer).reshape(-1), layer.stride,
                *self._tables(layer), g, int(begun), partial, int(complete), sums,
            )  # fmt: skip
            total = _sum(partial).reshape(filters.shape)
            self.gradients[layer.weights_name][..., 0] = total[:3, :3]
        elif isinstance(layer, Convolution):
            shape = layer.weights_shape()
            partial = np.empty((BANDS, int(np.prod(shape))), np.float32)
            self._share(
                training.convolution_backward, *out, layer.channels, z, layer.stride, partial
            )
            self.gradients[layer.weights_name][...] = _sum(partial).reshape(shape)
        elif isinstance(layer, Resize):
            filters, y_taps, runs = resize.spread_tables(z.shape[1], z.shape[2])
            repeated = np.repeat(filters[:, :, np.newaxis], z.shape[3], axis=2)
            self._share(
                training.resize_backward, self.g[buffer], at, z, norms, repeated.reshape(-1),
                y_taps, runs, g, int(complete), sums,
            )  # fmt: skip
        elif isinstance(layer, Dropout):
            self._share(
                dropout.dropout_backward, self.g[buffer], z, norms, *self._mask(layer), g, sums
            )

    def _mask(self, layer: Dropout) -> tuple[np.uint64, np.float32, np.uint64]:
        """Return what determines a layer's mask in this step (`kernels.dropout.mask`)."""
        number = self._layers.index(layer)
        key = np.random.SeedSequence([*self._draw, number]).generate_state(1, np.uint64)[0]
        return np.uint64(round(layer.rate * 2**24)), np.float32(1 / (1 - layer.rate)), key

    def _flipped(self, layer: Filtered) -> NDArray[np.float32]:
        """Return the filters turned by 180 degrees, for the input gradient with stride 1."""
        return taps.zero_bordered(self.variables[layer.weights_name][::-1, ::-1, :, 0])


def _siblings(layers: list[Layer]) -> dict[str, list[Any]]:
    """Find the pointwise layers that read the same input: an encoder block's branches.

    They are computed as one layer, in one pass over that input.
    """
    groups: dict[tuple[str, ...], list[Any]] = {}
    for layer in layers:
        if isinstance(layer, Pointwise) and layer.batch_norm:
            groups.setdefault(layer.inputs, []).append(layer)
    return {group[0].name: group for group in groups.values() if len(group) > 1}


def _by_eights(channels: int) -> int:
    """Round a channel count up to a multiple of eight."""
    return -(-channels // 8) * 8


def _sum(partial: NDArray[np.float32]) -> NDArray[np.float64]:
    """Add up the bands' shares, in band order."""
    return partial.sum(axis=0, dtype=np.float64)
