import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, bounds, channels, normal, seeds, sides

from mmnet_np.kernels import depthwise, jit, taps


def by_numba(x, weights, bias, lower, upper, stride, dilation, out, at):
    rows, filters = out.shape[0] * out.shape[1], taps.zero_bordered(weights)
    y_taps = taps.row_table(x.shape[1], out.shape[1], stride, dilation)
    runs = taps.run_table(x.shape[2], out.shape[2], stride, dilation)
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        depthwise.depthwise(
            x, filters, bias, lower, upper, stride, y_taps, runs, out, at, start, stop
        )


IMPLEMENTATIONS = [
    depthwise.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60)
@given(
    batches, sides, sides, channels, bounds, st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 4, 8]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_against_naive(implementation, n, height, width, count, clamp, stride, dilation, at, seed):
    x, weights, bias = normal(seed, (n, height, width, count), (3, 3, count), (count,))
    expected = naive.depthwise(x, weights, bias, *clamp, stride, dilation)
    out = np.full((*expected.shape[:3], at + count + 1), np.float32(-123))
    implementation(x, weights, bias, *np.float32(clamp), stride, dilation, out, at)
    assert_same(out[..., at : at + count], expected, np.float32)
    assert (out[..., :at] == -123).all()
    assert (out[..., at + count :] == -123).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_dilation_larger_than_the_image_leaves_the_centre_tap(implementation):
    x, weights, bias = normal(5, (1, 3, 3, 8), (3, 3, 8), (8,))
    out = np.empty_like(x)
    implementation(x, weights, bias, np.float32(-np.inf), np.float32(np.inf), 1, 8, out, 0)
    assert_same(out, x * weights[1, 1] + bias)
