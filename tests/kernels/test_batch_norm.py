import naive
import numpy as np
from compare import assert_same
from hypothesis import given
from shapes import channels, normal, seeds

from mmnet_np.kernels import batch_norm


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
