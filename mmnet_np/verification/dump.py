"""All that is known of one run of a network, as an HDF5 file for people who check another machine.

    outputs/LAYER          (1, h, w, C) int8: every layer's output, ``outputs/input`` the image fed
    parameters/LAYER/NAME  what the layer computes with: weights, bias, multiplier, shift, ...
                           (`mmnet_np.model.Matting.integers`), of the softmax its table

A float32 network has float32 outputs, and of each convolution weights and bias with its batch norm
folded in. A file of the same layout with the results of another machine can be compared; it may
have any part of this.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dtypes import Float32, Int8
from mmnet_np.graph import Filtered, Graph
from mmnet_np.weights import store
from mmnet_np.weights.atomic import replacing
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import naming, read_regular
from mmnet_np.weights.hdf5_blocks import Image
from mmnet_np.weights.hdf5_reader import read_tensors
from mmnet_np.weights.hdf5_writer import encode

__all__ = ["Dump", "layer_parameters", "read_dump", "write_dump"]

FORMAT = "mmnet_np dump"
OUTPUTS, PARAMETERS = "outputs/", "parameters/"


@dataclass(frozen=True)
class Dump:
    """What a dump has: outputs by layer name, and parameters by layer name and name."""

    outputs: dict[str, NDArray]
    parameters: dict[str, dict[str, NDArray]]


def layer_parameters(graph: Graph, arithmetic: Float32 | Int8) -> dict[str, dict[str, NDArray]]:
    """Return what each layer computes with, as arrays of int8, int32 or float32."""
    found: dict[str, dict[str, NDArray]] = {}
    for layer in graph:
        if isinstance(arithmetic, Int8):
            plain = arithmetic.network.plain(layer.name)
            found[layer.name] = {name: _array(value) for name, value in plain.items()}
        elif isinstance(layer, Filtered):
            weights, bias = arithmetic.parameters[layer.name]
            weights = weights.reshape(layer.weights_shape())
            found[layer.name] = {"weights": weights, "bias": bias}
    return found


def _array(value: object) -> NDArray:
    array = np.atleast_1d(np.asarray(value))
    return array.astype(np.int32) if array.dtype == np.int64 else array


def write_dump(
    path: str | os.PathLike[str],
    stored: store.Weights,
    outputs: Mapping[str, NDArray],
    parameters: Mapping[str, Mapping[str, NDArray]],
    rounding: str,
) -> int:
    """Write a dump, whole or not at all; return its size in bytes.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    arrays = {OUTPUTS + name: array for name, array in outputs.items()}
    for layer, named in parameters.items():
        arrays |= {f"{PARAMETERS}{layer}/{name}": array for name, array in named.items()}
    data = encode(
        arrays,
        {
            "format": FORMAT,
            "schema_version": 1,
            "name": stored.name,
            "dtype": stored.dtype,
            "spec": json.dumps(dict(stored.spec), sort_keys=True),
            "rounding": rounding,
            "weights": store.digest(stored.tensors, stored.spec),
            "licence": stored.licence,
        },
    )
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def read_dump(path: str | os.PathLike[str]) -> Dump:
    """Read a dump of ours or of somebody else.

    Raises
    ------
    WeightsError
        It is no HDF5 file that `mmnet_np.weights.hdf5_reader` reads, has more than 64 MB, or none
        of a dump's content.
    """
    data = read_regular(path)
    with naming(path):
        dump = Dump({}, {})
        for name, array in read_tensors(Image(data)).items():
            if name.startswith(OUTPUTS):
                dump.outputs[name.removeprefix(OUTPUTS)] = array
            elif name.startswith(PARAMETERS):
                layer, _, leaf = name.removeprefix(PARAMETERS).rpartition("/")
                dump.parameters.setdefault(layer, {})[leaf] = array
        if not dump.outputs and not dump.parameters:
            raise WeightsError("it has neither outputs/ nor parameters/; expected a dump")
    return dump
