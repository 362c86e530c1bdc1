"""Decompression of Snappy blocks, the one compression a TensorFlow index may use.

Reference: "Snappy compressed format description", google/snappy, format_description.txt.
"""

from __future__ import annotations

from .errors import WeightsError
from .files import LIMIT
from .wire import varint

__all__ = ["decompress"]


def decompress(data: bytes, limit: int = LIMIT) -> bytes:
    """Return the uncompressed bytes of one raw Snappy block.

    Parameters
    ----------
    data : bytes
        A varint with the uncompressed length, then literals and back-references.
    limit : int
        The most bytes the result may have.

    Returns
    -------
    bytes
        Exactly as many as declared.

    Raises
    ------
    WeightsError
        The block is damaged, or declares more than ``limit`` or more than it can produce.
    """
    length, position = varint(data, 0)
    # The densest element is a copy: three bytes for at most 64.
    if length > limit or length > 22 * (len(data) - position):
        raise WeightsError(f"a compressed block of {len(data)} bytes declares {length} bytes")
    out = bytearray()
    while position < len(data):
        tag = data[position]
        position += 1
        kind = tag & 3
        if kind == 0:
            size, position = _literal_size(data, tag, position)
            if size > len(data) - position:
                raise WeightsError("a compressed block ends in the middle of a literal")
            out += data[position : position + size]
            position += size
        else:
            # Copies of kind 1, 2, 3 carry 1, 2, 4 more bytes of offset.
            width = (0, 1, 2, 4)[kind]
            if width > len(data) - position:
                raise WeightsError("a compressed block ends in the middle of a copy")
            offset = int.from_bytes(data[position : position + width], "little")
            position += width
            size = (tag >> 2) + 1
            if kind == 1:
                offset |= (tag >> 5) << 8
                size = ((tag >> 2) & 7) + 4
            _copy(out, offset, size)
        if len(out) > length:
            raise WeightsError(f"a compressed block holds more than the {length} bytes it declares")
    if len(out) != length:
        raise WeightsError(f"a compressed block holds {len(out)} bytes but declares {length}")
    return bytes(out)


def _literal_size(data: bytes, tag: int, position: int) -> tuple[int, int]:
    """Return the length of a literal and the position of its first byte."""
    size = tag >> 2
    if size < 60:
        return size + 1, position
    width = size - 59  # 60..63 mean that 1..4 bytes with the length follow
    if width > len(data) - position:
        raise WeightsError("a compressed block ends in the middle of a length")
    return int.from_bytes(data[position : position + width], "little") + 1, position + width


def _copy(out: bytearray, offset: int, size: int) -> None:
    """Append ``size`` bytes that begin ``offset`` before the end of ``out``."""
    if not 0 < offset <= len(out):
        raise WeightsError(f"a compressed block copies from {offset} bytes back of {len(out)}")
    start = len(out) - offset
    # The copy may run into the bytes it is writing: then it repeats the last `offset` bytes.
    pattern = bytes(out[start : start + size])
    repeats = -(-size // len(pattern))
    out += (pattern * repeats)[:size]
