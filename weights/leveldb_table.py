"""LevelDB's immutable table: sorted keys and values in checksummed blocks.

TensorFlow keeps a checkpoint's ``.index`` in this format. A table is data blocks, then an index
block whose values are the places of the data blocks, then a 48-byte footer with the place of the
index block. There is no need to search here: the index is small, so all of it is read in order.

References: "leveldb File format", google/leveldb, doc/table_format.md; Bundle format of
TensorFlow, tensorflow/core/util/tensor_bundle.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import unpack_from

from .crc32c import masked_crc32c
from .errors import WeightsError
from .files import LIMIT
from .snappy import decompress
from .wire import varint

__all__ = ["MAGIC", "entries"]

FOOTER_SIZE = 48
MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
TRAILER_SIZE = 5  # type byte and masked CRC-32C
KEY_LIMIT = 1024
ENTRY_LIMIT = 20_000


def entries(table: bytes) -> list[tuple[bytes, bytes]]:
    """Return all (key, value) pairs of a table, keys ascending.

    Parameters
    ----------
    table : bytes
        The whole file.

    Returns
    -------
    list of (bytes, bytes)
        At most 20,000.

    Raises
    ------
    WeightsError
        The table is damaged, or larger inside than any checkpoint's index.
    """
    if len(table) < FOOTER_SIZE or not table.endswith(MAGIC):
        raise WeightsError("the last 8 bytes are not those of a TensorFlow index; is it cut off?")
    footer = table[-FOOTER_SIZE : -len(MAGIC)]
    _, position = _handle(footer, 0)  # the place of the metaindex block, which is empty
    index, _ = _handle(footer, position)

    found: list[tuple[bytes, bytes]] = []
    end, unpacked = 0, 0
    for _, value in _block_entries(_block(table, index)):
        (offset, size), _ = _handle(value, 0)
        # Blocks that overlap are no table. They could also make a small file very long to read.
        if offset < end:
            raise WeightsError(f"the blocks of the index overlap at byte {offset}")
        end = offset + size + TRAILER_SIZE
        block = _block(table, (offset, size))
        unpacked += len(block)
        if unpacked > LIMIT:
            raise WeightsError(f"the index unpacks to more than {LIMIT} bytes")
        for pair in _block_entries(block):
            if found and pair[0] <= found[-1][0]:
                raise WeightsError("the keys of the index are not in ascending order")
            found.append(pair)
            if len(found) > ENTRY_LIMIT:
                raise WeightsError(f"the index has more than {ENTRY_LIMIT} entries")
    return found


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    """Return the (offset, size) written at ``position`` and the position after it."""
    offset, position = varint(data, position)
    size, position = varint(data, position)
    return (offset, size), position


def _block(table: bytes, handle: tuple[int, int]) -> bytes:
    """Return the checked, uncompressed contents of a block."""
    offset, size = handle
    end = offset + size
    if end + TRAILER_SIZE > len(table) - FOOTER_SIZE:
        raise WeightsError(f"the block of {size} bytes at byte {offset} runs past the index's end")
    kind, stored = unpack_from("<BI", table, end)
    if masked_crc32c(table[offset : end + 1]) != stored:
        raise WeightsError(f"the checksum of the block at byte {offset} is wrong; it is damaged")
    if kind > 1:
        raise WeightsError(f"the block at byte {offset} has compression {kind}; expected 0 or 1")
    block = table[offset:end]
    return decompress(block) if kind else block


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the (key, value) pairs of one block.

    A key is written as how many bytes it shares with the key before it, and the rest. The
    restart points at the block's end, for binary search, are only skipped.
    """
    restarts = int.from_bytes(block[-4:], "little") if len(block) >= 4 else 0
    end = len(block) - 4 * (restarts + 1)
    if end < 0:
        raise WeightsError(f"a block of {len(block)} bytes declares {restarts} restart points")
    if end == 0:  # LevelDB writes none, and a million of them would be slow to check
        raise WeightsError("a block of the index has no entries")
    key, position, body = b"", 0, block[:end]
    while position < end:
        shared, position = varint(body, position)
        rest, position = varint(body, position)
        size, position = varint(body, position)
        if shared > len(key) or rest + size > end - position or shared + rest > KEY_LIMIT:
            raise WeightsError("an entry of the index does not fit in its block")
        key = key[:shared] + body[position : position + rest]
        position += rest
        yield key, body[position : position + size]
        position += size
