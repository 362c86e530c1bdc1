"""Inputs for single layers: what a layer would hardly ever see, and must get right all the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dtypes import Float32, Int8
from mmnet_np.graph import Filtered, Graph, Input, Softmax, shapes

from .engines import Feeds
from .inputs import PATTERNS, noise
from .planting import extremes, ties

__all__ = ["probes"]

SIZE = 128
"""Side of the network's input for most of them: every dilation still fits in its layer."""

FLOAT32_STEP = np.float32(6 / 255)
"""What a step of int8 is worth in float32: ReLU6's range."""


def probes(graph: Graph, parameters: Float32 | Int8) -> Iterator[tuple[str, int, Feeds]]:
    """Yield name, side of the network's input, and for each layer what it is to read.

    All layers get the lowest and the highest value, both by turns, and noise; int8 convolutions
    get extreme sums and ties (`mmnet_np.verification.planting`), the int8 softmax all 65,536 pairs
    of logits.
    """
    shape = shapes(graph, SIZE, SIZE)
    layers = [layer for layer in graph if not isinstance(layer, Input)]
    for name, make in PATTERNS.items():
        feeds: dict[str, list[NDArray]] = {
            layer.name: [make((1, *shape[source]), source) for source in layer.inputs]
            for layer in layers
        }
        if isinstance(parameters, Float32):
            feeds = {key: [_real(x) for x in arrays] for key, arrays in feeds.items()}
        yield name, SIZE, feeds
    if not isinstance(parameters, Int8):
        return
    for name, plant in (("extremes", extremes), ("ties", ties)):
        feeds = {}
        for layer in layers:
            if isinstance(layer, Filtered):
                image = noise((1, *shape[layer.inputs[0]]), layer.name)
                planted = plant(layer, parameters.network.integers[layer.name], image)
                if planted is not None:
                    feeds[layer.name] = [planted]
        yield name, SIZE, feeds
    (softmax,) = (layer for layer in layers if isinstance(layer, Softmax))
    q = np.arange(-128, 128, dtype=np.int8)
    pairs = np.stack(np.meshgrid(q, q, indexing="ij"), axis=-1)  # (256, 256, 2)
    yield "all pairs", 256, {softmax.name: [pairs[np.newaxis]]}


def _real(x: NDArray[np.int8]) -> NDArray[np.float32]:
    return (x.astype(np.float32) + 128) * FLOAT32_STEP
