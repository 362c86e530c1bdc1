"""From the table to a graph of typed layers, and what can be read off it: shapes and counts.

The graph holds no arrays and no image size. Float32 and int8 inference, training, the layer table
and the counts all walk this one graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmnet_np.kernels.padding import same_output

from .spec import Auxiliary, Decoder, Encoder, Final, Initial, Spec, check_size

__all__ = [
    "Concat",
    "Convolution",
    "Depthwise",
    "Dropout",
    "Filtered",
    "Graph",
    "Input",
    "Layer",
    "Pointwise",
    "Resize",
    "Softmax",
    "build",
    "parameters",
    "shapes",
]

ROOT = "MMNet/"
"""Outermost variable scope of the authors' checkpoints: a parameter is ROOT + layer name + leaf."""

NORM_LEAVES = ("gamma", "beta", "moving_mean", "moving_variance")
"""What a batch norm has, in the order in which `mmnet_np.kernels.batch_norm.fold` takes it."""

Shape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class Layer:
    """A node: its name (the variable scope where it has variables), inputs and output channels."""

    name: str
    inputs: tuple[str, ...]
    channels: int

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the output's shape from the inputs' shapes."""
        return (*inputs[0][:2], self.channels)

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the trained variables, full name to shape, in the checkpoint's layout."""
        return {}

    def macs(self, output: Shape) -> int:
        """Return the multiply-accumulates that one image takes."""
        return 0


@dataclass(frozen=True)
class Input(Layer):
    """RGB in [0, 1]."""


@dataclass(frozen=True)
class Filtered(Layer):
    """A convolution of any kind: filters, then batch norm or a bias, then perhaps ReLU6."""

    in_channels: int
    stride: int = 1
    dilation: int = 1
    relu6: bool = True
    batch_norm: bool = True

    kernel_size = 3
    weights_leaf = "weights"

    @property
    def weights_name(self) -> str:
        """Full name of the filters."""
        return f"{ROOT}{self.name}/{self.weights_leaf}"

    @property
    def bias_name(self) -> str:
        """Full name of the bias: in float32 only layers without batch norm have one."""
        return f"{ROOT}{self.name}/biases"

    def norm_name(self, leaf: str) -> str:
        """Full name of a batch norm variable, one of `NORM_LEAVES`."""
        return f"{ROOT}{self.name}/BatchNorm/{leaf}"

    def quantized_name(self, leaf: str) -> str:
        """Full name of what only an int8 network has.

        ``weights_scale``, ``output_scale`` or ``output_zero_point``.
        """
        return f"{ROOT}{self.name}/{leaf}"

    def weights_shape(self) -> tuple[int, int, int, int]:
        """Return the filters' shape in the checkpoint's layout."""
        return (self.kernel_size, self.kernel_size, self.in_channels, self.channels)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the SAME convolution's output shape."""
        height, width, _ = inputs[0]
        return same_output(height, self.stride), same_output(width, self.stride), self.channels

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Return the filters and the batch norm's four vectors, or the bias."""
        found: dict[str, tuple[int, ...]] = {self.weights_name: self.weights_shape()}
        if self.batch_norm:
            for leaf in NORM_LEAVES:
                found[self.norm_name(leaf)] = (self.channels,)
        else:
            found[self.bias_name] = (self.channels,)
        return found

    def macs(self, output: Shape) -> int:
        """Return filter size times output size."""
        k, _, i, _ = self.weights_shape()
        return k * k * i * output[0] * output[1] * output[2]


@dataclass(frozen=True)
class Convolution(Filtered):
    """3x3 over all channels."""


@dataclass(frozen=True)
class Pointwise(Filtered):
    """1x1 over all channels."""

    kernel_size = 1


@dataclass(frozen=True)
class Depthwise(Filtered):
    """3x3, each channel by itself."""

    weights_leaf = "depthwise_weights"

    def weights_shape(self) -> tuple[int, int, int, int]:
        """Return (3, 3, channels, 1): TensorFlow's layout has a channel multiplier last."""
        return (self.kernel_size, self.kernel_size, self.channels, 1)

    def macs(self, output: Shape) -> int:
        """Return nine for each output value."""
        return self.kernel_size**2 * output[0] * output[1] * output[2]


@dataclass(frozen=True)
class Concat(Layer):
    """Channels of the inputs, one after another."""


@dataclass(frozen=True)
class Resize(Layer):
    """Legacy bilinear resize by a whole factor."""

    factor: int = 2

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return height and width times the factor."""
        return inputs[0][0] * self.factor, inputs[0][1] * self.factor, self.channels


@dataclass(frozen=True)
class Dropout(Layer):
    """Values set to 0 at random; there in training only, and only if it is asked for."""

    rate: float = 0.0


@dataclass(frozen=True)
class Softmax(Layer):
    """Softmax over the two logits; alpha is channel 1."""


@dataclass(frozen=True)
class Graph:
    """Layers in an order in which each comes after its inputs.

    ``output`` names the softmax; ``block`` maps a layer's name to the scope of its table row, so
    that a backend can take a whole block at once.
    """

    layers: tuple[Layer, ...]
    output: str
    block: Mapping[str, str]

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)

    def consumers(self, name: str) -> list[Layer]:
        """Return the layers that read ``name``."""
        return [layer for layer in self.layers if name in layer.inputs]


class _Builder:
    """Appends layers and remembers the channels of each, so that inputs follow from names."""

    def __init__(self, spec: Spec, dropout: float) -> None:
        self.spec = spec
        self.dropout = dropout
        self.layers: dict[str, Layer] = {}
        self.block: dict[str, str] = {}
        self.scope = ""

    def add(self, layer: Layer) -> str:
        self.layers[layer.name] = layer
        self.block[layer.name] = self.scope
        return layer.name

    def convolve(self, kind: type[Filtered], name: str, source: str, channels: int = 0,
                 **options: Any) -> str:  # fmt: skip
        """Add a convolution; a depthwise one keeps its input's channels."""
        depth = self.layers[source].channels
        return self.add(kind(name, (source,), channels or depth, depth, **options))

    def concat(self, name: str, sources: list[str]) -> str:
        channels = sum(self.layers[source].channels for source in sources)
        return self.add(Concat(name, tuple(sources), channels))

    def encoder(self, row: Encoder, source: str) -> str:
        expand, project = self.spec.channels(row.expand), self.spec.channels(row.project)
        branches = []
        for k, dilation in enumerate(row.dilations):
            scope = f"{row.scope}/branch{k}"
            x = self.convolve(Pointwise, f"{scope}/pointwise_conv", source, expand)
            if row.stride == 2:
                x = self.convolve(Depthwise, f"{scope}/depthwise_conv_stride", x, stride=2)
            branches.append(
                self.convolve(Depthwise, f"{scope}/depthwise_conv_dilation", x, dilation=dilation)
            )
        merged = self.concat(f"{row.scope}/concat", branches)
        x = self.convolve(
            Pointwise, f"{row.scope}/merge/pointwise_conv", merged, project, relu6=not row.linear
        )
        if self.dropout:
            x = self.add(Dropout(f"{row.scope}/merge/dropout", (x,), project, self.dropout))
        return x

    def decoder(self, row: Decoder, source: str, skip: str | None) -> str:
        x = self.convolve(
            Pointwise, f"{row.scope}/pointwise_conv", source, self.spec.channels(row.channels)
        )
        for k in range(row.upsamplings):
            x = self.add(Resize(f"{row.scope}/resize{k}", (x,), self.layers[x].channels))
        if skip is None:
            return x
        if row.refine:
            scope = f"{row.scope}/shortcut"
            skip = self.convolve(Depthwise, f"{scope}/depthwise_conv", skip)
            skip = self.convolve(
                Pointwise, f"{scope}/pointwise_conv", skip, self.spec.channels(row.channels)
            )
        return self.concat(f"{row.scope}/concat", [x, skip])


def build(spec: Spec, *, auxiliary: bool = False, dropout: float = 0.0) -> Graph:
    """Build the graph of a spec.

    Parameters
    ----------
    spec : Spec
    auxiliary : bool
        Include the auxiliary head, which only training and counting need.
    dropout : float
        Share of values that dropout sets to 0 after each encoder block, for training; in [0, 1).
        In the authors' program it is there, after each merging convolution, and 0 by default.
    """
    builder = _Builder(spec, dropout)
    x = builder.add(Input("input", (), 3))
    ends: dict[str, str] = {}  # scope of a block -> name of its last layer
    for row in spec.blocks():
        builder.scope = row.scope
        if isinstance(row, Initial):
            channels = spec.channels(row.channels)
            x = builder.convolve(Convolution, f"{row.scope}/conv", x, channels, stride=2)
        elif isinstance(row, Encoder):
            x = builder.encoder(row, x)
        elif isinstance(row, Decoder):
            x = builder.decoder(row, x, ends[row.skip] if row.skip else None)
        elif isinstance(row, Final | Auxiliary):
            source = x if isinstance(row, Final) else ends[row.source]
            if isinstance(row, Auxiliary) and not auxiliary:
                continue
            logits = builder.convolve(
                Pointwise, f"{row.scope}/pointwise_conv", source, 2, relu6=False, batch_norm=False
            )
            if isinstance(row, Final):
                x = output = builder.add(Softmax(f"{row.scope}/softmax", (logits,), 2))
        ends[row.scope] = x
    return Graph(tuple(builder.layers.values()), output, builder.block)


def parameters(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return every variable of a graph, full checkpoint name to shape, in graph order."""
    return {name: shape for layer in graph for name, shape in layer.parameters().items()}


def shapes(graph: Graph, height: int, width: int) -> dict[str, Shape]:
    """Return the output shape (height, width, channels) of every layer.

    Raises
    ------
    OptionError
        ``height`` or ``width`` is not a positive multiple of 16.
    """
    check_size(height, width)
    found: dict[str, Shape] = {}
    for layer in graph:
        if isinstance(layer, Input):
            found[layer.name] = (height, width, layer.channels)
        else:
            found[layer.name] = layer.output_shape(*(found[name] for name in layer.inputs))
    return found
