"""A layer's integers, derived once more in exact rational arithmetic.

The package derives them in float64 (`mmnet_np.quantized`), and both backends start from what it
finds. So here they are worked out again, from the stored tensors alone, without a rounding before
the one that the definition asks for and without any code of the kernels: an error of theirs cannot
hide by being made twice.

A float64 product of two float32 scales is exact (48 bits of 53), and so only the division rounds;
`_float64` rounds an exact fraction as IEEE 754 does, which Python's true division of integers
promises to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import Filtered, Graph, Softmax
from mmnet_np.kernels import softmax_int8
from mmnet_np.quantized import QuantizedNetwork

__all__ = ["convolution_integers", "expected_integers", "plausible_table"]


def expected_integers(
    graph: Graph, tensors: Mapping[str, NDArray], network: QuantizedNetwork
) -> dict[str, dict[str, NDArray]]:
    """Return what the kernels of each int8 layer must hold, by layer and name.

    Of ``network`` only the layers' scales are taken, which stand in the tensors as they are.
    """
    found: dict[str, dict[str, NDArray]] = {}
    for layer in graph:
        if isinstance(layer, Filtered | Softmax):
            scale = network.quantizations[layer.inputs[0]].scale
            if isinstance(layer, Filtered):
                found[layer.name] = convolution_integers(layer, tensors, scale)
            else:
                table = softmax_int8.table(float(scale))
                found[layer.name] = {"table": plausible_table(table, float(scale))}
    return found


def convolution_integers(
    layer: Filtered, tensors: Mapping[str, NDArray], input_scale: np.float32
) -> dict[str, NDArray]:
    """Return what the kernels of a convolution must hold.

    Parameters
    ----------
    layer : Filtered
    tensors : mapping of str to array
        As stored (`mmnet_np.quantized.stored_tensors`).
    input_scale : float32
        Of the layer's input.

    Returns
    -------
    dict of str to array
        ``weights`` (int8, the checkpoint's layout), and (O,) int32 arrays ``bias``,
        ``multiplier``, ``shift``, ``zero_point``, ``lower``, ``upper``.
    """
    scale = float(tensors[layer.quantized_name("output_scale")][0])
    zero_point = int(tensors[layer.quantized_name("output_zero_point")][0])
    reals = [
        Fraction(float(input_scale)) * Fraction(float(weight_scale)) / Fraction(scale)
        for weight_scale in tensors[layer.quantized_name("weights_scale")]
    ]
    multiplier, shift = zip(*map(_multiplier, reals), strict=True)
    lower, upper = -128, 127
    if layer.relu6:
        # The quotient is float32's, hence rounded before it is rounded to a whole number.
        six = math.floor(float(np.float32(6) / np.float32(scale)) + 0.5)
        lower, upper = max(lower, zero_point), min(upper, zero_point + six)
    each = {
        "multiplier": multiplier,
        "shift": shift,
        "zero_point": [zero_point] * layer.channels,
        "lower": [lower] * layer.channels,
        "upper": [upper] * layer.channels,
    }
    return {
        "weights": tensors[layer.weights_name],
        "bias": tensors[layer.bias_name],
        **{name: np.array(values, np.int32) for name, values in each.items()},
    }


def _multiplier(real: Fraction) -> tuple[int, int]:
    """Return mantissa M in [2**30, 2**31) and exponent e, ``real ~ M * 2**(e - 31)``; or (0, 0)."""
    real = Fraction(real.numerator / real.denominator)  # to float64, as the definition has it
    if real == 0:
        return 0, 0
    exponent = real.numerator.bit_length() - real.denominator.bit_length()
    if real >= Fraction(2) ** exponent:
        exponent += 1  # now real = f * 2**exponent with f in [1/2, 1)
    mantissa = math.floor(real * Fraction(2) ** (31 - exponent) + Fraction(1, 2))
    if mantissa == 2**31:
        mantissa, exponent = 2**30, exponent + 1
    return (mantissa, exponent) if exponent >= -31 else (0, 0)


def plausible_table(table: NDArray[np.int8], scale: float) -> NDArray[np.int8]:
    """Return a softmax table with whatever cannot be right put right; a good one comes back as is.

    ``table[q0 + 128, q1 + 128]`` is p1 at scale 1/256 and zero point -128. It must depend on
    q0 - q1 alone, and be within one step of the real softmax.

    Parameters
    ----------
    table : (256, 256) int8 array
    scale : float
        Of the logits.
    """
    q = np.arange(-128, 128)
    difference = q[:, np.newaxis] - q
    # Of each diagonal the value that most entries have.
    diagonal, value = difference + 255, table.astype(np.int64) + 128
    counts = np.bincount((diagonal * 256 + value).reshape(-1), minlength=511 * 256)
    usual = counts.reshape(511, 256).argmax(axis=1)[diagonal] - 128
    with np.errstate(over="ignore"):
        real = 256 / (1 + np.exp(difference * float(scale))) - 128
    low, high = np.ceil(real - 1), np.floor(np.minimum(real, 127) + 1)
    return np.clip(usual, low, high).astype(np.int8)
