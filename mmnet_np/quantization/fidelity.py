"""How much of what a float32 network says is left when it is quantized."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dtypes import MATTE
from mmnet_np.graph import Filtered, build
from mmnet_np.kernels.quantization import quantize_reference
from mmnet_np.model import Matting
from mmnet_np.quantized import INPUT

__all__ = ["Fidelity", "compare"]


class Fidelity(NamedTuple):
    """An int8 network beside the float32 network that it was made of.

    Attributes
    ----------
    noise : dict of str to float
        Signal-to-quantization-noise ratio of each filtered layer's output, in decibels:
        ``10 log10(sum of y**2 / sum of (y - y8)**2)``, y8 being int8 turned into real numbers.
        Infinite where there is no difference.
    alpha : float
        Mean absolute difference of the two mattes, at the network's size.
    """

    noise: dict[str, float]
    alpha: float


def compare(model: Matting, quantized: Matting, images: Iterable[NDArray[np.float32]]) -> Fidelity:
    """Compare the layers' outputs of two networks.

    Parameters
    ----------
    model, quantized : Matting
        Of the same spec, in float32 and int8.
    images : iterable of (N, h, w, 3) float32 arrays in [0, 1]
        Photos as the network gets them, one at least.
    """
    graph = build(model.spec)
    names = [layer.name for layer in graph if isinstance(layer, Filtered)]
    signal, noise, differences = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0), []
    for image in images:
        exact = model.intermediates(image)
        bytes_ = np.empty(image.shape, np.int8)
        quantize_reference(image, *INPUT, bytes_)
        rounded = quantized.intermediates(bytes_)
        for name in names:
            scale, zero_point = quantized.quantization(name)
            y = exact[name]
            y8 = (rounded[name].astype(np.float32) - zero_point) * scale
            signal[name] += float(np.square(y, dtype=np.float64).sum())
            noise[name] += float(np.square(y - y8, dtype=np.float64).sum())
        alpha = (rounded[graph.output][..., 1].astype(np.float32) - MATTE.zero_point) * MATTE.scale
        differences.append(np.abs(alpha - exact[graph.output][..., 1]).mean(dtype=np.float64))
    return Fidelity(
        {name: _decibels(signal[name], noise[name]) for name in names}, float(np.mean(differences))
    )


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return float("inf")
    return 10 * float(np.log10(signal / noise)) if signal else float("-inf")
