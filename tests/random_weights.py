"""Untrained weights for tests that need any weights.

Each layer keeps its input's scale, as in a trained network: with larger weights a random network is
chaotic and multiplies every rounding error a hundredfold on its way to the logits.
"""

import math
import sys

import numpy as np

from mmnet_np.graph import build, parameters
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


if __name__ == "__main__":
    store.save(sys.argv[1], random_weights())
