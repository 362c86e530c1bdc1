"""The native store of weights: one HDF5 file, checked whole before anybody gets a number of it.

Layout of the file: a dataset for each tensor at its canonical name, and on the root the
attributes ``format`` and ``schema_version``, ``name``, ``dtype``, ``spec`` and ``provenance``
(JSON), ``licence``, and ``digest``, which covers the tensors and the spec. How it is encoded is
`mmnet_np.weights.hdf5_reader`'s matter.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .atomic import replacing
from .checks import check_finite, check_tensors
from .errors import WeightsError
from .files import LIMIT, beginning, naming, read_regular, shown
from .hdf5_blocks import MAGIC, Image
from .hdf5_reader import RANK_LIMIT, TEXT_LIMIT, read_attributes, read_tensors
from .hdf5_writer import encode

__all__ = ["Weights", "check_tensors", "digest", "is_store", "load", "save"]

FORMAT = "mmnet_np weights"
SCHEMA_VERSION = 1
ATTRIBUTES = (
    "format",
    "schema_version",
    "name",
    "dtype",
    "spec",
    "provenance",
    "licence",
    "digest",
)
FLOAT32, INT8, INT32 = map(np.dtype, ("float32", "int8", "int32"))
KINDS = {"float32": {FLOAT32}, "int8": {FLOAT32, INT8, INT32}}
# A component begins with a letter, digit or underscore: "." and ".." mean something to HDF5.
NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*){0,15}", re.ASCII)


@dataclass(frozen=True)
class Weights:
    """A trained network's tensors and what must be known about them.

    Attributes
    ----------
    name : str
        What a user calls it, such as ``"mmnet-1.0-256"``.
    dtype : str
        ``"float32"``, or ``"int8"`` for a quantized network, which also has int32 and float32.
    spec : mapping
        What builds the network they fit, JSON-able: architecture, width, size, variant.
    tensors : mapping of str to ndarray
        Canonical name, such as ``"MMNet/init_block/conv/weights"`` -> C-contiguous array.
    provenance : mapping
        JSON-able: where they come from, by which command and seed, with which figures.
    licence : str
        What one may do with them.
    """

    name: str
    dtype: str
    spec: Mapping[str, object]
    tensors: Mapping[str, np.ndarray] = field(repr=False)
    provenance: Mapping[str, object]
    licence: str


def digest(tensors: Mapping[str, np.ndarray], spec: Mapping[str, object]) -> str:
    """Return the SHA-256 of tensors and spec as 64 hexadecimal digits.

    It covers names, dtypes, shapes and little-endian values in the order of names, and the spec
    as JSON with sorted keys; not how a file arranges them.

    Raises
    ------
    WeightsError
        ``spec`` is not JSON-able.
    """
    names = sorted(tensors)
    dtypes = {name: f"{tensors[name].dtype.kind}{tensors[name].itemsize}" for name in names}
    table = [(name, dtypes[name], tensors[name].shape) for name in names]
    # The head says how many bytes of each tensor follow, so no two inputs look the same.
    head = _json(spec, "the spec") + json.dumps(table, separators=(",", ":"))
    state = hashlib.sha256(head.encode())
    for name in names:
        array = np.asarray(tensors[name], order="C")
        state.update(array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).data)
    return state.hexdigest()


def save(path: str | os.PathLike[str], weights: Weights) -> None:
    """Write weights to a file, whole or not at all.

    Parameters
    ----------
    path : path-like
        The file to create or replace. The same weights give the same bytes.
    weights : Weights
        Tensors of float32, int8 or int32, at most 64 MB.

    Raises
    ------
    WeightsError
        The weights could not be loaded again (a dtype, name, size, NaN, or a spec that is no
        JSON), or the file cannot be written.
    """
    with naming(f"cannot save {shown(path)}"):
        _check_content(weights)
        names = weights.tensors.keys()
        groups = {name[:end] for name in names for end, c in enumerate(name) if c == "/"}
        if groups & names:
            raise WeightsError(f"{min(groups & names)} is a tensor and a scope of others")
        texts = {
            "name": weights.name,
            "dtype": weights.dtype,
            "spec": _json(weights.spec, "the spec"),
            "provenance": _json(weights.provenance, "the provenance"),
            "licence": weights.licence,
            "digest": digest(weights.tensors, weights.spec),
        }
        for name, text in texts.items():
            _check_text(name, text)
        attributes: dict[str, str | int] = {
            "format": FORMAT,
            "schema_version": SCHEMA_VERSION,
            **texts,
        }
        data = encode(weights.tensors, attributes)
        _decoded(data)  # so that nothing is written that could not be read again
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(data)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
            raise WeightsError(shown(getattr(error, "strerror", None) or error)) from error


def load(path: str | os.PathLike[str]) -> Weights:
    """Read weights that `save` wrote, checked.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Weights
        Arrays are C-contiguous and own their memory; names ascend.

    Raises
    ------
    WeightsError
        The file is missing, a folder, no HDF5 file, cut off, damaged, of a newer version, too
        large, or holds anything `save` does not write.
    """
    data = read_regular(path)
    with naming(path):
        return _decoded(data)


def is_store(path: str | os.PathLike[str]) -> bool:
    """Say whether a file begins as HDF5 files do; False also where it cannot be read."""
    return beginning(path, len(MAGIC)) == MAGIC


def _decoded(data: bytes) -> Weights:
    image = Image(data)
    attributes = read_attributes(image)
    _check_version(attributes)
    if any(not isinstance(attributes.get(name), str) for name in ATTRIBUTES[2:]):
        raise WeightsError(f"it lacks one of the texts {', '.join(ATTRIBUTES[2:])}")
    text: dict[str, Any] = dict(attributes)
    weights = Weights(
        name=text["name"],
        dtype=text["dtype"],
        spec=_parsed(text["spec"], "spec"),
        tensors=read_tensors(image),
        provenance=_parsed(text["provenance"], "provenance"),
        licence=text["licence"],
    )
    _check_content(weights)
    if digest(weights.tensors, weights.spec) != text["digest"]:
        raise WeightsError("its tensors or spec do not match its digest; the file is damaged")
    return weights


def _check_version(attributes: Mapping[str, str | int]) -> None:
    version = attributes.get("schema_version")
    if attributes.get("format") != FORMAT or not isinstance(version, int) or version < 1:
        raise WeightsError(f"it is an HDF5 file, but its attributes do not say {FORMAT!r}")
    if version > SCHEMA_VERSION:
        raise WeightsError(
            f"it has schema version {version}, and this mmnet_np reads up to {SCHEMA_VERSION}; "
            "upgrade mmnet_np"
        )


def _check_content(weights: Weights) -> None:
    """Check what holds of every stored network, on the way in and on the way out."""
    if weights.dtype not in KINDS:
        raise WeightsError(f"its dtype is {shown(weights.dtype)}; expected float32 or int8")
    if not weights.tensors:
        raise WeightsError("it has no tensors")
    for name, array in weights.tensors.items():
        if len(name) > 200 or not NAME.fullmatch(name):
            raise WeightsError(f"{shown(name)} is no name of a tensor")
        if array.dtype not in KINDS[weights.dtype] or array.ndim > RANK_LIMIT:
            raise WeightsError(
                f"{name} is {array.dtype.name} of rank {array.ndim} in {weights.dtype} weights"
            )
        if array.size == 0:
            raise WeightsError(f"{name} of shape {array.shape} is empty")
    total = sum(array.nbytes for array in weights.tensors.values())
    if total > LIMIT:
        raise WeightsError(f"its tensors take {total} bytes; expected at most {LIMIT}")
    check_finite(weights.tensors, "it")


def _check_text(name: str, text: Any) -> None:
    """Check that an attribute comes back as it went: no NUL, no surrogates, not too long."""
    good = isinstance(text, str) and "\0" not in text
    size = len(text.encode("utf-8", "replace")) if good else 0
    if not good or size > TEXT_LIMIT or text != text.encode("utf-8", "replace").decode():
        raise WeightsError(f"the {name} is not text of at most {TEXT_LIMIT} bytes: {shown(text)}")


def _json(value: Mapping[str, object], what: str) -> str:
    try:
        # dict() because json knows no other mapping.
        return json.dumps(dict(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{what} is no JSON object ({shown(error)})") from error


def _parsed(text: str, what: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"its {what} is no JSON ({shown(error)})") from error
    if not isinstance(value, dict):
        raise WeightsError(f"its {what} is a JSON {type(value).__name__}; expected an object")
    return value
