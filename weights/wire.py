"""Varints, and the wire format of protocol buffers: just enough for two messages.

Reference: "Encoding", Protocol Buffers documentation, protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from .errors import WeightsError

__all__ = ["fields", "varint"]

WIDTH_OF_FIXED = {1: 8, 5: 4}
MESSAGE_LIMIT = 4096  # an entry of a checkpoint's index is 20 to 100 bytes


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the unsigned integer at ``position`` and the position after it.

    Seven bits a byte, least significant first, the top bit set on all but the last byte.

    Raises
    ------
    WeightsError
        The data end inside it, or it has more than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WeightsError("the data end in the middle of a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
    raise WeightsError("a number has more than 64 bits")


def fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """Return the fields of a protocol-buffer message in their order.

    Parameters
    ----------
    message : bytes
        One serialized message.

    Returns
    -------
    list of (number, value)
        ``value`` is an unsigned int for varint and fixed fields, bytes for length-delimited
        ones. A negative int64 shows as a value of 2**63 or more.

    Raises
    ------
    WeightsError
        The message is cut off, longer than 4096 bytes, or uses a wire type other than 0, 1, 2
        or 5.
    """
    if len(message) > MESSAGE_LIMIT:
        raise WeightsError(f"a message has {len(message)} bytes; expected at most {MESSAGE_LIMIT}")
    found: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, position = varint(message, position)
            found.append((number, value))
            continue
        if kind == 2:
            length, position = varint(message, position)
        elif kind in WIDTH_OF_FIXED:
            length = WIDTH_OF_FIXED[kind]
        else:
            raise WeightsError(f"a message has a field of wire type {kind}; expected 0, 1, 2 or 5")
        if length > len(message) - position:
            raise WeightsError("a message ends in the middle of a field")
        chunk = message[position : position + length]
        position += length
        found.append((number, chunk if kind == 2 else int.from_bytes(chunk, "little")))
    return found
