"""A small writer of PyTorch's zip format, from its description, for the tests.

It writes what ``torch.save`` of PyTorch 2 writes, and anything a hostile writer might.
"""

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
}


def text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def name_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


ORDERED_DICT = name_of("collections", "OrderedDict") + b")R"


def tensor(
    key: str,
    length: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None = None,
    offset: int = 0,
    storage: str = "FloatStorage",
) -> bytes:
    """Return the instructions that push one tensor."""
    if strides is None:
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    place = b"(" + text("storage") + name_of("torch", storage) + text(key) + text("cpu")
    return (
        name_of("torch._utils", "_rebuild_tensor_v2")
        + b"("
        + (place + integer(length) + b"tQ")
        + (integer(offset) + integers(shape) + integers(strides) + b"\x89" + ORDERED_DICT)
        + b"tR"
    )


def dictionary(items: Mapping[str, bytes], ordered: bool = True) -> bytes:
    """Return the instructions that push a dict of text to what each value pushes."""
    pairs = b"".join(text(name) + value for name, value in items.items())
    return (ORDERED_DICT if ordered else b"}") + b"(" + pairs + b"u"


def metadata() -> bytes:
    """Return the instructions that set ``_metadata``, as a state dict's pickle does."""
    return b"}" + text("_metadata") + ORDERED_DICT + b"sb"


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def archive(
    pickled: bytes,
    storages: Mapping[str, bytes],
    *,
    byteorder: bytes | None = b"little",
    method: int = zipfile.ZIP_STORED,
    folder: str = "archive/",
) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(f"{folder}data.pkl", pickled)
        if byteorder is not None:
            file.writestr(f"{folder}byteorder", byteorder)
        for key, data in storages.items():
            file.writestr(f"{folder}data/{key}", data)
        file.writestr(f"{folder}version", b"3\n")
    return out.getvalue()


def write_state_dict(path: Path, arrays: Mapping[str, np.ndarray], **options) -> Path:
    """Write arrays as the state dict of a module; return the path."""
    items, storages = {}, {}
    for i, (name, array) in enumerate(arrays.items()):
        items[name] = tensor(str(i), array.size, array.shape, storage=STORAGES[array.dtype.name])
        storages[str(i)] = np.asarray(array, array.dtype.newbyteorder("<"), order="C").tobytes()
    path.write_bytes(archive(program(dictionary(items) + metadata()), storages, **options))
    return path


def hostile_pickle(function, *arguments) -> bytes:
    """Return a pickle that calls ``function`` when Python's own unpickler reads it."""

    class Trap:
        def __reduce__(self):
            return function, arguments

    return pickle.dumps(Trap(), protocol=2)
