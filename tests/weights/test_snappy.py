"""Snappy decompression against hand-made blocks, a greedy compressor, and damage."""

import tracemalloc

import bundle_writer
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.snappy import decompress

# Few distinct bytes, so that there is something to copy.
texts = st.lists(st.sampled_from([b"a", b"b", b"scope/", b"weights", b"\0" * 70])).map(b"".join)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"\x00", b""),
        (b"\x03\x08abc", b"abc"),
        (b"\x0c\x00a\x1d\x01", b"a" * 12),  # a copy onto itself: offset 1, length 11
        (b"\x0a\x04xy\x1e\x02\x00", b"xyxyxyxyxy"),  # the same with two bytes of offset
        (b"\x06\x08abc\x0b\x03\x00\x00\x00", b"abcabc"),  # four bytes of offset
        (b"\x40\xf0\x3f" + bytes(range(64)), bytes(range(64))),  # length in a byte of its own
        (b"\xac\x02\xf4\x2b\x01" + bytes(300), bytes(300)),  # and in two
    ],
)
def test_blocks_made_by_hand(block, expected):
    assert decompress(block) == expected


@given(texts)
def test_returns_what_was_compressed(text):
    assert decompress(bundle_writer.snappy(text)) == text


def test_far_copies_and_long_literals():
    noise = bytes((i * i * 7919 >> 5) & 255 for i in range(70_000))
    text = noise + noise[:1000]
    packed = bundle_writer.snappy(text)
    assert len(packed) < len(text)
    assert decompress(packed) == text


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"", "middle of a number"),
        (b"\x80\x80", "middle of a number"),
        (b"\x05\x08abc", "holds 3 bytes but declares 5"),
        (b"\x02\x08abc", "more than the 2 bytes"),
        (b"\x03\x0cabc", "middle of a literal"),
        (b"\x10\xf4\x3f", "middle of a length"),
        (b"\x05\x00a\x0e\x02\x00", "copies from 2 bytes back of 1"),
        (b"\x05\x00a\x0e\x00\x00", "copies from 0 bytes back"),
        (b"\x05\x00a\x0e\x01", "middle of a copy"),
        (b"\xff\xff\xff\xff\x0f\x00a", "declares 4294967295 bytes"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "more than 64 bits"),
        (b"\xe8\x07\x00a", "declares 1000 bytes"),  # 1000 from two bytes: beyond any copy
    ],
)
def test_damage_is_named(block, words):
    with refused(words):
        decompress(block)


def test_the_limit_is_the_callers():
    assert decompress(b"\x03\x08abc", 3) == b"abc"
    with refused("declares 3 bytes"):
        decompress(b"\x03\x08abc", 2)


@settings(max_examples=300, deadline=2000)
@given(st.binary(max_size=400))
def test_anything_is_refused_or_fine(block):
    tracemalloc.start()
    try:
        refused_or_fine(decompress, block)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
