"""Bob Jenkins' lookup3 hash, which HDF5 uses as the checksum of its metadata.

Reference: R. Jenkins, "lookup3.c", 2006, hashlittle(); HDF5 File Format Specification 3.0, which
calls it "the lookup3 checksum".
"""

from __future__ import annotations

__all__ = ["lookup3"]

MASK = 0xFFFFFFFF
MIX = (4, 6, 8, 16, 19, 4)
FINAL = (14, 11, 25, 16, 4, 14, 24)


def _rotated(word: int, count: int) -> int:
    return (word << count | word >> (32 - count)) & MASK


def lookup3(data: bytes, initial: int = 0) -> int:
    """Return the 32-bit hash of ``data``.

    Examples
    --------
    >>> hex(lookup3(b"Four score and seven years ago"))
    '0x17770551'
    """
    state = [(0xDEADBEEF + len(data) + initial) & MASK] * 3
    if not data:
        return state[2]
    # The last 1 to 12 bytes are padded with zeros and mixed in another way.
    last = (len(data) - 1) // 12 * 12
    for start in range(0, last, 12):
        _add(state, data[start : start + 12])
        a, b, c = state
        for count in MIX:
            a = (a - c & MASK) ^ _rotated(c, count)
            c = c + b & MASK
            a, b, c = b, c, a
        state = [a, b, c]
    _add(state, data[last:].ljust(12, b"\0"))
    a, b, c = state
    for count in FINAL:
        c = (c ^ b) - _rotated(b, count) & MASK
        a, b, c = b, c, a
    # Seven rotations of three names leave the last written one in b.
    return b


def _add(state: list[int], chunk: bytes) -> None:
    for i in range(3):
        word = int.from_bytes(chunk[4 * i : 4 * i + 4], "little")
        state[i] = (state[i] + word) & MASK
