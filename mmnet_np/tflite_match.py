"""Which operator of a TensorFlow Lite model is which layer of MMNet.

A layer is found by its place in the graph, not by its name: from the output back, an operator's
inputs say which tensors the layers before it make. So models of other converters are understood as
well, as long as each layer is one operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.tflite_reader import Operator, Subgraph

from .graph import Concat, Depthwise, Filtered, Graph, Input, Layer, Resize, Softmax

__all__ = ["match"]


def match(graph: Graph, model: Subgraph) -> dict[str, Operator]:
    """Find each layer's operator in a model.

    Parameters
    ----------
    graph : Graph
    model : Subgraph
        Shapes are not looked at.

    Returns
    -------
    dict of str to Operator
        By layer name; the input has none.

    Raises
    ------
    WeightsError
        The model is another network; the message names the first layer, from the output back,
        that is not as in the graph.
    """
    makers = {number: operator for operator in model.operators for number in operator.outputs}
    ends = [operator.outputs for operator in model.operators if operator.name == "SOFTMAX"]
    if len(ends) != 1 or any(len(operator.outputs) != 1 for operator in model.operators):
        raise WeightsError("it has not one softmax, or an operator without its one output")
    tensor = {graph.output: ends[0][0]}
    found: dict[str, Operator] = {}
    for layer in reversed(graph.layers):
        number = tensor[layer.name]  # a layer behind this one has said what it reads
        if isinstance(layer, Input):
            if model.inputs != (number,):
                raise WeightsError("its input is not read where MMNet reads it")
            continue
        operator = makers.get(number)
        if operator is None or not _is(layer, operator):
            raise WeightsError(f"what it has in place of {layer.name} is another operator")
        found[layer.name] = operator
        for name, source in zip(layer.inputs, _sources(layer, operator, makers), strict=True):
            if tensor.setdefault(name, source) != source:
                raise WeightsError(f"what it has in place of {layer.name} does not read {name}")
    return found


def _is(layer: Layer, operator: Operator) -> bool:
    """Say whether an operator computes such a layer."""
    if isinstance(layer, Filtered):
        kind, count = "DEPTHWISE_CONV_2D" if isinstance(layer, Depthwise) else "CONV_2D", 3
        wanted: dict[str, Any] = {
            "stride_w": layer.stride,
            "stride_h": layer.stride,
            "dilation_w": layer.dilation,
            "dilation_h": layer.dilation,
            "activation": "relu6" if layer.relu6 else "none",
        }
        if isinstance(layer, Depthwise):
            wanted["depth_multiplier"] = 1
    elif isinstance(layer, Concat):
        kind, count, wanted = "CONCATENATION", len(layer.inputs), {"activation": "none"}
    elif isinstance(layer, Resize):
        kind, count = "RESIZE_BILINEAR", 2
        wanted = {"align_corners": 0, "half_pixel_centers": 0}
    elif isinstance(layer, Softmax):
        kind, count, wanted = "SOFTMAX", 1, {"beta": 1.0}
    else:
        raise TypeError(f"no operator for {type(layer).__name__}")
    return (
        operator.name == kind
        and len(operator.inputs) == count
        and min(operator.inputs) >= 0  # none is left out
        and all(operator.options[name] == value for name, value in wanted.items())
        and operator.options.get("axis", 3) in (3, -1)
    )


def _sources(layer: Layer, operator: Operator, makers: Mapping[int, Operator]) -> list[int]:
    """Return the tensors in place of a layer's inputs, before any move to a concat's scale."""
    sources = list(operator.inputs[: len(layer.inputs)])
    if isinstance(layer, Concat):
        for i, number in enumerate(sources):
            maker = makers.get(number)
            if maker is not None and maker.name == "QUANTIZE" and len(maker.inputs) == 1:
                sources[i] = maker.inputs[0]
    return sources
