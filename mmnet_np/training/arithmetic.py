"""What a training network computes with: its filters, and how a raw output z is read.

The network of `mmnet_np.training.network` knows buffers, kernels and order; an `Arithmetic` knows
what the numbers mean. `BatchNormArithmetic` is float32 training with batch statistics,
`mmnet_np.training.quantized` the int8 network's integers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import Filtered
from mmnet_np.kernels import normalize
from mmnet_np.kernels.batch_norm import EPSILON

__all__ = ["Arithmetic", "BatchNormArithmetic", "Variables"]

Variables = Mapping[str, NDArray[np.float32]]
Norms = NDArray[np.float32]
"""(rows, C): see `mmnet_np.kernels.normalize`."""


class Arithmetic(Protocol):
    """What the network asks for, layer by layer; ``norms`` are those of the layer's channels."""

    def neutral(self) -> Norms:
        """Return one channel's norms under which y = z and dz = g, as a column."""

    def begin(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Take up the variables as they are now; return what the first layer convolves."""

    def filters(self, layer: Filtered) -> NDArray[np.float32]:
        """Return the filters to multiply with, in the checkpoint's layout."""

    def zero_point(self, name: str) -> int | None:
        """Return the zero point of the grid on which a resize of a tensor rounds, if it does."""

    def normalize(
        self, layer: Filtered, norms: Norms, moments: NDArray[np.float64], count: int, decay: float
    ) -> None:
        """Set a layer's norms when its z is there, of whose ``count`` values moments are known."""

    def factor(self, head: Filtered) -> float:
        """Return what a head's y is multiplied by to give logits."""

    def head_backward(
        self, head: Filtered, norms: Norms, z: NDArray, gradient: NDArray[np.float32]
    ) -> None:
        """Take the gradient of the loss by a head's logits."""

    def normalize_backward(
        self, layer: Filtered, norms: Norms, reductions: NDArray[np.float64], count: int
    ) -> None:
        """Take the reductions of a layer's g; set its norms' gradient terms."""

    def filters_backward(self, layer: Filtered, gradient: NDArray[np.float64]) -> None:
        """Take the gradient by what `filters` gave."""

    def copied(self, concat: str, name: str, z: NDArray, norms: Norms) -> tuple[NDArray, Norms]:
        """Return the z and norms that a tensor has in a concat's buffer."""

    def copied_backward(self, concat: str, name: str, z: NDArray, g: NDArray) -> NDArray:
        """Return the gradient by a copied tensor, from z and g in the concat's buffer."""


class BatchNormArithmetic:
    """Float32 with batch norm's batch statistics.

    Parameters
    ----------
    variables, gradients : mapping of str to float32 array
        By checkpoint name. `normalize` updates the moving statistics among the variables.
    """

    def __init__(self, variables: Variables, gradients: Variables) -> None:
        self._variables, self._gradients = variables, gradients
        self._inverse: dict[str, NDArray[np.float64]] = {}

    def neutral(self) -> Norms:
        """Return no scale, shift or bounds."""
        norms = np.zeros((normalize.FLOAT_ROWS, 1), np.float32)
        norms[normalize.SCALE] = norms[normalize.GRADIENT] = 1
        norms[normalize.LOWER], norms[normalize.UPPER] = -np.inf, np.inf
        return norms

    def begin(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the images: nothing is to be done."""
        return images

    def filters(self, layer: Filtered) -> NDArray[np.float32]:
        """Return the variable itself."""
        return self._variables[layer.weights_name]

    def zero_point(self, name: str) -> None:
        """Return None: nothing is rounded."""

    def normalize(
        self, layer: Filtered, norms: Norms, moments: NDArray[np.float64], count: int, decay: float
    ) -> None:
        """Turn the moments of z into norms, and move the moving statistics."""
        if not layer.batch_norm:
            norms[normalize.SHIFT] = self._variables[layer.bias_name]
            return
        total, squares = moments
        mean = total / count
        variance = np.maximum(squares / count - mean * mean, 0)
        inverse = 1 / np.sqrt(variance + EPSILON)
        scale = self._variables[layer.norm_name("gamma")] * inverse
        norms[normalize.SCALE] = scale
        norms[normalize.SHIFT] = self._variables[layer.norm_name("beta")] - mean * scale
        norms[normalize.LOWER], norms[normalize.UPPER] = (
            (0, 6) if layer.relu6 else (-np.inf, np.inf)
        )
        norms[normalize.MEAN] = mean
        self._inverse[layer.name] = inverse
        # The moving variance takes the unbiased estimate, as TensorFlow's fused layer does.
        unbiased = variance * (count / max(count - 1, 1))
        for leaf, value in (("moving_mean", mean), ("moving_variance", unbiased)):
            moving = self._variables[layer.norm_name(leaf)]
            moving += (1 - decay) * (value - moving)

    def factor(self, head: Filtered) -> float:
        """Return 1: logits are y."""
        return 1.0

    def head_backward(
        self, head: Filtered, norms: Norms, z: NDArray, gradient: NDArray[np.float32]
    ) -> None:
        """Sum up the bias's gradient."""
        self._gradients[head.bias_name][...] = gradient.sum(axis=(0, 1, 2), dtype=np.float64)

    def normalize_backward(
        self, layer: Filtered, norms: Norms, reductions: NDArray[np.float64], count: int
    ) -> None:
        """Get the gradients of gamma and beta, and dz's terms."""
        inverse = self._inverse[layer.name]
        d_beta, centred = reductions
        d_gamma = centred * inverse
        self._gradients[layer.norm_name("gamma")][...] = d_gamma
        self._gradients[layer.norm_name("beta")][...] = d_beta
        scale, mean = (norms[row].astype(np.float64) for row in (normalize.SCALE, normalize.MEAN))
        terms = normalize.gradient_terms(scale, inverse, mean, d_gamma, d_beta, count)
        for row, value in zip(
            (normalize.GRADIENT, normalize.CONSTANT, normalize.SLOPE), terms, strict=True
        ):
            norms[row] = value

    def filters_backward(self, layer: Filtered, gradient: NDArray[np.float64]) -> None:
        """Keep it."""
        self._gradients[layer.weights_name][...] = gradient

    def copied(self, concat: str, name: str, z: NDArray, norms: Norms) -> tuple[NDArray, Norms]:
        """Return the same."""
        return z, norms

    def copied_backward(self, concat: str, name: str, z: NDArray, g: NDArray) -> NDArray:
        """Return the same."""
        return g
