"""The network in a TensorFlow Lite model: which MMNet it is, and its weights for our store.

`mmnet_np.tflite_match` finds the layers. What `mmnet_np.tflite_export` says in the metadata is
taken over, where it is true.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import batch_norm
from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import naming
from mmnet_np.weights.tflite_reader import Operator, Subgraph, Tensor, read_model

from .errors import OptionError
from .graph import (
    NORM_LEAVES,
    Concat,
    Depthwise,
    Filtered,
    Graph,
    Resize,
    build,
    shapes,
)
from .quantized import Quantization, QuantizedNetwork
from .spec import VARIANTS, WIDTHS, Spec
from .tflite_export import AXES, METADATA
from .tflite_match import match

__all__ = ["load"]

METADATA_LIMIT = 1 << 16
LICENCE = "unknown; ask whoever made the model"


def load(
    path: str | os.PathLike[str], width: float | None = None, variant: str | None = None
) -> store.Weights:
    """Read the network in a TensorFlow Lite model.

    Parameters
    ----------
    path : path-like
    width, variant : optional
        What is known of it already; found out by default.

    Returns
    -------
    store.Weights
        Float32 or int8. Float32 filters have their batch norm folded in already, so each gets one
        that does nothing more (`mmnet_np.kernels.batch_norm.unfold`): running gives the same bits.

    Raises
    ------
    WeightsError
        The file cannot be read, or holds another network than MMNet.
    """
    model = read_model(path)
    with naming(path):
        about = _about(model)
        spec, operators = _identify(model, about, width, variant)
        dtype = model.tensors[model.inputs[0]].dtype.name
        if dtype not in ("float32", "int8"):
            raise WeightsError(f"its input is {dtype}; expected float32 or int8")
        tensors: dict[str, NDArray] = {}
        graph = build(spec)
        for layer in graph:
            if isinstance(layer, Filtered):
                variables = _float32 if dtype == "float32" else _int8
                tensors |= variables(layer, operators[layer.name], model)
        if dtype == "int8":
            _check_scales(graph, tensors, operators, model)
    suffix = "-int8" if dtype == "int8" else ""
    return store.Weights(
        name=about.get("name", f"mmnet-{spec.width:.2f}-{spec.size}{suffix}"),
        dtype=dtype,
        spec=spec.as_dict(),
        tensors=tensors,
        provenance=about.get("provenance", {}),
        licence=about.get("licence", LICENCE),
    )


def _about(model: Subgraph) -> dict[str, Any]:
    """Return what our exporter said in the metadata, as far as it is of the right kind."""
    data = model.metadata.get(METADATA)
    if data is None or data.size > METADATA_LIMIT:
        return {}
    try:
        about = json.loads(data.tobytes())
    except (ValueError, RecursionError):
        return {}
    kinds = {"name": str, "licence": str, "spec": dict, "provenance": dict}
    if not isinstance(about, dict):
        return {}
    return {key: about[key] for key, kind in kinds.items() if isinstance(about.get(key), kind)}


def _identify(
    model: Subgraph, about: Mapping[str, Any], width: float | None, variant: str | None
) -> tuple[Spec, dict[str, Operator]]:
    """Return the spec whose graph and shapes a model has, and its operators by layer name."""
    side = _side(model)
    first: WeightsError | None = None
    for spec in _candidates(side, about, width, variant):
        graph = build(spec)
        try:
            operators = match(graph, model)
            _check_shapes(graph, operators, model, side)
            return spec, operators
        except WeightsError as error:
            first = first or error
    raise WeightsError(f"no MMNet has this graph ({first})")


def _side(model: Subgraph) -> int:
    """Return the side of the model's square input."""
    found = [model.tensors[number].shape for number in model.inputs]
    if len(found) == 1 and len(found[0]) == 4 and found[0][1] == found[0][2] and found[0][3] == 3:
        with suppress(OptionError):
            return Spec(size=found[0][1]).size
    told = ", ".join(map(str, found[:3])) or "none"
    raise WeightsError(f"its inputs are {told}; expected one, (1, S, S, 3) with S a multiple of 16")


def _candidates(
    side: int, about: Mapping[str, Any], width: float | None, variant: str | None
) -> Iterator[Spec]:
    """Yield what a model may be, beginning with what it says of itself."""
    with suppress(OptionError):
        told = Spec.from_dict(about.get("spec", {}))
        if width in (None, told.width) and variant in (None, told.variant):
            yield told
    for this_variant in VARIANTS if variant is None else [variant]:
        for this_width in WIDTHS if width is None else [width]:
            yield Spec(this_width, side, this_variant)


def _check_shapes(
    graph: Graph, operators: Mapping[str, Operator], model: Subgraph, side: int
) -> None:
    """Check the shapes of filters and biases, and the sizes that resizes are told."""
    expected = shapes(graph, side, side)
    for layer in graph:
        if isinstance(layer, Filtered):
            filters, bias = _constants(layer, operators[layer.name], model)
            wanted: tuple = tuple(layer.weights_shape()[axis] for axis in AXES), (layer.channels,)
            found: tuple = filters.shape, bias.shape
        elif isinstance(layer, Resize):
            size = model.tensors[operators[layer.name].inputs[1]].values
            wanted = expected[layer.name][:2]
            found = () if size is None else tuple(size.reshape(-1).tolist())
        else:
            continue
        if found != wanted:
            raise WeightsError(f"the shapes of its {layer.name} are {found}; expected {wanted}")


def _constants(layer: Filtered, operator: Operator, model: Subgraph) -> tuple[Tensor, Tensor]:
    """Return a layer's filters and bias."""
    filters, bias = (model.tensors[number] for number in operator.inputs[1:])
    if filters.values is None or bias.values is None:
        raise WeightsError(f"the filters or the bias of its {layer.name} are not fixed")
    return filters, bias


def _values(
    layer: Filtered, operator: Operator, model: Subgraph, *kinds: str
) -> tuple[NDArray, NDArray]:
    """Return filters in our layout and bias, of these dtypes."""
    filters, bias = _constants(layer, operator, model)
    if (filters.dtype.name, bias.dtype.name) != kinds:
        raise WeightsError(
            f"its {layer.name} has filters of {filters.dtype} and a bias of {bias.dtype}; "
            f"expected {' and '.join(kinds)}"
        )
    ours = filters.values.transpose(np.argsort(AXES))  # type: ignore[union-attr]
    return np.ascontiguousarray(ours), bias.values  # type: ignore[return-value]


def _float32(layer: Filtered, operator: Operator, model: Subgraph) -> dict[str, NDArray]:
    """Return a layer's variables."""
    weights, bias = _values(layer, operator, model, "float32", "float32")
    if not layer.batch_norm:
        return {layer.weights_name: weights, layer.bias_name: bias}
    norm = zip(NORM_LEAVES, batch_norm.unfold(bias), strict=True)
    return {layer.weights_name: weights} | {layer.norm_name(leaf): part for leaf, part in norm}


def _int8(layer: Filtered, operator: Operator, model: Subgraph) -> dict[str, NDArray]:
    """Return a layer's stored tensors."""
    weights, bias = _values(layer, operator, model, "int8", "int32")
    filters, _ = _constants(layer, operator, model)
    axis = 3 if isinstance(layer, Depthwise) else 0
    if filters.scale.size not in (1, layer.channels) or filters.zero_point.any():
        raise WeightsError(
            f"the filters of its {layer.name} are not quantized about zero with a scale for each "
            "output channel"
        )
    if filters.scale.size > 1 and filters.axis != axis:
        raise WeightsError(f"the filters of its {layer.name} have scales along another axis")
    out = _scale(layer.name, model.tensors[operator.outputs[0]])
    return {
        layer.weights_name: weights,
        layer.quantized_name("weights_scale"): np.broadcast_to(
            filters.scale, layer.channels
        ).copy(),
        layer.bias_name: bias,
        layer.quantized_name("output_scale"): np.array([out.scale], np.float32),
        layer.quantized_name("output_zero_point"): np.array([out.zero_point], np.int32),
    }


def _scale(name: str, tensor: Tensor) -> Quantization:
    """Return how an activation is quantized."""
    if tensor.dtype != np.int8 or tensor.scale.size != 1 or tensor.zero_point.size != 1:
        raise WeightsError(f"the output of its {name} is not int8 with one scale and zero point")
    zero_point = int(tensor.zero_point[0])
    if not -128 <= zero_point <= 127:
        raise WeightsError(f"the output of its {name} has zero point {zero_point}")
    return Quantization(tensor.scale[0], zero_point)


def _check_scales(
    graph: Graph,
    tensors: Mapping[str, NDArray],
    operators: Mapping[str, Operator],
    model: Subgraph,
) -> None:
    """Check that every tensor is quantized as it follows from the stored scales."""
    for name, expected in QuantizedNetwork(graph, tensors).quantizations.items():
        number = operators[name].outputs[0] if name in operators else model.inputs[0]
        concat = isinstance(graph[name], Concat)
        for each in (number, *(operators[name].inputs if concat else ())):
            found = _scale(name, model.tensors[each])
            if found != expected:
                raise WeightsError(
                    f"its {name} has scale {found.scale!s}, zero point {found.zero_point}; "
                    f"expected {expected.scale!s} and {expected.zero_point}"
                )
