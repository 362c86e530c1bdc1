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


def guided_fields(guide, alpha, radius, epsilon):
    """guide (h, w, 3), alpha (h, w) -> (a, b) by least squares in each window, then their means."""
    h, w = alpha.shape

    def window(y, x):
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                yield min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)

    fitted = np.zeros((h, w, 4))
    for y in range(h):
        for x in range(w):
            at = list(window(y, x))
            colours = np.array([guide[p] for p in at], np.float64)
            values = np.array([alpha[p] for p in at], np.float64)
            # Ridge regression: epsilon for each observation, none on the constant.
            rows = np.hstack([colours, np.ones((len(at), 1))])
            penalty = math.sqrt(epsilon * len(at)) * np.eye(3, 4)
            stacked, wanted = np.vstack([rows, penalty]), np.append(values, np.zeros(3))
            fitted[y, x] = np.linalg.lstsq(stacked, wanted, rcond=None)[0]
    out = np.zeros_like(fitted)
    for y in range(h):
        for x in range(w):
            out[y, x] = np.mean([fitted[p] for p in window(y, x)], axis=0)
    return out


def guided_alpha(fields, photo):
    """fields (h, w, 4), photo (H, W, 3) uint8 -> alpha (H, W)."""
    height, width, _ = photo.shape
    enlarged = resize(fields[None], height, width, "align_corners")[0]
    out = np.zeros((height, width))
    for at in np.ndindex(height, width):
        colour = photo[at] / 255.0
        out[at] = clamp(float(enlarged[at][:3] @ colour + enlarged[at][3]), 0.0, 1.0)
    return out


def foreground_sweep(photo, alpha, old, smoothness):
    """photo (h, w, 3), alpha (h, w), old (2, h, w, 3): the best F and B of each pixel."""
    height, width = alpha.shape
    out = np.zeros(old.shape)
    for y in range(height):
        for x in range(width):
            a = float(alpha[y, x])
            rows, wanted = [[a, 1 - a]], [photo[y, x].astype(np.float64)]
            around = ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1))
            for v, h in around if alpha.size > 1 else [(y, x)] * 4:  # a lone pixel has itself
                if 0 <= v < height and 0 <= h < width:
                    tie = math.sqrt(smoothness + abs(a - float(alpha[v, h])))
                    for k in (0, 1):
                        rows.append([tie, 0] if k == 0 else [0, tie])
                        wanted.append(tie * old[k, v, h])
            best = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
            out[:, y, x] = np.clip(best, 0, 1)
    return out


def foreground_shift(difference, factor, alpha, first, rows):
    """difference (h, w, 3), alpha (n, W) and rows (n, W, 3) uint8: I + (1 - alpha) * (F - B)."""
    height, width, _ = difference.shape
    out = rows.astype(np.float64)
    for n in range(len(rows)):
        for x in range(rows.shape[1]):
            v = min(max((n + first + 0.5) / factor - 0.5, 0), height - 1)
            h = min(max((x + 0.5) / factor - 0.5, 0), width - 1)
            total = np.zeros(3)
            for i in range(height):
                for j in range(width):
                    share = max(0, 1 - abs(i - v)) * max(0, 1 - abs(j - h))
                    total += share * difference[i, j]
            if 0 < alpha[n, x] < 255:
                out[n, x] += (255 - int(alpha[n, x])) * total
    return np.clip(out, 0, 255)
