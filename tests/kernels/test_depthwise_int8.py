import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import into_slice, random_layer, roundings
from shapes import batches, channels, seeds, sides

from mmnet_np.kernels import depthwise_int8, jit, taps


def by_numba(x, zero_point, weights, stage, stride, dilation, out, at):
    rows, filters = out.shape[0] * out.shape[1], taps.zero_bordered(weights)
    y_taps = taps.row_table(x.shape[1], out.shape[1], stride, dilation)
    runs = taps.run_table(x.shape[2], out.shape[2], stride, dilation)
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        depthwise_int8.depthwise_int8(
            x, zero_point, filters, stage.table(), stride, y_taps, runs, out, at, start, stop
        )


IMPLEMENTATIONS = [
    depthwise_int8.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60)
@given(
    batches, sides, sides, channels, st.booleans(), st.booleans(), roundings,
    st.sampled_from([1, 2]), st.sampled_from([1, 2, 4, 8]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_against_naive(
    implementation, n, height, width, count, relu6, extreme, rounding, stride, dilation, at, seed
):
    layer = random_layer(seed, (n, height, width, count), (3, 3, count), relu6, extreme)
    expected = naive.depthwise(
        layer.x, layer.zero_point, layer.weights, layer.integers(rounding), stride, dilation
    )
    arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(rounding), stride, dilation)
    assert_same(into_slice(implementation, arguments, expected.shape, at), expected, np.int8)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_rows_longer_than_a_block(implementation):
    layer = random_layer(4, (1, 3, 131, 40), (3, 3, 40))
    for stride, dilation in ((1, 2), (2, 1)):
        expected = naive.depthwise(
            layer.x, layer.zero_point, layer.weights, layer.integers(), stride, dilation
        )
        arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(), stride, dilation)
        assert_same(into_slice(implementation, arguments, expected.shape, 0), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_the_largest_sums(implementation):
    """All inputs and weights at their ends: two products are as large as int16 lets them be."""
    for zero_point, value in ((-128, 127), (127, -128), (0, -128)):
        for sign in (1, -1):
            layer = random_layer(1, (1, 5, 20, 24), (3, 3, 24), extreme=True)._replace(
                x=np.full((1, 5, 20, 24), value, np.int8),
                weights=np.full((3, 3, 24), 127 * sign, np.int8),
                zero_point=zero_point,
                out_scale=np.float32(0.5),
            )
            expected = naive.depthwise(layer.x, zero_point, layer.weights, layer.integers(), 1, 1)
            arguments = (layer.x, zero_point, layer.weights, layer.stage(), 1, 1)
            assert_same(into_slice(implementation, arguments, expected.shape, 0), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_dilation_larger_than_the_image_leaves_the_centre_tap(implementation):
    layer = random_layer(5, (1, 3, 3, 8), (3, 3, 8))
    centre = (layer.x.astype(np.int64) - layer.zero_point) * layer.weights[1, 1]
    arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(), 1, 8)
    actual = into_slice(implementation, arguments, layer.x.shape, 0)
    assert_same(actual, layer.stage().apply(centre))
