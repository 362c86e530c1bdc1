"""Batch normalization: folded into the convolution at inference, with batch statistics in training.

``y = gamma * (x - mean) / sqrt(variance + EPSILON) + beta``. With the moving statistics this is an
affine map per channel, so at inference it becomes part of the weights and a bias.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EPSILON", "backward", "fold", "fold_backward", "forward", "statistics", "unfold",
]  # fmt: skip

EPSILON = 1e-3
"""Added to the variance, as in the authors' program."""


def fold(
    weights: NDArray, gamma: NDArray, beta: NDArray, mean: NDArray, variance: NDArray
) -> tuple[NDArray, NDArray]:
    """Fold a batch normalization into the weights before it.

    Parameters
    ----------
    weights : (..., C) float array
        Convolution weights with the output channel last (a depthwise filter as (3, 3, C)).
    gamma, beta, mean, variance : (C,) float arrays
        Trained scale and shift, moving mean and moving variance.

    Returns
    -------
    weights : (..., C) array, bias : (C,) array
        In the dtype of ``weights``; computed in float64, so that folding rounds only once.
    """
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + EPSILON)
    folded = weights.astype(np.float64) * scale
    bias = beta.astype(np.float64) - mean.astype(np.float64) * scale
    return folded.astype(weights.dtype), bias.astype(weights.dtype)


def fold_backward(
    weights: NDArray,
    gamma: NDArray,
    mean: NDArray,
    variance: NDArray,
    d_weights: NDArray,
    d_bias: NDArray,
) -> tuple[NDArray, NDArray, NDArray]:
    """Differentiate `fold`, its statistics being constants.

    Parameters
    ----------
    weights, gamma, mean, variance : arrays
        What was folded.
    d_weights : (..., C) array
        Gradient with respect to the folded weights.
    d_bias : (C,) array
        With respect to the bias.

    Returns
    -------
    d_weights : (..., C) float64 array, d_gamma : (C,) float64 array, d_beta : (C,) array
        With respect to weights, gamma and beta.
    """
    inverse = 1 / np.sqrt(variance.astype(np.float64) + EPSILON)
    along = tuple(range(weights.ndim - 1))
    d_scale = (d_weights * weights).sum(axis=along, dtype=np.float64) - d_bias * mean
    return d_weights * (gamma * inverse), d_scale * inverse, d_bias


def unfold(bias: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Return a batch normalization that `fold` folds into ``bias`` and leaves all weights alone.

    With variance the float32 nearest to ``1 - EPSILON`` the scale ``1 / sqrt(variance + EPSILON)``
    is 1 to within 2**-26. That moves no weight w: ``w * scale`` is off by at most |w| * 2**-26, and
    the nearest other float32 is at least |w| * 2**-24 away, so rounding gives w back. With mean 0,
    ``bias = beta - 0 * scale`` is beta to the last bit.

    Parameters
    ----------
    bias : (C,) float32 array

    Returns
    -------
    gamma, beta, mean, variance : (C,) float32 arrays
    """
    ones = np.ones_like(bias)
    return ones, bias.copy(), np.zeros_like(bias), ones * np.float32(1 - EPSILON)


def statistics(x: NDArray) -> tuple[NDArray, NDArray]:
    """Return mean and (biased) variance of each channel over a batch (N, H, W, C)."""
    mean = x.mean(axis=(0, 1, 2))
    return mean, np.square(x - mean).mean(axis=(0, 1, 2))


def forward(x: NDArray, gamma: NDArray, beta: NDArray, mean: NDArray, variance: NDArray) -> NDArray:
    """Normalize a batch (N, H, W, C) with its `statistics`."""
    return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta


def backward(
    x: NDArray, gamma: NDArray, mean: NDArray, variance: NDArray, d_out: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Differentiate `forward`, its statistics included.

    With x' = (x - mean) / sqrt(variance + EPSILON) and averages over the batch,
    ``dx = gamma / sqrt(variance + EPSILON) * (d_out - avg(d_out) - x' * avg(d_out * x'))``
    (Ioffe and Szegedy 2015, section 3).

    Parameters
    ----------
    x, d_out : (N, H, W, C) float arrays
        Input, and gradient with respect to the output.
    gamma, mean, variance : (C,) float arrays

    Returns
    -------
    dx : (N, H, W, C) array, dgamma : (C,) array, dbeta : (C,) array
    """
    inverse = 1 / np.sqrt(variance + EPSILON)
    normal = (x - mean) * inverse
    d_beta = d_out.sum(axis=(0, 1, 2))
    d_gamma = (d_out * normal).sum(axis=(0, 1, 2))
    count = x.size // x.shape[-1]
    dx = gamma * inverse * (d_out - d_beta / count - normal * (d_gamma / count))
    return dx, d_gamma, d_beta
