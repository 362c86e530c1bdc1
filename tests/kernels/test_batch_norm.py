import naive
import numpy as np
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from shapes import channels, normal, seeds

from mmnet_np.kernels import batch_norm

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(channels, channels, seeds)
def test_folding_is_normalizing_after(depth, count, seed):
    x, weights, gamma, beta, mean, variance = normal(
        seed, (1, 2, 3, depth), (depth, count), *[(count,)] * 4, dtype=np.float64
    )
    variance = np.abs(variance)
    folded, bias = batch_norm.fold(weights, gamma, beta, mean, variance)
    zeros = np.zeros(count)
    plain = naive.pointwise(x, weights, zeros, -np.inf, np.inf)
    expected = naive.batch_norm(plain, gamma, beta, mean, variance, 1e-3)
    assert np.allclose(naive.pointwise(x, folded, bias, -np.inf, np.inf), expected, atol=1e-9)


def test_dtype_is_kept_and_rounded_once():
    weights, gamma, beta, mean, variance = normal(3, (3, 3, 8), *[(8,)] * 4)
    folded, bias = batch_norm.fold(weights, gamma, beta, mean, np.abs(variance))
    scale = gamma.astype(np.float64) / np.sqrt(np.abs(variance).astype(np.float64) + 1e-3)
    assert folded.dtype == bias.dtype == np.float32
    assert_same(folded, weights * scale)
    assert (folded == (weights * scale).astype(np.float32)).all()


@given(hnp.arrays(np.float32, (3, 5), elements=finite), hnp.arrays(np.float32, 5, elements=finite))
def test_unfolding_is_exact(weights, bias):
    weights[0, 0], weights[1, 0] = np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal
    folded = batch_norm.fold(weights, *batch_norm.unfold(bias))
    assert [part.tobytes() for part in folded] == [weights.tobytes(), bias.tobytes()]


def test_unfolding_is_exact_for_every_mantissa():
    """All 2**23 of one binade, around the powers of two at its ends."""
    weights = np.arange(0x3F800000 - 8, 0x40000000 + 8, dtype=np.uint32).view(np.float32)[:, None]
    folded, _ = batch_norm.fold(weights, *batch_norm.unfold(np.zeros(1, np.float32)))
    assert folded.tobytes() == weights.tobytes()
