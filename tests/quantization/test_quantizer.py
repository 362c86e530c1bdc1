"""The quantizer: filters, biases, and whole networks in the form of an int8 weights file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_weights import random_tensors
from shapes import channels, normal, seeds

from mmnet_np.errors import WeightsError
from mmnet_np.folding import folded
from mmnet_np.graph import Filtered, build
from mmnet_np.quantization.observers import of_range
from mmnet_np.quantization.quantizer import quantize, quantize_filters
from mmnet_np.quantized import QuantizedNetwork, stored_tensors
from mmnet_np.spec import VARIANTS, Spec

SCALE = np.float32(6 / 255)


def outputs(graph):
    return {
        layer.name: of_range(0, 6) if layer.relu6 else of_range(-4, 5)
        for layer in graph
        if isinstance(layer, Filtered)
    }


@given(channels, channels, st.floats(-6, 3), seeds)
def test_every_weight_and_bias_is_within_half_a_step(depth, count, magnitude, seed):
    weights, bias = normal(seed, (depth, count), (count,))
    weights *= np.float32(10.0**magnitude)
    found = quantize_filters(weights, bias, SCALE)
    assert [part.dtype.name for part in found] == ["int8", "float32", "int32"]
    scales = found.scales.astype(np.float64)
    assert (np.abs(found.weights * scales - weights) <= scales * 0.50001).all()
    steps = float(SCALE) * scales
    assert (np.abs(found.biases * steps - bias) <= steps * 0.50001).all()
    # Nothing of the range is given away, but where the bias would not fit.
    largest = np.abs(found.weights).max(axis=0)
    assert ((largest == 127) | (np.abs(found.biases) >= 2**30 - 64)).all()


def test_a_channel_that_gives_a_constant():
    """Its filter is nothing beside its bias, which must still fit in int32."""
    weights = np.array([[1e-12, 0.0, 0.5], [-3e-13, 0.0, 0.25]], np.float32)
    found = quantize_filters(weights, np.array([4.0, 0.0, 1.0], np.float32), SCALE)
    steps = float(SCALE) * found.scales.astype(np.float64)
    assert np.allclose(found.biases * steps, [4, 0, 1], atol=1e-3)
    assert found.weights[:, :2].tolist() == [[0, 0], [0, 0]]
    assert found.weights[:, 2].tolist() == [127, 64]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", [0.5, 1.4])
def test_a_network_has_the_stored_tensors_and_runs(variant, width):
    spec = Spec(width, 32, variant)
    graph, tensors = build(spec), random_tensors(spec)
    made = quantize(graph, tensors, outputs(graph))
    expected = stored_tensors(graph)
    assert {name: (array.dtype, array.shape) for name, array in made.items()} == expected
    network = QuantizedNetwork(graph, made)
    for layer in graph:
        if isinstance(layer, Filtered):
            weights, bias = folded(layer, tensors)
            integers = network.integers[layer.name]
            scales = integers.weights_scale.astype(np.float64)
            real = made[layer.weights_name].reshape(weights.shape) * scales
            assert (np.abs(real - weights) <= scales * 0.50001).all(), layer.name
            steps = float(integers.input.scale) * scales
            assert (np.abs(integers.stage.bias * steps - bias) <= steps * 0.50001).all()


def test_an_impossible_batch_norm_is_said():
    spec = Spec(0.5, 32)
    graph, tensors = build(spec), random_tensors(spec)
    tensors["MMNet/init_block/conv/BatchNorm/moving_variance"][0] = -1
    with pytest.raises(WeightsError, match="batch norm of init_block/conv"):
        quantize(graph, tensors, outputs(graph))
