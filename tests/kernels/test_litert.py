"""The float32 kernels against TensorFlow Lite's reference kernels."""

import litert
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import batches, bounds, channels, normal, seeds, sides
from test_convolution import IMPLEMENTATIONS as CONVOLUTIONS
from test_depthwise import IMPLEMENTATIONS as DEPTHWISES
from test_pointwise import IMPLEMENTATIONS as POINTWISES
from test_resize import IMPLEMENTATIONS as RESIZES
from test_softmax import IMPLEMENTATIONS as SOFTMAXES

from mmnet_np.kernels.resize import MODES

ACTIVATIONS = {(0.0, 6.0): "relu6", (-np.inf, np.inf): "none"}
lengths = st.integers(1, 40)  # long enough for odd ratios to round
few = settings(max_examples=25)


def by_litert(x, operator, *weights, **options):
    """Run a model of one operator, named as in `litert.Model`, on (N, H, W, C) float32."""
    model = litert.Model()
    source = model.input(x.shape)
    constants = [model.constant(array) for array in weights]
    out = getattr(model, operator)(source, *constants, **options)
    (result,) = litert.run(model.build([out]), [x])
    return result


def into_slice(implementation, arguments, expected, at, *last):
    """Run a kernel that writes channels ``at`` and up of a wider array; return those."""
    n, height, width, count = expected.shape
    out = np.full((n, height, width, at + count + 1), np.float32(-123))
    implementation(*arguments, out, at, *last)
    return out[..., at : at + count]


@pytest.mark.parametrize("implementation", POINTWISES)
@few
@given(batches, sides, sides, channels, channels, bounds, st.integers(0, 3), seeds)
def test_pointwise(implementation, n, height, width, depth, count, clamp, at, seed):
    x, weights, bias = normal(seed, (n, height, width, depth), (depth, count), (count,))
    filters = weights.T.reshape(count, 1, 1, depth)
    expected = by_litert(x, "conv_2d", filters, bias, activation=ACTIVATIONS[clamp])
    arguments = (x, weights, bias, *np.float32(clamp))
    assert_same(into_slice(implementation, arguments, expected, at), expected, np.float32)


@pytest.mark.parametrize("implementation", CONVOLUTIONS)
@few
@given(
    batches, sides, sides, st.sampled_from([1, 3]), st.sampled_from([2, 8, 24]), bounds,
    st.sampled_from([1, 2]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_convolution(implementation, n, height, width, depth, count, clamp, stride, at, seed):
    x, weights, bias = normal(seed, (n, height, width, depth), (3, 3, depth, count), (count,))
    expected = by_litert(
        x, "conv_2d", weights.transpose(3, 0, 1, 2), bias,
        stride=stride, activation=ACTIVATIONS[clamp],
    )  # fmt: skip
    arguments = (x, weights, bias, *np.float32(clamp), stride)
    assert_same(into_slice(implementation, arguments, expected, at), expected, np.float32)


@pytest.mark.parametrize("implementation", DEPTHWISES)
@settings(max_examples=40)
@given(
    batches, sides, sides, channels, bounds,
    st.sampled_from([(1, 1), (2, 1), (1, 2), (1, 4), (1, 8)]), st.integers(0, 3), seeds,
)  # fmt: skip
def test_depthwise(implementation, n, height, width, count, clamp, step, at, seed):
    stride, dilation = step
    x, weights, bias = normal(seed, (n, height, width, count), (3, 3, count), (count,))
    expected = by_litert(
        x, "conv_2d", weights[None], bias,
        depthwise=True, stride=stride, dilation=dilation, activation=ACTIVATIONS[clamp],
    )  # fmt: skip
    arguments = (x, weights, bias, *np.float32(clamp), stride, dilation)
    assert_same(into_slice(implementation, arguments, expected, at), expected, np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("implementation", RESIZES)
@few
@given(
    batches, lengths, lengths, lengths, lengths, st.sampled_from([1, 8, 17]), st.integers(0, 2),
    seeds,
)  # fmt: skip
def test_resize(implementation, mode, n, h, w, height, width, count, at, seed):
    (x,) = normal(seed, (n, h, w, count))
    expected = by_litert(
        x, "resize_bilinear", size=(height, width),
        align_corners=mode == "align_corners", half_pixel_centers=mode == "half_pixel",
    )  # fmt: skip
    assert_same(into_slice(implementation, (x,), expected, at, mode), expected, np.float32)


@pytest.mark.parametrize("implementation", SOFTMAXES)
@few
@given(batches, sides, sides, st.sampled_from([0.1, 10, 1e4]), seeds)
def test_softmax(implementation, n, height, width, scale, seed):
    (x,) = normal(seed, (n, height, width, 2))
    x *= np.float32(scale)
    out = np.empty_like(x)
    implementation(x, out)
    assert_same(out, by_litert(x, "softmax"), np.float32)
