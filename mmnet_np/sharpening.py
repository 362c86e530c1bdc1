"""Sharper mattes from the same weights: the logits, multiplied by a constant.

The cross-entropy in the training loss makes alpha tell how *probable* foreground is: where the
network does not know, a grey that is right on average. A matte is to tell what *is*, and nobody
wants a veil over half a background. Multiplying both logits by a factor above 1 moves every alpha
away from 1/2 and keeps 1/2 itself; it is a temperature below 1 (Guo et al., "On Calibration of
Modern Neural Networks", 2017, use one above 1, for the opposite purpose). The factor goes into the
last layer's weights, so that it costs nothing and every backend, file and converter knows it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import shown

from .errors import OptionError
from .graph import Filtered, build
from .spec import Spec

__all__ = ["sharpened"]


def sharpened(weights: store.Weights, factor: float) -> store.Weights:
    """Return weights whose logits are ``factor`` times as large.

    Float32: the last layer's filters and biases are multiplied. Int8: the scales of its filters and
    of its output are, so that all integers, and the logits among them, stay what they are, and mean
    more.

    Parameters
    ----------
    weights : store.Weights
    factor : float
        From 0.1 to 10; 1 changes nothing.

    Raises
    ------
    OptionError
        The factor is out of range.
    WeightsError
        The weights lack the last layer.
    """
    if not 0.1 <= factor <= 10:  # NaN is not
        raise OptionError(f"the sharpening factor is {factor}; it must be from 0.1 to 10")
    graph = build(Spec.from_dict(weights.spec))
    (name,) = graph[graph.output].inputs
    logits = graph[name]
    assert isinstance(logits, Filtered)
    if weights.dtype == "int8":
        scaled = [logits.quantized_name(leaf) for leaf in ("weights_scale", "output_scale")]
    else:
        scaled = [logits.weights_name, logits.bias_name]
    tensors: dict[str, NDArray] = dict(weights.tensors)
    for tensor in scaled:
        if tensor not in tensors:
            raise WeightsError(f"{shown(weights.name)}: {tensor} is missing")
        tensors[tensor] = tensors[tensor] * np.float32(factor)
    before = weights.provenance.get("sharpened")  # of a file that may say anything
    told = factor * before if isinstance(before, float) else factor
    return replace(weights, tensors=tensors, provenance={**weights.provenance, "sharpened": told})
