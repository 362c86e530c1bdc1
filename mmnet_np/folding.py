"""Trained float32 variables as inference takes them: in kernel layout, batch norm folded in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import batch_norm
from mmnet_np.weights.errors import WeightsError

from .graph import NORM_LEAVES, Depthwise, Filtered, Graph

__all__ = ["folded", "folded_layers", "kernel_layout"]


def kernel_layout(layer: Filtered, weights: NDArray) -> NDArray:
    """Return weights as the kernels have them.

    A pointwise filter becomes (I, O), a depthwise one (3, 3, C), a full one stays (3, 3, I, O).
    """
    if isinstance(layer, Depthwise):
        return weights[..., 0]  # (3, 3, C, 1) -> (3, 3, C)
    return weights[0, 0] if layer.kernel_size == 1 else weights  # (1, 1, I, O) -> (I, O)


def folded(
    layer: Filtered, tensors: Mapping[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a layer's weights, in `kernel_layout`, and bias, its batch norm folded in."""
    weights = kernel_layout(layer, tensors[layer.weights_name])
    if not layer.batch_norm:
        return weights, tensors[layer.bias_name]
    norm = (tensors[layer.norm_name(leaf)] for leaf in NORM_LEAVES)
    return batch_norm.fold(weights, *norm)


def folded_layers(
    graph: Graph, tensors: Mapping[str, NDArray[np.float32]]
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return what `folded` gives for every layer that has weights, by the layer's name.

    Raises
    ------
    WeightsError
        A batch norm makes no numbers of them.
    """
    found = {}
    for layer in graph:
        if isinstance(layer, Filtered):
            with np.errstate(all="ignore"):
                weights, bias = folded(layer, tensors)
            if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
                raise WeightsError(
                    f"the batch norm of {layer.name} is impossible: folding it gives no numbers"
                )
            found[layer.name] = weights, bias
    return found
