"""Quantization-aware training: the network computes with the integers that int8 inference has.

Before each forward pass the variables are folded and quantized by `mmnet_np.quantization.quantizer`
and turned into a layer's integers by `mmnet_np.quantized`, as for inference. Filters and
activations (an int8 value minus its zero point) then are whole numbers in float32. Their products
are below 127 * 255 and every sum of them below 2**24, so float32 has each one exactly, and readers
requantize it as inference does (`kernels.normalize`): forward, this is the int8 network, bit for
bit.

Gradients go straight through every rounding (Bengio et al., "Estimating or Propagating Gradients
Through Stochastic Neurons", 2013): with s the scales, a layer counts as
``y = clamp((w / s_w * x + b / (s_in * s_w)) * s_in * s_w / s_out)``, and batch norm's moving
statistics, s_w and the scales of activations as constants.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import OptionError
from mmnet_np.folding import kernel_layout
from mmnet_np.graph import Depthwise, Filtered, Graph, Softmax
from mmnet_np.kernels import normalize, quantization
from mmnet_np.kernels.batch_norm import fold_backward
from mmnet_np.kernels.output_stage import OutputStage
from mmnet_np.quantization.quantizer import quantize
from mmnet_np.quantized import INPUT, ConvolutionIntegers, Quantization, QuantizedNetwork
from mmnet_np.threads import Bands

from .arithmetic import Norms, Variables

__all__ = ["QuantizedArithmetic"]

_EXACT = 2**24
"""Up to here float32 has all whole numbers."""


class QuantizedArithmetic:
    """The int8 network's arithmetic, with straight-through gradients.

    Parameters
    ----------
    graph : Graph
        As the network's. The auxiliary head is quantized too.
    variables, gradients : mapping of str to float32 array
        By checkpoint name. Moving statistics are read and have no gradient.
    outputs : mapping of str to Quantization
        Of each filtered layer; the mapping is kept, and must be filled before `begin`.
    bands : Bands

    Raises
    ------
    OptionError
        A layer so wide that its sums would not be exact.
    """

    def __init__(
        self,
        graph: Graph,
        variables: Variables,
        gradients: Variables,
        outputs: Mapping[str, Quantization],
        bands: Bands,
    ) -> None:
        self._variables, self._gradients = variables, gradients
        self._outputs, self._bands = outputs, bands
        # The softmax's table is of no use here, and would be made anew in each step.
        kept = tuple(layer for layer in graph if not isinstance(layer, Softmax))
        self._graph = Graph(kept, graph.output, graph.block)
        for layer in kept:
            if isinstance(layer, Filtered) and _largest_sum(layer) > _EXACT:
                raise OptionError(
                    f"{layer.name} adds up {layer.in_channels} products: too many for "
                    "quantization-aware training, whose sums must be below 2**24"
                )
        self._network: QuantizedNetwork
        self._d_bias: dict[str, NDArray[np.float64]] = {}

    def neutral(self) -> Norms:
        """Return a multiplier of 1 and no bias or bounds."""
        norms = np.zeros((normalize.QUANTIZED_ROWS, 1), np.float32)
        norms[normalize.SCALE] = norms[normalize.GRADIENT] = 1
        norms[normalize.LOWER], norms[normalize.UPPER] = -np.inf, np.inf
        integers = norms.view(np.int32)
        integers[normalize.MULTIPLIER], integers[normalize.EXPONENT] = 2**30, 1
        return norms

    def begin(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Fold and quantize the variables; return the images in steps of 1/255."""
        tensors = quantize(self._graph, self._variables, self._outputs)
        self._network = QuantizedNetwork(self._graph, tensors)
        bytes_ = np.empty(images.shape, np.int8)
        rows = images.shape[0] * images.shape[1]
        self._bands.run(quantization.quantize, (images, *INPUT, bytes_), rows, images.size)
        return bytes_.astype(np.float32) - np.float32(INPUT.zero_point)

    def _integers(self, layer: Filtered) -> ConvolutionIntegers:
        return self._network.integers[layer.name]

    def filters(self, layer: Filtered) -> NDArray[np.float32]:
        """Return the int8 weights, in float32."""
        return self._integers(layer).weights.astype(np.float32)

    def zero_point(self, name: str) -> int | None:
        """Return a tensor's, on whose grid a resize rounds."""
        return self._network.quantizations[name].zero_point

    def normalize(
        self, layer: Filtered, norms: Norms, moments: NDArray[np.float64], count: int, decay: float
    ) -> None:
        """Set the layer's integers, and the real factor that its gradient knows."""
        found = self._integers(layer)
        stage, factor = found.stage, self._real_scale(found) / float(found.output.scale)
        norms[normalize.SCALE] = norms[normalize.GRADIENT] = factor
        norms[normalize.SHIFT] = stage.bias * factor
        normalize.set_integers(norms, stage)

    @staticmethod
    def _real_scale(found: ConvolutionIntegers) -> NDArray[np.float64]:
        """Return what a 1 in each channel's sums stands for."""
        return float(found.input.scale) * found.weights_scale.astype(np.float64)

    def factor(self, head: Filtered) -> float:
        """Return the scale of the logits."""
        return float(self._integers(head).output.scale)

    def head_backward(
        self, head: Filtered, norms: Norms, z: NDArray, gradient: NDArray[np.float32]
    ) -> None:
        """Sum up the bias's gradient where logits are not clamped."""
        u = z * norms[normalize.SCALE] + norms[normalize.SHIFT]
        inside = (u > norms[normalize.LOWER]) & (u < norms[normalize.UPPER])
        self._d_bias[head.name] = (gradient * inside).sum(axis=(0, 1, 2), dtype=np.float64)

    def normalize_backward(
        self, layer: Filtered, norms: Norms, reductions: NDArray[np.float64], count: int
    ) -> None:
        """Keep the gradient of the folded bias: y grows by 1/s_out of it."""
        self._d_bias[layer.name] = reductions[0] / float(self._integers(layer).output.scale)

    def filters_backward(self, layer: Filtered, gradient: NDArray[np.float64]) -> None:
        """Pass it on, and the bias's, to the variables that were folded."""
        scales = self._integers(layer).weights_scale.astype(np.float64)
        depthwise = isinstance(layer, Depthwise)  # whose output channels are not the last axis
        d_weights = gradient / (scales[:, np.newaxis] if depthwise else scales)
        d_bias = self._d_bias[layer.name]
        if not layer.batch_norm:
            self._gradients[layer.bias_name][...] = d_bias
        else:
            gamma, mean, variance = (
                self._variables[layer.norm_name(leaf)]
                for leaf in ("gamma", "moving_mean", "moving_variance")
            )
            weights = kernel_layout(layer, self._variables[layer.weights_name])
            d_weights, d_gamma, d_beta = fold_backward(
                weights, gamma, mean, variance, kernel_layout(layer, d_weights), d_bias
            )
            self._gradients[layer.norm_name("gamma")][...] = d_gamma
            self._gradients[layer.norm_name("beta")][...] = d_beta
        self._gradients[layer.weights_name][...] = d_weights.reshape(layer.weights_shape())

    def copied(self, concat: str, name: str, z: NDArray, norms: Norms) -> tuple[NDArray, Norms]:
        """Read a tensor and requantize it, if its scale is another than the concat's."""
        stage = self._requantization(concat, name)
        if stage is None:
            return z, norms
        source = self._network.integers[name].stage
        values = source.apply(z).astype(np.int32) - source.zero_point
        return stage.apply(values).astype(np.float32) - stage.zero_point, self.neutral()

    def copied_backward(self, concat: str, name: str, z: NDArray, g: NDArray) -> NDArray:
        """Multiply by the ratio of the scales where nothing was clamped."""
        stage = self._requantization(concat, name)
        if stage is None:
            return g
        known = self._network.quantizations
        inside = (z > stage.lower - stage.zero_point) & (z < stage.upper - stage.zero_point)
        return g * inside * (known[name].scale / known[concat].scale)

    def _requantization(self, concat: str, name: str) -> OutputStage | None:
        return self._network.integers[concat].stages[self._graph[concat].inputs.index(name)]


def _largest_sum(layer: Filtered) -> int:
    """Return how far a layer's sums may get from 0."""
    depth = 1 if isinstance(layer, Depthwise) else layer.in_channels
    return 127 * 255 * layer.kernel_size**2 * depth
