"""The quantized network: what a file must hold, and the integers that the kernels are given.

A stored int8 network has these tensors for each convolution, under ``MMNet/`` and its name:

- ``weights`` or ``depthwise_weights``, int8, in the checkpoint's layout: batch norm folded in,
  symmetric, -127 to 127;
- ``weights_scale``, float32 (O,): one scale for each output channel;
- ``biases``, int32 (O,): batch norm folded in, scale ``s_in * s_w[c]``;
- ``output_scale``, float32 (1,), and ``output_zero_point``, int32 (1,).

The rest follows. The input has scale 1/255 and zero point -128 (a uint8 photo minus 128), the
softmax 1/256 and -128. A resize keeps its input's, a concat has its first input's, and an input
with another scale or zero point is requantized into it. Multipliers and shifts are derived here,
once for each model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import softmax_int8
from mmnet_np.kernels.fixed_point import LARGEST_SHIFT, quantize_multiplier
from mmnet_np.kernels.output_stage import OutputStage
from mmnet_np.kernels.quantization import activation_range
from mmnet_np.weights.checks import check_tensors
from mmnet_np.weights.errors import WeightsError

from .graph import Concat, Filtered, Graph, Input, Softmax

__all__ = [
    "ALPHA", "INPUT", "ConcatIntegers", "ConvolutionIntegers", "Quantization", "QuantizedNetwork",
    "SoftmaxIntegers", "stored_tensors",
]  # fmt: skip


class Quantization(NamedTuple):
    """``real = (q - zero_point) * scale``, of a whole tensor."""

    scale: np.float32
    zero_point: int


INPUT = Quantization(np.float32(1 / 255), -128)
"""Of the network's input: a uint8 photo minus 128."""

ALPHA = Quantization(np.float32(1 / 256), -128)
"""Of the softmax, the only one that TensorFlow Lite allows."""


class ConvolutionIntegers(NamedTuple):
    """A convolution of any kind: int8 ``weights`` in the checkpoint's layout, and its stage."""

    weights: NDArray[np.int8]
    weights_scale: NDArray[np.float32]
    input: Quantization
    output: Quantization
    stage: OutputStage

    def plain(self) -> dict[str, Any]:
        """Return all of it by name."""
        stage = self.stage
        return {
            "weights": self.weights,
            "weights_scale": self.weights_scale,
            "bias": stage.bias,
            "multiplier": stage.multiplier,
            "shift": stage.shift,
            "lower": stage.lower,
            "upper": stage.upper,
            "input_scale": self.input.scale,
            "input_zero_point": self.input.zero_point,
        }


class ConcatIntegers(NamedTuple):
    """What each input of a concat goes through; a ``stage`` of None is a copy."""

    inputs: tuple[Quantization, ...]
    output: Quantization
    stages: tuple[OutputStage | None, ...]

    def plain(self) -> dict[str, Any]:
        """Return an array over the inputs for each number; where a multiplier is 0, copy."""
        multipliers = [(0, 0) if s is None else (s.multiplier[0], s.shift[0]) for s in self.stages]
        multiplier, shift = np.array(multipliers, np.int32).T
        scale, zero_point = zip(*self.inputs, strict=True)
        return {
            "multiplier": multiplier,
            "shift": shift,
            "input_scale": np.array(scale, np.float32),
            "input_zero_point": np.array(zero_point, np.int32),
        }


class SoftmaxIntegers(NamedTuple):
    """The table of all pairs of logits, (256, 256) int8: alpha at ``[q0 + 128, q1 + 128]``."""

    table: NDArray[np.int8]
    input: Quantization
    output: Quantization

    def plain(self) -> dict[str, Any]:
        """Return all of it by name."""
        return {
            "table": self.table,
            "input_scale": self.input.scale,
            "input_zero_point": self.input.zero_point,
        }


def stored_tensors(graph: Graph) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Return dtype and shape of every tensor that a stored int8 network has, by full name."""
    found: dict[str, tuple[np.dtype, tuple[int, ...]]] = {}
    for layer in graph:
        if isinstance(layer, Filtered):
            found[layer.weights_name] = np.dtype(np.int8), layer.weights_shape()
            found[layer.quantized_name("weights_scale")] = np.dtype(np.float32), (layer.channels,)
            found[layer.bias_name] = np.dtype(np.int32), (layer.channels,)
            found[layer.quantized_name("output_scale")] = np.dtype(np.float32), (1,)
            found[layer.quantized_name("output_zero_point")] = np.dtype(np.int32), (1,)
    return found


class QuantizedNetwork:
    """A graph's quantization and integers, read from stored tensors.

    Parameters
    ----------
    graph : Graph
        Without the auxiliary head.
    tensors : mapping of str to array
        `stored_tensors`, exactly.
    source : str
        What an error calls the place they come from.
    rounding : {"double", "single"}

    Attributes
    ----------
    quantizations : dict of str to Quantization
        Of every layer's output, by the layer's name.
    integers : dict
        Layer name to `ConvolutionIntegers`, `ConcatIntegers` or `SoftmaxIntegers`; a resize needs
        none.

    Raises
    ------
    WeightsError
        Tensors are missing or of another shape or dtype; a weight is -128; a scale is not positive,
        a zero point is no int8; a multiplier is too large for the kernels or a sum might leave
        int32; the logits' scale is too small for the softmax.
    """

    def __init__(
        self,
        graph: Graph,
        tensors: Mapping[str, NDArray],
        source: str = "the network",
        rounding: str = "double",
    ) -> None:
        expected = stored_tensors(graph)
        check_tensors(tensors, {name: shape for name, (_, shape) in expected.items()}, source)
        for name, (dtype, _) in expected.items():
            if tensors[name].dtype != dtype:
                raise WeightsError(f"{source}: {name} is {tensors[name].dtype}; expected {dtype}")
        self.quantizations: dict[str, Quantization] = {}
        self.integers: dict[str, Any] = {}
        for layer in graph:
            sources = [self.quantizations[name] for name in layer.inputs]
            try:
                if isinstance(layer, Filtered):
                    found = _convolution(layer, tensors, sources[0], rounding)
                    self.integers[layer.name], output = found, found.output
                elif isinstance(layer, Softmax):
                    output = ALPHA
                    table = softmax_int8.table(float(sources[0].scale))
                    self.integers[layer.name] = SoftmaxIntegers(table, sources[0], output)
                elif isinstance(layer, Concat):
                    output = sources[0]
                    stages = tuple(_between(one, output, rounding) for one in sources)
                    self.integers[layer.name] = ConcatIntegers(tuple(sources), output, stages)
                else:
                    output = INPUT if isinstance(layer, Input) else sources[0]
            except ValueError as error:  # of a kernel's preparation, or a WeightsError
                raise WeightsError(f"{source}: {layer.name}: {error}") from None
            self.quantizations[layer.name] = output

    def plain(self, name: str) -> dict[str, Any]:
        """Return a layer's numbers by name, as `model.Matting.integers` documents them."""
        integers, output = self.integers.get(name), self.quantizations[name]
        return {
            **(integers.plain() if integers else {}),
            "output_scale": output.scale,
            "output_zero_point": output.zero_point,
        }


def _convolution(
    layer: Filtered, tensors: Mapping[str, NDArray], source: Quantization, rounding: str
) -> ConvolutionIntegers:
    weights, bias = tensors[layer.weights_name], tensors[layer.bias_name]
    weights_scale = tensors[layer.quantized_name("weights_scale")]
    output_scale = tensors[layer.quantized_name("output_scale")][0]
    zero_point = int(tensors[layer.quantized_name("output_zero_point")][0])
    if (weights == -128).any():
        raise WeightsError("a weight is -128; they go from -127 to 127")
    for what, scales in (("weights_scale", weights_scale), ("output_scale", output_scale)):
        if not (scales > 0).all():
            raise WeightsError(f"its {what} is {scales.min()} somewhere; expected above 0")
    if not -128 <= zero_point <= 127:
        raise WeightsError(f"its output_zero_point is {zero_point}; expected -128 to 127")
    output = Quantization(output_scale, zero_point)
    _check_sums(weights.reshape(-1, layer.channels), bias, source.zero_point)
    real = np.float64(source.scale) * weights_scale.astype(np.float64) / np.float64(output_scale)
    clamp = activation_range(float(output_scale), zero_point, layer.relu6)
    stage = OutputStage(bias, *_multiplier(real), zero_point, *clamp, rounding=rounding)
    return ConvolutionIntegers(weights, weights_scale, source, output, stage)


def _between(source: Quantization, output: Quantization, rounding: str) -> OutputStage | None:
    """Return what requantizes one into the other, None where they are the same."""
    if source == output:
        return None
    real = np.array([np.float64(source.scale) / np.float64(output.scale)])
    bias = np.zeros(1, np.int32)
    return OutputStage(bias, *_multiplier(real), output.zero_point, -128, 127, rounding=rounding)


def _multiplier(real: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    multiplier, shift = quantize_multiplier(real)
    if shift.max() > LARGEST_SHIFT:
        raise WeightsError(
            f"its scales ask for a multiplier of {real.max():.3g}; expected below 2**30"
        )
    return multiplier, shift


def _check_sums(weights: NDArray[np.int8], bias: NDArray[np.int32], zero_point: int) -> None:
    """Check that no input can take a channel's sum out of int32."""
    farthest = max(127 - zero_point, zero_point + 128)  # of any input from its zero point
    largest = np.abs(weights.astype(np.int64)).sum(axis=0) * farthest + np.abs(
        bias.astype(np.int64)
    )
    if largest.max() >= 2**31:
        raise WeightsError(f"its sums may reach {largest.max()}; expected below 2**31")
