"""Untrained weights for tests that need any weights.

Each layer keeps its input's scale, as in a trained network: with larger weights a random network is
chaotic and multiplies every rounding error a hundredfold on its way to the logits.
"""

import dataclasses
import math
import sys

import numpy as np

from mmnet_np.graph import Depthwise, Filtered, build, parameters
from mmnet_np.spec import Spec
from mmnet_np.weights import store


def random_tensors(spec, seed=0):
    """Values for every variable of a spec, the auxiliary head included."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in parameters(build(spec, auxiliary=True)).items():
        leaf = name.rsplit("/", 1)[1]
        if leaf == "weights":
            fan_in = math.prod(shape[:3])
            value = rng.normal(0, math.sqrt(1 / fan_in), shape)
        elif leaf == "depthwise_weights":
            value = rng.normal(0, 1 / 3, shape)
        elif leaf == "gamma":
            value = rng.uniform(0.8, 1.4, shape)
        elif leaf == "moving_variance":
            value = rng.uniform(0.5, 1.5, shape)
        elif leaf == "beta":
            value = rng.normal(0.5, 0.5, shape)
        else:  # moving_mean, biases
            value = rng.normal(0, 0.3, shape)
        tensors[name] = value.astype(np.float32)
    return tensors


def random_weights(spec=None, seed=0):
    """A `store.Weights` of a spec."""
    spec = spec or Spec(0.5)
    return store.Weights(
        name=f"random-{spec.width:.2f}-{spec.size}",
        dtype="float32",
        spec=spec.as_dict(),
        tensors=random_tensors(spec, seed),
        provenance={"made_by": "tests"},
        licence="none needed",
    )


def random_int8_tensors(spec, seed=0):
    """Tensors of an int8 network whose activations spread over their ranges, as a trained one's do.

    Outputs of ReLU6 have scale 6/255 and zero point -128; those of linear layers, and the logits,
    scales and zero points of their own.
    """
    rng = np.random.default_rng(seed)
    graph = build(spec)
    tensors, scales = {}, {"input": 1 / 255}
    for layer in graph:
        source = scales[layer.inputs[0]] if layer.inputs else None
        if not isinstance(layer, Filtered):
            scales.setdefault(layer.name, source)
            continue
        shape = layer.weights_shape()
        fan_in = math.prod(shape[:2]) * (1 if isinstance(layer, Depthwise) else shape[2])
        weights = rng.integers(-127, 128, shape)
        # Inputs of about a third of a range of 6, as many weights of either sign, a mean above 0.
        weights_scale = rng.uniform(0.5, 1.5, layer.channels) / 73 / math.sqrt(fan_in)
        scale = np.float32(6 / 255) if layer.relu6 else np.float32(rng.uniform(0.02, 0.05))
        zero_point = -128 if layer.relu6 else int(rng.integers(-30, 31))
        bias = rng.normal(0.7, 0.7, layer.channels) / (source * weights_scale)
        tensors[layer.weights_name] = weights.astype(np.int8)
        tensors[layer.bias_name] = np.rint(bias).astype(np.int32)
        tensors[layer.quantized_name("weights_scale")] = weights_scale.astype(np.float32)
        tensors[layer.quantized_name("output_scale")] = np.array([scale], np.float32)
        tensors[layer.quantized_name("output_zero_point")] = np.array([zero_point], np.int32)
        scales[layer.name] = float(scale)
    return tensors


def random_int8_weights(spec=None, seed=0):
    """An int8 `store.Weights` of a spec."""
    spec = spec or Spec(0.5)
    return dataclasses.replace(
        random_weights(spec),
        name=f"random-{spec.width:.2f}-{spec.size}-int8",
        dtype="int8",
        tensors=random_int8_tensors(spec, seed),
    )


if __name__ == "__main__":
    store.save(sys.argv[1], random_weights())
