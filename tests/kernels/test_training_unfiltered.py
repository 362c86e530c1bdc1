"""Reading and resizing in quantization-aware training, against the int8 kernels' definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import seeds, sides

from mmnet_np.kernels import jit, normalize, resize, resize_int8, training_unfiltered
from mmnet_np.kernels.bands import BANDS
from mmnet_np.kernels.output_stage import OutputStage

pytestmark = pytest.mark.skipif(
    not jit.has_numba(), reason="Numba is not installed: training needs it"
)


def norms_of(stage):
    """A stage's integers as rows of norms; real factors are of no use to what is tested."""
    norms = np.zeros((normalize.QUANTIZED_ROWS, len(stage.bias)), np.float32)
    normalize.set_integers(norms, stage)
    return norms


def read(z, norms, channels, scale=1.0):
    out = np.zeros((*z.shape[:3], channels), np.float32)
    scratch = np.zeros((BANDS, 96 * z.shape[3]), np.float32)
    for first, last in ((0, 3), (3, BANDS)):  # two shares, as two threads would
        training_unfiltered.read(z, norms, np.float32(scale), out, scratch, first, last)
    return out


@settings(max_examples=60)
@given(st.integers(1, 9), sides, sides, st.sampled_from([8, 16, 40]), st.integers(-8, 24), seeds)
def test_reading_is_requantizing(n, height, width, channels, size, seed):
    """Sums up to 2**24 in magnitude, multipliers of all exponents that a layer may have."""
    rng = np.random.default_rng(seed)
    largest = 2 ** abs(size)
    z = rng.integers(-largest, largest + 1, (n, height, width, channels))
    bias = rng.integers(-(2**30), 2**30, channels) if size < 0 else rng.integers(-99, 99, channels)
    zero_point = int(rng.choice([-128, 127, rng.integers(-128, 128)]))
    lower, upper = sorted(rng.choice([-128, 127, zero_point], 2, replace=False).tolist())
    stage = OutputStage(
        bias.astype(np.int32),
        rng.integers(2**30, 2**31, channels).astype(np.int32),
        rng.integers(-31, 8, channels).astype(np.int32),
        zero_point, lower, upper,
    )  # fmt: skip
    expected = stage.apply(z).astype(np.float32) - zero_point
    ours = read(z.astype(np.float32), norms_of(stage), channels)
    assert np.array_equal(ours, expected)


def test_reading_scales_the_first_channels_only():
    z = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8)
    one = OutputStage(*np.array([[0] * 8, [2**30] * 8, [1] * 8], np.int32), 0, -128, 127)
    assert read(z, norms_of(one), 2, 0.5).tolist() == [[[[0.0, 0.5]]]]


@given(st.integers(1, 9), sides, sides, st.sampled_from([-128, -3, 0, 127]), seeds)
def test_resizing_rounds_as_int8(n, height, width, zero_point, seed):
    q = np.random.default_rng(seed).integers(-128, 128, (n, height, width, 8)).astype(np.int8)
    expected = np.empty((n, 2 * height, 2 * width, 8), np.int8)
    resize_int8.reference(q, expected, 0)
    neutral = OutputStage(*np.array([[0] * 8, [2**30] * 8, [1] * 8], np.int32), 0, -512, 512)
    out = np.full((n, 2 * height, 2 * width, 24), 7.5, np.float32)
    tables = [resize.coordinates(side, 2 * side) for side in (height, width)]
    training_unfiltered.resize_forward(
        q.astype(np.float32) - zero_point, norms_of(neutral), *tables[0], *tables[1], 1,
        np.float32(zero_point), out, 8, np.zeros((BANDS, height * width * 8), np.float32), 0,
        BANDS,
    )  # fmt: skip
    assert np.array_equal(out[..., 8:16], expected.astype(np.float32) - zero_point)
    assert (out[..., :8] == 7.5).all()
    assert (out[..., 16:] == 7.5).all()
