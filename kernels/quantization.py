"""Between float32 and int8, and between two int8 scales: ``real = (q - zero_point) * scale``.

quantize:    ``q = clamp(round(float32(x / scale)) + zero_point, -128, 127)``, halves away from zero
dequantize:  ``x = float32(double(scale) * (q - zero_point))``
requantize:  ``q2 = clamp(MBQM(q - zero_point, M, e) + zero_point2, -128, 127)`` with M and e the
             quantized multiplier of ``double(scale) / double(scale2)``

TensorFlow Lite's arithmetic, which divides in float32. It leaves open what becomes of quotients
beyond int32; here they saturate, and NaN is an error.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .output_stage import OutputStage, finished

__all__ = [
    "activation_range", "dequantize", "dequantize_reference", "quantize", "quantize_reference",
    "requantize", "requantize_reference",
]  # fmt: skip

_FAR = 512.0
"""A quotient of this size saturates whatever the zero point."""


def quantize_reference(
    x: NDArray[np.float32], scale: float, zero_point: int, out: NDArray[np.int8]
) -> None:
    """Round float32 to int8, in NumPy.

    Parameters
    ----------
    x : float32 array
    scale : float
        Taken as float32; positive.
    zero_point : int
    out : int8 array of the shape of ``x``

    Raises
    ------
    ValueError
        ``x`` holds NaN.
    """
    with np.errstate(over="ignore"):
        steps = x / np.float32(scale)  # in float32: a quotient too large is infinite
    if np.isnan(steps).any():
        raise ValueError("NaN cannot be quantized")
    steps = np.clip(steps, -_FAR, _FAR).astype(np.float64)  # in which adding 1/2 is exact
    whole = np.trunc(steps + np.copysign(0.5, steps))
    out[...] = np.clip(whole + zero_point, -128, 127)


def dequantize_reference(
    x: NDArray[np.int8], scale: float, zero_point: int, out: NDArray[np.float32]
) -> None:
    """Turn int8 into float32, in NumPy; arguments as for `quantize_reference`."""
    out[...] = np.float64(np.float32(scale)) * (x.astype(np.int32) - zero_point)


def requantize_reference(
    x: NDArray[np.int8], zero_point: int, stage: OutputStage, out: NDArray[np.int8]
) -> None:
    """Move int8 to another scale and zero point, in NumPy.

    Parameters
    ----------
    x : int8 array
    zero_point : int
        Of ``x``.
    stage : OutputStage
        Of one channel: bias 0, the multiplier of the two scales, the output's zero point.
    out : int8 array of the shape of ``x``; it may be ``x``
    """
    out[...] = stage.apply(x.astype(np.int32)[..., np.newaxis] - zero_point)[..., 0]


def activation_range(scale: float, zero_point: int, relu6: bool) -> tuple[int, int]:
    """Return the clamp of a layer's int8 output: what 0 and 6 become, or all of int8.

    ``q(v) = zero_point + round(float32(float32(v) / float32(scale)))``, halves away from zero, held
    within -128 to 127.
    """
    if not relu6:
        return -128, 127
    bounds = np.empty(2, np.int8)
    quantize_reference(np.array([0, 6], np.float32), scale, zero_point, bounds)
    return int(bounds[0]), int(bounds[1])


@kernel("void(float32[:,:,:,::1], float32, int32, int8[:,:,:,::1], intp, intp)", "int8")
def quantize(x, scale, zero_point, out, start, stop):
    """Round rows ``start`` to ``stop`` of the N * H rows to int8, in Numba."""
    rows = x.shape[1]
    for row in range(start, stop):
        source = x[row // rows, row % rows].reshape(-1)
        target = out[row // rows, row % rows].reshape(-1)
        for i in range(len(source)):
            steps = source[i] / scale
            if steps != steps:
                raise ValueError("NaN cannot be quantized")
            near = np.float64(min(max(steps, np.float32(-512.0)), np.float32(512.0)))
            whole = int(near + 0.5) if near >= 0.0 else int(near - 0.5)
            target[i] = min(max(whole + zero_point, -128), 127)


@kernel("void(int8[:,:,:,::1], float32, int32, float32[:,:,:,::1], intp, intp)", "int8")
def dequantize(x, scale, zero_point, out, start, stop):
    """Turn rows ``start`` to ``stop`` of the N * H rows into float32, in Numba."""
    rows = x.shape[1]
    for row in range(start, stop):
        source = x[row // rows, row % rows].reshape(-1)
        target = out[row // rows, row % rows].reshape(-1)
        for i in range(len(source)):
            target[i] = np.float64(scale) * (np.int32(source[i]) - zero_point)


@kernel("void(int8[:,:,:,:], int32, int32[:,::1], int8[:,:,:,:], intp, intp)", "int8")
def requantize(x, zero_point, stage, out, start, stop):
    """Requantize rows ``start`` to ``stop`` of the N * H rows, in Numba.

    As `requantize_reference`, with the stage's `OutputStage.table`. The arrays need not be
    contiguous: they are channels of a concat's buffer.
    """
    rows, columns, channels = x.shape[1], x.shape[2], x.shape[3]
    for row in range(start, stop):
        source, target = x[row // rows, row % rows], out[row // rows, row % rows]
        for column in range(columns):
            for c in range(channels):
                target[column, c] = finished(source[column, c] - zero_point, stage, 0)
