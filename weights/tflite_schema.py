"""The part of TensorFlow Lite's file format that MMNet needs, as tables.

A ``.tflite`` file is a FlatBuffer: tables whose fields have numbered slots, and vectors, all found
by offsets. Which slot means what is the schema's matter, and stands here once for the reader
(`mmnet_np.weights.flatbuffer_reader`) and the writer (`mmnet_np.weights.flatbuffer_writer`).

References: "FlatBuffer Internals", flatbuffers.dev/internals; TensorFlow Lite's ``schema.fbs``,
version 3. Numbers of slots, operators and options never change in it, new ones are only added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

__all__ = [
    "ACTIVATIONS",
    "FILE_IDENTIFIER",
    "MODEL",
    "OPERATORS",
    "PADDING_SAME",
    "SCHEMA_VERSION",
    "TYPES",
]

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3


class Scalar(NamedTuple):
    """A number; a field that holds its default may be left out of the file."""

    dtype: str
    default: float = 0


class Vector(NamedTuple):
    """Numbers in a row, whose first begins at a multiple of ``align`` bytes and of its size."""

    dtype: str
    align: int = 1


class Text(NamedTuple):
    """UTF-8."""


class Child(NamedTuple):
    """A table, given by its fields."""

    fields: Mapping[str, Field]


class Children(NamedTuple):
    """A vector of tables, all with these fields."""

    fields: Mapping[str, Field]


class Choice(NamedTuple):
    """A table with those of several sets of fields that another field's number chooses."""

    by: str
    fields: Mapping[int, Mapping[str, Field]]


class Field(NamedTuple):
    """A slot of a table and what is in it."""

    slot: int
    kind: Scalar | Vector | Text | Child | Children | Choice


Fields = Mapping[str, Field]

I8, U8, I32, U32, F32 = (Scalar(dtype) for dtype in ("<i1", "<u1", "<i4", "<u4", "<f4"))
ONE = Scalar("<i4", 1)
INTEGERS = Vector("<i4")

# fmt: off
CONVOLUTION: Fields = {
    "padding": Field(0, I8), "stride_w": Field(1, I32), "stride_h": Field(2, I32),
    "activation": Field(3, I8), "dilation_w": Field(4, ONE), "dilation_h": Field(5, ONE),
}
DEPTHWISE: Fields = {
    "padding": Field(0, I8), "stride_w": Field(1, I32), "stride_h": Field(2, I32),
    "depth_multiplier": Field(3, I32), "activation": Field(4, I8),
    "dilation_w": Field(5, ONE), "dilation_h": Field(6, ONE),
}
CONCATENATION: Fields = {"axis": Field(0, I32), "activation": Field(1, I8)}
RESIZE: Fields = {"align_corners": Field(2, U8), "half_pixel_centers": Field(3, U8)}
SOFTMAX: Fields = {"beta": Field(0, F32)}


class Operator(NamedTuple):
    """An operator: its number, the version that has all we use, and its options."""

    code: int
    version: int
    options_type: int
    options: Fields


OPERATORS = {
    # Version 3 of a convolution has int8 with a scale per channel; of a resize, half pixels.
    "CONV_2D": Operator(3, 3, 1, CONVOLUTION),
    "DEPTHWISE_CONV_2D": Operator(4, 3, 2, DEPTHWISE),
    "CONCATENATION": Operator(2, 2, 10, CONCATENATION),
    "RESIZE_BILINEAR": Operator(23, 3, 15, RESIZE),
    "SOFTMAX": Operator(25, 2, 9, SOFTMAX),
    "QUANTIZE": Operator(114, 2, 89, {}),
    "DEQUANTIZE": Operator(6, 2, 38, {}),
}

QUANTIZATION: Fields = {
    "scale": Field(2, Vector("<f4")), "zero_point": Field(3, Vector("<i8")),
    "quantized_dimension": Field(6, I32),
}
TENSOR: Fields = {
    "shape": Field(0, INTEGERS), "type": Field(1, I8), "buffer": Field(2, U32),
    "name": Field(3, Text()), "quantization": Field(4, Child(QUANTIZATION)),
}
OPERATOR: Fields = {
    "opcode_index": Field(0, U32), "inputs": Field(1, INTEGERS), "outputs": Field(2, INTEGERS),
    "options_type": Field(3, U8),
    "options": Field(4, Choice("options_type", {
        operator.options_type: operator.options for operator in OPERATORS.values()
    })),
}
OPERATOR_CODE: Fields = {
    # The first field is a byte; numbers above 127 stand only in the second, which came later.
    "deprecated_code": Field(0, I8), "version": Field(2, ONE), "code": Field(3, I32),
}
SUBGRAPH: Fields = {
    "tensors": Field(0, Children(TENSOR)), "inputs": Field(1, INTEGERS),
    "outputs": Field(2, INTEGERS), "operators": Field(3, Children(OPERATOR)),
    "name": Field(4, Text()),
}
METADATA: Fields = {"name": Field(0, Text()), "buffer": Field(1, U32)}
MODEL: Fields = {
    "version": Field(0, U32), "operator_codes": Field(1, Children(OPERATOR_CODE)),
    "subgraphs": Field(2, Children(SUBGRAPH)), "description": Field(3, Text()),
    "buffers": Field(4, Children({"data": Field(0, Vector("<u1", 16))})),
    "metadata": Field(6, Children(METADATA)),
}
# fmt: on

TYPES: dict[int, np.dtype] = {0: np.dtype("<f4"), 9: np.dtype("<i1"), 2: np.dtype("<i4")}
"""Tensor types of the file and what they are in NumPy."""

PADDING_SAME = 0
ACTIVATIONS = {0: "none", 3: "relu6"}
