"""TensorFlow Lite models, written and run in memory: the oracle that shares no code with us.

A `Model` is filled in the order of execution, like a tape; every method returns the number of the
tensor it made, and `build` names the tensors to give out::

    model = litert.Model()
    x = model.input((1, 8, 8, 3))
    y = model.conv_2d(x, model.constant(filters), model.constant(bias), activation="relu6")
    (result,) = litert.run(model.build([y]), [image])

Importing this module skips the tests of the importer where LiteRT is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import ArrayLike, DTypeLike, NDArray

pytest.importorskip(
    "ai_edge_litert", reason="ai-edge-litert is not installed: no TensorFlow Lite oracle"
)

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

SCHEMA_VERSION = 3
FILE_IDENTIFIER = b"TFL3"
# Of every operator: has int8, dilation, half pixel centers and requantization.
OPERATOR_VERSION = 3
TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}
ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu6": schema.ActivationFunctionType.RELU6,
}


class Quantization(NamedTuple):
    """``real = (q - zero_point) * scale``, for a whole tensor or for each index along an axis."""

    scale: float | Sequence[float]
    zero_point: int | Sequence[int] = 0
    axis: int = 0


class Model:
    """A graph of one input or more, NHWC, with SAME padding throughout.

    Only inputs and constants have a shape in the file: the interpreter works out the others, so
    that the shapes of its results are an oracle too. An operator's ``quantization`` is that of its
    output; an int8 convolution needs one.
    """

    def __init__(self) -> None:
        self._buffers = [schema.BufferT()]  # buffer 0 stands for "no data"
        self._tensors: list[schema.TensorT] = []
        self._codes: list[int] = []
        self._operators: list[schema.OperatorT] = []
        self._inputs: list[int] = []

    def input(
        self,
        shape: Sequence[int],
        dtype: DTypeLike = np.float32,
        quantization: Quantization | None = None,
    ) -> int:
        """Add a graph input."""
        self._inputs.append(self._tensor(shape, _tensor_type(dtype), quantization))
        return self._inputs[-1]

    def constant(self, values: ArrayLike, quantization: Quantization | None = None) -> int:
        """Add a tensor of weights, biases or other fixed values, of the array's own dtype."""
        array = np.ascontiguousarray(values)
        self._buffers.append(schema.BufferT(data=array.reshape(-1).view(np.uint8)))
        return self._tensor(
            array.shape, _tensor_type(array.dtype), quantization, len(self._buffers) - 1
        )

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
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        kind = schema.DepthwiseConv2DOptionsT if depthwise else schema.Conv2DOptionsT
        options = kind(
            padding=schema.Padding.SAME,
            strideW=stride,
            strideH=stride,
            dilationWFactor=dilation,
            dilationHFactor=dilation,
            fusedActivationFunction=ACTIVATIONS[activation],
        )
        if depthwise:
            options.depthMultiplier = 1
        return self._operator(name, options, [x, filters, bias], quantization=quantization)

    def concatenation(self, inputs: Sequence[int]) -> int:
        """Join channels; int8 inputs must agree on scale and zero point, to the last bit."""
        return self._operator("CONCATENATION", schema.ConcatenationOptionsT(axis=3), inputs)

    def resize_bilinear(
        self,
        x: int,
        size: tuple[int, int],
        *,
        align_corners: bool = False,
        half_pixel_centers: bool = False,
    ) -> int:
        """Resize to (height, width); with neither convention chosen, in the legacy one."""
        options = schema.ResizeBilinearOptionsT(
            alignCorners=align_corners, halfPixelCenters=half_pixel_centers
        )
        return self._operator(
            "RESIZE_BILINEAR", options, [x, self.constant(np.array(size, np.int32))]
        )

    def softmax(self, x: int, *, beta: float = 1.0) -> int:
        """Softmax over the channels; an int8 result has the one quantization that is allowed."""
        floating = self._tensors[x].type == schema.TensorType.FLOAT32
        quantization = None if floating else Quantization(1 / 256, -128)
        options = schema.SoftmaxOptionsT(beta=beta)
        return self._operator("SOFTMAX", options, [x], quantization=quantization)

    def quantize(self, x: int, quantization: Quantization) -> int:
        """Round float32 to int8, or move int8 to another scale and zero point."""
        return self._operator(
            "QUANTIZE", schema.QuantizeOptionsT(), [x], schema.TensorType.INT8, quantization
        )

    def dequantize(self, x: int) -> int:
        """Turn int8 into float32."""
        return self._operator(
            "DEQUANTIZE", schema.DequantizeOptionsT(), [x], schema.TensorType.FLOAT32
        )

    def build(self, outputs: Sequence[int]) -> bytes:
        """Return the model's file, giving out these tensors, intermediate ones included."""
        graph = schema.SubGraphT(self._tensors, self._inputs, list(outputs), self._operators)
        codes = [
            schema.OperatorCodeT(code, builtinCode=code, version=OPERATOR_VERSION)
            for code in self._codes
        ]
        model = schema.ModelT(
            version=SCHEMA_VERSION, operatorCodes=codes, subgraphs=[graph], buffers=self._buffers
        )
        file = flatbuffers.Builder(1 << 16)
        file.Finish(model.Pack(file), file_identifier=FILE_IDENTIFIER)
        return bytes(file.Output())

    def _tensor(
        self,
        shape: Sequence[int],
        tensor_type: int,
        quantization: Quantization | schema.QuantizationParametersT | None,
        buffer: int = 0,
    ) -> int:
        if isinstance(quantization, Quantization):
            scales = np.atleast_1d(np.asarray(quantization.scale, np.float32))
            zero_points = np.asarray(quantization.zero_point, np.int64)
            quantization = schema.QuantizationParametersT(
                scale=scales,
                zeroPoint=np.broadcast_to(zero_points, scales.shape).copy(),
                quantizedDimension=quantization.axis,
            )
        number = len(self._tensors)
        name = f"tensor_{number}"
        self._tensors.append(
            schema.TensorT(list(shape), tensor_type, buffer, name, quantization=quantization)
        )
        return number

    def _operator(
        self,
        name: str,
        options: object,
        inputs: Sequence[int],
        output_type: int | None = None,
        quantization: Quantization | None = None,
    ) -> int:
        """Append an operator; its output is like its first input unless told otherwise."""
        like = self._tensors[inputs[0]]
        if output_type is None:
            output_type = like.type
            quantization = quantization or like.quantization
        out = self._tensor((), output_type, quantization)
        code = getattr(schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        kind = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self._operators.append(
            schema.OperatorT(self._codes.index(code), list(inputs), [out], kind, options)
        )
        return out


def _tensor_type(dtype: DTypeLike) -> int:
    name = np.dtype(dtype).name
    if name not in TYPES:
        raise ValueError(f"a tensor of {name}; it must be one of {', '.join(TYPES)}")
    return TYPES[name]


def run(model: bytes, inputs: Sequence[NDArray], *, reference: bool = True) -> list[NDArray]:
    """Run a model once, on one thread.

    Parameters
    ----------
    model : bytes
        From `Model.build`.
    inputs : sequence of arrays
        In the order in which the model's inputs were added, of their shapes and dtypes.
    reference : bool
        Run the plain loops that define the operators. If false, run what a user gets by default,
        which is faster and, in int8, allowed to differ: no oracle.

    Returns
    -------
    list of arrays
        In the order given to `Model.build`.
    """
    resolver = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = Interpreter(
        model_content=model, num_threads=1, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
