"""Each op's gradient in float64 against numerical differences, and in float32 against PyTorch."""

import numpy as np
import pytest
from compare import assert_same
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import normal, seeds, sides

from mmnet_np.kernels import batch_norm, convolution, depthwise, pointwise, resize

STEP = 1e-5


def check(function, arguments, gradients, seed):
    """Compare ``gradients`` of sum(function(*arguments) * d) along one random direction."""
    rng = np.random.default_rng(seed)
    directions = [rng.standard_normal(a.shape) for a in arguments]
    ahead = function(*(a + STEP * v for a, v in zip(arguments, directions, strict=True)))
    behind = function(*(a - STEP * v for a, v in zip(arguments, directions, strict=True)))
    numerical = (ahead - behind) / (2 * STEP)
    analytical = sum(float((g * v).sum()) for g, v in zip(gradients, directions, strict=True))
    # Central differences: an error of the order of STEP**2 and of rounding over STEP.
    assert abs(numerical - analytical) <= 1e-6 * (1 + abs(analytical)), (numerical, analytical)


INFINITE = (-np.inf, np.inf)


@settings(max_examples=30)
@given(sides, sides, st.sampled_from([1, 3, 8]), st.sampled_from([2, 8]), seeds)
def test_pointwise(height, width, depth, channels, seed):
    x, weights, d = normal(
        seed, (2, height, width, depth), (depth, channels), (2, height, width, channels),
        dtype=np.float64,
    )  # fmt: skip

    def total(x, weights):
        out = np.empty_like(d)
        pointwise.reference(x, weights, np.zeros(channels), *INFINITE, out, 0)
        return (out * d).sum()

    check(total, (x, weights), pointwise.backward(x, weights, d), seed)


@settings(max_examples=30)
@given(sides, sides, st.sampled_from([1, 2, 3]), seeds)
def test_convolution(height, width, stride, seed):
    rows, columns = -(-height // stride), -(-width // stride)
    x, weights, d = normal(
        seed, (2, height, width, 3), (3, 3, 3, 4), (2, rows, columns, 4), dtype=np.float64
    )

    def total(x, weights):
        out = np.empty_like(d)
        convolution.reference(x, weights, np.zeros(4), *INFINITE, stride, out, 0)
        return (out * d).sum()

    check(total, (x, weights), convolution.backward(x, weights, stride, d), seed)


@settings(max_examples=50)
@given(sides, sides, st.sampled_from([1, 2]), st.sampled_from([1, 2, 4, 8]), seeds)
def test_depthwise(height, width, stride, dilation, seed):
    rows, columns = -(-height // stride), -(-width // stride)
    x, weights, d = normal(
        seed, (2, height, width, 3), (3, 3, 3), (2, rows, columns, 3), dtype=np.float64
    )

    def total(x, weights):
        out = np.empty_like(d)
        depthwise.reference(x, weights, np.zeros(3), *INFINITE, stride, dilation, out, 0)
        return (out * d).sum()

    check(total, (x, weights), depthwise.backward(x, weights, stride, dilation, d), seed)


@settings(max_examples=50)
@given(sides, sides, sides, sides, st.sampled_from(resize.MODES), seeds)
def test_resize(height, width, rows, columns, mode, seed):
    x, d = normal(seed, (2, height, width, 2), (2, rows, columns, 2), dtype=np.float64)

    def total(x):
        out = np.empty_like(d)
        resize.reference(x, out, 0, mode)
        return (out * d).sum()

    check(total, (x,), (resize.backward(d, height, width, mode),), seed)


@given(sides, sides, seeds)
def test_spread_tables_are_the_doublings_gradient(height, width, seed):
    """The x2 resize's gradient once more, as a strided convolution made of the tables."""
    (d,) = normal(seed, (1, 2 * height, 2 * width, 1), dtype=np.float64)
    filters, y_taps, runs = resize.spread_tables(height, width)
    made = np.zeros((1, height, width, 1))
    for y in range(height):
        for first, last, *x in runs:
            for column in range(first, last):
                for i in range(3):
                    for j in range(3):
                        weight = filters[y_taps[y, 3 + i], x[3 + j]]
                        if weight:
                            at = x[j] + 2 * (column - first)
                            made[0, y, column, 0] += weight * d[0, y_taps[y, i], at, 0]
    assert runs[0, 0] == 0
    assert runs[-1, 1] == width
    assert_same(made, resize.backward(d, height, width))


@given(sides, sides, seeds)
def test_batch_norm(height, width, seed):
    x, gamma, beta, d = normal(
        seed, (3, height, width, 4), (4,), (4,), (3, height, width, 4), dtype=np.float64
    )

    def total(x, gamma, beta):
        return (batch_norm.forward(x, gamma, beta, *batch_norm.statistics(x)) * d).sum()

    gradients = batch_norm.backward(x, gamma, *batch_norm.statistics(x), d)
    check(total, (x, gamma, beta), gradients, seed)


@given(st.sampled_from([(5, 4), (3, 3, 4), (3, 3, 2, 4)]), seeds)
def test_fold(shape, seed):
    weights, gamma, beta, mean, variance, d, d_bias = normal(
        seed, shape, *[(4,)] * 4, shape, (4,), dtype=np.float64
    )
    variance = np.abs(variance)

    def total(weights, gamma, beta):
        folded, bias = batch_norm.fold(weights, gamma, beta, mean, variance)
        return (folded * d).sum() + (bias * d_bias).sum()

    gradients = batch_norm.fold_backward(weights, gamma, mean, variance, d, d_bias)
    check(total, (weights, gamma, beta), gradients, seed)


@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (1, 4), (2, 1)])
def test_depthwise_against_pytorch(stride, dilation):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no gradient oracle")
    x, weights, d = normal(1, (2, 8, 6, 5), (3, 3, 5), (2, 8 // stride, 6 // stride, 5))
    before = [max(0, ((n // stride - 1) * stride + 2 * dilation + 1 - n)) for n in (8, 6)]
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(weights, requires_grad=True)
    sides_ = [s for t in (before[1], before[0]) for s in (t // 2, t - t // 2)]
    padded = torch.nn.functional.pad(tx.permute(0, 3, 1, 2), sides_)
    filters = tw.permute(2, 0, 1)[:, None]
    out = torch.nn.functional.conv2d(padded, filters, None, stride, 0, dilation, groups=5)
    (out * torch.tensor(d).permute(0, 3, 1, 2)).sum().backward()
    dx, dw = depthwise.backward(x, weights, stride, dilation, d)
    assert_same(dx, tx.grad.numpy(), np.float32)
    assert_same(dw, tw.grad.numpy(), np.float32)
