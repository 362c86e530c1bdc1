"""A whole int8 network as a TensorFlow Lite model, straight from its stored tensors.

Apart from the graph, nothing of the package has a hand in it: scales, zero points and tensors go
into the model as they are stored. Importing this skips the tests where LiteRT is not installed.
"""

import litert
import numpy as np
from litert import Quantization

from mmnet_np.graph import Concat, Depthwise, Filtered, Input, Resize, shapes


def int8_model(graph, tensors, height, width):
    """The model's file; it gives out every layer, in graph order."""
    model = litert.Model()
    made, quantization = {}, {}
    for layer in graph:
        sources = [made[name] for name in layer.inputs]
        like = quantization[layer.inputs[0]] if layer.inputs else None
        if isinstance(layer, Input):
            like = Quantization(np.float32(1 / 255), -128)
            out = model.input((1, height, width, 3), np.int8, like)
        elif isinstance(layer, Filtered):
            out, like = _convolution(model, layer, tensors, sources[0], like)
        elif isinstance(layer, Concat):
            equal = [
                one if quantization[name] == like else model.quantize(one, like)
                for one, name in zip(sources, layer.inputs, strict=True)
            ]
            out = model.concatenation(equal)
        elif isinstance(layer, Resize):
            out = model.resize_bilinear(sources[0], shapes(graph, height, width)[layer.name][:2])
        else:
            out = model.softmax(sources[0])
        made[layer.name], quantization[layer.name] = out, like
    return model.build(list(made.values()))


def _convolution(model, layer, tensors, source, like):
    weights, depthwise = tensors[layer.weights_name], isinstance(layer, Depthwise)
    scale = tensors[layer.quantized_name("weights_scale")]
    output = Quantization(
        tensors[layer.quantized_name("output_scale")][0],
        int(tensors[layer.quantized_name("output_zero_point")][0]),
    )
    filters = weights[np.newaxis, ..., 0] if depthwise else weights.transpose(3, 0, 1, 2)
    out = model.conv_2d(
        source,
        model.constant(filters, Quantization(scale, axis=3 if depthwise else 0)),
        model.constant(tensors[layer.bias_name], Quantization(scale * like.scale)),
        depthwise=depthwise,
        stride=layer.stride,
        dilation=layer.dilation,
        activation="relu6" if layer.relu6 else "none",
        quantization=output,
    )
    return out, output
