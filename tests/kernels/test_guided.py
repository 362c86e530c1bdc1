import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.kernels import guided, jit
from mmnet_np.kernels.resize import coordinates

sides = st.integers(1, 7)
radii = st.integers(1, 3)


def by_reference(guide, alpha, radius, epsilon):
    fitted, out = (np.empty((*alpha.shape, 4), np.float32) for _ in range(2))
    guided.fit_reference(guide, alpha, radius, epsilon, fitted)
    guided.smooth_reference(fitted, radius, out)
    return out


def by_numba(guide, alpha, radius, epsilon):
    fitted, out = (np.full((*alpha.shape, 4), np.float32(np.nan)) for _ in range(2))
    height = len(alpha)
    for start, stop in ((0, height // 2), (height // 2, height)):
        guided.fit(guide, alpha, radius, np.float32(epsilon), fitted, start, stop)
    for start, stop in ((0, height // 2), (height // 2, height)):
        guided.smooth(fitted, radius, out, start, stop)
    return out


def applied_by_reference(fields, photo, first):
    out = np.empty(photo[first:].shape[:2], np.float32)
    guided.apply_reference(fields, photo[first:], len(photo), first, out)
    return out


def applied_by_numba(fields, photo, first):
    out = np.full(photo[first:].shape[:2], np.float32(np.nan))
    y = coordinates(fields.shape[0], photo.shape[0], "align_corners")
    x = coordinates(fields.shape[1], photo.shape[1], "align_corners")
    guided.apply(fields, photo[first:].copy(), *y, *x, first, out, 0, len(out))
    return out


needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
FIELDS = [by_reference, pytest.param(by_numba, marks=needs_numba)]
APPLIED = [applied_by_reference, pytest.param(applied_by_numba, marks=needs_numba)]


def case(seed, height, width):
    rng = np.random.default_rng(seed)
    return rng.random((height, width, 3), np.float32), rng.random((height, width), np.float32)


@pytest.mark.parametrize("fields", FIELDS)
@settings(max_examples=25)
@given(sides, sides, radii, st.sampled_from([1e-2, 1.0]), seeds)
def test_fields(fields, height, width, radius, epsilon, seed):
    guide, alpha = case(seed, height, width)
    expected = naive.guided_fields(guide, alpha, radius, epsilon)
    found = fields(guide, alpha, radius, epsilon)
    # Variances are differences of float32 means, which dividing by epsilon magnifies.
    assert np.abs(found - expected).max() < 1e-5 / epsilon


@pytest.mark.parametrize("applied", APPLIED)
@settings(max_examples=25)
@given(sides, sides, st.integers(1, 20), st.integers(1, 20), st.integers(0, 5), seeds)
def test_apply(applied, h, w, height, width, first, seed):
    rng = np.random.default_rng(seed)
    fields = rng.standard_normal((h, w, 4)).astype(np.float32)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    first = min(first, height - 1)
    found = applied(fields, photo, first)
    assert_same(found, naive.guided_alpha(fields, photo)[first:], np.float32)


@pytest.mark.parametrize("fields", FIELDS)
def test_alpha_that_is_linear_in_colour_comes_back(fields):
    guide, _ = case(1, 20, 30)
    alpha = guide @ np.array([0.2, 0.5, 0.1], np.float32) + np.float32(0.1)
    found = fields(guide, alpha, 2, 1e-6)
    assert np.abs(found - np.array([0.2, 0.5, 0.1, 0.1])).max() < 2e-3


@pytest.mark.parametrize("fields", FIELDS)
def test_a_flat_guide_gives_the_smoothed_alpha(fields):
    _, alpha = case(2, 12, 9)
    found = fields(np.full((12, 9, 3), np.float32(0.5)), alpha, 1, 1e-3)
    assert np.abs(found[..., :3]).max() < 1e-3
    means = naive.guided_fields(np.zeros((12, 9, 3)), alpha, 1, 1e-3)[..., 3]
    assert np.abs(found @ np.array([0.5, 0.5, 0.5, 1]) - means).max() < 1e-5
