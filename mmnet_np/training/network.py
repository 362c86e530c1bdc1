"""The network in training: the one graph walked forward, then backward, on the fused kernels.

Memory holds each layer's raw output z for a whole batch (`kernels.normalize` says why), the
gradients g that are alive, and little else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
)
from mmnet_np.kernels import dropout, pointwise, resize, taps, training, training_unfiltered
from mmnet_np.kernels.bands import BANDS
from mmnet_np.threads import Bands

from .arithmetic import Arithmetic, BatchNormArithmetic, Variables
from .layout import Layout, by_eights, is_head

__all__ = ["DECAY", "TrainingNetwork"]

DECAY = 0.999
"""Of the moving averages of batch norm statistics, at each step (the authors' program)."""


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
    arithmetic : Arithmetic, optional
        Of these variables and gradients; float32 with batch norm by default.
    """

    def __init__(
        self,
        graph: Graph,
        variables: Variables,
        gradients: Variables,
        batch: int,
        size: int,
        bands: Bands,
        arithmetic: Arithmetic | None = None,
    ) -> None:
        self.graph = graph
        self.arithmetic = arithmetic or BatchNormArithmetic(variables, gradients)
        self.layout = Layout(graph, batch, size)
        self._bands = bands
        layout = self.layout
        self.z = {name: np.zeros(layout.shape[name], np.float32) for name in layout.channels}
        self.g = layout.gradients()
        neutral = self.arithmetic.neutral()
        self.norms = {name: np.repeat(neutral, c, axis=1) for name, c in layout.channels.items()}
        self._sums = {name: np.zeros((BANDS, 2, c)) for name, c in layout.channels.items()}
        self._scratch = np.zeros((BANDS, layout.scratch_floats()), np.float32)
        self._draw: Sequence[int] = (0,)
        self._backward = layout.backward()

    def part(self, arrays: Mapping[str, NDArray], name: str) -> NDArray:
        """Return a tensor's buffer in ``z`` or ``g``; for a branch, its own part of the buffer."""
        buffer, at = self.layout.home[name]
        whole, batch = arrays[buffer], self.layout.batch
        if len(whole) == batch:
            return whole
        branch = at // whole.shape[3]
        return whole[branch * batch : (branch + 1) * batch]

    def _own(self, layer: Filtered) -> tuple[str, slice, int]:
        """Return a layer's buffer, its channels there, and how many values each channel has."""
        buffer, at = self.layout.home[layer.name]
        _, h, w, _ = self.layout.shape[buffer]
        return buffer, slice(at, at + layer.channels), self.layout.batch * h * w

    def _share(self, kernel: Callable[..., None], *arguments: Any) -> None:
        self._bands.run(kernel, (*arguments, self._scratch), BANDS, 1 << 30)

    # -- forward ---------------------------------------------------------------------------------

    def forward(
        self, images: NDArray[np.float32], decay: float = DECAY, draw: Sequence[int] = (0,)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

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
        self.z["input"][...] = self.arithmetic.begin(images)
        self._draw = draw
        logits = []
        for layer in self.layout.steps:
            if isinstance(layer, Concat):
                self._copy_forward(layer)
            elif not isinstance(layer, Input):
                self._layer_forward(layer, decay)
                if is_head(layer):
                    logits.append(self._logits(layer))
        final, auxiliary = logits
        return final, auxiliary

    def _layer_forward(self, layer: Layer, decay: float) -> None:
        buffer, at = self.layout.home[layer.name]
        source, source_at = self.layout.home[layer.inputs[0]]
        z, norms, out = self.part(self.z, layer.inputs[0]), self.norms[source], self.z[buffer]
        group = self.layout.group(layer)
        sums = np.zeros((BANDS, 2, sum(by_eights(one.channels) for one in group)))
        if isinstance(layer, Pointwise):
            packed = np.stack([pointwise.pack(self._matrix([one])) for one in group])
            self._share(
                training.pointwise_forward, z, norms, packed, by_eights(layer.channels), out, at,
                sums,
            )  # fmt: skip
        elif isinstance(layer, Depthwise):
            self._share(
                training.depthwise_forward, z, norms, source_at,
                self._filters(layer).reshape(-1), layer.stride, *self._tables(layer), out, at, sums,
            )  # fmt: skip
        elif isinstance(layer, Convolution):
            matrix = self.arithmetic.filters(layer).reshape(-1, layer.channels)
            self._share(
                training.convolution_forward, z, pointwise.pack(matrix), layer.channels,
                layer.stride, out, at, sums, norms,
            )  # fmt: skip
        elif isinstance(layer, Resize):
            rows = resize.coordinates(z.shape[1], out.shape[1])
            columns = resize.coordinates(z.shape[2], out.shape[2])
            grid = self.arithmetic.zero_point(layer.inputs[0])
            self._share(
                training_unfiltered.resize_forward, z, norms, *rows, *columns,
                int(grid is not None), np.float32(grid or 0), out, at,
            )  # fmt: skip
        elif isinstance(layer, Dropout):
            self._share(dropout.dropout_forward, z, norms, *self._mask(layer), out)
        first = 0
        for one in group:
            own, channels, count = self._own(one)
            moments = sums[:, :, first : first + one.channels].sum(axis=0)
            self.arithmetic.normalize(one, self.norms[own][:, channels], moments, count, decay)
            first += one.channels

    def _matrix(self, group: list[Filtered]) -> NDArray[np.float32]:
        """Return pointwise layers' weights side by side: (I, O), O a multiple of eight."""
        matrix = np.zeros(
            (group[0].in_channels, sum(by_eights(layer.channels) for layer in group)), np.float32
        )
        first = 0
        for layer in group:
            matrix[:, first : first + layer.channels] = self.arithmetic.filters(layer)[0, 0]
            first += layer.channels
        return matrix

    def _tables(self, layer: Filtered) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where a depthwise layer's taps are, down and across."""
        home, shape = self.layout.home, self.layout.shape
        inside, out = shape[home[layer.inputs[0]][0]], shape[home[layer.name][0]]
        geometry = layer.stride, layer.dilation
        return (
            taps.row_table(inside[1], out[1], *geometry),
            taps.run_table(inside[2], out[2], *geometry),
        )

    def _filters(self, layer: Filtered) -> NDArray[np.float32]:
        """Return a depthwise layer's filters as the kernels take them: (4, 4, C)."""
        return taps.zero_bordered(self.arithmetic.filters(layer)[..., 0])

    def _logits(self, head: Filtered) -> NDArray[np.float32]:
        z = self.z[head.name]
        logits = np.empty((*z.shape[:3], head.channels), np.float32)
        factor = np.float32(self.arithmetic.factor(head))
        self._share(training_unfiltered.read, z, self.norms[head.name], factor, logits)
        return logits

    def _copy_forward(self, layer: Concat) -> None:
        """Copy into a concat the raw outputs, and norms, of the inputs that live elsewhere."""
        for name, channels in self.layout.copied(layer):
            z, norms = self.arithmetic.copied(layer.name, name, self.z[name], self.norms[name])
            self.z[layer.name][..., channels] = z
            self.norms[layer.name][:, channels] = norms

    # -- backward --------------------------------------------------------------------------------

    def backward(self, d_logits: NDArray[np.float32], d_auxiliary: NDArray[np.float32]) -> None:
        """Differentiate the last `forward`; fills the gradients.

        Parameters
        ----------
        d_logits : (N, S, S, 2) float32 array
            Gradient of the loss with respect to the logits.
        d_auxiliary : (N, S / 16, S / 16, 2) float32 array
        """
        heads = [layer for layer in self.layout.layers if is_head(layer)]
        for head, gradient in zip(heads, (d_logits, d_auxiliary), strict=True):
            g, z, c = self.g[head.name], self.z[head.name], head.channels
            np.multiply(gradient, np.float32(self.arithmetic.factor(head)), out=g[..., :c])
            g[..., c:] = 0
            self.arithmetic.head_backward(head, self.norms[head.name][:, :c], z[..., :c], gradient)
        for layer, state in self._backward:
            if isinstance(layer, Concat):
                self._copy_backward(layer, state)
            elif not isinstance(layer, Input):
                for one in self.layout.group(layer):
                    if one.batch_norm:
                        self._normalize_backward(one)
                self._layer_backward(layer, *state[layer.inputs[0]])

    def _copy_backward(self, layer: Concat, state: Mapping[str, tuple[bool, bool]]) -> None:
        for name, channels in self.layout.copied(layer):
            begun, _ = state[name]  # never complete: the encoder that reads a skip comes before
            z, g = (arrays[layer.name][..., channels] for arrays in (self.z, self.g))
            part = self.arithmetic.copied_backward(layer.name, name, z, g)
            if begun:
                self.g[name] += part
            else:
                self.g[name][...] = part

    def _normalize_backward(self, layer: Filtered) -> None:
        buffer, channels, count = self._own(layer)
        reductions = self._sums[buffer][:, :, channels].sum(axis=0)
        norms = self.norms[buffer][:, channels]
        self.arithmetic.normalize_backward(layer, norms, reductions, count)

    def _layer_backward(self, layer: Layer, begun: bool, complete: bool) -> None:
        buffer, at = self.layout.home[layer.name]
        source, source_at = self.layout.home[layer.inputs[0]]
        z = self.part(self.z, layer.inputs[0])
        g = None if source == "input" else self.part(self.g, layer.inputs[0])
        norms, sums = self.norms[source], self._sums[source]
        out = self.g[buffer], self.z[buffer], self.norms[buffer], at
        if isinstance(layer, Pointwise):
            group = self.layout.group(layer)
            matrix = self._matrix(group)
            partial = np.empty((BANDS, matrix.size), np.float32)
            self._share(
                training.pointwise_backward, *out, len(group), by_eights(layer.channels), z, norms,
                pointwise.pack(matrix.T), g, int(begun), partial, int(complete), sums,
            )  # fmt: skip
            total = _sum(partial).reshape(matrix.shape)
            first = 0
            for one in group:
                gradient = total[np.newaxis, np.newaxis, :, first : first + one.channels]
                self.arithmetic.filters_backward(one, gradient)
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
            self.arithmetic.filters_backward(layer, total[:3, :3, :, np.newaxis])
        elif isinstance(layer, Convolution):
            shape = layer.weights_shape()
            partial = np.empty((BANDS, int(np.prod(shape))), np.float32)
            self._share(
                training.convolution_backward, *out, layer.channels, z, layer.stride, partial
            )
            self.arithmetic.filters_backward(layer, _sum(partial).reshape(shape))
        elif isinstance(layer, Resize):
            filters, y_taps, runs = resize.spread_tables(z.shape[1], z.shape[2])
            repeated = np.repeat(filters[:, :, np.newaxis], z.shape[3], axis=2)
            self._share(
                training_unfiltered.resize_backward, self.g[buffer], at, z, norms,
                repeated.reshape(-1), y_taps, runs, g, int(complete), sums,
            )  # fmt: skip
        elif isinstance(layer, Dropout):
            self._share(
                dropout.dropout_backward, self.g[buffer], z, norms, *self._mask(layer), g, sums
            )

    def _mask(self, layer: Dropout) -> tuple[np.uint64, np.float32, np.uint64]:
        """Return what determines a layer's mask in this step (`kernels.dropout.mask`)."""
        number = self.layout.layers.index(layer)
        key = np.random.SeedSequence([*self._draw, number]).generate_state(1, np.uint64)[0]
        return np.uint64(round(layer.rate * 2**24)), np.float32(1 / (1 - layer.rate)), key

    def _flipped(self, layer: Filtered) -> NDArray[np.float32]:
        """Return the filters turned by 180 degrees, for the input gradient with stride 1."""
        return taps.zero_bordered(self.arithmetic.filters(layer)[::-1, ::-1, :, 0])


def _sum(partial: NDArray[np.float32]) -> NDArray[np.float64]:
    """Add up the bands' shares, in band order."""
    return partial.sum(axis=0, dtype=np.float64)
