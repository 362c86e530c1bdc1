"""The training kernels of layers without filters, conventions as in `training`: resize, logits."""

from __future__ import annotations

import numpy as np

from .bands import CHUNK, NORMS, SHARE, SUMS, Z, first_image
from .depthwise import convolve_row
from .jit import Inline, kernel
from .normalize import activate, add_reductions
from .resize import resize_row

__all__ = ["read", "resize_backward", "resize_forward"]


@Inline
def _round(values, at, step, pixels, channels, zero_point):
    """Round to whole numbers, halves away from the zero of int8 (not of the real values)."""
    for p in range(pixels):
        line = values[at + p * step : at + p * step + channels]
        for c in range(channels):
            q = line[c] + zero_point
            # |q| <= 128 in quarters: exact in float32, the half added too.
            whole = np.float32(int(abs(q) + np.float32(0.5)))
            line[c] = (whole if q > 0 else -whole) - zero_point


@kernel(
    f"void({Z}, {NORMS}, intp[::1], intp[::1], float32[::1], intp[::1], intp[::1], "
    f"float32[::1], intp, float32, {Z}, intp, {SHARE})",
    "training",
)
def resize_forward(z, norms, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, rounds,
                   zero_point, out, at, scratch, first, last):  # fmt: skip
    """Resize activated(z), for some bands. The result counts as activated already.

    If it ``rounds``, then as the int8 network does (`_round`).
    """
    n, height, width, channels = z.shape
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    image = height * width * channels
    flat, target, y = z.reshape(-1), out.reshape(-1), scratch[first]
    for i in range(first_image(n, first), first_image(n, last)):
        activate(flat, i * image, channels, norms, 0, channels, y, 0, channels, height * width)
        for row in range(rows):
            there = (i * rows + row) * columns * step + at
            resize_row(y, 0, channels, row, y_lower, y_upper, y_fraction, x_lower, x_upper,
                       x_fraction, width, target, there, step)  # fmt: skip
            if rounds:
                _round(target, there, step, columns, channels, zero_point)


@kernel(
    f"void({Z}, intp, {Z}, {NORMS}, float32[::1], intp[:,::1], intp[:,::1], {Z}, intp, "
    f"{SUMS}, {SHARE})",
    "training",
)
def resize_backward(g_out, at, z, norms, filters, y_taps, runs, g, reduce, sums, scratch, first,
                    last):  # fmt: skip
    """Compute the input's g of a x2 resize, for some bands.

    Spreading gradients over the samples that were read is a convolution with stride 2 of the
    output's gradient, whose filter is (1/2, 1, 1/2) both ways (`resize.spread_tables`).
    """
    n, height, width, channels = z.shape
    rows, columns, step = g_out.shape[1], g_out.shape[2], g_out.shape[3]
    z_flat, g_flat, g_out_flat = z.reshape(-1), g.reshape(-1), g_out.reshape(-1)
    nothing = np.zeros(channels, np.float32)
    for band in range(first, last):
        if reduce:
            sums[band] = 0.0
        for i in range(first_image(n, band), first_image(n, band + 1)):
            here = i * height * width * channels
            for row in range(height):
                convolve_row(g_out_flat, i * rows * columns * step + at, step, columns, channels,
                             row, y_taps, runs, 2, filters, nothing, np.float32(-np.inf),
                             np.float32(np.inf), g_flat, here + row * width * channels,
                             channels)  # fmt: skip
            if reduce:
                add_reductions(z_flat, here, channels, norms, 0, channels, g_flat, here, channels,
                               height * width, sums[band])  # fmt: skip


@kernel(f"void({Z}, {NORMS}, float32, {Z}, {SHARE})", "training")
def read(z, norms, scale, out, scratch, first, last):
    """Write scale * activated(z) of the first channels, as many as ``out`` has, for some bands."""
    n, height, width, depth = z.shape
    channels = out.shape[3]
    flat, y = z.reshape(-1), scratch[first]
    target = out.reshape(n * height * width, channels)
    end = first_image(n, last) * height * width
    for p in range(first_image(n, first) * height * width, end, CHUNK):
        count = min(CHUNK, end - p)
        activate(flat, p * depth, depth, norms, 0, depth, y, 0, depth, count)
        for k in range(count):
            for c in range(channels):
                target[p + k, c] = scale * y[k * depth + c]
