"""The network as a TensorFlow Lite model: the one graph walked, each layer one operator.

A layer's output is a tensor of the layer's name, its filters and bias are called as in the weights
file. Float32 has its batch norm folded in, as inference does; int8 is copied number for number.
What the weights file says of itself (name, spec, licence, provenance) goes along as metadata, so
that `mmnet_np.tflite_import` gives the same weights back.
"""

from __future__ import annotations

import json

from mmnet_np.weights import store
from mmnet_np.weights.tflite_writer import Model, Quantization

from .dtypes import DTYPES, Int8
from .graph import (
    Concat,
    Depthwise,
    Filtered,
    Graph,
    Input,
    Layer,
    Resize,
    Softmax,
    build,
    shapes,
)
from .quantized import ConvolutionIntegers
from .spec import Spec

__all__ = ["METADATA", "export"]

METADATA = "mmnet_np"
"""Name of the metadata that hold what a weights file says of itself, as JSON."""

MIN_RUNTIME = "2.2.0"
"""TensorFlow's first version that has all these versions of operators (the resize is the last)."""

ABOUT = ("name", "spec", "licence", "provenance")

AXES = (3, 0, 1, 2)
"""Ours to theirs: [kh, kw, in, out] to [out, kh, kw, in], [kh, kw, C, 1] to [1, kh, kw, C]."""


def export(
    stored: store.Weights, size: int | tuple[int, int] | None = None, *, apart: bool = False
) -> bytes:
    """Return a ``.tflite`` file of a network with its weights.

    Parameters
    ----------
    stored : store.Weights
        Float32 or int8.
    size : int or (int, int), optional
        Side of the model's input, or height and width; the weights' own by default.
    apart : bool
        Give each layer inputs of its own, in graph order, in place of other layers' outputs, and
        give out every layer. So each can be fed with what it would never see in the network.

    Returns
    -------
    bytes
        Input (1, h, w, 3), float32 in [0, 1] or int8 at scale 1/255 and zero point -128;
        output (1, h, w, 2), softmax, float32 or int8 at scale 1/256 and zero point -128. The
        same bytes for the same weights.

    Raises
    ------
    OptionError
        The size is impossible.
    WeightsError
        The weights are not those of an MMNet.
    """
    spec = Spec.from_dict(stored.spec)
    graph = build(spec)
    side = size or spec.size
    tape = _Tape(graph, spec, stored, *((side, side) if isinstance(side, int) else side))
    made: dict[str, int] = {}
    for layer in graph:
        if not isinstance(layer, Input):
            sources = [tape.input(n) if apart else made[n] for n in layer.inputs]
            made[layer.name] = tape.add(layer, sources)
        elif not apart:
            made[layer.name] = tape.input(layer.name)
    about = {name: getattr(stored, name) for name in ABOUT}
    return tape.model.build(
        list(made.values()) if apart else [made[graph.output]],
        description=f"{stored.name}, {stored.dtype}; {stored.licence}",
        metadata={
            "min_runtime_version": MIN_RUNTIME.encode().ljust(16, b"\0"),
            METADATA: json.dumps(about, default=dict, sort_keys=True).encode(),
        },
    )


class _Tape:
    """Layers of one network, added to a model."""

    def __init__(
        self, graph: Graph, spec: Spec, stored: store.Weights, height: int, width: int
    ) -> None:
        self.model = Model()
        self._shapes = shapes(graph, height, width)
        self._arithmetic = DTYPES[stored.dtype](graph, spec, stored, "double")
        self._scales: dict[str, Quantization] = {}  # none in float32
        if isinstance(self._arithmetic, Int8):
            network = self._arithmetic.network
            self._scales = {n: Quantization(*q) for n, q in network.quantizations.items()}

    def input(self, name: str) -> int:
        """Add a layer's output as an input of the model."""
        dtype = self._arithmetic.dtype
        return self._label(self.model.input((), dtype, self._scales.get(name)), name)

    def add(self, layer: Layer, sources: list[int]) -> int:
        """Add a layer that reads these tensors."""
        height, width, _ = self._shapes[layer.name]
        if isinstance(layer, Filtered):
            out = self._convolution(layer, *sources)
        elif isinstance(layer, Concat):
            out = self.model.concatenation(self._alike(layer, sources))
        elif isinstance(layer, Resize):
            out = self.model.resize_bilinear(*sources, (height, width))
        elif isinstance(layer, Softmax):
            out = self.model.softmax(*sources)
        else:
            raise TypeError(f"no operator for {type(layer).__name__}")
        return self._label(out, layer.name)

    def _convolution(self, layer: Filtered, source: int) -> int:
        parameters = self._arithmetic.parameters[layer.name]
        depthwise = isinstance(layer, Depthwise)
        weights_scale = bias_scale = None
        if isinstance(parameters, ConvolutionIntegers):
            weights, bias, scale = (
                parameters.weights,
                parameters.stage.bias,
                parameters.weights_scale,
            )
            weights_scale = Quantization(scale, axis=3 if depthwise else 0)
            # Nothing computes with this one, but other tools show it.
            bias_scale = Quantization(scale * parameters.input.scale)
        else:
            weights, bias = parameters
            weights = weights.reshape(layer.weights_shape())
        filters = self.model.constant(weights.transpose(AXES), weights_scale)
        return self.model.conv_2d(
            source,
            self.model.label(filters, layer.weights_name),
            self.model.label(self.model.constant(bias, bias_scale), layer.bias_name),
            depthwise=depthwise,
            stride=layer.stride,
            dilation=layer.dilation,
            activation="relu6" if layer.relu6 else "none",
            quantization=self._scales.get(layer.name),
        )

    def _alike(self, layer: Concat, sources: list[int]) -> list[int]:
        """Move what has another scale to that of the concat."""
        scale, moved = self._scales.get(layer.name), []
        for name, source in zip(layer.inputs, sources, strict=True):
            if scale is not None and self._scales[name] != scale:
                source = self.model.quantize(source, scale)
                self.model.label(source, f"{layer.name}/{name}", (1, *self._shapes[name]))
            moved.append(source)
        return moved

    def _label(self, tensor: int, name: str) -> int:
        return self.model.label(tensor, name, (1, *self._shapes[name]))
