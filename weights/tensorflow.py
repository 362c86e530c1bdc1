"""TensorFlow "V2" checkpoints without TensorFlow.

A checkpoint ``NAME`` is a bundle of files: ``NAME.index``, a table from tensor names to entries,
and ``NAME.data-00000-of-00001`` and so on, the bytes of the tensors. The table's key "" holds
the BundleHeaderProto; each other value is a BundleEntryProto.

Reference: tensorflow/core/protobuf/tensor_bundle.proto and tensorflow/core/framework/types.proto.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from .crc32c import masked_crc32c
from .errors import WeightsError
from .files import LIMIT, listed, naming, open_regular, read_regular, shown
from .leveldb_table import entries
from .wire import fields

__all__ = ["bundle_prefix", "read_checkpoint"]

# DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64, DT_HALF
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
SLOTS = ("Adam", "Adam_1")  # the optimizer's two moments, named after their variable
INDEX_LIMIT = 4 * 1024 * 1024  # MMNet's with its slots is 44 kB
RANK_LIMIT = 8
SHARD_LIMIT = 1000


class Entry(NamedTuple):
    """Where a tensor lies."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


def bundle_prefix(path: str | os.PathLike[str]) -> str:
    """Return the common beginning of a checkpoint's file names.

    Parameters
    ----------
    path : path-like
        The prefix itself, the ``.index`` file, or any ``.data-xxxxx-of-yyyyy`` file.
    """
    return re.sub(r"\.(index|data-\d{5}-of-\d{5})\Z", "", os.fsdecode(path))


def read_checkpoint(path: str | os.PathLike[str], prefix: str = "MMNet/") -> dict[str, np.ndarray]:
    """Read the tensors of a TensorFlow checkpoint whose names begin with ``prefix``.

    Optimizer slots, whose last component is ``Adam`` or ``Adam_1``, are left out.

    Parameters
    ----------
    path : path-like
        The checkpoint's prefix, its ``.index``, or one of its data files.
    prefix : str
        Only names that begin with it are read; they are returned whole.

    Returns
    -------
    dict of str to ndarray
        Arrays as stored: float32, float64, float16, int32 or int64, own memory, C order.

    Raises
    ------
    WeightsError
        A file is missing, damaged or hostile, a checksum is wrong, no name begins with
        ``prefix``, or a wanted tensor is of another dtype, partitioned, or big-endian.
    """
    bundle = bundle_prefix(path)
    index = f"{bundle}.index"
    if not os.path.lexists(index):
        raise WeightsError(
            f"{shown(path)} is no TensorFlow checkpoint: {shown(index)} does not exist"
        )
    table = read_regular(index, INDEX_LIMIT)
    with naming(index):
        shards, wanted = _wanted(entries(table), prefix)
        total = sum(entry.size for entry in wanted)
        if total > LIMIT:
            raise WeightsError(f"its tensors take {total} bytes; expected at most {LIMIT}")
    tensors: dict[str, np.ndarray] = {}
    for shard in sorted({entry.shard for entry in wanted}):
        data = f"{bundle}.data-{shard:05d}-of-{shards:05d}"
        with open_regular(data) as (file, size), naming(data):
            for entry in wanted:
                if entry.shard == shard:
                    tensors[entry.name] = _tensor(entry, file, size)
    return {entry.name: tensors[entry.name] for entry in wanted}


def _wanted(pairs: list[tuple[bytes, bytes]], prefix: str) -> tuple[int, list[Entry]]:
    """Return the number of shards and the checked entries of the wanted tensors."""
    if not pairs or pairs[0][0] != b"":
        raise WeightsError("the index has no header")
    shards = _header(pairs[0][1])
    names = [key.decode("utf-8", "backslashreplace") for key, _ in pairs[1:]]
    wanted = [
        _entry(name, value, shards)
        for name, (_, value) in zip(names, pairs[1:], strict=True)
        if name.startswith(prefix) and name.rpartition("/")[2] not in SLOTS
    ]
    if not wanted:
        raise WeightsError(
            f"no tensor is named {shown(prefix)}...; the {len(names)} names are {listed(names)}"
        )
    return shards, wanted


def _header(message: bytes) -> int:
    """Return the number of data files a BundleHeaderProto declares."""
    found = dict(fields(message))
    shards, endianness = found.get(1, 0), found.get(2, 0)
    if endianness != 0:
        raise WeightsError("it was written on a big-endian machine; expected little-endian data")
    if not isinstance(shards, int) or not 1 <= shards <= SHARD_LIMIT:
        raise WeightsError(f"it declares {shown(shards)} data files; expected 1 to {SHARD_LIMIT}")
    return shards


def _entry(name: str, message: bytes, shards: int) -> Entry:
    """Return one BundleEntryProto, checked as far as it can be without the data file."""
    pairs = fields(message)
    if any(number == 7 for number, _ in pairs):
        raise WeightsError(f"{shown(name)} is a partitioned variable; expected whole tensors")
    found = dict(pairs)
    dtype, shard, offset, size, crc = (found.get(number, 0) for number in (1, 3, 4, 5, 6))
    shape = _shape(name, found.get(2, b""))
    if dtype not in DTYPES:
        raise WeightsError(
            f"{shown(name)} has TensorFlow dtype {shown(dtype)}; expected float16, float32, "
            "float64, int32 or int64"
        )
    kind = np.dtype(DTYPES[dtype])
    if size != math.prod(shape) * kind.itemsize:
        raise WeightsError(
            f"{shown(name)} has {shown(size)} bytes, which is not {kind.name} of shape {shape}"
        )
    if not isinstance(offset, int) or not isinstance(crc, int):
        raise WeightsError(f"the entry of {shown(name)} is damaged")
    if not isinstance(shard, int) or shard >= shards:
        raise WeightsError(f"{shown(name)} lies in data file {shown(shard)} of {shards}")
    return Entry(name, kind, shape, shard, offset, size, crc)


def _shape(name: str, message: int | bytes) -> tuple[int, ...]:
    """Return the dimensions of a TensorShapeProto, all of them positive."""
    if not isinstance(message, bytes):
        raise WeightsError(f"the shape of {shown(name)} is damaged")
    shape: list[Any] = []
    for number, dimension in fields(message):
        if number == 2 and isinstance(dimension, bytes):
            shape.append(dict(fields(dimension)).get(1, 0))
    good = all(isinstance(size, int) and 0 < size <= LIMIT for size in shape)
    if len(shape) > RANK_LIMIT or not good:
        raise WeightsError(
            f"{shown(name)} has shape ({shown(', '.join(map(str, shape)))}); expected at most "
            f"{RANK_LIMIT} positive dimensions"
        )
    return tuple(shape)


def _tensor(entry: Entry, file: BinaryIO, file_size: int) -> np.ndarray:
    """Read one tensor from its open data file."""
    if entry.offset + entry.size > file_size:
        raise WeightsError(
            f"{shown(entry.name)} ends at byte {entry.offset + entry.size} of a file of "
            f"{file_size}; is it cut off?"
        )
    file.seek(entry.offset)
    data = file.read(entry.size)
    if len(data) != entry.size or masked_crc32c(data) != entry.crc:
        raise WeightsError(f"the checksum of {shown(entry.name)} is wrong; the file is damaged")
    values = np.frombuffer(data, entry.dtype).reshape(entry.shape)
    return values.astype(entry.dtype.newbyteorder("="))
