import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import into_slice
from shapes import batches, seeds, sides

from mmnet_np.kernels import jit, resize_int8
from mmnet_np.kernels.resize import MODES


def by_numba(x, mode, out, at):
    rows = out.shape[0] * out.shape[1]
    tables = (
        *resize_int8.coordinates(x.shape[1], out.shape[1], mode),
        *resize_int8.coordinates(x.shape[2], out.shape[2], mode),
    )
    for start, stop in ((0, rows // 2), (rows // 2, rows)):
        resize_int8.resize_int8(x, *tables, out, at, start, stop)


def by_numpy(x, mode, out, at):
    resize_int8.reference(x, out, at, mode)


IMPLEMENTATIONS = [
    by_numpy,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


def image(seed, *shape):
    """Values of all sizes, extremes among them."""
    rng = np.random.default_rng(seed)
    return rng.choice(np.array([-128, 127, *rng.integers(-128, 128, 6)], np.int8), shape)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60)
@given(
    batches, sides, sides, sides, sides, st.sampled_from([1, 8, 17]), st.sampled_from(MODES),
    st.integers(0, 2), seeds,
)  # fmt: skip
def test_against_naive(implementation, n, h, w, height, width, count, mode, at, seed):
    x = image(seed, n, h, w, count)
    expected = naive.resize(x, height, width, mode)
    actual = into_slice(implementation, (x, mode), expected.shape, at)
    assert_same(actual, expected, np.int8)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_doubling_rounds_halves_away_from_zero(implementation):
    x = np.array([1, 4, -3, -4], np.int8).reshape(1, 1, 4, 1)
    actual = into_slice(implementation, (x, "legacy"), (1, 2, 8, 1), 0)
    assert actual[0, :, :, 0].tolist() == [[1, 3, 4, 1, -3, -4, -4, -4]] * 2


@pytest.mark.parametrize("mode", MODES)
@given(st.integers(1, 300), st.integers(1, 300))
def test_coordinates_stay_inside(mode, size, out):
    lower, upper, fraction = resize_int8.coordinates(size, out, mode)
    assert (lower >= 0).all()
    assert (upper < size).all()
    assert ((upper - lower == 0) | (upper - lower == 1)).all()
    assert ((fraction >= 0) & (fraction < 1024)).all()


def test_the_last_sample_is_repeated_where_the_rounded_step_runs_past_it():
    x = np.array([[[[7]]]], np.int8)
    out = np.empty((1, 1, 2000, 1), np.int8)
    resize_int8.reference(x, out, 0)
    assert (out == 7).all()


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match=r"'cubic'.*legacy, align_corners, half_pixel"):
        resize_int8.coordinates(4, 8, "cubic")
