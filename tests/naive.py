"""Every operation once more as plain loops in Python floats: the oracle of the kernel tests.

Slow, obvious, and independent of the code under test: no import from the package.
"""

import math

import numpy as np


def pad_before(size, out, kernel_size, stride, dilation):
    """TensorFlow SAME, from its definition."""
    effective = (kernel_size - 1) * dilation + 1
    total = max((out - 1) * stride + effective - size, 0)
    return total // 2


def clamp(value, lower, upper):
    return max(lower, min(upper, value))


def convolution(x, weights, bias, lower, upper, stride, dilation=1):
    """x (N, H, W, I), weights (k, k, I, O) -> (N, ceil(H/s), ceil(W/s), O)."""
    n, height, width, depth = x.shape
    k, _, _, channels = weights.shape
    rows, columns = math.ceil(height / stride), math.ceil(width / stride)
    top = pad_before(height, rows, k, stride, dilation)
    left = pad_before(width, columns, k, stride, dilation)
    out = np.zeros((n, rows, columns, channels))
    for b in range(n):
        for y in range(rows):
            for z in range(columns):
                for o in range(channels):
                    total = float(bias[o])
                    for ky in range(k):
                        for kx in range(k):
                            sy = y * stride - top + ky * dilation
                            sx = z * stride - left + kx * dilation
                            if not (0 <= sy < height and 0 <= sx < width):
                                continue
                            for i in range(depth):
                                total += float(x[b, sy, sx, i]) * float(weights[ky, kx, i, o])
                    out[b, y, z, o] = clamp(total, lower, upper)
    return out


def pointwise(x, weights, bias, lower, upper):
    """x (N, H, W, I), weights (I, O)."""
    return convolution(x, weights[None, None], bias, lower, upper, 1)


def depthwise(x, weights, bias, lower, upper, stride, dilation):
    """x (N, H, W, C), weights (3, 3, C): each channel convolved by itself."""
    parts = [
        convolution(
            x[..., c : c + 1],
            weights[:, :, c].reshape(3, 3, 1, 1),
            bias[c : c + 1],
            lower,
            upper,
            stride,
            dilation,
        )
        for c in range(x.shape[3])
    ]
    return np.concatenate(parts, axis=3)


def resize(x, height, width, mode):
    """Bilinear, one output value at a time."""

    def position(i, size, out):
        if mode == "align_corners":
            return i * (size - 1) / (out - 1) if out > 1 else 0.0
        if mode == "half_pixel":
            return (i + 0.5) * size / out - 0.5
        return i * size / out

    def taps(i, size, out):
        p = min(max(position(i, size, out), 0.0), size - 1.0)
        lower = math.floor(p)
        return lower, min(lower + 1, size - 1), p - lower

    n, h, w, channels = x.shape
    out = np.zeros((n, height, width, channels))
    for b in range(n):
        for y in range(height):
            y0, y1, fy = taps(y, h, height)
            for z in range(width):
                x0, x1, fx = taps(z, w, width)
                for c in range(channels):
                    high = x[b, y0, x0, c] * (1 - fx) + x[b, y0, x1, c] * fx
                    low = x[b, y1, x0, c] * (1 - fx) + x[b, y1, x1, c] * fx
                    out[b, y, z, c] = high * (1 - fy) + low * fy
    return out


def softmax(x):
    """x (N, H, W, C): softmax over the last axis, in float64."""
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape[:-1]):
        logits = [float(v) for v in x[at]]
        top = max(logits)
        powers = [math.exp(v - top) for v in logits]
        for c, power in enumerate(powers):
            out[(*at, c)] = power / sum(powers)
    return out


def batch_norm(x, gamma, beta, mean, variance, epsilon):
    """x (..., C): the definition, one value at a time."""
    out = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        c = at[-1]
        normal = (float(x[at]) - float(mean[c])) / math.sqrt(float(variance[c]) + epsilon)
        out[at] = float(gamma[c]) * normal + float(beta[c])
    return out


def dropout_mask(count, rate, key):
    """Value by value in Python's integers: 0 or 1 / (1 - rate)."""
    whole = 2**64
    found = []
    for number in range(count):
        x = (key + number * 0x9E3779B97F4A7C15) % whole
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % whole
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % whole
        x ^= x >> 31
        found.append(1 / (1 - rate) if x >> 40 >= round(rate * 2**24) else 0.0)
    return np.array(found)
