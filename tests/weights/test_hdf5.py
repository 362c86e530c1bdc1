"""The HDF5 reader against h5py, and against structures whose checksums are right."""

import time
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.hdf5_blocks import Image
from mmnet_np.weights.hdf5_reader import read_attributes, read_tensors
from mmnet_np.weights.hdf5_writer import encode
from mmnet_np.weights.lookup3 import lookup3


@pytest.mark.parametrize(
    ("data", "initial", "expected"),
    [  # from the self-test of lookup3.c
        (b"", 0, 0xDEADBEEF),
        (b"", 0xDEADBEEF, 0xBD5B7DDE),
        (b"Four score and seven years ago", 0, 0x17770551),
        (b"Four score and seven years ago", 1, 0xCD628161),
    ],
)
def test_lookup3(data, initial, expected):
    assert lookup3(data, initial) == expected


def written(path, tensors, **options) -> bytes:
    """Return a file that h5py's own high level wrote."""
    with h5py.File(path, "w", libver=("v110", "v110"), **options) as file:
        for name, array in tensors.items():
            file[name] = array
    return path.read_bytes()


# 9 links no longer fit a header, 46 no longer one node of the B-tree; longer names need more
# and larger blocks of the heap.
@pytest.mark.parametrize("count", [1, 8, 9, 45, 46, 200, 900])
@pytest.mark.parametrize("length", [1, 60])
def test_scopes_of_any_size(tmp_path, count, length):
    tensors = {f"M/{'n' * length}{i}": np.arange(i, i + 3, dtype=np.float32) for i in range(count)}
    for data in (written(tmp_path / "a.h5", tensors), encode(tensors, {})):
        found = read_tensors(Image(data))
        assert list(found) == sorted(tensors)
        for name, array in tensors.items():
            np.testing.assert_array_equal(found[name], array)


def test_more_names_than_any_network_has():
    tensors = {f"M/n{i}": np.ones(1, np.float32) for i in range(3000)}
    with refused("too many names in one scope"):
        read_tensors(Image(encode(tensors, {})))


@pytest.mark.parametrize("options", [{}, {"track_order": True}])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int32"])
def test_what_h5py_writes(tmp_path, options, dtype):
    array = np.arange(-6, 18).reshape(2, 3, 4).astype(dtype)
    tensors = {"a": array, "b/c": array[0], "b/d/e": array[0, 0, 0], "b/f": array[:, :0:-1]}
    found = read_tensors(Image(written(tmp_path / "a.h5", tensors, **options)))
    assert list(found) == list(tensors)
    for name, expected in tensors.items():
        assert found[name].dtype == expected.dtype and found[name].shape == expected.shape
        np.testing.assert_array_equal(found[name], expected)


def test_a_file_edited_many_times(tmp_path):
    """Removing and adding leaves gaps, and headers in several chunks."""
    path = tmp_path / "a.h5"
    path.write_bytes(encode({"M/a": np.ones(2, np.float32)}, {"format": "x"}))
    for i in range(12):
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            file[f"M/scope{i}/w"] = np.full(i + 1, i, np.float32)
            file["M"].attrs[f"note{i}"] = np.bytes_(b"n" * 50 * i)
            file.attrs["format"] = np.bytes_(b"y" * i)
            if i % 3 == 2:
                del file[f"M/scope{i - 1}"]
    found = read_tensors(Image(path.read_bytes()))
    assert list(found) == ["M/a", *sorted(f"M/scope{i}/w" for i in range(12) if i % 3 != 1)]
    assert (found["M/scope11/w"] == 11).all()
    assert read_attributes(Image(path.read_bytes())) == {"format": "y" * 11}


def test_attributes():
    attributes = {"empty": "", "text": "Übersicht\n", "long": "x" * 32_768, "number": -7}
    assert read_attributes(Image(encode({}, attributes))) == attributes


def test_h5py_reads_the_same():
    tensors = {"a/b": np.arange(6, dtype=np.int32).reshape(2, 3), "c": np.ones((), np.float32)}
    data = encode(tensors, {"text": "hällo", "number": 3})
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(1024, False)
    access.set_file_image(data)
    with h5py.File(h5py.h5f.open(b"image", h5py.h5f.ACC_RDONLY, access)) as file:
        assert file.attrs["text"].decode() == "hällo" and file.attrs["number"] == 3
        for name, array in tensors.items():
            assert file[name].dtype == array.dtype
            np.testing.assert_array_equal(file[name][()], array)


@pytest.mark.parametrize("where", ["header", "footer of the header"])
def test_the_checksum_of_the_attributes(where):
    data = bytearray(encode({"a": np.ones(1, np.float32)}, {"licence": "research only"}))
    good = bytes(data)
    data[data.index(b"research only")] ^= 1
    with refused("checksum of the header"):
        read_attributes(Image(bytes(data)))
    assert read_attributes(Image(good)) == {"licence": "research only"}


SAMPLE = encode(
    {
        **{f"M/g{i}/w": np.full(2, i, np.float32) for i in range(12)},
        **{f"M/h/n{i}": np.full(2, i, np.float32) for i in range(50)},
        "a": np.ones((2, 2), np.int8),
    },
    {"format": "x", "number": 1},
)
# The values themselves are beside the point; the structure is all the rest.
STRUCTURE = [i for i in range(len(SAMPLE)) if SAMPLE[i]]


@settings(
    max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(STRUCTURE), st.one_of(st.just(255), st.integers(0, 255))),
        min_size=1,
        max_size=6,
    )
)
def test_crafted_structures(monkeypatch, changes):
    """A hostile writer computes its checksums, so here they are not looked at."""
    monkeypatch.setattr(Image, "check", lambda self, start, end: None)
    data = bytearray(SAMPLE)
    for position, value in changes:
        data[position] = value

    def read():
        image = Image(bytes(data))
        return read_attributes(image), read_tensors(image)

    tracemalloc.start()
    try:
        refused_or_fine(read)
        assert tracemalloc.get_traced_memory()[1] < 2e7
    finally:
        tracemalloc.stop()


def test_every_truncation_is_refused():
    for size in range(0, len(SAMPLE), 41):
        with refused():
            Image(SAMPLE[:size])


def test_a_header_that_continues_in_itself(monkeypatch):
    monkeypatch.setattr(Image, "check", lambda self, start, end: None)
    image = Image(SAMPLE)
    root = image.root
    # A header of one message: go on at the chunk behind it, which says the same.
    chunk = b"OCHK" + bytes([0x10, 8, 0, 0]) + bytes(8) + bytes(4)
    header = b"OHDR\x02\x00" + bytes([12, 0x10, 8, 0, 0]) + bytes(8) + bytes(4)
    data = bytearray(SAMPLE)
    place = root + len(header)
    pointer = place.to_bytes(4, "little") + len(chunk).to_bytes(4, "little")
    data[root:place] = header[:11] + pointer + bytes(4)
    data[place : place + len(chunk)] = chunk[:8] + pointer + bytes(4)
    start = time.process_time()
    with refused("too many parts"):
        Image(bytes(data)).messages(root)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("length", [256, 1100])
@pytest.mark.parametrize("count", [1, 20])
def test_names_longer_than_any_we_write(length, count):
    tensors = {f"{'n' * (length - 2)}{i:02}": np.ones(1, np.float32) for i in range(count)}
    with refused():
        read_tensors(Image(encode(tensors, {})))


def test_a_header_of_many_megabytes():
    data = bytearray(SAMPLE)
    root = Image(SAMPLE).root
    data[root + 5] = 2  # four bytes of size
    data[root + 6 : root + 10] = (2**20 + 1).to_bytes(4, "little")
    with refused("header larger than any we write"):
        read_attributes(Image(bytes(data)))


def test_a_header_of_many_messages():
    size = 10**6
    head = b"OHDR\x02\x02" + size.to_bytes(4, "little")
    data = bytearray(SAMPLE[:32]) + head + bytes(size + 4)
    data[20:24] = len(data).to_bytes(4, "little")
    data[24:28] = (32).to_bytes(4, "little")
    start = time.process_time()
    with refused("more than 200000 parts"):
        read_tensors(Image(bytes(data)))
    assert time.process_time() - start < 3
