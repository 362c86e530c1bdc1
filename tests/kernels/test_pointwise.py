import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, bounds, channels, normal, seeds, sides

from mmnet_np.kernels import jit, pointwise

SENTINEL = np.float32(-123.0)


def by_numba(x, weights, bias, lower, upper, out, at):
    rows = out.shape[0] * out.shape[1]
    packed, padded = pointwise.pack(weights), pointwise.pack_bias(bias)
    middle = rows // 2  # two bands, as two threads would
    for start, stop in ((0, middle), (middle, rows)):
        pointwise.pointwise(x, packed, padded, len(bias), lower, upper, out, at, start, stop)


IMPLEMENTATIONS = [
    pointwise.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=40)
@given(batches, sides, sides, channels, channels, bounds, st.integers(0, 3), seeds)
def test_against_naive(implementation, n, height, width, depth, count, clamp, at, seed):
    x, weights, bias = normal(seed, (n, height, width, depth), (depth, count), (count,))
    out = np.full((n, height, width, at + count + 2), SENTINEL)
    implementation(x, weights, bias, *np.float32(clamp), out, at)
    assert_same(out[..., at : at + count], naive.pointwise(x, weights, bias, *clamp), np.float32)
    assert (out[..., :at] == SENTINEL).all(), "channels before the slice were touched"
    assert (out[..., at + count :] == SENTINEL).all(), "channels after the slice were touched"


def test_reference_in_float64():
    x, weights, bias = normal(1, (1, 3, 5, 24), (24, 7), (7,), dtype=np.float64)
    out = np.empty((1, 3, 5, 7))
    pointwise.reference(x, weights, bias, 0.0, 6.0, out, 0)
    assert_same(out, naive.pointwise(x, weights, bias, 0.0, 6.0), np.float64)


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
@given(st.integers(1, 40), seeds)
def test_a_pixel_does_not_depend_on_its_neighbours(pixels, seed):
    """Six-row tile, one-row tile or band edge: the same bits."""
    x, weights, bias = normal(seed, (1, 1, pixels, 24), (24, 24), (24,))
    whole, alone = np.empty((2, 1, 1, pixels, 24), np.float32)
    by_numba(x, weights, bias, np.float32(0), np.float32(6), whole, 0)
    for p in range(pixels):
        one = np.empty((1, 1, 1, 24), np.float32)
        by_numba(
            np.ascontiguousarray(x[:, :, p : p + 1]), weights, bias, np.float32(0), np.float32(6),
            one, 0,
        )  # fmt: skip
        alone[:, :, p] = one[:, :, 0]
    assert whole.tobytes() == alone.tobytes()


def test_pack_golden():
    weights = np.arange(2 * 18, dtype=np.float32).reshape(2, 18)
    packed = pointwise.pack(weights)
    assert packed[:32].tolist() == [*range(16), *range(18, 34)]
    assert packed[32:].tolist() == [16, 17, 0, 0, 0, 0, 0, 0, 34, 35, 0, 0, 0, 0, 0, 0]
    assert pointwise.pack_bias(np.ones(18, np.float32)).tolist() == [1.0] * 18 + [0.0] * 14


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_nan_is_not_hidden_by_the_clamp():
    x = np.full((1, 1, 7, 8), np.nan, np.float32)
    out = np.zeros((1, 1, 7, 8), np.float32)
    by_numba(x, np.eye(8, dtype=np.float32), np.zeros(8, np.float32), np.float32(0), np.float32(6),
             out, 0)  # fmt: skip
    assert np.isnan(out).all()
