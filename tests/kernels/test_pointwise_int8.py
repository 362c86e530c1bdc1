import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import into_slice, random_layer, roundings
from shapes import batches, channels, seeds, sides

from mmnet_np.kernels import jit, pointwise_int8, tile_int8


def by_numba(x, zero_point, weights, stage, out, at):
    rows, packed = out.shape[0] * out.shape[1], tile_int8.pack(weights)
    table = stage.folding(zero_point, weights).table()
    for start, stop in ((0, rows // 2), (rows // 2, rows)):  # two bands, as two threads would
        pointwise_int8.pointwise_int8(x, packed, table, len(stage.bias), out, at, start, stop)


IMPLEMENTATIONS = [
    pointwise_int8.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40)
@given(
    batches, sides, sides, channels, channels, st.booleans(), st.booleans(), roundings,
    st.integers(0, 3), seeds,
)  # fmt: skip
def test_against_naive(
    implementation, n, height, width, depth, count, relu6, extreme, rounding, at, seed
):
    layer = random_layer(seed, (n, height, width, depth), (depth, count), relu6, extreme)
    expected = naive.pointwise(layer.x, layer.zero_point, layer.weights, layer.integers(rounding))
    arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(rounding))
    assert_same(into_slice(implementation, arguments, expected.shape, at), expected, np.int8)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_largest_sums(implementation):
    """All inputs and weights at their ends: every pair of products is as large as can be."""
    for zero_point in (-128, 127):
        for sign in (1, -1):
            layer = random_layer(1, (1, 1, 7, 240), (240, 24), extreme=True)._replace(
                x=np.full((1, 1, 7, 240), -128 if zero_point == 127 else 127, np.int8),
                weights=np.full((240, 24), 127 * sign, np.int8),
                zero_point=zero_point,
                out_scale=np.float32(1),
            )
            stage = layer.stage()
            expected = naive.pointwise(layer.x, zero_point, layer.weights, layer.integers())
            arguments = (layer.x, zero_point, layer.weights, stage)
            assert_same(into_slice(implementation, arguments, expected.shape, 0), expected)


def test_pack_golden():
    weights = np.arange(3 * 18).reshape(3, 18).astype(np.int8)
    packed = tile_int8.pack(weights)
    assert packed.dtype == np.int16
    assert packed[:6].tolist() == [0, 18, 1, 19, 2, 20]  # pairs of k, channel by channel
    assert packed[32:38].tolist() == [36, 0, 37, 0, 38, 0]  # the third k has a zero beside it
    assert packed[64:70].tolist() == [16, 34, 17, 35, 0, 0]  # the block of 8
    assert len(packed) == 2 * 2 * (16 + 8)


@given(channels, channels, seeds)
def test_unpacking_undoes_packing(depth, count, seed):
    weights = np.random.default_rng(seed).integers(-127, 128, (depth, count)).astype(np.int8)
    assert_same(tile_int8.unpack(tile_int8.pack(weights), depth, count), weights, np.int8)
