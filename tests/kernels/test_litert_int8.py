"""The int8 kernels, NumPy and Numba, against TensorFlow Lite's reference kernels: no value differs.

Each test draws a few configurations; ``-m slow`` draws a thousand of each, and makes the whole
softmax table at 50 scales::

    python -m pytest tests/kernels/test_litert_int8.py -m slow
"""

import litert
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_layers import into_slice, random_layer
from litert import Quantization
from shapes import batches, channels, seeds, sides
from test_convolution_int8 import IMPLEMENTATIONS as CONVOLUTIONS
from test_depthwise_int8 import IMPLEMENTATIONS as DEPTHWISES
from test_pointwise_int8 import IMPLEMENTATIONS as POINTWISES
from test_quantization import NUMBA, dequantized, quantized, requantized, stage_between
from test_resize_int8 import IMPLEMENTATIONS as RESIZES
from test_resize_int8 import image
from test_softmax_int8 import IMPLEMENTATIONS as SOFTMAXES
from test_softmax_int8 import scales as logit_scales

from mmnet_np.kernels import softmax_int8
from mmnet_np.kernels.resize import MODES

FEW, THOUSAND = settings(max_examples=20), settings(max_examples=1000)
efforts = pytest.mark.parametrize(
    "effort", [FEW, pytest.param(THOUSAND, marks=pytest.mark.slow)], ids=["few", "thousand"]
)
zero_points = st.integers(-128, 127)
scales = st.floats(2.0**-20, 2.0**10, width=32)
lengths = st.integers(1, 40)  # long enough for odd ratios to round


def convolved(layer, stride=1, dilation=1, depthwise=False):
    """One convolution by LiteRT; a (I, O) filter is a 1x1 one."""
    weights = layer.weights
    if weights.ndim == 2:
        weights = weights[np.newaxis, np.newaxis]
    filters = weights[np.newaxis] if depthwise else weights.transpose(3, 0, 1, 2)
    model = litert.Model()
    x = model.input(layer.x.shape, np.int8, Quantization(layer.scale, layer.zero_point))
    out = model.conv_2d(
        x,
        model.constant(filters, Quantization(layer.weights_scale, axis=3 if depthwise else 0)),
        model.constant(layer.bias, Quantization(layer.weights_scale * layer.scale)),
        depthwise=depthwise,
        stride=stride,
        dilation=dilation,
        activation="relu6" if layer.relu6 else "none",
        quantization=Quantization(layer.out_scale, layer.out_zero_point),
    )
    (result,) = litert.run(model.build([out]), [layer.x])
    return result


def all_same(implementations, layer, geometry, expected, at):
    """Hold the implementations of a convolution against LiteRT's result."""
    arguments = (layer.x, layer.zero_point, layer.weights, layer.stage(), *geometry)
    for implementation in bare(implementations):
        assert_same(into_slice(implementation, arguments, expected.shape, at), expected, np.int8)


def bare(implementations):
    """The functions of a parametrization, Numba's only where Numba is."""
    for one in implementations:
        if not hasattr(one, "values"):
            yield one
        elif not any(mark.args[0] for mark in one.marks):  # skipif
            yield one.values[0]


NUMBAS = list(bare([False, NUMBA]))


@efforts
def test_pointwise(effort):
    @effort
    @given(
        batches, sides, sides, channels, channels, st.booleans(), st.booleans(),
        st.integers(0, 3), seeds,
    )  # fmt: skip
    def check(n, height, width, depth, count, relu6, extreme, at, seed):
        layer = random_layer(seed, (n, height, width, depth), (depth, count), relu6, extreme)
        all_same(POINTWISES, layer, (), convolved(layer), at)

    check()


@efforts
def test_convolution(effort):
    @effort
    @given(
        batches, sides, sides, st.sampled_from([1, 3]), st.sampled_from([2, 8, 24]), st.booleans(),
        st.booleans(), st.sampled_from([1, 2]), st.integers(0, 3), seeds,
    )  # fmt: skip
    def check(n, height, width, depth, count, relu6, extreme, stride, at, seed):
        layer = random_layer(seed, (n, height, width, depth), (3, 3, depth, count), relu6, extreme)
        all_same(CONVOLUTIONS, layer, (stride,), convolved(layer, stride), at)

    check()


@efforts
def test_depthwise(effort):
    @effort
    @given(
        batches, sides, sides, channels, st.booleans(), st.booleans(),
        st.sampled_from([(1, 1), (2, 1), (1, 2), (1, 4), (1, 8)]), st.integers(0, 3), seeds,
    )  # fmt: skip
    def check(n, height, width, count, relu6, extreme, geometry, at, seed):
        layer = random_layer(seed, (n, height, width, count), (3, 3, count), relu6, extreme)
        all_same(DEPTHWISES, layer, geometry, convolved(layer, *geometry, depthwise=True), at)

    check()


@efforts
@pytest.mark.parametrize("mode", MODES)
def test_resize(effort, mode):
    @effort
    @given(
        batches, lengths, lengths, lengths, lengths, st.sampled_from([1, 8, 17]), zero_points,
        st.integers(0, 2), seeds,
    )  # fmt: skip
    def check(n, h, w, height, width, count, zero_point, at, seed):
        x = image(seed, n, h, w, count)
        model = litert.Model()
        out = model.resize_bilinear(
            model.input(x.shape, np.int8, Quantization(0.1, zero_point)), (height, width),
            align_corners=mode == "align_corners", half_pixel_centers=mode == "half_pixel",
        )  # fmt: skip
        (expected,) = litert.run(model.build([out]), [x])
        for implementation in bare(RESIZES):
            actual = into_slice(implementation, (x, mode), expected.shape, at)
            assert_same(actual, expected, np.int8)

    check()


@efforts
def test_concat_of_an_equal_and_a_requantized_input(effort):
    """What a convolution leaves in its channels of the buffer, and another input moved there."""

    @effort
    @given(batches, sides, sides, channels, channels, scales, zero_points, seeds)
    def check(n, height, width, depth, count, scale, zero_point, seed):
        layer = random_layer(seed, (n, height, width, depth), (depth, count))
        other = image(seed, n, height, width, 5)
        target = Quantization(layer.out_scale, layer.out_zero_point)
        model = litert.Model()
        first = model.input((n, height, width, count), np.int8, target)
        second = model.input(other.shape, np.int8, Quantization(scale, zero_point))
        joined = model.concatenation([first, model.quantize(second, target)])
        stage = stage_between(scale, *target)
        for numba, implementation in zip(NUMBAS, bare(POINTWISES), strict=True):
            buffer = np.empty((n, height, width, count + 5), np.int8)
            implementation(layer.x, layer.zero_point, layer.weights, layer.stage(), buffer, 0)
            requantized(numba, other, zero_point, stage, buffer[..., count:])
            inputs = [np.ascontiguousarray(buffer[..., :count]), other]
            (expected,) = litert.run(model.build([joined]), inputs)
            assert_same(buffer, expected, np.int8)

    check()


@efforts
def test_quantize(effort):
    @effort
    @given(scales, zero_points, st.floats(-3, 12), seeds)
    def check(scale, zero_point, spread, seed):
        rng = np.random.default_rng(seed)
        x = rng.normal(0, np.float32(scale) * 2.0**spread, (1, 4, 25, 2)).astype(np.float32)
        x[..., 1] = (np.round(x[..., 1] / np.float32(scale)) + np.float32(0.5)) * np.float32(scale)
        model = litert.Model()
        out = model.quantize(model.input(x.shape), Quantization(scale, zero_point))
        (expected,) = litert.run(model.build([out]), [x])
        for numba in NUMBAS:
            assert_same(quantized(numba, x, scale, zero_point), expected, np.int8)

    check()


@efforts
def test_dequantize(effort):
    @effort
    @given(scales, zero_points, seeds)
    def check(scale, zero_point, seed):
        x = image(seed, 1, 4, 25, 2)
        model = litert.Model()
        out = model.dequantize(model.input(x.shape, np.int8, Quantization(scale, zero_point)))
        (expected,) = litert.run(model.build([out]), [x])
        for numba in NUMBAS:
            assert dequantized(numba, x, scale, zero_point).tobytes() == expected.tobytes()

    check()


@efforts
def test_requantize(effort):
    @effort
    @given(scales, zero_points, st.floats(-12, 12), zero_points)
    def check(scale, zero_point, ratio, to_zero_point):
        to_scale = np.float32(scale * 2.0**ratio)
        x = np.arange(-128, 128).astype(np.int8).reshape(1, 4, 16, 4)
        model = litert.Model()
        source = model.input(x.shape, np.int8, Quantization(scale, zero_point))
        out = model.quantize(source, Quantization(to_scale, to_zero_point))
        (expected,) = litert.run(model.build([out]), [x])
        for numba in NUMBAS:
            stage = stage_between(scale, to_scale, to_zero_point)
            assert_same(requantized(numba, x, zero_point, stage), expected, np.int8)

    check()


def every_pair():
    q = np.arange(-128, 128).astype(np.int8)
    return np.stack(np.meshgrid(q, q, indexing="ij"), axis=-1)[np.newaxis]  # (1, 256, 256, 2)


@pytest.mark.parametrize(
    "examples", [3, pytest.param(50, marks=pytest.mark.slow)], ids=["few", "fifty"]
)
def test_the_whole_softmax_table(examples):
    """All 65,536 pairs at random scales, both channels."""
    x = every_pair()

    @settings(max_examples=examples)
    @given(logit_scales, zero_points)
    def check(scale, zero_point):
        model = litert.Model()
        source = model.input(x.shape, np.int8, Quantization(scale, zero_point))
        (expected,) = litert.run(model.build([model.softmax(source)]), [x])
        pairs = softmax_int8.table(scale)
        assert_same(pairs, expected[0, :, :, 1], np.int8)
        for implementation in bare(SOFTMAXES):
            out = np.empty_like(x)
            implementation(x, pairs, out)
            assert_same(out, expected, np.int8)

    check()
