"""Guided filter: alpha, computed small, follows the edges of a photo of any size.

In every window of (2 * radius + 1)**2 pixels of a small guide, alpha is fitted by a linear function
of colour I, with the least of ``sum((a . I + b - alpha)**2 + epsilon * |a|**2)``:

    a = (covariance(I) + epsilon * identity)**-1 * covariance(I, alpha)
    b = mean(alpha) - a . mean(I)

Each pixel then has the mean a and b of all windows that cover it. What is enlarged to the photo's
size are those four smooth fields, by align_corners bilinear as the photo was reduced. There alpha
is a . I + b with the photo's own colours, so that its edges lie where the photo's do.

He, Sun and Tang, "Guided Image Filtering", 2013, equations 19 to 21, in the order of steps that He
and Sun, "Fast Guided Filter", 2015, give for a small guide. Windows repeat the border's pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .resize import along, coordinates

__all__ = ["apply", "apply_reference", "fit", "fit_reference", "smooth", "smooth_reference"]

_SUMS = 13
"""What a window sums: alpha, I (3), I * alpha (3), and the six distinct products of I."""


def fit_reference(
    guide: NDArray[np.float32], alpha: NDArray[np.float32], radius: int, epsilon: float,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fit each pixel's window, in NumPy.

    Parameters
    ----------
    guide : (h, w, 3) float32 array in [0, 1]
        The photo, as small as alpha.
    alpha : (h, w) float32 array in [0, 1]
    radius : int
        Of the windows, in pixels; 1 or more.
    epsilon : float
        How much contrast, squared, counts as an edge; above 0.
    out : (h, w, 4) float32 array
        Receives a and b.
    """
    moments = np.empty((*alpha.shape, _SUMS), np.float32)
    moments[..., 0] = alpha
    moments[..., 1:4] = guide
    moments[..., 4:7] = guide * alpha[..., np.newaxis]
    moments[..., 7:10] = guide * guide[..., :1]  # rr, rg, rb
    moments[..., 10:12] = guide[..., 1:] * guide[..., 1:2]  # gg, gb
    moments[..., 12] = guide[..., 2] * guide[..., 2]
    mean = _box(moments, radius)
    p, r, g, b = (mean[..., k] for k in range(4))
    rp, gp, bp = (mean[..., 4 + k] - mean[..., 1 + k] * p for k in range(3))
    rr, rg, rb = mean[..., 7] - r * r, mean[..., 8] - r * g, mean[..., 9] - r * b
    gg, gb, bb = mean[..., 10] - g * g, mean[..., 11] - g * b, mean[..., 12] - b * b
    rr, gg, bb = rr + np.float32(epsilon), gg + np.float32(epsilon), bb + np.float32(epsilon)
    # The inverse of a symmetric 3x3 matrix by its cofactors.
    c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * c00 + rg * c01 + rb * c02
    out[..., 0] = (c00 * rp + c01 * gp + c02 * bp) / determinant
    out[..., 1] = (c01 * rp + c11 * gp + c12 * bp) / determinant
    out[..., 2] = (c02 * rp + c12 * gp + c22 * bp) / determinant
    out[..., 3] = p - (out[..., 0] * r + out[..., 1] * g + out[..., 2] * b)


def smooth_reference(x: NDArray[np.float32], radius: int, out: NDArray[np.float32]) -> None:
    """Write the means over windows of an (h, w, C) float32 array, in NumPy."""
    out[...] = _box(x, radius)


def _box(x: NDArray[np.float32], radius: int) -> NDArray[np.float32]:
    """Return the means over windows, borders repeated."""
    for axis in (0, 1):
        length = x.shape[axis]
        total: NDArray[np.float32] = np.zeros_like(x)
        for shift in range(-radius, radius + 1):
            total += x.take(np.clip(np.arange(length) + shift, 0, length - 1), axis)
        x = total
    return x * np.float32(1 / (2 * radius + 1) ** 2)


def apply_reference(
    fields: NDArray[np.float32], rows: NDArray[np.uint8], height: int, first: int,
    out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Enlarge the fields to some rows of a photo, and compute alpha there, in NumPy.

    Parameters
    ----------
    fields : (h, w, 4) float32 array
        From `smooth_reference` of `fit_reference`.
    rows : (n, W, 3) uint8 array
        Rows of the photo.
    height, first : int
        The photo's height, and the number of the first row given.
    out : (n, W) float32 array
        Receives alpha in [0, 1].
    """
    lower, upper, fraction = coordinates(fields.shape[0], height, "align_corners")
    band = slice(first, first + len(rows))
    down = along(fields, 0, lower[band], upper[band], fraction[band])  # (n, w, 4)
    lower, _, fraction = coordinates(fields.shape[1], rows.shape[1], "align_corners")
    # Neighbouring pixels mostly share their cells, and repeating is ten times as fast as taking.
    counts = np.bincount(lower, minlength=fields.shape[1])
    out[...] = 0
    for c in range(4):
        cells = down[..., c]
        enlarged = np.repeat(np.diff(cells, axis=1, append=cells[:, -1:]), counts, axis=1)
        enlarged *= fraction
        enlarged += np.repeat(cells, counts, axis=1)
        if c < 3:
            enlarged *= rows[..., c]
            enlarged *= np.float32(1 / 255)
        out += enlarged
    np.clip(out, 0, 1, out=out)


@kernel(
    "void(float32[:,:,::1], float32[:,::1], intp, float32, float32[:,:,::1], intp, intp)", "photo"
)
def fit(guide, alpha, radius, epsilon, out, start, stop):
    """Fit the windows of rows ``start`` to ``stop``, in Numba; see `fit_reference`."""
    height, width = alpha.shape
    scale = np.float32(1 / (2 * radius + 1) ** 2)
    columns = np.empty((width, 13), np.float32)
    for y in range(start, stop):
        columns[:] = np.float32(0.0)
        for shift in range(-radius, radius + 1):
            row = min(max(y + shift, 0), height - 1)
            for x in range(width):
                p, r, g, b = alpha[row, x], guide[row, x, 0], guide[row, x, 1], guide[row, x, 2]
                sums = columns[x]
                sums[0] += p
                sums[1] += r
                sums[2] += g
                sums[3] += b
                sums[4] += r * p
                sums[5] += g * p
                sums[6] += b * p
                sums[7] += r * r
                sums[8] += r * g
                sums[9] += r * b
                sums[10] += g * g
                sums[11] += g * b
                sums[12] += b * b
        for x in range(width):
            mean = np.zeros(13, np.float32)
            for shift in range(-radius, radius + 1):
                column = min(max(x + shift, 0), width - 1)
                for k in range(13):
                    mean[k] += columns[column, k]
            for k in range(13):
                mean[k] *= scale
            p, r, g, b = mean[0], mean[1], mean[2], mean[3]
            rp, gp, bp = mean[4] - r * p, mean[5] - g * p, mean[6] - b * p
            rr, rg, rb = mean[7] - r * r + epsilon, mean[8] - r * g, mean[9] - r * b
            gg, gb, bb = mean[10] - g * g + epsilon, mean[11] - g * b, mean[12] - b * b + epsilon
            c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
            c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
            inverse = np.float32(1.0) / (rr * c00 + rg * c01 + rb * c02)
            a0 = (c00 * rp + c01 * gp + c02 * bp) * inverse
            a1 = (c01 * rp + c11 * gp + c12 * bp) * inverse
            a2 = (c02 * rp + c12 * gp + c22 * bp) * inverse
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = a0, a1, a2
            out[y, x, 3] = p - (a0 * r + a1 * g + a2 * b)


@kernel("void(float32[:,:,::1], intp, float32[:,:,::1], intp, intp)", "photo")
def smooth(x, radius, out, start, stop):
    """Write the means over the windows of rows ``start`` to ``stop``, in Numba."""
    height, width, channels = x.shape
    scale = np.float32(1 / (2 * radius + 1) ** 2)
    columns = np.empty((width, channels), np.float32)
    for y in range(start, stop):
        columns[:] = np.float32(0.0)
        for shift in range(-radius, radius + 1):
            row = min(max(y + shift, 0), height - 1)
            for column in range(width):
                for c in range(channels):
                    columns[column, c] += x[row, column, c]
        for column in range(width):
            for c in range(channels):
                total = np.float32(0.0)
                for shift in range(-radius, radius + 1):
                    total += columns[min(max(column + shift, 0), width - 1), c]
                out[y, column, c] = total * scale


@kernel(
    "void(float32[:,:,::1], uint8[:,:,::1], intp[::1], intp[::1], float32[::1], intp[::1], "
    "intp[::1], float32[::1], intp, float32[:,::1], intp, intp)",
    "photo",
)
def apply(fields, rows, y_lower, y_upper, y_fraction, x_lower, x_upper, x_fraction, first, out,
          start, stop):  # fmt: skip
    """Compute alpha of rows ``start`` to ``stop`` of the rows given, in Numba.

    As `apply_reference`, with the `resize.coordinates` of both axes computed ahead.
    """
    width = fields.shape[1]
    line = np.empty((width, 4), np.float32)
    for n in range(start, stop):
        above, below = fields[y_lower[first + n]], fields[y_upper[first + n]]
        fraction = y_fraction[first + n]
        for x in range(width):
            for c in range(4):
                # The photo's colours are 0..255, the guide's were 0..1.
                unit = np.float32(1 / 255) if c < 3 else np.float32(1.0)
                line[x, c] = (above[x, c] + (below[x, c] - above[x, c]) * fraction) * unit
        for x in range(rows.shape[1]):
            left, right, across = line[x_lower[x]], line[x_upper[x]], x_fraction[x]
            total = left[3] + (right[3] - left[3]) * across
            for c in range(3):
                total += (left[c] + (right[c] - left[c]) * across) * np.float32(rows[n, x, c])
            out[n, x] = min(max(total, np.float32(0.0)), np.float32(1.0))
