"""Losses of a two-channel softmax against a matte, with their gradients by the logits.

With z the two logits of a pixel, a = softmax(z)[1] its alpha, t the true alpha, I its colour and K
the number of pixels of the whole batch (Seo et al., 2019, equations 2, 3, 6, 8 and 9):

- alpha:         1/K   sum |a - t|
- compositional: 1/3K  sum over colours |a I - t I| = 1/K sum |a - t| mean(I), as I is not negative
- kl:            -1/K  sum t log a + (1 - t) log(1 - a). The paper's equation 6 lacks the minus and
                 the 1/K; without the mean it would outweigh every other term K times
- gradient:      1/2K  sum |S * (a - t)| + |S' * (a - t)|, S = [[-1,0,1],[-2,0,2],[-1,0,1]] / 8, S'
                 its transpose, zeros outside the image

All are plain L1, without an epsilon; the derivative of |x| at 0 is taken as 0. With d = z1 - z0,
the kl term of a pixel is max(d, 0) - t d + log(1 + exp(-|d|)), which overflows nowhere, and its
derivative by d is a - t. Derivatives by z1 and z0 are those by d and -d.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import kernel

__all__ = ["TERMS", "combine", "cross_entropy", "edges", "pixelwise", "reference", "sobel"]

TERMS = ("alpha", "compositional", "kl", "gradient")
"""The terms in the order in which `reference` and the kernels give them."""


def cross_entropy(logits: NDArray, truth: NDArray) -> tuple[float, NDArray]:
    """Compute the kl term, in NumPy.

    Parameters
    ----------
    logits : (N, H, W, 2) float array
    truth : (N, H, W) float array
        In [0, 1].

    Returns
    -------
    loss : float
    gradient : (N, H, W, 2) array
        Its derivative by the logits.
    """
    difference = logits[..., 1] - logits[..., 0]
    small = np.exp(-np.abs(difference))
    each = np.maximum(difference, 0) - truth * difference + np.log1p(small)
    alpha = np.where(difference < 0, small, 1) / (1 + small)
    slope = (alpha - truth) / truth.size
    return float(each.mean(dtype=np.float64)), np.stack([-slope, slope], axis=-1)


def sobel(x: NDArray) -> tuple[NDArray, NDArray]:
    """Correlate (N, H, W) with S and its transpose, zeros outside, in NumPy."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    down = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]  # (N, H, W + 2)
    across = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]  # (N, H + 2, W)
    return (down[:, :, 2:] - down[:, :, :-2]) / 8, (across[:, 2:] - across[:, :-2]) / 8


def reference(
    logits: NDArray, image: NDArray, truth: NDArray, weights: NDArray
) -> tuple[NDArray[np.float64], NDArray]:
    """Compute the four terms and the gradient of their weighted sum, in NumPy.

    Parameters
    ----------
    logits : (N, H, W, 2) float array
    image : (N, H, W, 3) float array
        Colours in [0, 1].
    truth : (N, H, W) float array
        True alpha in [0, 1].
    weights : (4,) array
        One weight for each of `TERMS`.

    Returns
    -------
    terms : (4,) float64 array
        Not weighted.
    gradient : (N, H, W, 2) array of the logits' dtype
        Derivative of ``weights @ terms`` by the logits.
    """
    weights = weights.astype(logits.dtype)
    kl, gradient = cross_entropy(logits, truth)
    gradient *= weights[2]
    difference = logits[..., 1] - logits[..., 0]
    small = np.exp(-np.abs(difference))
    error = np.where(difference < 0, small, 1) / (1 + small) - truth  # alpha - truth
    slope = small / (1 + small) ** 2  # of alpha by the difference of the logits: a (1 - a)
    brightness = image.mean(axis=-1)
    along_x, along_y = sobel(error)
    # S is odd, so the transpose of the correlation with S is the correlation with -S.
    back_x, back_y = sobel(np.sign(along_x))[0], sobel(np.sign(along_y))[1]
    by_alpha = np.sign(error) * (weights[0] + weights[1] * brightness)
    by_alpha -= weights[3] / 2 * (back_x + back_y)
    by_alpha *= slope / truth.size
    gradient[..., 0] -= by_alpha
    gradient[..., 1] += by_alpha
    size = np.abs(error)
    means = (size, size * brightness, None, (np.abs(along_x) + np.abs(along_y)) / 2)
    terms = [kl if each is None else each.mean(dtype=np.float64) for each in means]
    return np.array(terms, np.float64), gradient


@kernel(
    "void(float32[:,:,:,::1], float32[:,:,:,::1], float32[:,:,::1], float32[::1], "
    "float32[:,:,::1], float32[:,:,:,::1], float64[:,::1], intp, intp)",
    "training",
)
def pixelwise(logits, image, truth, weights, error, gradient, sums, start, stop):
    """Do what concerns one pixel at a time, rows ``start`` to ``stop`` of the N * H, in Numba.

    The first of three steps; `edges` and `combine` follow, each after all rows of the one before.

    Parameters
    ----------
    logits, image, truth : see `reference`
    weights : (4,) float32 array
        One weight for each of `TERMS`, divided by the number of pixels.
    error : (N, H + 2, W + 2) float32 array
        Receives alpha - truth inside its frame of zeros.
    gradient : (N, H, W, 2) float32 array
        Receives alpha's slope by the difference of the logits, and the derivative by that
        difference of the first three terms.
    sums : (N * H, 4) float64 array
        Receives each row's sums of the first three terms. Summing a row for itself makes the total
        independent of how rows are shared among threads.
    """
    rows, columns = truth.shape[1], truth.shape[2]
    one, third, zero = np.float32(1.0), np.float32(1.0 / 3.0), np.float32(0.0)
    for row in range(start, stop):
        n, y = row // rows, row % rows
        total_alpha, total_colour, total_kl = 0.0, 0.0, 0.0
        for x in range(columns):
            t = truth[n, y, x]
            difference = logits[n, y, x, 1] - logits[n, y, x, 0]
            small = math.exp(-abs(difference))
            share = one / (one + small)
            alpha = share if difference >= zero else small * share
            off = alpha - t
            brightness = (image[n, y, x, 0] + image[n, y, x, 1] + image[n, y, x, 2]) * third
            sign = np.float32(off > zero) - np.float32(off < zero)
            slope = small * share * share
            total_alpha += abs(off)
            total_colour += abs(off) * brightness
            total_kl += max(difference, zero) - t * difference + math.log(one + small)
            error[n, y + 1, x + 1] = off
            gradient[n, y, x, 0] = slope
            gradient[n, y, x, 1] = (
                sign * (weights[0] + weights[1] * brightness) * slope + weights[2] * off
            )
        sums[row, 0], sums[row, 1], sums[row, 2] = total_alpha, total_colour, total_kl


@kernel("void(float32[:,:,::1], int8[:,:,:,::1], float64[:,::1], intp, intp)", "training")
def edges(error, signs, sums, start, stop):
    """Correlate the error with S and its transpose; keep signs and sums. Rows as `pixelwise`.

    Parameters
    ----------
    error : (N, H + 2, W + 2) float32 array
    signs : (2, N, H + 2, W + 2) int8 array
        Receives -1, 0 or 1 for both directions inside its frame of zeros.
    sums : (N * H, 4) float64 array
        Receives each row's sum of the gradient term.
    """
    rows, columns = error.shape[1] - 2, error.shape[2] - 2
    two, sixteenth, zero = np.float32(2.0), np.float32(1.0 / 16.0), np.float32(0.0)
    for row in range(start, stop):
        n, y = row // rows, row % rows
        above, here, below = error[n, y], error[n, y + 1], error[n, y + 2]
        sign_x, sign_y = signs[0, n, y + 1], signs[1, n, y + 1]
        total = 0.0
        for x in range(columns):
            left = above[x] + two * here[x] + below[x]
            right = above[x + 2] + two * here[x + 2] + below[x + 2]
            high = above[x] + two * above[x + 1] + above[x + 2]
            low = below[x] + two * below[x + 1] + below[x + 2]
            along_x, along_y = right - left, low - high
            total += (abs(along_x) + abs(along_y)) * sixteenth  # 1/8 of S, 1/2 of the mean
            sign_x[x + 1] = np.int8(along_x > zero) - np.int8(along_x < zero)
            sign_y[x + 1] = np.int8(along_y > zero) - np.int8(along_y < zero)
        sums[row, 3] = total


@kernel("void(int8[:,:,:,::1], float32[::1], float32[:,:,:,::1], intp, intp)", "training")
def combine(signs, weights, gradient, start, stop):
    """Add the gradient term's derivative and write that by both logits. Rows as `pixelwise`.

    Parameters
    ----------
    signs : (2, N, H + 2, W + 2) int8 array
        From `edges`.
    weights : (4,) float32 array
        As `pixelwise` has them.
    gradient : (N, H, W, 2) float32 array
        Holds what `pixelwise` wrote; receives the derivative by the logits.
    """
    rows, columns = gradient.shape[1], gradient.shape[2]
    factor = weights[3] / np.float32(16.0)
    for row in range(start, stop):
        n, y = row // rows, row % rows
        x_above, x_here, x_below = signs[0, n, y], signs[0, n, y + 1], signs[0, n, y + 2]
        y_above, y_below = signs[1, n, y], signs[1, n, y + 2]
        for x in range(columns):
            back = (
                x_above[x] + 2 * x_here[x] + x_below[x]
                - x_above[x + 2] - 2 * x_here[x + 2] - x_below[x + 2]
                + y_above[x] + 2 * y_above[x + 1] + y_above[x + 2]
                - y_below[x] - 2 * y_below[x + 1] - y_below[x + 2]
            )  # fmt: skip
            by_difference = gradient[n, y, x, 1] + gradient[n, y, x, 0] * factor * np.float32(back)
            gradient[n, y, x, 0] = -by_difference
            gradient[n, y, x, 1] = by_difference
