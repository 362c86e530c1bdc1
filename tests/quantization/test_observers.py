"""Observers: what a histogram keeps, which range each observer chooses, what a range becomes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.errors import WeightsError
from mmnet_np.quantization.observers import (
    OBSERVERS,
    Histogram,
    minmax,
    mse,
    of_range,
    percentile,
)

reals = st.floats(-1e6, 1e6, width=32)


def seen(*parts):
    histogram = Histogram()
    for part in parts:
        histogram.add(np.asarray(part, np.float32))
    return histogram


def squared_error(values, chosen):
    scale, zero_point = of_range(*chosen)
    q = np.clip(np.rint(values / float(scale)) + zero_point, -128, 127)
    return np.square((q - zero_point) * float(scale) - values).mean()


@given(reals, reals)
def test_a_range_is_held_to_half_a_step_and_zero_exactly(a, b):
    low, high = min(a, b, 0.0), max(a, b, 0.0)
    scale, zero_point = of_range(min(a, b), max(a, b))
    assert isinstance(scale, np.float32)
    assert scale > 0
    assert -128 <= zero_point <= 127  # so 0 is q = zero_point
    step = float(scale) * 0.5001
    assert (-128 - zero_point) * float(scale) <= low + step
    assert (127 - zero_point) * float(scale) >= high - step


def test_relu6():
    assert of_range(0.0, 6.0) == (np.float32(6 / 255), -128)


def test_a_layer_of_zeros_has_a_scale_that_softmax_can_use():
    assert of_range(0.0, 0.0).scale > 2.0**-26


@given(st.lists(st.lists(reals, min_size=1, max_size=5), min_size=1, max_size=5))
def test_every_value_is_counted_where_it_lies(parts):
    histogram, values = seen(*parts), np.float32([value for part in parts for value in part])
    assert (histogram.low, histogram.high) == (values.min(), values.max())
    assert histogram.counts.sum() == len(values)
    assert np.abs(values).max() <= histogram.limit
    half = histogram.centres()[1] - histogram.centres()[0]
    for centre in histogram.centres()[histogram.counts > 0]:
        assert np.abs(values - centre).min() <= half  # a value at an edge may count beside it


def test_order_does_not_matter():
    # Multiples of the last bin width: no value lies within rounding of an edge.
    parts = [np.arange(1, 4) * 2.0**k * 1.0001 for k in range(-8, 9, 4)]
    one, other = seen(*parts), seen(*reversed(parts))
    assert one.limit == other.limit
    assert np.array_equal(one.counts, other.counts)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_overflowing_network_is_said(bad):
    with pytest.raises(WeightsError, match="overflow"):
        seen([0.0, bad, 1.0])


@given(seeds)
def test_minmax_is_exact(seed):
    values = np.random.default_rng(seed).normal(3, 1, 50).astype(np.float32)
    assert minmax(seen(values[:20], values[20:])) == (values.min(), values.max())


@given(seeds, st.sampled_from([1e-4, 1e-3, 0.01, 0.1]))
def test_percentile_is_numpys_to_a_bin(seed, outliers):
    values = np.random.default_rng(seed).normal(0.5, 2, 20_000).astype(np.float32)
    histogram = seen(values)
    low, high = percentile(histogram, outliers)
    width = 2 * histogram.limit / len(histogram.counts)
    expected = np.quantile(values, [outliers, 1 - outliers], method="nearest")
    # In the tails neighbouring values are more than a bin apart: one value to either side.
    order = np.sort(values)
    for chosen, exact in zip((low, high), expected, strict=True):
        index = np.searchsorted(order, exact)
        nearby = order[max(index - 1, 0) : index + 2]
        assert np.abs(nearby - chosen).min() <= 1.001 * width
    assert values.min() <= low < high <= values.max()


def test_percentile_of_one_value():
    assert percentile(seen([2.5])) == (2.5, 2.5)


@given(seeds)
def test_mse_is_no_worse_than_the_others(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 5000), rng.normal(0, 1, 5) * 12]).astype(np.float32)
    histogram = seen(values)
    errors = {name: squared_error(values, choose(histogram)) for name, choose in OBSERVERS.items()}
    # It searches on a grid and knows values to a bin.
    assert errors["mse"] <= 1.1 * min(errors.values())


def test_mse_clips_what_is_rare_and_keeps_what_is_not():
    rng = np.random.default_rng(0)
    uniform = rng.uniform(-3, 5, 20_000).astype(np.float32)
    low, high = mse(seen(uniform))
    assert low < -2.9
    assert high > 4.9
    # To hold one value at r costs all N others steps of r / 255, hence N * r**2 / (12 * 255**2),
    # and to lose it r**2: from N = 780,300 on it is better lost.
    for count, kept in ((200_000, True), (3_000_000, False)):
        values = np.append(rng.normal(0, 1, count), 100).astype(np.float32)
        assert (mse(seen(values))[1] > 50) == kept


def test_mse_of_one_sided_values():
    low, high = mse(seen(np.linspace(1, 2, 1000)))
    assert low == 0
    assert math.isclose(high, 2, rel_tol=0.05)
