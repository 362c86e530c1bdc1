"""TensorFlow Lite models as tensors and operators, with nothing of them run.

Only what MMNet consists of is understood; `mmnet_np.tflite_import` finds the network in it. All
that a file says is checked here once: numbers of tensors, buffers and operators, sizes, types.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import WeightsError
from .files import LIMIT, beginning, naming, read_regular, shown
from .flatbuffer_reader import decode
from .tflite_schema import (
    ACTIVATIONS,
    FILE_IDENTIFIER,
    MODEL,
    OPERATORS,
    PADDING_SAME,
    SCHEMA_VERSION,
    TYPES,
)

__all__ = ["Operator", "Subgraph", "Tensor", "is_tflite", "read_model"]

RANK_LIMIT = 8
INPUT_LIMIT = 16  # of one operator; a concatenation of MMNet has four
OUTPUT_LIMIT = 2000  # of the graph; to see all intermediate tensors some give out every one
PARTS = ("scale", "zero_point")
NAMES = {operator.code: name for name, operator in OPERATORS.items()}


@dataclass(frozen=True)
class Tensor:
    """A tensor; ``values`` only if the file has some.

    ``scale`` (float32) and ``zero_point`` (int64) have one value, one for each index along
    ``axis``, or none where the tensor is not quantized.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    values: NDArray | None
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class Operator:
    """An operator; inputs and outputs are numbers of tensors, -1 for an input left out.

    ``options`` are those of `tflite_schema`, ``activation`` as one of ``"none"`` and ``"relu6"``.
    """

    name: str
    options: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Subgraph:
    """A model's one graph, and the metadata beside it."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: Mapping[str, NDArray[np.uint8]]


def is_tflite(path: str | os.PathLike[str]) -> bool:
    """Say whether a file begins as these models do; False also where it cannot be read."""
    return beginning(path, 8)[4:] == FILE_IDENTIFIER


def read_model(path: str | os.PathLike[str]) -> Subgraph:
    """Read a TensorFlow Lite model.

    Parameters
    ----------
    path : path-like
        The file, at most 64 MB.

    Returns
    -------
    Subgraph
        Arrays are in native byte order and own their memory.

    Raises
    ------
    WeightsError
        The file is missing, damaged, no such model, or has operators, types or options that MMNet
        has not.
    """
    data = read_regular(path)
    with naming(path):
        if data[4:8] != FILE_IDENTIFIER:
            raise WeightsError("it is not a TensorFlow Lite model")
        return _checked(decode(MODEL, data))


def _checked(model: dict[str, Any]) -> Subgraph:
    if model["version"] != SCHEMA_VERSION:
        raise WeightsError(f"it has schema version {model['version']}; expected {SCHEMA_VERSION}")
    if len(model["subgraphs"]) != 1:
        raise WeightsError(f"it has {len(model['subgraphs'])} subgraphs; expected one")
    (graph,) = model["subgraphs"]
    buffers = [buffer["data"] for buffer in model["buffers"]]
    # Many tensors may share a vector of the file, and each becomes an array of its own.
    total = sum(
        _item(buffers, row["buffer"], "buffer").nbytes
        + sum(row["quantization"][part].nbytes for part in PARTS if row["quantization"])
        for row in graph["tensors"]
    )
    if total > LIMIT:
        raise WeightsError(f"its tensors take {total} bytes; expected at most {LIMIT}")
    tensors = tuple(_tensor(row, buffers) for row in graph["tensors"])
    count = len(tensors)
    return Subgraph(
        tensors=tensors,
        operators=tuple(
            _operator(row, model["operator_codes"], count) for row in graph["operators"]
        ),
        inputs=_numbers(graph["inputs"], count, OUTPUT_LIMIT),
        outputs=_numbers(graph["outputs"], count, OUTPUT_LIMIT),
        metadata={
            row["name"] or "": _item(buffers, row["buffer"], "buffer") for row in model["metadata"]
        },
    )


def _tensor(row: dict[str, Any], buffers: list[NDArray]) -> Tensor:
    name = shown(row["name"] or "a tensor without a name")
    if row["type"] not in TYPES:
        raise WeightsError(f"its {name} is of type {row['type']}; expected float32, int8 or int32")
    dtype, data = TYPES[row["type"]], buffers[row["buffer"]]
    shape = tuple(map(int, row["shape"][: RANK_LIMIT + 1]))
    if len(shape) > RANK_LIMIT or min(shape, default=0) < 0:
        raise WeightsError(f"its {name} has an impossible shape")
    values = None
    if data.size:
        if data.size != math.prod(shape) * dtype.itemsize:
            raise WeightsError(f"its {name} of shape {shape} has {data.size} bytes")
        values = np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    quantization = row["quantization"] or {**dict.fromkeys(PARTS, ()), "quantized_dimension": 0}
    return Tensor(
        name=name,
        dtype=np.dtype(dtype.name),
        shape=shape,
        values=values,
        scale=np.array(quantization["scale"], np.float32),
        zero_point=np.array(quantization["zero_point"], np.int64),
        axis=quantization["quantized_dimension"],
    )


def _operator(row: dict[str, Any], codes: list[dict[str, Any]], count: int) -> Operator:
    code = _item(codes, row["opcode_index"], "operator code")
    number = max(code["code"], code["deprecated_code"])  # old files have only the latter
    if number not in NAMES:
        raise WeightsError(
            f"it has an operator of number {number}, which MMNet has not; "
            f"expected {', '.join(NAMES.values())}"
        )
    name = NAMES[number]
    known, options = OPERATORS[name], dict(row["options"] or {})
    if row["options_type"] not in (0, known.options_type) or options.keys() != known.options.keys():
        raise WeightsError(f"its {name} lacks its options")
    if options.get("padding", PADDING_SAME) != PADDING_SAME:
        raise WeightsError(f"its {name} has a padding other than SAME")
    if "activation" in options:
        if options["activation"] not in ACTIVATIONS:
            raise WeightsError(f"its {name} has an activation other than none and ReLU6")
        options["activation"] = ACTIVATIONS[options["activation"]]
    return Operator(
        name,
        options,
        _numbers(row["inputs"], count, INPUT_LIMIT, least=-1),
        _numbers(row["outputs"], count, INPUT_LIMIT),
    )


def _numbers(values: NDArray, count: int, limit: int, least: int = 0) -> tuple[int, ...]:
    """Return at most ``limit`` numbers of tensors, of which there are ``count``."""
    if values.size > limit:
        raise WeightsError(f"it lists {values.size} tensors where there may be {limit}")
    if values.size and not least <= values.min() <= values.max() < count:
        raise WeightsError("it names tensors that it has not")
    return tuple(map(int, values))


def _item(items: list, number: int, what: str) -> Any:
    if number >= len(items):
        raise WeightsError(f"it names {what} {number} and has {len(items)}")
    return items[number]
