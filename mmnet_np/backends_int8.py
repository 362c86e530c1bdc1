"""The backends of int8 networks: NumPy references and Numba kernels, with the same bits.

Parameters are `quantized.QuantizedNetwork.integers`. The references take them as they are; for the
Numba kernels weights are packed, the output stage becomes a table, and where every tap of a sum is
counted the input's zero point goes into the bias (`OutputStage.folding`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import (
    convolution_int8,
    depthwise_int8,
    pointwise_int8,
    quantization,
    resize_int8,
    softmax_int8,
    taps,
    tile_int8,
)
from mmnet_np.kernels.jit import Kernel
from mmnet_np.kernels.output_stage import (
    BIAS,
    LOWER,
    MULTIPLIER,
    SHIFT,
    UPPER,
    ZERO_POINT,
    OutputStage,
)

from .backends import Kernels, Operations, Prepared, References
from .folding import kernel_layout
from .graph import Depthwise, Filtered, Layer, Pointwise, Softmax
from .quantized import ConcatIntegers, ConvolutionIntegers, Quantization, SoftmaxIntegers

__all__ = ["NumbaInt8Backend", "NumpyInt8Backend"]

Integers = ConvolutionIntegers | ConcatIntegers | SoftmaxIntegers
Move = Callable[[NDArray, NDArray], None]


def _moves(integers: ConcatIntegers, requantizing: Callable[[int, OutputStage], Move]) -> Prepared:
    """Return what moves each input of a concat: None for a copy."""
    return tuple(
        None if stage is None else requantizing(source.zero_point, stage)
        for source, stage in zip(integers.inputs, integers.stages, strict=True)
    )


def _plain(
    layer: Filtered, weights: NDArray, table: NDArray[np.int32], bias: NDArray
) -> dict[str, NDArray]:
    """Return a convolution's integers by name, of ``layer.channels`` channels."""
    rows = {"multiplier": MULTIPLIER, "shift": SHIFT, "zero_point": ZERO_POINT, "lower": LOWER,
            "upper": UPPER}  # fmt: skip
    return {
        "weights": weights.reshape(layer.weights_shape()),
        "bias": bias[: layer.channels].astype(np.int32),
        **{name: table[row, : layer.channels] for name, row in rows.items()},
    }


class NumpyInt8Backend(References):
    """The readable references, which define the result."""

    dtype = np.dtype(np.int8)
    operations = Operations(
        pointwise_int8.reference,
        depthwise_int8.reference,
        convolution_int8.reference,
        resize_int8.reference,
        softmax_int8.reference,
    )

    def prepare(self, layer: Any, integers: Integers) -> Prepared:
        """Bring the weights into kernel layout; all else stays as it is."""
        if isinstance(integers, ConcatIntegers):
            return _moves(integers, self._requantizing)
        if isinstance(integers, SoftmaxIntegers):
            return (integers.table,)
        weights = kernel_layout(layer, integers.weights)
        return (integers.input.zero_point, weights, integers.stage)

    def held(self, layer: Layer, prepared: Prepared, zero_point: int) -> dict[str, NDArray]:
        """Return what `prepare` made of a layer's integers, for whoever verifies it.

        Parameters
        ----------
        layer : Layer
        prepared : tuple
        zero_point : int
            Of the layer's input.

        Returns
        -------
        dict of str to array
            Of a softmax its ``table``; of a convolution ``weights`` in the checkpoint's layout and
            (O,) int32 arrays, fields of `OutputStage`; of a concat nothing.
        """
        if isinstance(layer, Softmax):
            return {"table": prepared[0]}
        if not isinstance(layer, Filtered):
            return {}
        _, weights, stage = prepared
        return _plain(layer, weights, stage.table(), stage.bias)

    def _requantizing(self, zero_point: int, stage: OutputStage) -> Move:
        return lambda x, out: quantization.requantize_reference(x, zero_point, stage, out)

    def quantize(self, x: NDArray[np.float32], to: Quantization) -> NDArray[np.int8]:
        """Round a (N, h, w, C) array to int8."""
        out = np.empty(x.shape, np.int8)
        quantization.quantize_reference(x, *to, out)
        return out

    def dequantize(self, x: NDArray[np.int8], of: Quantization) -> NDArray[np.float32]:
        """Turn a (N, h, w, C) array into float32."""
        out = np.empty(x.shape, np.float32)
        quantization.dequantize_reference(x, *of, out)
        return out


class NumbaInt8Backend(Kernels):
    """The tuned kernels."""

    dtype = np.dtype(np.int8)
    operations = Operations(
        pointwise_int8.pointwise_int8,
        depthwise_int8.depthwise_int8,
        convolution_int8.convolution_int8,
        resize_int8.resize_int8,
        softmax_int8.softmax_int8,
    )
    coordinates = staticmethod(resize_int8.coordinates)

    def prepare(self, layer: Any, integers: Integers) -> Prepared:
        """Pack the weights for the register tile, or border them with zeros for depthwise."""
        if isinstance(integers, ConcatIntegers):
            return _moves(integers, self._requantizing)
        if isinstance(integers, SoftmaxIntegers):
            return (integers.table,)
        zero_point, stage = integers.input.zero_point, integers.stage
        weights = kernel_layout(layer, integers.weights)
        if isinstance(layer, Depthwise):
            return (zero_point, taps.zero_bordered(weights), stage.table())
        matrix = weights.reshape(-1, layer.channels)  # (taps * I, O)
        table = stage.folding(zero_point, matrix).table()
        packed = (tile_int8.pack(matrix), table, layer.channels)
        return packed if isinstance(layer, Pointwise) else (zero_point, *packed)

    def held(self, layer: Layer, prepared: Prepared, zero_point: int) -> dict[str, NDArray]:
        """Return what `prepare` made of a layer's integers: see `NumpyInt8Backend.held`."""
        if isinstance(layer, Softmax):
            return {"table": prepared[0]}
        if not isinstance(layer, Filtered):
            return {}
        if isinstance(layer, Depthwise):
            _, bordered, table = prepared
            return _plain(layer, bordered[:3, :3], table, table[BIAS])
        *_, packed, table, channels = prepared
        weights = tile_int8.unpack(packed, layer.kernel_size**2 * layer.in_channels, channels)
        folded = zero_point * weights.sum(axis=0, dtype=np.int64)  # see OutputStage.folding
        return _plain(layer, weights, table, table[BIAS, :channels] + folded)

    def _requantizing(self, zero_point: int, stage: OutputStage) -> Move:
        kernel, table = quantization.requantize.compiled(), stage.table()

        def move(x: NDArray[np.int8], out: NDArray[np.int8]) -> None:
            rows = x.shape[0] * x.shape[1]
            self._bands.run(kernel, (x, zero_point, table, out), rows, x.size)

        return move

    def quantize(self, x: NDArray[np.float32], to: Quantization) -> NDArray[np.int8]:
        """Round a (N, h, w, C) array to int8."""
        return self._elementwise(quantization.quantize, x, to, np.int8)

    def dequantize(self, x: NDArray[np.int8], of: Quantization) -> NDArray[np.float32]:
        """Turn a (N, h, w, C) array into float32."""
        return self._elementwise(quantization.dequantize, x, of, np.float32)

    def _elementwise(
        self, kernel: Kernel, x: NDArray, quantization: Quantization, dtype: type
    ) -> NDArray:
        out: NDArray = np.empty(x.shape, dtype)
        rows = x.shape[0] * x.shape[1]
        self._bands.run(kernel.compiled(), (x, *quantization, out), rows, x.size)
        return out
