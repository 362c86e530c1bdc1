import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, bounds, normal, seeds, sides

from mmnet_np.kernels import convolution, jit, pointwise


def by_numba(x, weights, bias, lower, upper, stride, out, at):
    rows = out.shape[0] * out.shape[1]
    packed = pointwise.pack(weights.reshape(-1, len(bias)))
    padded = pointwise.pack_bias(bias)
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        convolution.convolution(
            x, packed, padded, len(bias), lower, upper, stride, out, at, start, stop
        )


IMPLEMENTATIONS = [
    convolution.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40)
@given(
    batches, sides, sides, st.sampled_from([1, 3]), st.sampled_from([2, 8, 24]), bounds,
    st.sampled_from([1, 2, 3]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_against_naive(implementation, n, height, width, depth, count, clamp, stride, at, seed):
    x, weights, bias = normal(seed, (n, height, width, depth), (3, 3, depth, count), (count,))
    expected = naive.convolution(x, weights, bias, *clamp, stride)
    out = np.full((*expected.shape[:3], at + count + 1), np.float32(-123))
    implementation(x, weights, bias, *np.float32(clamp), stride, out, at)
    assert_same(out[..., at : at + count], expected, np.float32)
    assert (out[..., :at] == -123).all()
    assert (out[..., at + count :] == -123).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_same_padding_of_stride_two(implementation):
    """On an even side the zeros are after, on an odd side on both ends."""
    ones, bias = np.ones((3, 3, 1, 1), np.float32), np.zeros(1, np.float32)
    for side, corner in ((4, [[9, 6], [6, 4]]), (3, [[4, 4], [4, 4]])):
        out = np.empty((1, 2, 2, 1), np.float32)
        implementation(
            np.ones((1, side, side, 1), np.float32), ones, bias, np.float32(-np.inf),
            np.float32(np.inf), 2, out, 0,
        )  # fmt: skip
        assert out[0, :, :, 0].tolist() == corner
