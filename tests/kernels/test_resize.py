import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, normal, seeds, sides

from mmnet_np.kernels import jit, resize


def by_numba(x, out, at, mode="legacy"):
    rows = out.shape[0] * out.shape[1]
    tables = (
        *resize.coordinates(x.shape[1], out.shape[1], mode),
        *resize.coordinates(x.shape[2], out.shape[2], mode),
    )
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        resize.resize(x, *tables, out, at, start, stop)


IMPLEMENTATIONS = [
    resize.reference,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60)
@given(
    batches, sides, sides, sides, sides, st.sampled_from([1, 8, 17]),
    st.sampled_from(resize.MODES), st.integers(0, 2), seeds,
)  # fmt: skip
def test_against_naive(implementation, n, h, w, height, width, count, mode, at, seed):
    (x,) = normal(seed, (n, h, w, count))
    out = np.full((n, height, width, at + count + 1), np.float32(-123))
    implementation(x, out, at, mode)
    assert_same(out[..., at : at + count], naive.resize(x, height, width, mode), np.float32)
    assert (out[..., :at] == -123).all()
    assert (out[..., at + count :] == -123).all()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_doubling_copies_even_samples_and_averages_odd_ones(implementation):
    x = np.array([1.0, 3.0, 9.0], np.float32).reshape(1, 1, 3, 1)
    out = np.empty((1, 2, 6, 1), np.float32)
    implementation(x, out, 0)
    assert out[0, :, :, 0].tolist() == [[1, 2, 3, 6, 9, 9]] * 2


def test_align_corners_keeps_the_corners():
    lower, upper, fraction = resize.coordinates(600, 256, "align_corners")
    assert (lower[0], fraction[0]) == (0, 0)
    assert lower[-1] + fraction[-1] == 599
    assert upper.max() == 599


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"'cubic'.*legacy, align_corners, half_pixel"):
        resize.coordinates(4, 8, "cubic")
