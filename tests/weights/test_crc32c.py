"""CRC-32C against published values and against a walk bit by bit."""

import time
import tracemalloc

import bundle_writer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmnet_np.weights.crc32c import PIECE, crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, B.4, and the check value of the catalogues
        (b"", 0x00000000),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_known_answers(data, expected):
    assert crc32c(data) == expected
    assert crc32c(memoryview(data)) == expected


@given(st.binary(max_size=300))
def test_equals_the_walk_bit_by_bit(data):
    assert crc32c(data) == bundle_writer.crc32c(data)
    assert masked_crc32c(data).to_bytes(4, "little") == bundle_writer.masked(data)


@pytest.mark.parametrize("extra", [-5, -1, 0, 1, 4, 7])
def test_across_pieces(extra):
    # Leading zero bytes and the piece boundary are where folding could go wrong.
    data = (bytes(40) + bytes(range(1, 252)) * (4 * PIECE // 250))[: 4 * PIECE + extra]
    assert crc32c(data) == bundle_writer.crc32c(data)


def test_a_flipped_bit_always_shows():
    data = bytearray(b"portrait matting")
    good = crc32c(bytes(data))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert crc32c(bytes(data)) != good
        data[bit // 8] ^= 1 << bit % 8


def test_three_megabytes_in_half_a_second_and_little_memory():
    data = bytes(range(256)) * (3 * 4096)
    crc32c(data)  # makes the tables
    start = time.process_time()
    crc32c(data)
    assert time.process_time() - start < 0.5
    tracemalloc.start()
    crc32c(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
