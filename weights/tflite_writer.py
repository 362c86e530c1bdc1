"""TensorFlow Lite models, written in memory.

A `Model` is filled in the order of execution, like a tape; every method returns the number of the
tensor it made, and `build` names the tensors to give out::

    model = Model()
    x = model.input((1, 8, 8, 3))
    y = model.conv_2d(x, model.constant(filters), model.constant(bias), activation="relu6")
    file = model.build([y])

It knows the operators, not the network: `mmnet_np.tflite_export` writes that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .flatbuffer_writer import encode
from .tflite_schema import (
    ACTIVATIONS,
    FILE_IDENTIFIER,
    MODEL,
    OPERATORS,
    PADDING_SAME,
    SCHEMA_VERSION,
    TYPES,
)

__all__ = ["Model", "Quantization"]

TYPE_NUMBERS = {dtype.name: number for number, dtype in TYPES.items()}
ACTIVATION_NUMBERS = {name: number for number, name in ACTIVATIONS.items()}


class Quantization(NamedTuple):
    """``real = (q - zero_point) * scale``, for a whole tensor or for each index along an axis."""

    scale: float | Sequence[float] | NDArray[np.float32]
    zero_point: int | Sequence[int] = 0
    axis: int = 0


class Model:
    """A graph of one input or more, NHWC, with SAME padding throughout.

    An operator's ``quantization`` is that of its output; an int8 convolution needs one. Tensors are
    called ``tensor_N`` and only inputs and constants have a shape, unless `label` says otherwise:
    an interpreter works out the others.
    """

    def __init__(self) -> None:
        self._buffers: list[dict[str, Any]] = [{}]  # buffer 0 stands for "no data"
        self._tensors: list[dict[str, Any]] = []
        self._codes: list[str] = []
        self._operators: list[dict[str, Any]] = []
        self._inputs: list[int] = []

    def input(
        self,
        shape: Sequence[int],
        dtype: DTypeLike = np.float32,
        quantization: Quantization | None = None,
    ) -> int:
        """Add a graph input."""
        self._inputs.append(self._tensor(shape, _type_number(dtype), _parameters(quantization)))
        return self._inputs[-1]

    def constant(self, values: ArrayLike, quantization: Quantization | None = None) -> int:
        """Add a tensor of weights, biases or other fixed values, of the array's own dtype."""
        array = np.ascontiguousarray(values)
        number = _type_number(array.dtype)
        little_endian = array.astype(TYPES[number], copy=False)
        self._buffers.append({"data": little_endian.reshape(-1).view(np.uint8)})
        return self._tensor(array.shape, number, _parameters(quantization), len(self._buffers) - 1)

    def conv_2d(
        self,
        x: int,
        filters: int,
        bias: int,
        *,
        depthwise: bool = False,
        stride: int = 1,
        dilation: int = 1,
        activation: str = "none",
        quantization: Quantization | None = None,
    ) -> int:
        """Convolve with (O, k, k, I) filters or, depthwise, each channel with its (1, k, k, C).

        Int8 filters are quantized along axis 0 or, depthwise, 3. There must be a bias.
        """
        options = {
            "padding": PADDING_SAME,
            "stride_w": stride,
            "stride_h": stride,
            "dilation_w": dilation,
            "dilation_h": dilation,
            "activation": ACTIVATION_NUMBERS[activation],
        }
        if depthwise:
            options["depth_multiplier"] = 1
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self._operator(name, options, [x, filters, bias], quantization=quantization)

    def concatenation(self, inputs: Sequence[int]) -> int:
        """Join channels; int8 inputs must agree on scale and zero point, to the last bit."""
        return self._operator("CONCATENATION", {"axis": 3}, inputs)

    def resize_bilinear(
        self,
        x: int,
        size: tuple[int, int],
        *,
        align_corners: bool = False,
        half_pixel_centers: bool = False,
    ) -> int:
        """Resize to (height, width); with neither convention chosen, in the legacy one."""
        options = {"align_corners": align_corners, "half_pixel_centers": half_pixel_centers}
        return self._operator(
            "RESIZE_BILINEAR", options, [x, self.constant(np.array(size, np.int32))]
        )

    def softmax(self, x: int, *, beta: float = 1.0) -> int:
        """Softmax over the channels; an int8 result has the one quantization that is allowed."""
        floating = self._tensors[x]["type"] == TYPE_NUMBERS["float32"]
        quantization = None if floating else Quantization(1 / 256, -128)
        return self._operator("SOFTMAX", {"beta": beta}, [x], quantization=quantization)

    def quantize(self, x: int, quantization: Quantization) -> int:
        """Round float32 to int8, or move int8 to another scale and zero point."""
        return self._operator("QUANTIZE", {}, [x], np.int8, quantization)

    def dequantize(self, x: int) -> int:
        """Turn int8 into float32."""
        return self._operator("DEQUANTIZE", {}, [x], np.float32)

    def label(self, tensor: int, name: str, shape: Sequence[int] | None = None) -> int:
        """Give a tensor a name and, if it is not there yet, its shape; return its number."""
        self._tensors[tensor]["name"] = name
        if shape is not None:
            self._tensors[tensor]["shape"] = list(shape)
        return tensor

    def build(
        self,
        outputs: Sequence[int],
        *,
        description: str | None = None,
        metadata: Mapping[str, bytes] | None = None,
    ) -> bytes:
        """Return the model's file, giving out these tensors, intermediate ones included.

        Parameters
        ----------
        outputs : sequence of int
            Tensors' numbers.
        description : str, optional
            Of the whole model.
        metadata : mapping of str to bytes, optional
            What else the file is to carry.
        """
        subgraph = {
            "tensors": self._tensors,
            "inputs": self._inputs,
            "outputs": outputs,
            "operators": self._operators,
            "name": "main",
        }
        codes = [
            {"deprecated_code": operator.code, "code": operator.code, "version": operator.version}
            for operator in map(OPERATORS.__getitem__, self._codes)
        ]
        extra = metadata or {}
        model = {
            "version": SCHEMA_VERSION,
            "operator_codes": codes,
            "subgraphs": [subgraph],
            "description": description,
            "buffers": self._buffers
            + [{"data": np.frombuffer(data, np.uint8)} for data in extra.values()],
            "metadata": [
                {"name": name, "buffer": number}
                for number, name in enumerate(extra, len(self._buffers))
            ],
        }
        return encode(MODEL, model, FILE_IDENTIFIER)

    def _tensor(
        self, shape: Sequence[int], number: int, parameters: dict | None, buffer: int = 0
    ) -> int:
        self._tensors.append(
            {
                "shape": list(shape),
                "type": number,
                "buffer": buffer,
                "name": f"tensor_{len(self._tensors)}",
                "quantization": parameters,
            }
        )
        return len(self._tensors) - 1

    def _operator(
        self,
        name: str,
        options: dict[str, Any],
        inputs: Sequence[int],
        dtype: DTypeLike | None = None,
        quantization: Quantization | None = None,
    ) -> int:
        """Append an operator; its output is like its first input unless told otherwise."""
        number, parameters = self._tensors[inputs[0]]["type"], _parameters(quantization)
        if dtype is not None:
            number = _type_number(dtype)
        elif parameters is None:
            parameters = self._tensors[inputs[0]]["quantization"]
        out = self._tensor((), number, parameters)
        if name not in self._codes:
            self._codes.append(name)
        self._operators.append(
            {
                "opcode_index": self._codes.index(name),
                "inputs": list(inputs),
                "outputs": [out],
                "options_type": OPERATORS[name].options_type,
                "options": options,
            }
        )
        return out


def _parameters(quantization: Quantization | None) -> dict[str, Any] | None:
    if quantization is None:
        return None
    scales = np.atleast_1d(np.asarray(quantization.scale, np.float32))
    zero_points = np.broadcast_to(np.asarray(quantization.zero_point, np.int64), scales.shape)
    return {"scale": scales, "zero_point": zero_points, "quantized_dimension": quantization.axis}


def _type_number(dtype: DTypeLike) -> int:
    name = np.dtype(dtype).name
    if name not in TYPE_NUMBERS:
        raise ValueError(f"a tensor of {name}; it must be one of {', '.join(TYPE_NUMBERS)}")
    return TYPE_NUMBERS[name]
