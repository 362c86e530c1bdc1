"""The int8 network on the NumPy references, and its straight-through gradient in real numbers.

Nothing is fused and nothing shared with the training kernels: forward one layer after another in
int8, backward in float64 as if no value had ever been rounded.
"""

import numpy as np
import reference_training

from mmnet_np.folding import kernel_layout
from mmnet_np.graph import Concat, Depthwise, Filtered, Input, Pointwise, Resize, Softmax
from mmnet_np.kernels import (
    batch_norm,
    convolution_int8,
    depthwise_int8,
    pointwise_int8,
    quantization,
    resize_int8,
)  # fmt: skip
from mmnet_np.quantized import INPUT


def forward(graph, network, images):
    """Return every layer's int8 output; ``network`` is a `QuantizedNetwork` of the graph."""
    q = {}
    for layer in graph:
        if isinstance(layer, Softmax):
            continue
        inputs = [q[name] for name in layer.inputs]
        integers = network.integers.get(layer.name)
        if isinstance(layer, Input):
            out = np.empty(images.shape, np.int8)
            quantization.quantize_reference(images, *INPUT, out)
        elif isinstance(layer, Concat):
            parts = zip(inputs, integers.inputs, integers.stages, strict=True)
            out = np.concatenate([requantized(*part) for part in parts], axis=-1)
        elif isinstance(layer, Resize):
            n, h, w, c = inputs[0].shape
            out = np.empty((n, h * 2, w * 2, c), np.int8)
            resize_int8.reference(inputs[0], out, 0)
        else:
            out = filtered(layer, inputs[0], integers)
        q[layer.name] = out
    return q


def requantized(x, source, stage):
    if stage is None:
        return x
    out = np.empty_like(x)
    quantization.requantize_reference(x, source.zero_point, stage, out)
    return out


def filtered(layer, x, integers):
    rows, columns = (-(-n // layer.stride) for n in x.shape[1:3])
    out = np.empty((len(x), rows, columns, layer.channels), np.int8)
    weights = kernel_layout(layer, integers.weights)
    common = x, integers.input.zero_point, weights, integers.stage
    if isinstance(layer, Pointwise):
        pointwise_int8.reference(*common, out, 0)
    elif isinstance(layer, Depthwise):
        depthwise_int8.reference(*common, layer.stride, layer.dilation, out, 0)
    else:
        convolution_int8.reference(*common, layer.stride, out, 0)
    return out


def real(network, name, q):
    """Return what int8 values of a tensor stand for, in float64."""
    scale, zero_point = network.quantizations[name]
    return float(scale) * (q.astype(np.float64) - zero_point)


def backward(graph, network, variables, q, d_heads, gates):
    """Return the gradient of every trained variable, from those of the heads' real logits.

    ``gates`` says by layer where its clamp lets the gradient through.
    """
    y = {name: real(network, name, values) for name, values in q.items()}
    folding, scaled = {}, {}
    for layer in graph:
        if isinstance(layer, Filtered):
            weights = network.integers[layer.name].weights * 1.0
            scales = network.integers[layer.name].weights_scale.astype(np.float64)
            shape = (-1, 1) if isinstance(layer, Depthwise) else (-1,)
            scaled[layer.weights_name] = weights * scales.reshape(shape)

    def norm(layer, variables, z, g):
        folding[layer.name] = g.sum(axis=(0, 1, 2))
        return g, {}

    nothing = dict.fromkeys(y)
    gradients = reference_training.backward(graph, scaled, nothing, y, d_heads, gates, norm=norm)
    for layer in graph:
        if layer.name in folding:
            leaves = (variables[layer.norm_name(leaf)].astype(np.float64)
                      for leaf in ("gamma", "moving_mean", "moving_variance"))  # fmt: skip
            d_weights, d_gamma, d_beta = batch_norm.fold_backward(
                kernel_layout(layer, variables[layer.weights_name]).astype(np.float64),
                *leaves,
                kernel_layout(layer, gradients[layer.weights_name]),
                folding[layer.name],
            )
            gradients[layer.weights_name] = d_weights.reshape(layer.weights_shape())
            gradients[layer.norm_name("gamma")] = d_gamma
            gradients[layer.norm_name("beta")] = d_beta
    return gradients
