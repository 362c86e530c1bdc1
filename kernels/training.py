"""The fused training kernels: each convolution with the batch norm and ReLU6 around it.

What memory holds of a layer is its raw output z and the gradient g with respect to its activated
output y = ReLU6(batch norm(z)). Every kernel activates its input and differentiates its output's
normalization on the fly (`normalize`), a chunk at a time that stays in cache, and sums what the
next step needs while it is there: z's moments going forward; going back, where ``reduce`` says that
the input's last consumer is at work and its g complete, that g's reductions. So each layer costs
one pass over memory each way.

All channel counts are multiples of eight; buffers may be wider than the layer (a concat's), which
then has channels ``at`` on. ``sums``, weight gradients and ``scratch`` have a row for each band
(`bands`); a call works on bands ``first`` to ``last`` with the scratch of the first.
"""

from __future__ import annotations

import numpy as np

from .bands import CHUNK, NORMS, SHARE, SUMS, Z, first_image
from .convolution import gather_row
from .depthwise import convolve_row
from .jit import Inline, kernel
from .normalize import activate, add_moments, add_reductions, normalized_gradient
from .padding import same_padding
from .pointwise import pixels_tiled
from .taps import add_scaled, filter_gradient
from .tile import product_1x8, product_1x16, product_6x8, product_6x16

__all__ = [
    "convolution_backward", "convolution_forward", "depthwise_backward", "depthwise_forward",
    "pointwise_backward", "pointwise_forward", "scratch_needed",
]  # fmt: skip


def scratch_needed(height: int, width: int, channels: int, rows: int, columns: int) -> int:
    """Return the floats of scratch that a layer of this input and output size needs at most."""
    image = height * width * channels + rows * columns * channels + width * channels
    return max(image, 2 * CHUNK * 1024, columns * 64 * 2)


@Inline
def product(a, a_at, a_row, a_k, rows, b, b_at, b_k, columns, depth, out, o_at, o_row, add):
    """Multiply matrices by register tiles; ``b_k`` 0 says that b is `pointwise.pack`ed."""
    whole = rows - rows % 6
    column = 0
    while column < columns:
        block = 16 if columns - column > 8 else 8
        base, k_step = b_at + column, b_k
        if b_k == 0:
            base, k_step = b_at + column * depth, block
        if block == 16:
            for r in range(0, whole, 6):
                product_6x16(a, a_at + r * a_row, a_row, a_k, b, base, k_step, depth, out,
                             o_at + r * o_row + column, o_row, add)  # fmt: skip
            for r in range(whole, rows):
                product_1x16(a, a_at + r * a_row, a_row, a_k, b, base, k_step, depth, out,
                             o_at + r * o_row + column, o_row, add)  # fmt: skip
        else:
            for r in range(0, whole, 6):
                product_6x8(a, a_at + r * a_row, a_row, a_k, b, base, k_step, depth, out,
                            o_at + r * o_row + column, o_row, add)  # fmt: skip
            for r in range(whole, rows):
                product_1x8(a, a_at + r * a_row, a_row, a_k, b, base, k_step, depth, out,
                            o_at + r * o_row + column, o_row, add)  # fmt: skip
        column += block


@kernel(f"void({Z}, {NORMS}, float32[:,::1], intp, {Z}, intp, {SUMS}, {SHARE})", "training")
def pointwise_forward(z, norms, packed, channels, out, at, sums, scratch, first, last):
    """Compute out = activated(z) * weights, and the moments of out, for some bands.

    ``packed`` has a row for each of the layers that read z, an encoder block's branches; ``out``
    holds their outputs, (branches * N, H, W, C), one branch after another.
    """
    n, height, width, depth = z.shape
    step, branch_step = out.shape[3], n * height * width * out.shape[3]
    flat, target, y = z.reshape(-1), out.reshape(-1), scratch[first]
    nothing = np.zeros(channels + 16, np.float32)
    for band in range(first, last):
        begin = first_image(n, band) * height * width
        end = first_image(n, band + 1) * height * width
        sums[band] = 0.0
        for p in range(begin, end, CHUNK):
            count = min(CHUNK, end - p)
            activate(flat, p * depth, depth, norms, 0, depth, y, 0, depth, count)
            for branch in range(packed.shape[0]):
                there = branch * branch_step + p * step + at
                pixels_tiled(y, 0, count, depth, packed[branch], nothing, channels,
                             np.float32(-np.inf), np.float32(np.inf), target, there,
                             step)  # fmt: skip
                add_moments(target, there, step, norms, channels, count,
                            sums[band, :, branch * channels :])  # fmt: skip


@kernel(
    f"void({Z}, {Z}, {NORMS}, intp, intp, intp, {Z}, {NORMS}, float32[::1], {Z}, intp, "
    f"float32[:,::1], intp, {SUMS}, {SHARE})",
    "training",
)
def pointwise_backward(g_out, z_out, norms_out, at, branches, channels, z, norms, transposed, g,
                       add, d_weights, reduce, sums, scratch, first, last):  # fmt: skip
    """Compute (or add to) the input's g and the weights' gradient, (BANDS, I * O), of some bands.

    O counts the channels of all branches side by side; ``transposed`` is the packed (O, I)
    transpose of their weights. With ``reduce`` the input's g is complete now, and its reductions go
    to ``sums``.
    """
    n, height, width, depth = z.shape
    step, branch_step = z_out.shape[3], n * height * width * z_out.shape[3]
    total = branches * channels
    z_flat, g_flat, out_flat, g_out_flat = (
        z.reshape(-1), g.reshape(-1), z_out.reshape(-1), g_out.reshape(-1)
    )  # fmt: skip
    y = scratch[first]
    dz = scratch[first, CHUNK * depth :]
    for band in range(first, last):
        begin = first_image(n, band) * height * width
        end = first_image(n, band + 1) * height * width
        d_weights[band] = 0.0
        if reduce:
            sums[band] = 0.0
        for p in range(begin, end, CHUNK):
            count = min(CHUNK, end - p)
            for branch in range(branches):
                there = branch * branch_step + p * step + at
                normalized_gradient(out_flat, there, step, norms_out, at + branch * channels,
                                    channels, g_out_flat, there, step, dz, branch * channels,
                                    total, count)  # fmt: skip
            activate(z_flat, p * depth, depth, norms, 0, depth, y, 0, depth, count)
            product(dz, 0, total, 1, count, transposed, 0, 0, depth, total,
                    g_flat, p * depth, depth, add)  # fmt: skip
            product(y, 0, 1, depth, depth, dz, 0, total, total, count,
                    d_weights[band], 0, total, 1)  # fmt: skip
            if reduce:
                add_reductions(z_flat, p * depth, depth, norms, 0, depth, g_flat, p * depth, depth,
                               count, sums[band])  # fmt: skip


@kernel(f"void({Z}, float32[::1], intp, intp, {Z}, intp, {SUMS}, {NORMS}, {SHARE})",
        "training")  # fmt: skip
def convolution_forward(x, packed, channels, stride, out, at, sums, norms, scratch, first,
                        last):  # fmt: skip
    """Convolve the image with 3x3 filters: out, and its moments, for some bands."""
    n, height, width, depth = x.shape
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    target = out.reshape(-1)
    nothing = np.zeros(channels + 16, np.float32)
    patches = scratch[first, : columns * 9 * depth]
    for band in range(first, last):
        sums[band] = 0.0
        for row in range(first_image(n, band) * rows, first_image(n, band + 1) * rows):
            gather_row(x, row // rows, row % rows, stride, top, left, columns, np.float32(0),
                       patches.reshape(columns, 9 * depth))  # fmt: skip
            there = row * columns * step + at
            pixels_tiled(patches, 0, columns, 9 * depth, packed, nothing, channels,
                         np.float32(-np.inf), np.float32(np.inf), target, there, step)  # fmt: skip
            add_moments(target, there, step, norms, channels, columns, sums[band])


@kernel(f"void({Z}, {Z}, {NORMS}, intp, intp, {Z}, intp, float32[:,::1], {SHARE})", "training")
def convolution_backward(g_out, z_out, norms_out, at, channels, x, stride, d_weights, scratch,
                         first, last):  # fmt: skip
    """Compute the weights' gradient, (BANDS, 9 * I * O), of some bands; the image needs none."""
    n, height, width, depth = x.shape
    rows, columns, step = z_out.shape[1], z_out.shape[2], z_out.shape[3]
    top = same_padding(height, rows, 3, stride, 1)
    left = same_padding(width, columns, 3, stride, 1)
    out_flat, g_out_flat = z_out.reshape(-1), g_out.reshape(-1)
    patches = scratch[first, : columns * 9 * depth]
    dz = scratch[first, columns * 9 * depth :]
    for band in range(first, last):
        d_weights[band] = 0.0
        for row in range(first_image(n, band) * rows, first_image(n, band + 1) * rows):
            there = row * columns * step + at
            gather_row(x, row // rows, row % rows, stride, top, left, columns, np.float32(0),
                       patches.reshape(columns, 9 * depth))  # fmt: skip
            normalized_gradient(out_flat, there, step, norms_out, at, channels, g_out_flat, there,
                                step, dz, 0, channels, columns)  # fmt: skip
            product(patches, 0, 1, 9 * depth, 9 * depth, dz, 0, channels, channels, columns,
                    d_weights[band], 0, channels, 1)  # fmt: skip


@kernel(
    f"void({Z}, {NORMS}, intp, float32[::1], intp, intp[:,::1], intp[:,::1], {Z}, intp, "
    f"{SUMS}, {SHARE})",
    "training",
)
def depthwise_forward(z, norms, norms_at, filters, stride, y_taps, runs, out, at, sums, scratch,
                      first, last):  # fmt: skip
    """Convolve each channel of activated(z): out, and its moments, for some bands.

    The norms of z begin at ``norms_at``: those of all branches are one array.
    """
    n, height, width, channels = z.shape
    rows, columns, step = out.shape[1], out.shape[2], out.shape[3]
    flat, target, y = z.reshape(-1), out.reshape(-1), scratch[first]
    nothing = np.zeros(channels, np.float32)
    for band in range(first, last):
        sums[band] = 0.0
        for i in range(first_image(n, band), first_image(n, band + 1)):
            here = i * height * width * channels
            activate(flat, here, channels, norms, norms_at, channels, y, 0, channels,
                     height * width)  # fmt: skip
            there = i * rows * columns * step + at
            for row in range(rows):
                convolve_row(y, 0, channels, width, channels, row, y_taps, runs, stride, filters,
                             nothing, np.float32(-np.inf), np.float32(np.inf), target,
                             there + row * columns * step, step)  # fmt: skip
            add_moments(target, there, step, norms, channels, rows * columns, sums[band])


@kernel(
    f"void({Z}, {Z}, {NORMS}, intp, {Z}, {NORMS}, intp, float32[::1], float32[::1], intp, "
    f"intp[:,::1], intp[:,::1], {Z}, intp, float32[:,::1], intp, {SUMS}, {SHARE})",
    "training",
)
def depthwise_backward(g_out, z_out, norms_out, at, z, norms, norms_at, filters, flipped, stride,
                       y_taps, runs, g, add, d_filters, reduce, sums, scratch, first,
                       last):  # fmt: skip
    """Compute (or add to) the input's g and the filters' gradient, (BANDS, 16 * C), of some bands.

    With stride 1 the input's gradient is dz convolved with the ``flipped`` filters, under the same
    tables; with stride 2 each output's gradient is added to the inputs that it was made of.
    """
    n, height, width, channels = z.shape
    rows, columns, step = z_out.shape[1], z_out.shape[2], z_out.shape[3]
    image, made = height * width * channels, rows * columns * channels
    z_flat, g_flat, out_flat, g_out_flat = (
        z.reshape(-1), g.reshape(-1), z_out.reshape(-1), g_out.reshape(-1)
    )  # fmt: skip
    y, dz, line = scratch[first], scratch[first, image:], scratch[first, image + made :]
    nothing = np.zeros(channels, np.float32)
    for band in range(first, last):
        d_filters[band] = 0.0
        if reduce:
            sums[band, :, norms_at : norms_at + channels] = 0.0
        for i in range(first_image(n, band), first_image(n, band + 1)):
            here = i * image
            there = i * rows * columns * step + at
            normalized_gradient(out_flat, there, step, norms_out, at, channels, g_out_flat, there,
                                step, dz, 0, channels, rows * columns)  # fmt: skip
            activate(z_flat, here, channels, norms, norms_at, channels, y, 0, channels,
                     height * width)  # fmt: skip
            _add_filter_gradients(y, dz, width, columns, channels, stride, y_taps, runs,
                                  d_filters[band])  # fmt: skip
            if stride == 1 and add == 0:
                for row in range(height):
                    convolve_row(dz, 0, channels, width, channels, row, y_taps, runs, 1, flipped,
                                 nothing, np.float32(-np.inf), np.float32(np.inf), g_flat,
                                 here + row * width * channels, channels)  # fmt: skip
            elif stride == 1:
                for row in range(height):
                    convolve_row(dz, 0, channels, width, channels, row, y_taps, runs, 1, flipped,
                                 nothing, np.float32(-np.inf), np.float32(np.inf), line, 0,
                                 channels)  # fmt: skip
                    target = g_flat[here + row * width * channels :]
                    for k in range(width * channels):
                        target[k] += line[k]
            else:
                if add == 0:
                    g_flat[here : here + image] = 0.0
                _spread(dz, width, columns, channels, stride, y_taps, runs, filters, g_flat,
                        here)  # fmt: skip
            if reduce:
                add_reductions(z_flat, here, channels, norms, norms_at, channels, g_flat, here,
                               channels, height * width, sums[band])  # fmt: skip


@Inline
def _add_filter_gradients(y, dz, width, columns, channels, stride, y_taps, runs, d_filters):
    """Add one image's share to the (4, 4, C) filter gradient."""
    line = width * channels
    for row in range(y_taps.shape[0]):
        y0, y1, y2 = y_taps[row, 0] * line, y_taps[row, 1] * line, y_taps[row, 2] * line
        for r in range(runs.shape[0]):
            x0, x1, x2 = runs[r, 2] * channels, runs[r, 3] * channels, runs[r, 4] * channels
            d_at = (row * columns + runs[r, 0]) * channels
            for c in range(0, channels, 8):
                filter_gradient(
                    y, y0 + c, y1 + c, y2 + c, x0, x1, x2, stride * channels, dz, d_at + c,
                    channels, d_filters[c:], 4 * channels, channels, y_taps[row, 3],
                    y_taps[row, 4], y_taps[row, 5], runs[r, 5], runs[r, 6], runs[r, 7],
                    runs[r, 1] - runs[r, 0],
                )  # fmt: skip


@Inline
def _spread(dz, width, columns, channels, stride, y_taps, runs, filters, g, g_at):
    """Add each output's gradient, times the filters, to the inputs that it was made of."""
    for row in range(y_taps.shape[0]):
        for r in range(runs.shape[0]):
            count = runs[r, 1] - runs[r, 0]
            d_at = (row * columns + runs[r, 0]) * channels
            for i in range(3):
                v = y_taps[row, 3 + i]
                for j in range(3):
                    h = runs[r, 5 + j]
                    if v == 3 or h == 3:
                        continue
                    target = g_at + (y_taps[row, i] * width + runs[r, 2 + j]) * channels
                    for c in range(0, channels, 8):
                        add_scaled(dz, d_at + c, channels, filters, (v * 4 + h) * channels + c, g,
                                   target + c, stride * channels, count)  # fmt: skip
