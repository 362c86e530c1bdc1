"""The metrics against plain loops, closed forms and their own symmetries."""

import math

import naive_metrics
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mmnet_np import metrics
from mmnet_np.errors import OptionError

NAMES = sorted(metrics.METRICS)
SHAPES = [(9, 9), (9, 14), (13, 10), (17, 21)]


def mattes(shape, seed=0, kind="smooth"):
    """A plausible pair: eight-bit values, flat parts, a soft edge, some disagreement."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.random(shape), rng.random(shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius = np.hypot(y - shape[0] / 2, x - shape[1] / 2)
    truth = np.clip(shape[0] / 3 - radius + 0.5, 0, 1)
    alpha = np.clip(truth + rng.normal(0, 0.2, shape), 0, 1)
    return np.round(alpha * 255) / 255, np.round(truth * 255) / 255


@pytest.mark.parametrize("kind", ["smooth", "noise"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_plain_loops(name, shape, kind):
    alpha, truth = mattes(shape, seed=sum(shape), kind=kind)
    expected = getattr(naive_metrics, name)(alpha.tolist(), truth.tolist())
    assert metrics.METRICS[name](alpha, truth) == pytest.approx(expected, rel=1e-10, abs=1e-15)
    assert expected > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (8, 3)])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "gradient_error"])
def test_images_smaller_than_the_filter(name, shape):
    alpha, truth = mattes(shape, kind="noise")
    expected = getattr(naive_metrics, name)(alpha.tolist(), truth.tolist())
    assert metrics.METRICS[name](alpha, truth) == pytest.approx(expected, rel=1e-10, abs=1e-15)


@pytest.mark.parametrize("shape", [(8, 100), (100, 8), (1, 1)])
def test_gradient_error_needs_room_for_its_filter(shape):
    with pytest.raises(OptionError, match=r"9 x 9"):
        metrics.gradient_error(np.zeros(shape), np.zeros(shape))


@pytest.mark.parametrize("name", NAMES)
def test_equal_mattes_have_no_error(name):
    alpha, _ = mattes((15, 12))
    assert metrics.METRICS[name](alpha, alpha) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_ours_and_truth_may_change_places(name):
    alpha, truth = mattes((15, 12), kind="noise")
    metric = metrics.METRICS[name]
    assert metric(alpha, truth) == pytest.approx(metric(truth, alpha), rel=1e-12)


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose])
@pytest.mark.parametrize("name", NAMES)
def test_mirrored_images_have_the_same_error(name, turn):
    alpha, truth = mattes((15, 12))
    metric = metrics.METRICS[name]
    assert metric(turn(alpha), turn(truth)) == pytest.approx(metric(alpha, truth), rel=1e-12)


def test_closed_forms_of_the_pixel_metrics():
    alpha, truth = np.full((40, 25), 0.25), np.ones((40, 25))
    assert metrics.mad(alpha, truth) == 0.75
    assert metrics.mse(alpha, truth) == 0.5625
    assert metrics.sad(alpha, truth) == 0.75


def test_gradient_error_of_a_ramp_is_its_slope():
    # The derivative of a Gaussian gives a ramp's slope times sum(x^2 g) / sigma^2, which the
    # cut at four pixels leaves a little below 1.
    x = np.arange(-4, 5)
    weight = np.exp(-(x**2) / (2 * 1.4**2))
    gain = np.sum(x**2 * weight) / np.sum(weight) / 1.4**2
    assert 0.95 < gain < 1
    ramp = np.tile(np.linspace(0, 1, 21), (12, 1))
    assert metrics.gradient_error(ramp, np.zeros_like(ramp)) == pytest.approx(gain / 20)
    # Along the diagonal both components are there at once: the length, not the sum.
    both = (ramp[:, :12] + ramp[:, :12].T) / 2
    expected = gain / 40 * math.sqrt(2)
    assert metrics.gradient_error(both, np.zeros_like(both)) == pytest.approx(expected)


def test_gradient_metrics_differ_in_kind():
    # Opposite slopes of equal length: a vector difference, no difference of lengths.
    ramp = np.tile(np.linspace(0, 1, 21), (12, 1))
    assert metrics.gradient_error(ramp, ramp[:, ::-1]) > 0.09
    assert metrics.alphamatting_gradient(ramp, ramp[:, ::-1]) == pytest.approx(0, abs=1e-20)


def test_gradient_error_equals_scipys_gaussian_derivative():
    alpha, truth = mattes((30, 40), kind="noise")
    parts = [
        ndimage.gaussian_filter(alpha - truth, 1.4, order=order, radius=4, mode="nearest")
        for order in ((0, 1), (1, 0))
    ]
    expected = np.mean(np.hypot(*parts)[4:-4, 4:-4])
    assert metrics.gradient_error(alpha, truth) == pytest.approx(expected, rel=1e-12)


def test_an_island_costs_connectivity():
    truth = np.zeros((20, 20))
    truth[2:12, 2:12] = 1
    alpha = truth.copy()
    alpha[15:18, 15:18] = 1  # nine pixels that hang on nothing, all their opacity lost
    assert metrics.connectivity_error(alpha, truth) == pytest.approx(0.009)
    alpha[15:18, 15:18] = 0.14  # below theta: not visible enough to matter
    assert metrics.connectivity_error(alpha, truth) == 0


def test_connectivity_without_any_common_pixel():
    truth, alpha = np.zeros((4, 4)), np.zeros((4, 4))
    truth[0, 0], alpha[3, 3] = 1, 1
    assert metrics.connectivity_error(alpha, truth) == pytest.approx(0.002)


def test_dtssd_equals_plain_loops():
    rng = np.random.default_rng(1)
    alphas, truths = rng.random((4, 5, 6)), rng.random((4, 5, 6))
    expected = naive_metrics.dtssd(alphas.tolist(), truths.tolist())
    assert metrics.dtssd(alphas, truths) == pytest.approx(expected)
    assert metrics.dtssd(iter(alphas), iter(truths)) == pytest.approx(expected)


def test_dtssd_sees_flicker_and_not_a_constant_error():
    truth = np.zeros((3, 4, 4))
    assert metrics.dtssd(truth + 0.5, truth) == 0
    flicker = truth.copy()
    flicker[1] = 1
    assert metrics.dtssd(flicker, truth) == 1


@pytest.mark.parametrize(
    ("alphas", "truths", "words"),
    [
        (np.zeros((1, 4, 4)), np.zeros((1, 4, 4)), "two frames"),
        (np.zeros((3, 4, 4)), np.zeros((2, 4, 4)), "as many"),
        ([np.zeros((4, 4)), np.zeros((5, 4))], [np.zeros((4, 4)), np.zeros((5, 4))], "differ"),
    ],
)
def test_dtssd_refuses_what_is_no_pair_of_videos(alphas, truths, words):
    with pytest.raises(OptionError, match=words):
        metrics.dtssd(alphas, truths)


@pytest.mark.parametrize(
    ("alpha", "truth", "words"),
    [
        (np.zeros((9, 9)), np.zeros((9, 10)), r"alpha is \(9, 9\), but truth is \(9, 10\)"),
        (np.zeros((9, 9, 1)), np.zeros((9, 9, 1)), r"\(H, W\)"),
        (np.zeros((0, 9)), np.zeros((0, 9)), "at least one pixel"),
        (np.full((9, 9), 255, np.uint8), np.zeros((9, 9)), r"\[0, 1\], not 255 to 255"),
        (np.zeros((9, 9)), np.full((9, 9), -0.5), r"truth lies in \[0, 1\]"),
        (np.full((9, 9), np.nan), np.zeros((9, 9)), r"not nan to nan"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_mattes_are_refused(name, alpha, truth, words):
    with pytest.raises(OptionError, match=words):
        metrics.METRICS[name](alpha, truth)


@pytest.mark.parametrize("name", NAMES)
def test_float32_counts_as_its_own_values_in_float64(name):
    alpha, truth = (matte.astype(np.float32) for matte in mattes((15, 12)))
    wide = metrics.METRICS[name](alpha.astype(np.float64), truth.astype(np.float64))
    assert metrics.METRICS[name](alpha, truth) == wide


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 2**32 - 1))
def test_connectivity_over_random_shapes(height, width, seed):
    rng = np.random.default_rng(seed)
    alpha, truth = rng.integers(0, 11, (2, height, width)) / 10  # values on the thresholds
    expected = naive_metrics.connectivity_error(alpha.tolist(), truth.tolist())
    assert metrics.connectivity_error(alpha, truth) == pytest.approx(expected, abs=1e-15)
