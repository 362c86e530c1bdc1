"""Inputs of one convolution that bring its sums where arithmetic goes wrong.

A patch is what one output position reads: (k, k, C) values, C input channels. Patches are made for
a purpose and set into an image at positions that share no input value:

- *extremes*: for each output channel the input that makes its sum as large as it can be, and as
  small, so that accumulators and clamps meet their limits;
- *ties*: inputs whose requantized sum lies exactly half way between two integers, which is where
  two ways of rounding part. About one sum in 2**shift does; they are picked from random patches.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import Depthwise, Filtered
from mmnet_np.kernels.fixed_point import mbqm, srdhm, wrap32
from mmnet_np.kernels.padding import same_output, same_padding
from mmnet_np.quantized import ConvolutionIntegers

from .inputs import noise

__all__ = ["extremes", "is_tie", "ties"]

CANDIDATES = 4096
"""Random patches that ties are picked from; a quarter of it where sums are of nine taps only."""

Int8 = NDArray[np.int8]


def extremes(layer: Filtered, integers: ConvolutionIntegers, image: Int8) -> Int8 | None:
    """Return ``image`` (1, H, W, C) with patches of extreme sums, None where none fits."""
    positive = integers.weights > 0  # (k, k, I, O) or (k, k, C, 1)
    most = np.where(positive, 127, -128).astype(np.int8)
    least = np.where(positive, -128, 127).astype(np.int8)
    if isinstance(layer, Depthwise):
        patches = np.stack([most[..., 0], least[..., 0]])
    else:
        patches = np.concatenate([most, least], axis=3).transpose(3, 0, 1, 2)
    return _planted(layer, patches, image)


def ties(layer: Filtered, integers: ConvolutionIntegers, image: Int8) -> Int8 | None:
    """Return ``image`` (1, H, W, C) with patches whose outputs are ties, None where none fits."""
    k, channels = layer.kernel_size, layer.in_channels
    count = CANDIDATES // 4 if isinstance(layer, Depthwise) else CANDIDATES
    patches = noise((count, k, k, channels), layer.name)
    tie = is_tie(integers, _sums(layer, integers, patches))  # (N, O)
    if isinstance(layer, Depthwise):  # each channel picks for itself
        order = np.argsort(~tie, axis=0, kind="stable")
        most = max(1, int(tie.sum(axis=0).max()))
        patches = np.take_along_axis(patches, order[:most, np.newaxis, np.newaxis], axis=0)
    else:
        # Round robin over the channels: the first tie of each, then the second of each, ...
        rank = np.cumsum(tie, axis=0)
        rows, columns = np.nonzero(tie)
        first = np.argsort(rank[rows, columns], kind="stable")
        chosen = list(dict.fromkeys(rows[first].tolist())) or [0]
        patches = patches[chosen]
    return _planted(layer, patches, image)


def is_tie(integers: ConvolutionIntegers, total: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say which sums (..., O), bias included, are rounded from a half to a value inside the clamp.

    The half is that of the second rounding, by 2**-shift.
    """
    stage = integers.stage
    multiplier, shift = stage.multiplier.astype(np.int64), stage.shift.astype(np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = srdhm(wrap32(total << left), multiplier)
    half = (high & ((1 << right) - 1)) * 2 == 1 << right
    value = mbqm(total, multiplier, left, right) + stage.zero_point
    return half & (stage.lower < value) & (value < stage.upper)


def _sums(layer: Filtered, integers: ConvolutionIntegers, patches: Int8) -> NDArray[np.int64]:
    """Return each patch's sums with bias, (N, O)."""
    x = patches.astype(np.float64) - integers.input.zero_point  # whole numbers below 2**53: exact
    weights = integers.weights.astype(np.float64)
    if isinstance(layer, Depthwise):
        total = (x * weights[..., 0]).sum(axis=(1, 2))
    else:
        total = x.reshape(len(x), -1) @ weights.reshape(-1, layer.channels)
    return total.astype(np.int64) + integers.stage.bias


def _planted(layer: Filtered, patches: Int8, image: Int8) -> Int8 | None:
    """Set patches into an image, over and over as long as there is room."""
    geometry = layer.kernel_size, layer.stride, layer.dilation
    rows, columns = (_taps(*geometry, size) for size in image.shape[1:3])
    if not (len(rows) and len(columns)):
        return None
    which = np.arange(len(rows) * len(columns)).reshape(len(rows), len(columns)) % len(patches)
    planted = image.copy()
    # (P, 1, k, 1) and (1, Q, 1, k): a patch for each of P by Q positions
    planted[0, rows[:, np.newaxis, :, np.newaxis], columns[:, np.newaxis]] = patches[which]
    return planted


@lru_cache(maxsize=64)
def _taps(kernel_size: int, stride: int, dilation: int, size: int) -> NDArray[np.intp]:
    """Return, along one axis, what outputs read that lie inside and share nothing: (P, k)."""
    out = same_output(size, stride)
    before = same_padding(size, out, kernel_size, stride, dilation)
    taken: set[int] = set()
    found = []
    for position in range(out):
        taps = range(position * stride - before, size, dilation)[:kernel_size]
        if taps and taps[0] >= 0 and len(taps) == kernel_size and taken.isdisjoint(taps):
            taken.update(taps)
            found.append(taps)
    return np.array(found, np.intp).reshape(-1, kernel_size)
