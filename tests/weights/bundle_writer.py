"""A small writer of TensorFlow "V2" checkpoints, from their description, for the tests.

Nothing of the reader is used: the CRC walks bit by bit, and Snappy is a plain greedy matcher.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

MAGIC = bytes.fromhex("57fb808b247547db")
DTYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of ``data``, one bit after another."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    crc = (crc >> 15) | (crc << 17 & 0xFFFFFFFF)
    return ((crc + 0xA282EAD8) % 2**32).to_bytes(4, "little")


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    """Return a varint field, left out at 0 as protocol buffers do."""
    return varint(field << 3) + varint(value) if value else b""


def chunk(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def snappy(data: bytes) -> bytes:
    """Compress ``data``: copies of at least 4 bytes where they repeat, in all three encodings."""
    out = bytearray(varint(len(data)))
    seen: dict[bytes, int] = {}
    position = start = 0

    def literal(end: int) -> None:
        size = end - start - 1
        if size < 0:
            return
        if size < 60:
            out.append(size << 2)
        else:
            width = 1 if size < 256 else 2 if size < 65536 else 3
            out.append((59 + width) << 2)
            out.extend(size.to_bytes(width, "little"))
        out.extend(data[start:end])

    while position + 4 <= len(data):
        key = data[position : position + 4]
        found = seen.get(key)
        seen[key] = position
        if found is None:
            position += 1
            continue
        literal(position)
        size = 4
        while size < 64 and data[found + size : found + size + 1] == (
            data[position + size : position + size + 1] or None
        ):
            size += 1
        offset = position - found
        if size < 12 and offset < 2048:
            out.extend([1 | (size - 4) << 2 | offset >> 8 << 5, offset & 255])
        elif offset < 65536:
            out.append(2 | (size - 1) << 2)
            out.extend(offset.to_bytes(2, "little"))
        else:
            out.append(3 | (size - 1) << 2)
            out.extend(offset.to_bytes(4, "little"))
        position += size
        start = position
    literal(len(data))
    return bytes(out)


def block(pairs: list[tuple[bytes, bytes]], interval: int = 16) -> bytes:
    """Return a block's contents: entries with shared prefixes, then the restart points."""
    out, restarts, last = bytearray(), [], b""
    for i, (key, value) in enumerate(pairs):
        shared = 0
        if i % interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        last = key
    for restart in [*(restarts or [0]), len(restarts or [0])]:
        out += restart.to_bytes(4, "little")
    return bytes(out)


def table(pairs: list[tuple[bytes, bytes]], *, per_block: int = 100, compress=False) -> bytes:
    """Return a whole table of sorted ``pairs``."""
    out, index = bytearray(), []

    def put(contents: bytes, packed: bool) -> bytes:
        contents = snappy(contents) if packed else contents
        handle = varint(len(out)) + varint(len(contents))
        contents += bytes([packed])
        out.extend(contents + masked(contents))
        return handle

    for start in range(0, len(pairs), per_block):
        part = pairs[start : start + per_block]
        index.append((part[-1][0], put(block(part), compress)))
    footer = put(block([]), False) + put(block(index, interval=1), compress)
    return bytes(out) + footer.ljust(40, b"\0") + MAGIC


def entry(array: np.ndarray, data: bytes, place: tuple[int, int], changes: dict) -> bytes:
    """Return a BundleEntryProto; ``changes`` replaces any of its values."""
    values = {
        "dtype": DTYPES.get(array.dtype.name, 0),
        "shape": array.shape,
        "shard": place[0],
        "offset": place[1],
        "size": len(data),
        "crc": masked(data),
        "slices": b"",
        **changes,
    }
    shape = b"".join(chunk(2, number(1, size)) for size in values["shape"])
    return (
        number(1, values["dtype"])
        + chunk(2, shape)
        + number(3, values["shard"])
        + number(4, values["offset"])
        + number(5, values["size"])
        + (varint(6 << 3 | 5) + values["crc"])
        + (chunk(7, values["slices"]) if values["slices"] else b"")
    )


def write_bundle(
    prefix: Path,
    tensors: Mapping[str, np.ndarray],
    *,
    shards: int = 1,
    header: bytes | None = None,
    changes: Mapping[str, dict] | None = None,
    **options,
) -> Path:
    """Write a checkpoint, its tensors dealt out to the shards in turn; return the prefix."""
    data = [bytearray() for _ in range(shards)]
    pairs = [(b"", header if header is not None else number(1, shards) + chunk(3, number(1, 1)))]
    for i, name in enumerate(sorted(tensors, key=str.encode)):
        array, part = tensors[name], data[i % shards]
        raw = np.asarray(array, array.dtype.newbyteorder("<"), order="C").tobytes()
        change = (changes or {}).get(name, {})
        pairs.append((name.encode(), entry(array, raw, (i % shards, len(part)), change)))
        part += raw
    for i, part in enumerate(data):
        prefix.with_name(f"{prefix.name}.data-{i:05d}-of-{shards:05d}").write_bytes(part)
    prefix.with_name(f"{prefix.name}.index").write_bytes(table(pairs, **options))
    return prefix
