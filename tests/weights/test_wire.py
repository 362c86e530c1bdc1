"""Varints and protocol-buffer fields."""

import bundle_writer
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.wire import fields, varint


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varint_comes_back(value, rest):
    data = bundle_writer.varint(value)
    assert varint(b"?" + data + rest, 1) == (value, 1 + len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9])
def test_varint_cut_off(data):
    with refused("middle of a number"):
        varint(data, 0)


@pytest.mark.parametrize("data", [b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x01", b"\x80" * 1000])
def test_varint_of_more_than_64_bits(data):
    with refused("more than 64 bits"):
        varint(data, 0)


def test_fields_in_their_order():
    message = (
        b"\x08\x96\x01\x12\x07testing\x1d\x01\x02\x03\x04\x21" + bytes([5] + [0] * 7) + b"\x08\x01"
    )
    assert fields(message) == [(1, 150), (2, b"testing"), (3, 0x04030201), (4, 5), (1, 1)]
    assert fields(b"") == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"\x12\x05abc", "middle of a field"),
        (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7fabc", "middle of a field"),
        (b"\x1d\x01\x02", "middle of a field"),
        (b"\x08", "middle of a number"),
        (b"\x0b", "wire type 3"),
        (bytes([8, 1]) * 2049, "4098 bytes"),
    ],
)
def test_damage_is_named(message, words):
    with refused(words):
        fields(message)


@given(st.binary(max_size=200))
def test_anything_is_refused_or_fine(message):
    refused_or_fine(fields, message)
