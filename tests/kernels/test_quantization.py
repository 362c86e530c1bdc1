import naive_int8 as naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import roundings
from shapes import batches, seeds, sides

from mmnet_np.kernels import jit, quantization
from mmnet_np.kernels.fixed_point import quantize_multiplier
from mmnet_np.kernels.output_stage import OutputStage

scales = st.floats(2.0**-20, 2.0**10, width=32)
zero_points = st.integers(-128, 127)
EVERY = np.arange(-128, 128).astype(np.int8).reshape(1, 4, 16, 4)
NUMBA = pytest.param(
    True, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
)


def in_bands(kernel, *arguments):
    """A kernel in two bands, as two threads would; the last argument is the output."""
    rows = arguments[-1].shape[0] * arguments[-1].shape[1]
    kernel(*arguments, 0, rows // 2)
    kernel(*arguments, rows // 2, rows)


def quantized(numba, x, scale, zero_point):
    out = np.empty(x.shape, np.int8)
    if numba:
        in_bands(quantization.quantize, x, np.float32(scale), zero_point, out)
    else:
        quantization.quantize_reference(x, scale, zero_point, out)
    return out


def dequantized(numba, x, scale, zero_point):
    out = np.empty(x.shape, np.float32)
    if numba:
        in_bands(quantization.dequantize, x, np.float32(scale), zero_point, out)
    else:
        quantization.dequantize_reference(x, scale, zero_point, out)
    return out


def stage_between(scale, to_scale, to_zero_point, rounding="double"):
    multiplier, shift = quantize_multiplier([np.float64(scale) / np.float64(to_scale)])
    return OutputStage(np.zeros(1, np.int32), multiplier, shift, to_zero_point, -128, 127, rounding)


def requantized(numba, x, zero_point, stage, out=None):
    out = np.empty(x.shape, np.int8) if out is None else out
    if numba:
        in_bands(quantization.requantize, x, zero_point, stage.table(), out)
    else:
        quantization.requantize_reference(x, zero_point, stage, out)
    return out


@pytest.mark.parametrize("numba", [False, NUMBA])
@settings(max_examples=60)
@given(batches, sides, sides, scales, zero_points, st.sampled_from([1.0, 100.0, 1e30]), seeds)
def test_quantize_against_naive(numba, n, height, width, scale, zero_point, spread, seed):
    """Values of all sizes, and the halves between two steps."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, scale * spread, (n, height, width, 3)).astype(np.float32)
    x[..., 1] = (np.round(x[..., 1] / np.float32(scale)) + np.float32(0.5)) * np.float32(scale)
    expected = [naive.quantize(v, scale, zero_point) for v in x.reshape(-1)]
    actual = quantized(numba, x, scale, zero_point)
    assert_same(actual, np.array(expected, np.int8).reshape(x.shape), np.int8)


@pytest.mark.parametrize("numba", [False, NUMBA])
def test_halves_go_away_from_zero_and_the_far_saturates(numba):
    x = np.array([0.5, -0.5, 1.5, -1.5, 0.49999997, 3e38, -3e38, np.inf, -np.inf], np.float32)
    q = quantized(numba, x.reshape(1, 1, 9, 1), 1.0, 10)
    assert q.reshape(-1).tolist() == [11, 9, 12, 8, 10, 127, -128, 127, -128]
    assert quantized(numba, np.full((1, 1, 1, 1), 3e38, np.float32), 1e-38, 0) == 127


@pytest.mark.parametrize("numba", [False, NUMBA])
def test_nan_is_an_error(numba):
    with pytest.raises(ValueError, match="NaN cannot be quantized"):
        quantized(numba, np.array([0, np.nan], np.float32).reshape(1, 1, 2, 1), 1.0, 0)


@pytest.mark.parametrize("numba", [False, NUMBA])
@given(scales, zero_points)
def test_dequantize_against_naive_and_back(numba, scale, zero_point):
    expected = [naive.dequantize(int(q), scale, zero_point) for q in EVERY.reshape(-1)]
    real = dequantized(numba, EVERY, scale, zero_point)
    assert real.dtype == np.float32
    assert real.reshape(-1).tolist() == expected
    assert_same(quantized(numba, real, scale, zero_point), EVERY)


@pytest.mark.parametrize("numba", [False, NUMBA])
def test_a_uint8_photo_over_255_is_that_photo_minus_128(numba):
    pixels = (EVERY.astype(np.int16) + 128).astype(np.float32)
    assert_same(quantized(numba, pixels / np.float32(255), 1 / 255, -128), EVERY)


@pytest.mark.parametrize("numba", [False, NUMBA])
@given(scales, zero_points, st.floats(-12, 12), zero_points, roundings)
def test_requantize_against_naive(numba, scale, zero_point, ratio, to_zero_point, rounding):
    """All 256 values; scales finer and coarser than the input's."""
    to_scale = float(np.float32(scale * 2.0**ratio))
    arguments = scale, zero_point, to_scale, to_zero_point, rounding
    expected = [naive.requantize(int(q), *arguments) for q in EVERY.reshape(-1)]
    stage = stage_between(scale, to_scale, to_zero_point, rounding)
    actual = requantized(numba, EVERY, zero_point, stage)
    assert actual.reshape(-1).tolist() == expected


@pytest.mark.parametrize("numba", [False, NUMBA])
def test_requantize_works_in_place_on_channels_of_a_buffer(numba):
    stage = stage_between(0.5, 0.25, 3)
    buffer = np.random.default_rng(0).integers(-128, 128, (2, 3, 5, 9)).astype(np.int8)
    before = buffer.copy()
    part = buffer[..., 2:6]
    expected = requantized(False, part.copy(), -4, stage)
    requantized(numba, part, -4, stage, part)
    assert_same(part, expected)
    before[..., 2:6] = expected
    assert_same(buffer, before)


@given(scales, zero_points)
def test_activation_range(scale, zero_point):
    assert quantization.activation_range(scale, zero_point, False) == (-128, 127)
    lower, upper = quantization.activation_range(scale, zero_point, True)
    assert lower == zero_point
    assert upper == naive.quantize(6.0, scale, zero_point)
    six = np.float32(6 / 255)
    assert quantization.activation_range(six, -128, True) == (-128, 127)
