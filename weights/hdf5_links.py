"""The links of an HDF5 group: the names in it, and the objects they stand for.

References: "HDF5 File Format Specification Version 3.0", The HDF Group: link messages IV.A.2.c
and IV.A.2.g, fractal heap III.G, version 2 B-tree III.A.2.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from .errors import WeightsError
from .files import shown
from .hdf5_blocks import Image, Message

__all__ = ["LINK_INFO", "Link", "links"]

LINK_INFO, LINK = 0x02, 0x06
NAME_LIMIT = 255
LINK_LIMIT = 1024  # bytes of a link's message


class Link(NamedTuple):
    """A name in a group, and the address of the object it stands for."""

    name: bytes
    address: int


def links(image: Image, messages: list[Message]) -> list[Link]:
    """Return the links of a group, given the messages of its header.

    A group of at most eight keeps them as messages, a larger one in a fractal heap that a B-tree
    indexes by name.

    Raises
    ------
    WeightsError
        The structure is damaged, or a link is soft or external.
    """
    found = [_link(image, message.body) for message in messages if message.kind == LINK]
    width = image.width
    for message in messages:
        if message.kind == LINK_INFO:
            body = message.body[2 + (8 if message.body[1:2] > b"\0" else 0) :].ljust(2 * width)
            heap = int.from_bytes(body[:width], "little")
            tree = int.from_bytes(body[width : 2 * width], "little")
            if heap != image.undefined:
                found += [_link(image, body) for body in _dense(image, heap, tree)]
    return found


def _link(image: Image, body: bytes) -> Link:
    image.effort()
    flags = body[1] if len(body) > 1 else 0
    kind = body[2] if flags & 0x08 and len(body) > 2 else 0
    # The type of link, when it was made, and the name's encoding are there only if flagged.
    position = 2 + sum(size for bit, size in ((0x08, 1), (0x04, 8), (0x10, 1)) if flags & bit)
    width = 1 << (flags & 3)
    size = int.from_bytes(body[position : position + width], "little")
    name = body[position + width : position + width + size]
    address = body[position + width + size :]
    if kind != 0:
        text = shown(name.decode("utf-8", "backslashreplace"))
        raise WeightsError(f"its {text} is a soft or external link")
    if len(name) > NAME_LIMIT:
        raise WeightsError(f"it has a name of {len(name)} bytes; expected at most {NAME_LIMIT}")
    if not name or len(address) < image.width:
        raise WeightsError("its HDF5 structure has a damaged link")
    return Link(name, int.from_bytes(address[: image.width], "little"))


def _dense(image: Image, heap: int, tree: int) -> Iterator[bytes]:
    """Yield the link messages of a large group."""
    blocks, offset_width, length_width = _heap_blocks(image, heap)
    starts = [first for first, _, _ in blocks]
    for record in _records(image, tree):
        place = record[4:]  # after the hash of the name
        if len(place) < 1 + offset_width + length_width or place[0] != 0:
            raise WeightsError("its HDF5 structure has a link outside its heap")
        offset = int.from_bytes(place[1 : 1 + offset_width], "little")
        size = int.from_bytes(place[1 + offset_width :][:length_width], "little")
        i = bisect_right(starts, offset) - 1
        first, length, address = blocks[i] if i >= 0 else (0, 0, 0)
        if size > min(first + length - offset, LINK_LIMIT):
            raise WeightsError("its HDF5 structure has a link outside its heap")
        yield image.at(address + offset - first, size)


def _heap_blocks(image: Image, address: int) -> tuple[list[tuple[int, int, int]], int, int]:
    """Return a fractal heap's direct blocks, and the widths of offsets and lengths in its IDs.

    A block is (offset in the heap, size, address in the file). Blocks double in size from the
    third row on: 512 bytes, 512, 1024, 2048 and so on.
    """
    width = image.width
    fixed = 14 + 12 * width  # up to the doubling table
    head = image.at(address, fixed + 8 + 3 * width)
    if head[:5] != b"FRHP\x00" or head[7:9] != b"\0\0":
        raise WeightsError(f"its HDF5 structure has no plain heap at byte {address}")
    columns = int.from_bytes(head[fixed : fixed + 2], "little")
    size = int.from_bytes(head[fixed + 2 : fixed + 2 + width], "little")
    largest = int.from_bytes(head[fixed + 2 + width : fixed + 2 + 2 * width], "little")
    bits = int.from_bytes(head[fixed + 2 + 2 * width : fixed + 4 + 2 * width], "little")
    root = int.from_bytes(head[fixed + 6 + 2 * width : fixed + 6 + 3 * width], "little")
    rows = int.from_bytes(head[fixed + 6 + 3 * width :], "little")
    managed = int.from_bytes(head[10:14], "little")
    offset_width = (bits + 7) // 8
    length_width = (min(managed, largest).bit_length() + 7) // 8
    if rows == 0:
        return [(0, size, root)], offset_width, length_width
    # The root is an indirect block: a table of the addresses of the direct ones, row by row.
    if image.at(root, 5) != b"FHIB\x00":
        raise WeightsError(f"its HDF5 structure has no heap table at byte {root}")
    blocks, offset, entry = [], 0, root + 5 + width + offset_width
    for row in range(rows):
        length = size << max(0, row - 1)
        if length > largest:
            raise WeightsError("its HDF5 structure has a heap larger than any we write")
        for _ in range(columns):
            image.effort()
            block = image.number(entry)
            if block != image.undefined:
                blocks.append((offset, length, block))
            offset, entry = offset + length, entry + width
    return blocks, offset_width, length_width


def _records(image: Image, address: int) -> Iterator[bytes]:
    """Yield the records of a version 2 B-tree of one or two levels, in order."""
    width = image.width
    head = image.at(address, 18 + width)
    record = int.from_bytes(head[10:12], "little")
    depth = int.from_bytes(head[12:14], "little")
    count = int.from_bytes(head[16 + width : 18 + width], "little")
    root = int.from_bytes(head[16 : 16 + width], "little")
    if head[:6] != b"BTHD\x00\x05" or record == 0:
        raise WeightsError(f"its HDF5 structure has no index of names at byte {address}")
    if depth > 1:
        raise WeightsError("it has too many names in one scope")
    nodes = [(root, count)]
    if depth:
        start = root + 6
        if image.at(root, 6) != b"BTIN\x00\x05":
            raise WeightsError(f"its HDF5 structure has no index of names at byte {root}")
        yield from _split(image, start, record, count)
        start += record * count
        # With each child's address stands its number of records, in as few bytes as can hold it.
        most = (int.from_bytes(head[6:10], "little") - 10) // record
        size = width + (most.bit_length() + 7) // 8
        nodes = []
        for i in range(count + 1):
            child = image.at(start + i * size, size)
            pair = child[:width], child[width:]
            nodes.append((int.from_bytes(pair[0], "little"), int.from_bytes(pair[1], "little")))
    for node, number in nodes:
        if image.at(node, 6) != b"BTLF\x00\x05":
            raise WeightsError(f"its HDF5 structure has no index of names at byte {node}")
        yield from _split(image, node + 6, record, number)


def _split(image: Image, start: int, size: int, count: int) -> Iterator[bytes]:
    for i in range(count):
        image.effort()
        yield image.at(start + i * size, size)
