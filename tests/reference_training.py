"""The network in training on the NumPy references alone, in any float type: slow and obvious.

One layer after another, nothing fused, every activation kept: the oracle of the fused kernels.
"""

import numpy as np

from mmnet_np.graph import (
    Concat,
    Convolution,
    Depthwise,
    Dropout,
    Filtered,
    Input,
    Pointwise,
    Resize,
)
from mmnet_np.kernels import batch_norm, convolution, depthwise, pointwise, resize


def inputs(batch, size, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.random((batch, size, size, 3), dtype=np.float32)
    heads = [
        rng.standard_normal((batch, side, side, 2)).astype(np.float32) / side
        for side in (size, size // 16)
    ]
    return images, heads


def relative(ours, expected):
    """Largest difference, relative to the largest value."""
    return float(np.abs(ours - expected).max() / (np.abs(expected).max() + 1e-12))


def matrix(layer, variables):
    weights = variables[layer.weights_name]
    if isinstance(layer, Pointwise):
        return weights[0, 0]
    return weights[..., 0] if isinstance(layer, Depthwise) else weights


def forward(graph, variables, images, masks=None):
    """Return every layer's raw output z and activated output y; ``masks`` are those of dropout."""
    z, y = {}, {}
    for layer in graph:
        inputs = [y[name] for name in layer.inputs]
        if isinstance(layer, Input):
            y[layer.name] = images
        elif isinstance(layer, Concat):
            y[layer.name] = np.concatenate(inputs, axis=-1)
        elif isinstance(layer, Dropout):
            y[layer.name] = inputs[0] * masks[layer.name]
        elif isinstance(layer, Resize):
            n, h, w, c = inputs[0].shape
            y[layer.name] = np.empty((n, h * 2, w * 2, c), images.dtype)
            resize.reference(inputs[0], y[layer.name], 0)
        elif isinstance(layer, Filtered):
            (x,) = inputs
            rows = -(-x.shape[1] // layer.stride), -(-x.shape[2] // layer.stride)
            out = np.empty((len(x), *rows, layer.channels), images.dtype)
            bias = np.zeros(layer.channels, images.dtype)
            if not layer.batch_norm:
                bias = variables[layer.bias_name]
            common = x, matrix(layer, variables), bias, -np.inf, np.inf
            if isinstance(layer, Pointwise):
                pointwise.reference(*common, out, 0)
            elif isinstance(layer, Depthwise):
                depthwise.reference(*common, layer.stride, layer.dilation, out, 0)
            else:
                convolution.reference(*common, layer.stride, out, 0)
            z[layer.name] = out
            if layer.batch_norm:
                gamma, beta = (variables[layer.norm_name(leaf)] for leaf in ("gamma", "beta"))
                out = batch_norm.forward(out, gamma, beta, *batch_norm.statistics(out))
            y[layer.name] = np.clip(out, 0, 6) if layer.relu6 else out
    return z, y


def relu6_gates(graph, y):
    """Say by layer where ReLU6 lets the gradient through."""
    return {
        layer.name: (y[layer.name] > 0) & (y[layer.name] < 6)
        for layer in graph
        if getattr(layer, "relu6", False)
    }


def batch_norm_backward(layer, variables, z, g):
    """Return the gradient before a layer's batch norm, and those of its variables."""
    g, d_gamma, d_beta = batch_norm.backward(
        z, variables[layer.norm_name("gamma")], *batch_norm.statistics(z), g
    )
    return g, {layer.norm_name("gamma"): d_gamma, layer.norm_name("beta"): d_beta}


def backward(graph, variables, z, y, d_heads, gates=None, masks=None, norm=batch_norm_backward):
    """Return the gradient of every trained variable, from those of the heads' logits by name.

    ``gates`` says by layer where its output lets the gradient through; by default `relu6_gates`.
    ``norm`` differentiates what comes between a convolution and its clamp.
    """
    gates = relu6_gates(graph, y) if gates is None else gates
    d = {name: value.copy() for name, value in d_heads.items()}
    gradients = {}

    def add(name, value):
        d[name] = d[name] + value if name in d else value

    for layer in reversed(graph.layers):
        if layer.name not in d:
            continue  # the input, and the softmax after the logits
        g = d[layer.name]
        if layer.name in gates:
            g = np.where(gates[layer.name], g, 0)
        if isinstance(layer, Concat):
            at = 0
            for name in layer.inputs:
                width = y[name].shape[-1]
                add(name, g[..., at : at + width])
                at += width
        elif isinstance(layer, Dropout):
            add(layer.inputs[0], g * masks[layer.name])
        elif isinstance(layer, Resize):
            x = y[layer.inputs[0]]
            add(layer.inputs[0], resize.backward(g, x.shape[1], x.shape[2]))
        elif isinstance(layer, Filtered):
            x = y[layer.inputs[0]]
            if layer.batch_norm:
                g, found = norm(layer, variables, z[layer.name], g)
                gradients |= found
            else:
                gradients[layer.bias_name] = g.sum(axis=(0, 1, 2))
            weights = matrix(layer, variables)
            if isinstance(layer, Pointwise):
                dx, dw = pointwise.backward(x, weights, g)
            elif isinstance(layer, Depthwise):
                dx, dw = depthwise.backward(x, weights, layer.stride, layer.dilation, g)
            else:
                assert isinstance(layer, Convolution)
                dx, dw = convolution.backward(x, weights, layer.stride, g)
            add(layer.inputs[0], dx)
            gradients[layer.weights_name] = dw.reshape(variables[layer.weights_name].shape)
    return gradients
