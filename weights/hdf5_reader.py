"""Named arrays and short texts from an HDF5 file in memory, read with suspicion.

`mmnet_np.weights.hdf5_writer` writes such files, with h5py. They are ordinary ones that h5dump
and h5py show: a dataset per array at its own path, attributes on the root. The choices:

- HDF5's format of version 1.10, the first one whose headers are compact and have checksums.
- Contiguous datasets only. Their bytes lie in the file as they are, so every size can be checked
  against the file before anything is allocated, and no filter can expand.
- Fixed-length texts: variable-length ones live in a heap, which has no checksum.
- At most eight attributes, the most that stay in the object header; no timestamps. The same
  input gives the same bytes.

They are read without h5py. HDF5's library is made for trusted files: fed with crafted ones whose
checksums were right, version 2.0 ended the whole process within minutes. And importing h5py
takes ten times as long as reading the weights.

Reference: "HDF5 File Format Specification Version 3.0", The HDF Group, part IV.A.2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .errors import WeightsError
from .files import LIMIT, shown
from .hdf5_blocks import Image
from .hdf5_links import LINK_INFO, links

__all__ = ["RANK_LIMIT", "TEXT_LIMIT", "read_attributes", "read_tensors"]

DATASPACE, DATATYPE, LAYOUT, ATTRIBUTE = 0x01, 0x03, 0x08, 0x0C
# Fill value, modification time, attribute info and the like say nothing about the values.
HARMLESS = {0x04, 0x05, 0x0A, 0x0C, 0x0D, 0x0E, 0x12, 0x15, 0x16}
DEPTH_LIMIT = 16
RANK_LIMIT = 8
TEXT_LIMIT = 32_768  # an attribute in an object header has at most 64 kB
# Datatype messages without the version in the first byte's upper half. Floating point: byte
# order and normalisation, sign bit, size, then offset, precision, exponent, mantissa and bias.
DTYPES: dict[bytes, np.dtype] = {
    bytes.fromhex("01 201f00 04000000 0000 2000 17080017 7f000000"): np.dtype("<f4"),
    bytes.fromhex("00 080000 01000000 0000 0800"): np.dtype("<i1"),
    bytes.fromhex("00 080000 04000000 0000 2000"): np.dtype("<i4"),
}


class Place(NamedTuple):
    """Where an array lies in the file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    address: int


def read_attributes(image: Image) -> dict[str, str | int]:
    """Return the attributes of the root group: fixed-length texts, and integers.

    Raises
    ------
    WeightsError
        One is of another kind, or the header is damaged.
    """
    found: dict[str, str | int] = {}
    for kind, body in image.messages(image.root, checked=True):
        if kind != ATTRIBUTE:
            continue
        sizes = [int.from_bytes(body[i : i + 2], "little") for i in (2, 4, 6)]
        parts, position = [], 9
        for size in sizes:
            parts.append(body[position : position + size])
            position += size
        name = shown(parts[0].rstrip(b"\0").decode("utf-8", "backslashreplace"))
        if body[:2] != b"\x03\x00" or position > len(body):
            raise WeightsError(f"its attribute {name} is stored in a way we never write")
        found[name] = _value(name, parts[1], _shape(image, parts[2]), body[position:])
    return found


def _value(name: str, kind: bytes, shape: tuple[int, ...] | None, data: bytes) -> str | int:
    if shape != ():
        raise WeightsError(f"its attribute {name} is not one value")
    size = int.from_bytes(kind[4:8], "little")
    dtype = _dtype(kind)
    if dtype is not None and dtype.kind == "i" and len(data) >= size:
        return int.from_bytes(data[:size], "little", signed=True)
    if len(kind) < 8 or kind[0] & 15 != 3 or size > TEXT_LIMIT or size > len(data):
        raise WeightsError(
            f"its attribute {name} is not a fixed-length text of at most {TEXT_LIMIT} bytes"
        )
    try:
        return data[:size].rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise WeightsError(f"its attribute {name} is not UTF-8") from None


def read_tensors(image: Image) -> dict[str, np.ndarray]:
    """Return all arrays of the file, names ascending.

    Returns
    -------
    dict of str to ndarray
        C order, own memory, native byte order.

    Raises
    ------
    WeightsError
        The file has anything but groups and plain contiguous datasets of float32, int8 or int32,
        or more than 64 MB of them: checked before they are allocated.
    """
    places = _places(image)
    total = sum(place.dtype.itemsize * math.prod(place.shape) for place in places.values())
    if total > LIMIT:
        raise WeightsError(f"its tensors take {total} bytes; expected at most {LIMIT}")
    tensors = {}
    for name, (dtype, shape, address) in sorted(places.items()):
        flat = np.frombuffer(image.data, dtype, math.prod(shape), address)
        tensors[name] = flat.reshape(shape).astype(dtype.newbyteorder("="))
    return tensors


def _places(image: Image) -> dict[str, Place]:
    """Return the place of every dataset by its path."""
    places: dict[str, Place] = {}
    visited = {image.root}
    waiting = [("", link) for link in links(image, image.messages(image.root))]
    while waiting:
        scope, link = waiting.pop()
        name = scope + link.name.decode("utf-8", "backslashreplace")
        # An object in two places may be a group inside itself.
        if link.address in visited or name in places:
            raise WeightsError(f"its {shown(name)} stands in two places")
        visited.add(link.address)
        messages = image.messages(link.address)
        if any(message.kind == LINK_INFO for message in messages):
            if name.count("/") >= DEPTH_LIMIT:
                raise WeightsError(f"it has more than {DEPTH_LIMIT} levels")
            waiting += [(f"{name}/", child) for child in links(image, messages)]
        else:
            places[name] = _place(image, name, dict(messages))
    return places


def _place(image: Image, name: str, messages: dict[int, bytes]) -> Place:
    """Return the place of one dataset, checked against the file."""
    known = {DATASPACE, DATATYPE, LAYOUT}
    if not known <= messages.keys() <= known | HARMLESS:
        raise WeightsError(f"its {shown(name)} is neither a group nor a plain dataset")
    dtype = _dtype(messages[DATATYPE])
    if dtype is None:
        raise WeightsError(f"its {shown(name)} is not of float32, int8 or int32")
    shape = _shape(image, messages[DATASPACE])
    layout, width = messages[LAYOUT], image.width
    if shape is None or layout[:2] not in (b"\x03\x01", b"\x04\x01"):
        raise WeightsError(f"its {shown(name)} is neither a group nor a plain dataset")
    address = int.from_bytes(layout[2 : 2 + width], "little")
    size = int.from_bytes(layout[2 + width : 2 + 2 * width], "little")
    # Without an address the values were never written.
    if size == 0 or address == image.undefined:
        raise WeightsError(f"its {shown(name)} has no values")
    if size != dtype.itemsize * math.prod(shape) or address + size > len(image.data):
        raise WeightsError(f"its {shown(name)} of shape {shape} does not fit in the file")
    return Place(dtype, shape, address)


def _dtype(message: bytes) -> np.dtype | None:
    return DTYPES.get(bytes([message[0] & 15]) + message[1:]) if message else None


def _shape(image: Image, message: bytes) -> tuple[int, ...] | None:
    """Return the dimensions of a dataspace message; None for the null space or too high a rank."""
    if len(message) < 4 or message[0] != 2 or message[3] > 1:
        return None
    rank, width = message[1], image.width
    if rank > RANK_LIMIT or len(message) < 4 + rank * width:
        return None
    return tuple(
        int.from_bytes(message[4 + i * width : 4 + (i + 1) * width], "little") for i in range(rank)
    )
