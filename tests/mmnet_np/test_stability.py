"""A steady matte: still edges do not flicker, moving ones do not lag."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmnet_np.kernels import jit
from mmnet_np.metrics import dtssd, mad
from mmnet_np.stability import KEPT, MOVING, REACH, STILL, Stabilizer

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
HEIGHT, WIDTH = 48, 64


def scene(centre=32.0, contrast=0.5):
    """A photo of a soft disc before a gradient, and its alpha."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    alpha = np.clip(14 - np.hypot(x - centre, y - 24) + 0.5, 0, 1)
    back = np.stack([x / WIDTH, y / HEIGHT, 0.3 + 0 * x], axis=2) * 0.3
    return np.float32(back + contrast * alpha[..., None]), alpha.astype(np.float32)


def trembling(count, noise=0.005, tremble=0.1, seed=0):
    """The same scene over and over, with noise in the photo and in the network's alpha."""
    rng = np.random.default_rng(seed)
    photo, truth = scene()
    for _ in range(count):
        seen = photo + rng.normal(0, noise, photo.shape).astype(np.float32)
        edge = np.float32(4 * truth * (1 - truth))
        alpha = truth + edge * rng.normal(0, tremble, truth.shape).astype(np.float32)
        yield np.clip(seen, 0, 1), np.clip(alpha, 0, 1), truth


def test_still_edges_do_not_flicker():
    """With the noise of an indoor camera reduced to the network's size."""
    steady = Stabilizer()
    before, after, truths = [], [], []
    for photo, alpha, truth in trembling(40):
        before.append(alpha)
        after.append(steady(photo, alpha))
        truths.append(truth)
    assert dtssd(after, truths) < 0.2 * dtssd(before, truths)
    assert mad(after[-1], truths[-1]) < 0.5 * mad(before[-1], truths[-1])


def test_moving_edges_do_not_lag():
    """Not even by the hundredth part of a frame, and not at their neighbours either."""
    steady = Stabilizer()
    for step in range(20):
        photo, alpha = scene(20 + step)
        out = steady(photo, alpha)
        assert np.abs(out - alpha).max() < 0.01


def test_an_edge_of_like_colours_moves_with_its_neighbours():
    """Where person and background differ by 5 of 255 in places, the contrast around decides."""
    steady = Stabilizer()
    for step in range(10):
        photo, alpha = scene(20 + step)
        photo[20:24] = photo[20:24] * 0.02 + 0.4
        out = steady(photo, alpha)
        assert np.abs(out - alpha).max() < 0.01


def test_what_stands_still_beside_a_motion_is_still_steady():
    """A hand moves on the left; alpha on the right is averaged on."""
    rng = np.random.default_rng(0)
    steady = Stabilizer()
    photo, _ = scene()
    right = []
    for step in range(30):
        moving = photo.copy()
        moving[:, :20] = (step % 5) / 5
        alpha = np.full((HEIGHT, WIDTH), 0.5, np.float32)
        alpha += rng.normal(0, 0.05, alpha.shape).astype(np.float32)
        out = steady(moving, alpha)
        assert (out[:, :16] == alpha[:, :16]).all()
        right.append(out[:, 32:].std())
    assert right[-1] < 0.4 * right[0]


def test_a_cut_is_a_fresh_start():
    steady = Stabilizer()
    for photo, alpha, _ in trembling(5):
        steady(photo, alpha)
    photo = np.ones((HEIGHT, WIDTH, 3), np.float32)
    alpha = np.random.default_rng(1).random((HEIGHT, WIDTH), np.float32)
    assert (steady(photo, alpha) == alpha).all()


def test_a_drift_too_slow_for_two_frames_is_seen():
    """A person leaves by a tenth of a pixel a frame: alpha is never far behind."""
    steady, worst = Stabilizer(), 0.0
    for step in range(100):
        photo, alpha = scene(20 + step / 10)
        worst = max(worst, float(np.abs(steady(photo, alpha) - alpha).mean()))
    lag_of_a_plain_average = KEPT / (1 - KEPT) / 10  # pixels
    per_pixel = np.abs(scene(21)[1] - scene(20)[1]).mean()
    assert worst < 0.25 * lag_of_a_plain_average * per_pixel


def test_the_first_frame_is_as_it_is():
    photo, alpha = scene()
    assert (Stabilizer()(photo, alpha) == alpha).all()


def test_the_equations():
    """One step by hand: no motion, motion, and half of it, far enough apart."""
    steady = Stabilizer()
    photo = np.full((20, 90, 3), 0.5, np.float32)
    steady(photo, np.zeros((20, 90), np.float32))
    change = np.zeros_like(photo)
    change[:, 40:50, 1] = -MOVING
    change[:, 70:80, 2] = (STILL + MOVING) / 2
    out = steady(photo + change, np.ones((20, 90), np.float32))
    assert out[10, 10] == pytest.approx(1 - KEPT)
    assert out[10, 45] == pytest.approx(1)
    assert out[10, 75] == pytest.approx(1 - KEPT / 2, abs=1e-4)
    # The window's mean falls off over two pixels, and the neighbourhood reaches three further.
    assert out[10, 40 - REACH + 2] == pytest.approx(1)
    assert out[10, 40 - 2 - REACH - 1] == pytest.approx(1 - KEPT)


def test_what_was_given_is_not_changed_later():
    """The pipeline enlarges a frame's alpha while the next ones are made steady."""
    steady = Stabilizer()
    given = list(trembling(4))
    copies = [(photo.copy(), alpha.copy()) for photo, alpha, _ in given]
    outs, kept = [], []
    for photo, alpha, _ in given:
        outs.append(steady(photo, alpha))
        kept.append(outs[-1].copy())
    assert all((out == copy).all() for out, copy in zip(outs, kept, strict=True))
    for (photo, alpha, _), (first, second) in zip(given, copies, strict=True):
        assert (photo == first).all()
        assert (alpha == second).all()


@needs_numba
def test_numba_agrees_with_numpy():
    plain, fast = Stabilizer(), Stabilizer()
    for photo, alpha, _ in trembling(6):
        photo = np.ascontiguousarray(photo, np.float32)
        a, b = plain(photo, alpha), fast(photo, alpha, numba=True)
        assert np.abs(a - b).max() < 1e-5


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_any_size_stays_between_the_old_and_the_new(height, width, seed):
    rng = np.random.default_rng(seed)
    steady = Stabilizer()
    last = None
    for _ in range(3):
        alpha = rng.random((height, width), np.float32)
        out = steady(rng.random((height, width, 3), np.float32), alpha)
        assert out.shape == alpha.shape
        assert out.dtype == np.float32
        if last is not None:
            assert (out >= np.minimum(last, alpha) - 1e-6).all()
            assert (out <= np.maximum(last, alpha) + 1e-6).all()
        last = out
