import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import batches, normal, seeds, sides

from mmnet_np.kernels import dropout, jit, normalize
from mmnet_np.kernels.bands import BANDS

rates = st.sampled_from([0.0, 0.1, 0.5, 0.9])
keys = st.integers(0, 2**64 - 1)


@given(rates, keys)
def test_the_mask(rate, key):
    found = dropout.mask((3, 4, 5), rate, key)
    expected = naive.dropout_mask(60, rate, key).astype(np.float32)
    assert found.dtype == np.float32
    assert (found.reshape(-1) == expected).all()


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_as_many_are_dropped_as_asked_and_no_two_keys_drop_the_same(rate):
    masks = [dropout.mask((100_000,), rate, key) == 0 for key in range(4)]
    # Five standard deviations of a share of 100,000 draws are below 0.008.
    assert all(abs(one.mean() - rate) < 0.008 for one in masks)
    both = (masks[0] & masks[1]).mean()
    assert abs(both - rate**2) < 0.008


def test_the_way_back_takes_the_same_mask():
    x, d_out = normal(3, (2, 4, 4, 8), (2, 4, 4, 8))
    moved = dropout.reference(x + 1e-3 * d_out, 0.3, 7) - dropout.reference(x, 0.3, 7)
    assert np.allclose(moved, 1e-3 * dropout.backward(d_out, 0.3, 7), atol=1e-6)


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed: training needs it")
@given(batches, sides, sides, rates, keys, seeds)
def test_the_fused_kernels(n, height, width, rate, key, seed):
    z, g_out = normal(seed, (n, height, width, 8), (n, height, width, 8))
    norms = np.zeros((8, 8), np.float32)
    norms[normalize.SCALE], norms[normalize.SHIFT] = 2.0, 0.5
    norms[normalize.UPPER] = 6.0
    u = 2 * z + np.float32(0.5)
    settings = np.uint64(round(rate * 2**24)), np.float32(1 / (1 - rate)), np.uint64(key)
    out, g, sums = np.empty_like(z), np.empty_like(z), np.zeros((BANDS, 2, 8))
    scratch = np.zeros((BANDS, 1), np.float32)
    dropout.dropout_forward(z, norms, *settings, out, scratch, 0, BANDS)
    assert np.allclose(out, dropout.reference(np.clip(u, 0, 6), rate, key), atol=1e-6)
    dropout.dropout_backward(g_out, z, norms, *settings, g, sums, scratch, 0, BANDS)
    expected = dropout.backward(g_out, rate, key)
    assert (g == expected).all()
    inside = np.where((u > 0) & (u < 6), expected, 0)
    assert np.allclose(sums.sum(axis=0)[0], inside.sum(axis=(0, 1, 2)), atol=1e-4)
    assert np.allclose(sums.sum(axis=0)[1], (inside * z).sum(axis=(0, 1, 2)), atol=1e-4)
