import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.kernels import foreground, jit

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


def by_numba(photo, alpha, old, new):
    height = len(alpha)
    for start, stop in ((0, height // 2), (height // 2, height)):
        foreground.sweep(photo, alpha, old, new, start, stop)


SWEEPS = [foreground.sweep_reference, pytest.param(by_numba, marks=needs_numba)]
sides = st.integers(1, 7)


@pytest.mark.parametrize("sweep", SWEEPS)
@given(sides, sides, seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_a_sweep(sweep, height, width, seed, flat):
    rng = np.random.default_rng(seed)
    photo = rng.random((height, width, 3), np.float32)
    alpha = rng.random((height, width), np.float32)
    alpha[rng.random((height, width)) < 0.5] = flat
    old = rng.random((2, height, width, 3), np.float32)
    new = np.full_like(old, np.nan)
    sweep(photo, alpha, old, new)
    expected = naive.foreground_sweep(photo, alpha, old, foreground.SMOOTHNESS)
    assert_same(new, expected, np.float32)
    assert 0 <= new.min() <= new.max() <= 1


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (64, 48), (33, 90)])
def test_two_plain_colours_come_apart(sweep, size):
    """A soft edge between orange and blue."""
    height, width = size
    ramp = np.clip(np.linspace(-1, 2, width, dtype=np.float32), 0, 1)
    alpha = np.tile(ramp, (height, 1))
    orange, blue = np.float32([0.9, 0.5, 0.1]), np.float32([0.1, 0.2, 0.8])
    photo = alpha[..., None] * orange + (1 - alpha[..., None]) * blue
    front, back = foreground.estimate(photo, alpha, sweep)
    assert front.shape == back.shape == (height, width, 3)
    if width > 1:
        seen = alpha > 0.2
        assert np.abs(front[seen] - orange).max() < 0.08
        assert np.abs(back[alpha < 0.8] - blue).max() < 0.08


@needs_numba
@given(st.integers(1, 80), st.integers(1, 80), seeds)
def test_both_estimates_agree(height, width, seed):
    rng = np.random.default_rng(seed)
    photo = rng.random((height, width, 3), np.float32)
    alpha = rng.random((height, width), np.float32)
    ours = foreground.estimate(photo, alpha, by_numba)
    for one, other in zip(ours, foreground.estimate(photo, alpha), strict=True):
        assert_same(one, other, np.float32)


def test_against_pymatting():
    """Another implementation of the same paper, on a photo made of known colours."""
    pymatting = pytest.importorskip("pymatting", reason="PyMatting is not installed: no oracle")
    y, x = np.indices((90, 120)) / 90.0
    alpha = np.clip((0.4 - np.hypot(y - 0.5, x - 0.66)) * 12, 0, 1).astype(np.float32)
    front = np.stack([0.6 + 0.3 * y, 0.4 + 0.2 * x, 0.3 + 0 * x], -1)
    back = np.stack([0.1 + 0.2 * x, 0.2 + 0 * x, 0.5 + 0.4 * y], -1)
    photo = alpha[..., None] * front + (1 - alpha[..., None]) * back
    edge = (alpha > 0.05) & (alpha < 0.95)

    def error(estimate):
        return (np.abs(estimate - front).mean(-1) * alpha)[edge].mean()

    theirs = pymatting.estimate_foreground_ml(photo, alpha.astype(np.float64))
    ours, _ = foreground.estimate(photo.astype(np.float32), alpha)
    assert error(ours) < 1.2 * error(theirs)
    assert error(ours) < 0.2 * error(photo)


def shifted_by_numba(difference, factor, alpha, first, rows):
    half = len(rows) // 2
    for start, stop in ((0, half), (half, len(rows))):
        foreground.shift(difference, factor, alpha, first, rows, start, stop)


SHIFTS = [foreground.shift_reference, pytest.param(shifted_by_numba, marks=needs_numba)]


@pytest.mark.parametrize("shift", SHIFTS)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9), seeds)
def test_rows_become_foreground(shift, height, width, factor, first, seed):
    """Any rows of a photo that is up to a cell smaller than the estimate's cells cover."""
    rng = np.random.default_rng(seed)
    difference = rng.uniform(-1, 1, (height, width, 3)).astype(np.float32)
    size = rng.integers(1, 6), max(1, width * factor - int(rng.integers(factor)))
    alpha = rng.choice(np.arange(256, dtype=np.uint8), size)
    alpha[rng.random(size) < 0.5] = rng.choice([0, 255])
    rows = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    before = rows.copy()
    shift(difference, factor, alpha, first, rows)
    expected = naive.foreground_shift(difference, factor, alpha, first, before)
    assert np.abs(rows - expected).max() <= 0.5 + 1e-4
    whole = (alpha == 0) | (alpha == 255)
    assert (rows[whole] == before[whole]).all()
