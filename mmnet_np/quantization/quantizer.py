"""The quantizer: a trained float32 network and the ranges of its activations become int8 tensors.

Batch norm is folded in first, exactly as for float32 inference. Filters are symmetric with a scale
for each output channel, biases int32 at the scale of the sums they are added to.
Quantization-aware training runs what comes out of here, anew in each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmnet_np.folding import folded_layers
from mmnet_np.graph import Filtered, Graph
from mmnet_np.quantized import INPUT, Quantization

__all__ = ["Filters", "quantize", "quantize_filters"]

_LARGEST_BIAS = 2.0**30
_LEAST_SCALE = np.float32(2.0**-40)


class Filters(NamedTuple):
    """A layer's quantized filters and biases.

    Attributes
    ----------
    weights : (..., C) int8 array
        In -127..127.
    scales : (C,) float32 array
        Of each output channel's filter.
    biases : (C,) int32 array
        At the input's scale times the filter's.
    """

    weights: NDArray[np.int8]
    scales: NDArray[np.float32]
    biases: NDArray[np.int32]


def quantize_filters(weights: NDArray, bias: NDArray, in_scale: np.float32) -> Filters:
    """Quantize a layer's folded filters and bias.

    The largest weight of a channel becomes 127 or -127. Where the filter is so small beside its
    bias that the bias would not fit (a channel that gives a constant), the scale is larger: at most
    2**30 is left for a bias, and what then rounds to zero was below a billionth of it.

    Parameters
    ----------
    weights : (..., C) float array
        Output channel last, as `mmnet_np.folding.folded` gives them.
    bias : (C,) float array
    in_scale : float32
        Of the layer's input.
    """
    weights = weights.astype(np.float64)
    largest = np.abs(weights).max(axis=tuple(range(weights.ndim - 1)))
    needed = np.abs(bias.astype(np.float64)) / (float(in_scale) * _LARGEST_BIAS)
    scales = np.maximum(np.maximum(largest / 127, needed).astype(np.float32), _LEAST_SCALE)
    exact = scales.astype(np.float64)
    return Filters(
        # A scale that was rounded down in float32 would make 127.00001 of the largest weight.
        np.clip(np.rint(weights / exact), -127, 127).astype(np.int8),
        scales,
        np.rint(bias.astype(np.float64) / (float(in_scale) * exact)).astype(np.int32),
    )


def quantize(
    graph: Graph, tensors: Mapping[str, NDArray], outputs: Mapping[str, Quantization]
) -> dict[str, NDArray]:
    """Return the tensors of the int8 network, as `mmnet_np.quantized` describes them.

    Parameters
    ----------
    graph : Graph
    tensors : mapping of str to float32 array
        The trained variables by their checkpoint names.
    outputs : mapping of str to Quantization
        Of each filtered layer, from `mmnet_np.quantization.calibrate`.

    Raises
    ------
    WeightsError
        A batch norm makes no numbers.
    """
    layers = folded_layers(graph, tensors)
    known: dict[str, Quantization] = {}
    made: dict[str, NDArray] = {}
    for layer in graph:
        # A resize has its input's quantization, a concat its first input's.
        known[layer.name] = known[layer.inputs[0]] if layer.inputs else INPUT
        if isinstance(layer, Filtered):
            filters = quantize_filters(*layers[layer.name], known[layer.name].scale)
            known[layer.name] = outputs[layer.name]
            scale, zero_point = known[layer.name]
            made[layer.weights_name] = filters.weights.reshape(layer.weights_shape())
            made[layer.bias_name] = filters.biases
            made[layer.quantized_name("weights_scale")] = filters.scales
            made[layer.quantized_name("output_scale")] = np.array([scale], np.float32)
            made[layer.quantized_name("output_zero_point")] = np.array([zero_point], np.int32)
    return made
