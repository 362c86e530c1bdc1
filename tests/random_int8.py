"""Untrained int8 weights for tests: the random float32 ones, quantized by what one image needs."""

from dataclasses import replace

import numpy as np
from random_weights import random_weights

from mmnet_np.engine import folded
from mmnet_np.graph import Filtered, build
from mmnet_np.model import Matting
from mmnet_np.spec import Spec


def random_int8(spec=None, seed=0):
    """A `store.Weights` of int8."""
    spec = spec or Spec(0.5)
    given = random_weights(spec, seed)
    image = np.random.default_rng(seed).random((1, 64, 64, 3), dtype=np.float32)
    seen = Matting(given, backend="numpy").intermediates(image)
    tensors, scales = {}, {"input": np.float32(1 / 255)}
    for layer in build(spec):
        source = scales.setdefault(layer.name, scales[(layer.inputs or ("input",))[0]])
        if not isinstance(layer, Filtered):
            continue
        weights, bias = folded(layer, given.tensors)  # channels last
        scale = (np.abs(weights).max(tuple(range(weights.ndim - 1))) / 127).astype(np.float32)
        whole = np.rint(weights / scale)
        low, high = (0, 6) if layer.relu6 else (seen[layer.name].min(), seen[layer.name].max())
        out = scales[layer.name] = np.float32((high - low) / 255)
        zero_point = np.clip(np.rint(-128 - low / out), -128, 127)
        tensors |= {
            layer.weights_name: whole.astype(np.int8).reshape(layer.weights_shape()),
            layer.variable("weights_scale"): scale,
            layer.bias_name: np.rint(bias / (scale * source)).astype(np.int32),
            layer.variable("output_scale"): np.array([out], np.float32),
            layer.variable("output_zero_point"): np.array([zero_point], np.int32),
        }
    name = f"random-{spec.width:.2f}-{spec.size}-int8"
    return replace(given, name=name, dtype="int8", tensors=tensors)
