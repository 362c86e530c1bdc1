"""The builder of TensorFlow Lite models, where it is quantized: against integers by hand."""

import math

import litert
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from litert import Quantization
from shapes import batches, seeds, sides


def multiplier(real):
    """``real = mantissa * 2**(exponent - 31)`` with a mantissa of 31 bits."""
    fraction, exponent = math.frexp(real)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    return (mantissa // 2, exponent + 1) if mantissa == 2**31 else (mantissa, exponent)


def requantize(value, mantissa, exponent):
    """``value * mantissa * 2**(exponent - 31)``, rounded twice as gemmlowp does."""
    product = (value << max(exponent, 0)) * mantissa
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    high = nudged // 2**31 if nudged >= 0 else -(-nudged // 2**31)  # towards zero
    drop = max(-exponent, 0)
    rest, half = high & ((1 << drop) - 1), ((1 << drop) - 1) >> 1
    return (high >> drop) + (rest > half + (high < 0))


def pointwise(x, filters, bias, x_quantization, scales, out_quantization, relu6):
    """Int8 x (N, H, W, I), filters (O, 1, 1, I), int32 bias (O,): plain integer loops."""
    x_scale, x_zero = np.float32(x_quantization.scale), x_quantization.zero_point
    out_scale, out_zero = np.float32(out_quantization.scale), out_quantization.zero_point
    lower, upper = -128, 127
    if relu6:
        six = math.floor(float(np.float32(6) / out_scale) + 0.5)
        lower, upper = max(lower, out_zero), min(upper, out_zero + six)
    out = np.empty((*x.shape[:3], len(bias)), np.int8)
    for *pixel, channel in np.ndindex(out.shape):
        total = int(bias[channel])
        for weight, value in zip(filters[channel, 0, 0], x[tuple(pixel)], strict=True):
            total += int(weight) * (int(value) - x_zero)
        real = float(x_scale) * float(scales[channel]) / float(out_scale)
        value = requantize(total, *multiplier(real)) + out_zero
        out[(*pixel, channel)] = max(lower, min(upper, value))
    return out


zero_points = st.integers(-128, 127)


@settings(max_examples=40)
@given(
    batches, sides, sides, st.sampled_from([1, 3, 24]), st.sampled_from([1, 2, 9]),
    zero_points, zero_points, st.booleans(), seeds,
)  # fmt: skip
def test_int8_pointwise(n, height, width, depth, count, x_zero, out_zero, relu6, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (n, height, width, depth)).astype(np.int8)
    filters = rng.integers(-127, 128, (count, 1, 1, depth)).astype(np.int8)
    bias = rng.integers(-(2**13), 2**13, count).astype(np.int32)
    scales = (2 ** rng.uniform(-10, -4, count)).astype(np.float32)
    x_quantization = Quantization(2 ** rng.uniform(-7, -4), x_zero)
    out_quantization = Quantization(2 ** rng.uniform(-7, 0), out_zero)

    model = litert.Model()
    out = model.conv_2d(
        model.input(x.shape, np.int8, x_quantization),
        model.constant(filters, Quantization(scales)),
        model.constant(bias, Quantization(scales * np.float32(x_quantization.scale))),
        activation="relu6" if relu6 else "none",
        quantization=out_quantization,
    )
    (actual,) = litert.run(model.build([out]), [x])

    expected = pointwise(x, filters, bias, x_quantization, scales, out_quantization, relu6)
    assert actual.dtype == np.int8
    assert actual.tolist() == expected.tolist()


def test_the_other_operators_in_int8():
    """One small network whose every tensor can be worked out by hand."""
    quarter = Quantization(0.25, -10)
    model = litert.Model()
    x = model.input((1, 1, 2, 2))
    fine = model.quantize(x, quarter)
    coarse = model.quantize(fine, Quantization(1.0))
    joined = model.concatenation([fine, fine])
    filters = np.zeros((1, 3, 3, 4), np.int8)
    filters[0, 1, 1] = [1, 2, 3, 4]  # only the centre tap
    depthwise = model.conv_2d(
        joined,
        model.constant(filters, Quantization([1.0, 1.0, 1.0, 0.5], axis=3)),
        model.constant(np.array([0, 0, 0, 5], np.int32)),
        depthwise=True,
        quantization=quarter,
    )
    resized = model.resize_bilinear(fine, (1, 4))
    alpha = model.softmax(fine)
    back = model.dequantize(fine)
    results = litert.run(
        model.build([fine, coarse, joined, depthwise, resized, alpha, back]),
        [np.array([0.125, -0.125, 100.0, 5.0], np.float32).reshape(1, 1, 2, 2)],
    )
    assert [result.reshape(-1).tolist() for result in results] == [
        [-9, -11, 127, 10],  # ties away from zero; 390 is too large
        [1, 0, 35, 5],  # 1 / 4 and 137 / 4: rounded at the half, then at the whole
        [-9, -11, -9, -11, 127, 10, 127, 10],
        [-9, -12, -7, -9, 127, 30, 127, 33],  # last channel: (4 * (q + 10) + 5) / 2 - 10
        [-9, -11, 59, -1, 127, 10, 127, 10],  # half way: 59 and -0.5
        [31, -31, 127, -128],  # 1 / (1 + exp(-0.5)) is 159.35 / 256
        [0.25, -0.25, 34.25, 5.0],
    ]


def test_a_float_network_gives_its_intermediates_in_the_order_asked():
    model = litert.Model()
    first, second = model.input((1, 1, 1, 1)), model.input((1, 1, 1, 2))
    joined = model.concatenation([second, first])
    zero = model.constant(np.zeros(2, np.float32))
    identity = model.constant(np.eye(2, 3, dtype=np.float32).reshape(2, 1, 1, 3))
    clipped = model.conv_2d(joined, identity, zero, activation="relu6")
    arrays = [np.full((1, 1, 1, 1), 3, np.float32), np.array([[[[-1, 9]]]], np.float32)]
    for reference in (True, False):
        results = litert.run(model.build([clipped, joined]), arrays, reference=reference)
        assert [result.reshape(-1).tolist() for result in results] == [[0, 6], [-1, 9, 3]]


def test_a_dtype_that_no_kernel_takes_is_named():
    with pytest.raises(ValueError, match="float64; it must be one of float32, int8, int32"):
        litert.Model().constant(np.zeros(3))
