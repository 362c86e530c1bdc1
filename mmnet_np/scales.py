"""Scale and zero point of every layer's output in an int8 network.

``real = (q - zero_point) * scale``. A layer with filters has its own, which the weights file holds;
the others follow from their inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .graph import Filtered, Graph, Input, Softmax

__all__ = ["INPUT", "SOFTMAX", "Scale", "output_scales"]


class Scale(NamedTuple):
    """A float32 scale and a zero point in -128..127."""

    scale: np.float32
    zero_point: int


INPUT = Scale(np.float32(1 / 255), -128)
"""Of the network's input: a photo's 8-bit values minus 128."""

SOFTMAX = Scale(np.float32(1 / 256), -128)
"""Of the softmax: the one that TensorFlow Lite allows."""


def output_scales(graph: Graph, tensors: Mapping[str, NDArray]) -> dict[str, Scale]:
    """Return the scale of each layer's output, by its name, in graph order.

    A resize has its input's, a concat that of its first input.
    """
    found: dict[str, Scale] = {}
    for layer in graph:
        if isinstance(layer, Input):
            found[layer.name] = INPUT
        elif isinstance(layer, Softmax):
            found[layer.name] = SOFTMAX
        elif isinstance(layer, Filtered):
            scale = tensors[layer.variable("output_scale")]
            zero_point = tensors[layer.variable("output_zero_point")]
            found[layer.name] = Scale(scale[0], int(zero_point[0]))
        else:
            found[layer.name] = found[layer.inputs[0]]
    return found
