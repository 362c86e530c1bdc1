"""Planted sums are what they should be, worked out in Python integers."""

import naive_int8
import numpy as np
import pytest
from random_weights import random_int8_weights

from mmnet_np.dtypes import Int8
from mmnet_np.graph import Filtered, build, shapes
from mmnet_np.spec import Spec
from mmnet_np.verification.inputs import noise
from mmnet_np.verification.planting import extremes, ties

SPEC = Spec(0.5, 64)
GRAPH = build(SPEC)
NETWORK = Int8(GRAPH, SPEC, random_int8_weights(SPEC), "double").network
SHAPES = shapes(GRAPH, 64, 64)
LAYERS = [
    "init_block/conv",
    "enc_block0/branch1/depthwise_conv_stride",
    "enc_block0/branch2/depthwise_conv_dilation",
    "enc_block0/merge/pointwise_conv",
    "final_block/pointwise_conv",
]


def sums(layer, x):
    """All sums of a layer with bias, (h, w, O), tap by tap."""
    integers = NETWORK.integers[layer.name]
    weights = integers.weights.astype(np.int64)
    height, width, _ = layer.output_shape(x.shape[1:])
    k, d, s = layer.kernel_size, layer.dilation, layer.stride
    total = np.zeros((height, width, layer.channels), np.int64) + integers.stage.bias
    top, left = (
        naive_int8.pad_before(n, out, k, s, d)
        for n, out in zip(x.shape[1:3], (height, width), strict=True)
    )
    for y, z in np.ndindex(height, width):
        for ky, kx in np.ndindex(k, k):
            row, column = y * s - top + ky * d, z * s - left + kx * d
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                value = x[0, row, column].astype(np.int64) - integers.input.zero_point
                tap = weights[ky, kx]
                total[y, z] += value * tap[:, 0] if tap.shape[1] == 1 else value @ tap
    return total


@pytest.mark.parametrize("name", LAYERS)
def test_ties(name):
    layer, stage = GRAPH[name], NETWORK.integers[name].stage
    image = noise((1, *SHAPES[layer.inputs[0]]), "base")
    planted = sums(layer, ties(layer, NETWORK.integers[name], image))
    plain = sums(layer, image)

    def count(total):
        """Ties whose result lies inside the clamp."""
        found = 0
        for at in np.ndindex(total.shape):
            c = at[-1]
            multiplier, shift = int(stage.multiplier[c]), int(stage.shift[c])
            x = naive_int8.wrap32(int(total[at]) << max(shift, 0))
            high = naive_int8.srdhm(x, multiplier)
            right = max(-shift, 0)
            half = right > 0 and high % 2**right == 2 ** (right - 1)
            value = naive_int8.rdpot(high, right) + stage.zero_point
            found += half and stage.lower < value < stage.upper
        return found

    assert count(planted) > 4 * count(plain) + 10


@pytest.mark.parametrize("name", LAYERS)
def test_extremes(name):
    """Some sum of each channel is the largest there can be, and some the smallest."""
    layer, integers = GRAPH[name], NETWORK.integers[name]
    image = noise((1, *SHAPES[layer.inputs[0]]), "base")
    found = sums(layer, extremes(layer, integers, image))
    weights = integers.weights.astype(np.int64).reshape(-1, layer.channels)
    low, high = (value - integers.input.zero_point for value in (-128, 127))
    most = np.where(weights > 0, weights * high, weights * low).sum(axis=0) + integers.stage.bias
    least = np.where(weights > 0, weights * low, weights * high).sum(axis=0) + integers.stage.bias
    assert (found.max(axis=(0, 1)) == most).all()
    assert (found.min(axis=(0, 1)) == least).all()


def test_where_nothing_fits():
    wide = next(layer for layer in GRAPH if isinstance(layer, Filtered) and layer.dilation == 8)
    image = noise((1, 16, 16, wide.in_channels), "base")
    assert ties(wide, NETWORK.integers[wide.name], image) is None
    assert extremes(wide, NETWORK.integers[wide.name], image) is None
