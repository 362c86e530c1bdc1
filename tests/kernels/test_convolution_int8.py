import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import into_slice, random_layer, roundings
from shapes import batches, seeds, sides

from mmnet_np.kernels import convolution_int8, jit, tile_int8


def by_numba(x, zero_point, weights, stage, stride, out, at):
    rows, count = out.shape[0] * out.shape[1], len(stage.bias)
    packed = tile_int8.pack(weights.reshape(-1, count))
    table = stage.folding(zero_point, weights).table()
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        convolution_int8.convolution_int8(
            x, zero_point, packed, table, count, stride, out, at, start, stop
        )


IMPLEMENTATIONS = [
    convolution_int8.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40)
@given(
    batches, sides, sides, st.sampled_from([1, 3, 4]), st.sampled_from([2, 8, 24]), st.booleans(),
    st.booleans(), roundings, st.sampled_from([1, 2, 3]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_against_naive(
    implementation, n, height, width, depth, count, relu6, extreme, rounding, stride, at, seed
):
    layer = random_layer(seed, (n, height, width, depth), (3, 3, depth, count), relu6, extreme)
    expected = naive.convolution(
        layer.x, layer.zero_point, layer.weights, layer.integers(rounding), stride
    )
    arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(rounding), stride)
    assert_same(into_slice(implementation, arguments, expected.shape, at), expected, np.int8)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_padding_is_a_real_zero(implementation):
    """An input of real zeros gives the bias everywhere, whatever its zero point."""
    for zero_point in (-128, 5, 127):
        layer = random_layer(3, (1, 4, 60, 3), (3, 3, 3, 8))
        x = np.full(layer.x.shape, zero_point, np.int8)
        stage = layer.stage()
        alone = stage.apply(np.zeros((1, 2, 30, 8), np.int64))
        arguments = (x, zero_point, layer.weights, stage, 2)
        assert_same(into_slice(implementation, arguments, alone.shape, 0), alone)
