"""PyTorch state dicts without PyTorch.

``torch.save`` writes a zip archive whose entries are stored, not compressed:

    NAME/data.pkl     a pickle of the dict; each tensor is a view of a numbered storage
    NAME/data/0 ...   the storages' bytes
    NAME/byteorder    "little" or "big"; files of PyTorch before 2.1 lack it and are little

Reference: "Serialization semantics", PyTorch documentation, pytorch.org/docs/stable/notes.
"""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
from typing import Any

import numpy as np

from .errors import WeightsError
from .files import LIMIT, listed, naming, read_regular, shown
from .pickle_machine import StorageRef, TensorRef
from .pickle_reader import interpret

__all__ = ["LEGACY_MAGIC", "ZIP_MAGIC", "read_state_dict"]

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
CENTRAL_SIGNATURE = b"PK\x01\x02"
ENTRIES_LIMIT = 20_000
PICKLE_LIMIT = 1024 * 1024  # MMNet's is 60 kB; with Adam's state, 200 kB
WRAPPERS = ("state_dict", "model")
DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",  # widened to float32 below
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch state dict.

    A dict that holds another dict under ``"state_dict"`` or ``"model"`` is unwrapped; values
    that are not tensors are left out.

    Parameters
    ----------
    path : path-like
        A file ``torch.save`` wrote in its zip format, the default since PyTorch 1.6.

    Returns
    -------
    dict of str to ndarray
        Names and layouts as stored, C order, own memory; float32, float64, float16, int64 or
        int32, and float32 for bfloat16.

    Raises
    ------
    WeightsError
        The file is missing, damaged, hostile, in the format before PyTorch 1.6, big-endian, or
        its pickle needs more than a state dict does. Nothing in the file is ever executed.
    """
    data = read_regular(path)
    with naming(path):
        if data.startswith(LEGACY_MAGIC):
            raise WeightsError(
                "it has the format from before PyTorch 1.6; torch.load it and torch.save it again"
            )
        archive = Archive(data)
        found = _unwrapped(interpret(archive.read("data.pkl", PICKLE_LIMIT)))
        return archive.tensors(found)


def _unwrapped(value: Any) -> dict[str, TensorRef]:
    """Return the named tensors of a pickled value."""
    for _ in range(1 + len(WRAPPERS)):  # bounded: a hostile dict may contain itself
        if not isinstance(value, dict):
            raise WeightsError(f"it holds a {type(value).__name__}; expected a dict of tensors")
        inner = [value[name] for name in WRAPPERS if isinstance(value.get(name), dict)]
        if not inner:
            break
        value = inner[0]
    tensors = {
        name: leaf
        for name, leaf in value.items()
        if isinstance(name, str) and isinstance(leaf, TensorRef)
    }
    if not tensors:
        raise WeightsError("it holds no tensors, neither itself nor under state_dict or model")
    return tensors


class Archive:
    """The zip archive of one checkpoint, and the storages read from it so far."""

    def __init__(self, data: bytes) -> None:
        # zipfile makes an object of every entry before it can be asked how many there are.
        if data.count(CENTRAL_SIGNATURE) > ENTRIES_LIMIT:
            raise WeightsError(f"it has more than {ENTRIES_LIMIT} entries")
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (
            zipfile.BadZipFile,
            NotImplementedError,
            ValueError,
            OSError,
            struct.error,
        ) as error:
            raise WeightsError(f"it is no complete zip archive ({shown(error)})") from error
        self.sizes = {entry.filename: entry.file_size for entry in self.zip.infolist()}
        pickles = [
            name for name in self.sizes if name.count("/") == 1 and name.endswith("/data.pkl")
        ]
        if len(pickles) != 1:
            raise WeightsError("it is a zip archive without a data.pkl; expected torch.save's")
        self.folder = pickles[0].removesuffix("data.pkl")
        self.storages: dict[str, bytes] = {}
        self.budget = LIMIT
        if f"{self.folder}byteorder" in self.sizes and self.read("byteorder", 16) != b"little":
            raise WeightsError("it was not written on a little-endian machine")

    def read(self, name: str, limit: int) -> bytes:
        """Return one entry of at most ``limit`` bytes, its CRC checked."""
        name = f"{self.folder}{name}"
        if name not in self.sizes:
            raise WeightsError(f"its entry {shown(name)} is missing")
        entry = self.zip.getinfo(name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise WeightsError(f"its entry {shown(name)} is compressed; torch.save never does that")
        if entry.file_size > limit:
            raise WeightsError(
                f"its entry {shown(name)} has {entry.file_size} bytes; expected at most {limit}"
            )
        try:
            data = self.zip.read(entry)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
            raise WeightsError(f"its entry {shown(name)} is damaged ({shown(error)})") from error
        except (EOFError, OSError, struct.error) as error:
            raise WeightsError(f"its entry {shown(name)} is cut off") from error
        return data

    def storage(self, ref: StorageRef) -> np.ndarray:
        """Return the values of a storage, (length,), read-only."""
        if ref.key not in self.storages:
            self.storages[ref.key] = self.read(f"data/{ref.key}", self.budget)
            self.budget -= len(self.storages[ref.key])
        data, dtype = self.storages[ref.key], np.dtype(DTYPES[ref.kind])
        if ref.length < 0 or ref.length * dtype.itemsize != len(data):
            raise WeightsError(
                f"its storage {shown(ref.key)} has {len(data)} bytes; expected {shown(ref.length)} "
                f"values of {dtype.itemsize}"
            )
        return np.frombuffer(data, dtype)

    def tensors(self, refs: dict[str, TensorRef]) -> dict[str, np.ndarray]:
        """Return the arrays the references describe."""
        # Strides of 0 make a tensor larger than its storage: the sum is what will be allocated.
        total = sum(
            max(4, np.dtype(DTYPES[ref.storage.kind]).itemsize) * abs(math.prod(ref.shape))
            for ref in refs.values()
        )
        if total > LIMIT:
            raise WeightsError(
                f"its tensors {listed(list(refs))} take {total} bytes; expected at most {LIMIT}"
            )
        return {name: self.tensor(name, ref) for name, ref in refs.items()}

    def tensor(self, name: str, ref: TensorRef) -> np.ndarray:
        """Return one array, its view checked against the storage."""
        values = self.storage(ref.storage)
        inside = len(ref.shape) == len(ref.strides) and min(ref.shape, default=1) > 0
        # A dimension of size 1 is never stepped along, so its stride may be anything.
        pairs = list(zip(ref.shape, ref.strides, strict=False))
        strides = [step if size > 1 else 0 for size, step in pairs]
        last = ref.offset + sum((size - 1) * step for size, step in pairs if size > 1)
        if not inside or min(strides, default=0) < 0 or not 0 <= ref.offset <= last < len(values):
            raise WeightsError(
                f"{shown(name)} of shape {ref.shape}, strides {ref.strides} and offset "
                f"{ref.offset} lies outside its storage of {len(values)} values"
            )
        view = np.lib.stride_tricks.as_strided(
            values[ref.offset :],
            ref.shape,
            [step * values.itemsize for step in strides],
            writeable=False,
        )
        if ref.storage.kind == "BFloat16Storage":
            # bfloat16 is the upper half of a float32.
            wide = view.astype(np.uint32, order="C")
            wide <<= np.uint32(16)
            return wide.view(np.float32)
        return view.astype(view.dtype.newbyteorder("="), order="C")
