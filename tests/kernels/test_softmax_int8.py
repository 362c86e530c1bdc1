import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, seeds, sides

from mmnet_np.kernels import jit, softmax_int8

# From where all outputs are 1/2 to where one step of the logits decides.
scales = st.floats(-25.5, 8).map(lambda exponent: float(np.float32(2.0**exponent)))
Q = np.arange(-128, 128)


def by_numba(x, pairs, out):
    rows = out.shape[0] * out.shape[1]
    softmax_int8.softmax_int8(x, pairs, out, 0, rows // 2)
    softmax_int8.softmax_int8(x, pairs, out, rows // 2, rows)


IMPLEMENTATIONS = [
    softmax_int8.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("scale", [0.003, 0.05, 0.1, 1 / 3, 2.0, 50.0])
def test_every_difference_of_logits_against_naive(scale):
    """511 pairs stand for all 65,536, as the next test says."""
    pairs = softmax_int8.table(scale)
    for difference in range(-255, 256):
        q0 = -128 if difference >= 0 else 127
        q1 = q0 + difference
        p0, p1 = naive.softmax((q0, q1), scale)
        assert (pairs[q1 + 128, q0 + 128], pairs[q0 + 128, q1 + 128]) == (p0, p1)


def test_every_bit_of_the_exponential_and_the_reciprocal():
    """All 31 bits: eight of them would forgive a wrong constant."""
    rng = np.random.default_rng(0)
    edges = [0, *(2**k + d for k in range(23, 32) for d in (-1, 0, 1) if 2**k + d < 2**31)]
    a = -np.array([*edges, *rng.integers(0, 2**31, 500), *rng.integers(0, 2**27, 500)])
    assert softmax_int8._exp(a).tolist() == [naive.exponential(one) for one in a.tolist()]
    totals = np.array([2**19, 2**19 + 1, 2**20 - 1, 2**20, *rng.integers(2**19, 2**20, 500)])
    found, drops = softmax_int8._reciprocal(totals)
    expected = [naive.reciprocal(total) for total in totals.tolist()]
    assert list(zip(found.tolist(), drops.tolist(), strict=True)) == expected


@settings(max_examples=20)
@given(scales)
def test_the_table_depends_on_the_difference_alone(scale):
    pairs = softmax_int8.table(scale)
    assert pairs.shape == (256, 256)
    assert pairs.dtype == np.int8
    difference = Q[np.newaxis, :] - Q[:, np.newaxis]  # q1 - q0
    by_difference = np.zeros(511, np.int8)
    by_difference[difference + 255] = pairs
    assert (by_difference[difference + 255] == pairs).all()


@settings(max_examples=20)
@given(scales)
def test_more_foreground_never_means_less_alpha(scale):
    pairs = softmax_int8.table(scale).astype(int)
    assert (np.diff(pairs, axis=1) >= 0).all()
    assert (np.diff(pairs, axis=0) <= 0).all()
    assert (np.diagonal(pairs) == 0).all()  # equal logits: 128 of 256


@settings(max_examples=20)
@given(st.floats(0.001, 1.0))
def test_the_real_softmax_rounded(scale):
    """And the two channels' add up to one, give or take their roundings."""
    pairs = softmax_int8.table(scale).astype(int)
    real = 256 / (1 + np.exp(np.float64(np.float32(scale)) * (Q[:, np.newaxis] - Q))) - 128
    assert np.abs(pairs - np.minimum(real, 127)).max() < 0.51
    assert np.abs(pairs + pairs.T).max() <= 1


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=25)
@given(batches, sides, sides, scales, seeds)
def test_look_up(implementation, n, height, width, scale, seed):
    x = np.random.default_rng(seed).integers(-128, 128, (n, height, width, 2)).astype(np.int8)
    out = np.empty_like(x)
    implementation(x, softmax_int8.table(scale), out)
    expected = [naive.softmax(pair, scale) for pair in x.reshape(-1, 2).tolist()]
    assert_same(out, np.array(expected, np.int8).reshape(x.shape), np.int8)


@pytest.mark.parametrize("scale", [0.0, 2.0**-26, -1.0, np.inf, np.nan])
def test_impossible_scales_are_refused(scale):
    with pytest.raises(ValueError, match="the logits' scale is"):
        softmax_int8.table(scale)
