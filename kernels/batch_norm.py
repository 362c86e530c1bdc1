"""Batch normalization and its folding into the convolution before it.

``y = gamma * (x - mean) / sqrt(variance + EPSILON) + beta`` with the moving statistics is an affine
map per channel, so at inference it becomes part of the weights and a bias.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "fold"]

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
