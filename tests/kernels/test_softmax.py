import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from shapes import batches, normal, seeds, sides

from mmnet_np.kernels import jit, softmax


def by_numba(x, out):
    rows = out.shape[0] * out.shape[1]
    softmax.softmax(x, out, 0, rows // 2)
    softmax.softmax(x, out, rows // 2, rows)


IMPLEMENTATIONS = [
    softmax.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(batches, sides, sides, st.sampled_from([0.1, 10, 1e4]), seeds)
def test_against_naive(implementation, n, height, width, scale, seed):
    (x,) = normal(seed, (n, height, width, 2))
    x *= np.float32(scale)
    out = np.empty_like(x)
    implementation(x, out)
    assert_same(out, naive.softmax(x), np.float32)
    assert_same(out.sum(axis=-1), np.ones(x.shape[:3]))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_equal_and_extreme_logits(implementation):
    x = np.array([[3, 3], [1e38, -1e38], [-1e38, 1e38]], np.float32).reshape(1, 1, 3, 2)
    out = np.empty_like(x)
    implementation(x, out)
    assert out[0, 0].tolist() == [[0.5, 0.5], [1, 0], [0, 1]]
