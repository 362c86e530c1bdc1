"""The checkpoint reader against bundles written here, damage, and real checkpoints."""

import os
import random
import time
import tracemalloc
from pathlib import Path

import bundle_writer
import numpy as np
import pytest
from bundle_writer import chunk, number, write_bundle
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.tensorflow import read_checkpoint

REAL = Path(__file__).resolve().parents[3] / "shared/data/checkpoints"
fuzz = settings(
    max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def network(seed: int = 0) -> dict[str, np.ndarray]:
    """Return tensors of a small network with Adam slots and counters, as a trainer saves them."""
    rng = np.random.default_rng(seed)
    shapes = {
        "init_block/conv/weights": (3, 3, 3, 8),
        "init_block/conv/BatchNorm/gamma": (8,),
        "enc_block0/branch0/depthwise_conv_stride/depthwise_weights": (3, 3, 8, 1),
        "final_block/pointwise_conv/biases": (2,),
        "scale": (),
    }
    tensors: dict[str, np.ndarray] = {"beta1_power": np.float32(0.9), "global_step": np.int64(7)}
    for name, shape in shapes.items():
        for slot in ("", "/Adam", "/Adam_1"):
            tensors[f"MMNet/{name}{slot}"] = rng.normal(size=shape).astype(np.float32)
    return {name: np.asarray(array) for name, array in tensors.items()}


def own(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: array
        for name, array in tensors.items()
        if name.startswith("MMNet/") and not name.endswith(("/Adam", "/Adam_1"))
    }


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].flags.c_contiguous and found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("per_block", [1, 4, 100])
@pytest.mark.parametrize("shards", [1, 3])
def test_reads_the_network_and_nothing_else(tmp_path, compress, per_block, shards):
    tensors = network()
    prefix = write_bundle(
        tmp_path / "model-10", tensors, shards=shards, per_block=per_block, compress=compress
    )
    assert_same(read_checkpoint(prefix), own(tensors))


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00002", ".data-00001-of-00002"])
def test_any_file_of_the_bundle_names_it(tmp_path, suffix):
    tensors = network()
    prefix = write_bundle(tmp_path / "model", tensors, shards=2)
    assert_same(read_checkpoint(f"{prefix}{suffix}"), own(tensors))
    assert_same(read_checkpoint(Path(f"{prefix}{suffix}")), own(tensors))


@pytest.mark.parametrize("dtype", sorted(bundle_writer.DTYPES))
def test_dtypes_are_kept(tmp_path, dtype):
    tensors = {"MMNet/a": np.arange(-3, 9).reshape(3, 4).astype(dtype)}
    assert_same(read_checkpoint(write_bundle(tmp_path / "m", tensors)), tensors)


def test_another_prefix(tmp_path):
    tensors = {"Other/w": np.ones(3, np.float32), "MMNet/w": np.zeros(2, np.float32)}
    prefix = write_bundle(tmp_path / "m", tensors)
    assert list(read_checkpoint(prefix, "Other/")) == ["Other/w"]
    assert sorted(read_checkpoint(prefix, "")) == ["MMNet/w", "Other/w"]
    with refused("MobileNet/", "2 names", "MMNet/w", "m.index"):
        read_checkpoint(prefix, "MobileNet/")


def test_a_data_file_that_holds_only_slots_is_not_needed(tmp_path):
    tensors = {"MMNet/w": np.ones(3, np.float32), "MMNet/w/Adam": np.ones(3, np.float32)}
    prefix = write_bundle(tmp_path / "m", tensors, shards=2)
    (tmp_path / "m.data-00001-of-00002").unlink()
    assert_same(read_checkpoint(prefix), own(tensors))


def test_missing_files(tmp_path):
    with refused(tmp_path / "none", "none.index", "does not exist"):
        read_checkpoint(tmp_path / "none")
    prefix = write_bundle(tmp_path / "m", network(), shards=2)
    (tmp_path / "m.data-00001-of-00002").unlink()
    with refused("m.data-00001-of-00002", "does not exist"):
        read_checkpoint(prefix)
    (tmp_path / "m.data-00001-of-00002").mkdir()
    with refused("m.data-00001-of-00002", "is a folder"):
        read_checkpoint(prefix)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "m.index")
    with refused("m.index", "pipe"):
        read_checkpoint(tmp_path / "m")


def test_odd_paths(tmp_path):
    for path in ("a\0b", tmp_path / "x\ny", tmp_path / "\udcff", tmp_path / ("n" * 300)):
        with refused():
            read_checkpoint(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": 7}, "dtype 7"),
        ({"dtype": 0}, "dtype 0"),
        ({"dtype": 2**63}, "dtype"),
        ({"slices": b"\x0a\x00"}, "partitioned"),
        ({"shape": (3, 3, 3, 9)}, "864 bytes"),
        ({"shape": (2**32, 2**32)}, "positive dimensions"),
        ({"shape": (2**64 - 1, 864)}, "positive dimensions"),
        ({"shape": (0,), "size": 0}, "positive dimensions"),
        ({"shape": (1,) * 9}, "at most 8"),
        ({"size": 2**62}, "bytes"),
        ({"shape": (2**20, 2**3), "size": 2**25}, "is it cut off"),
        ({"shape": (2**26, 2**26), "size": 2**54}, "expected at most"),
        ({"offset": 2**63 - 1}, "is it cut off"),
        ({"offset": 1}, "checksum"),
        ({"crc": bytes(4)}, "checksum"),
        ({"shard": 1}, "data file 1 of 1"),
        ({"shard": 2**40}, "data file"),
    ],
)
def test_hostile_entries(tmp_path, change, words):
    name = "MMNet/init_block/conv/weights"
    prefix = write_bundle(tmp_path / "m", network(), changes={name: change})
    tracemalloc.start()
    with refused(words, "m."):
        read_checkpoint(prefix)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_unwanted_entries_may_be_anything(tmp_path):
    changes = {"global_step": {"dtype": 7, "crc": bytes(4)}, "MMNet/scale/Adam": {"size": 2**50}}
    prefix = write_bundle(tmp_path / "m", network(), changes=changes)
    assert_same(read_checkpoint(prefix), own(network()))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (number(1, 1) + number(2, 1), "big-endian"),
        (number(1, 0), "declares 0 data files"),
        (number(1, 10**12), "data files"),
        (chunk(1, b"x"), "data files"),
        (b"\xff", "middle of a number"),
        (bytes([8, 1]) * 3000, "6000 bytes"),
    ],
)
def test_hostile_headers(tmp_path, header, words):
    with refused(words, "m.index"):
        read_checkpoint(write_bundle(tmp_path / "m", network(), header=header))


def write_table(tmp_path, table: bytes) -> Path:
    (tmp_path / "m.index").write_bytes(table)
    (tmp_path / "m.data-00000-of-00001").write_bytes(bytes(100))
    return tmp_path / "m"


def footer(index: bytes) -> bytes:
    return (b"\0\0" + index).ljust(40, b"\0") + bundle_writer.MAGIC


def sealed(contents: bytes, kind: int = 0) -> bytes:
    contents += bytes([kind])
    return contents + bundle_writer.masked(contents)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "is empty"),
        (b"short", "is it cut off"),
        (footer(b"\0\0")[:-1] + b"!", "is it cut off"),
        (footer(b"\xff" * 9 + b"\x01\x00"), "runs past"),
        (footer(b"\x00" + b"\xff" * 9 + b"\x01"), "runs past"),
        (footer(b"\xff" * 38), "64 bits"),
        (sealed(b"\0\0\0\0", 2) + footer(b"\x00\x04"), "compression 2"),
        (sealed(b"\0\0\0\0") + footer(b"\x00\x04"), "no entries"),
        (sealed(b"\xff\xff\xff\x7f") + footer(b"\x00\x04"), "restart points"),
        (sealed(b"\0\0") + footer(b"\x00\x02"), "restart points"),
        (sealed(b"\x01\x00\x00" + bytes(4)) + footer(b"\x00\x07"), "does not fit"),
        (sealed(b"\x00\x7f\x00" + bytes(4)) + footer(b"\x00\x07"), "does not fit"),
        (sealed(b"\xff\xff\xff\xff\x0fa", 1) + footer(b"\x00\x06"), "declares"),
        (bytes(9) + footer(b"\x00\x04"), "checksum"),
    ],
)
def test_hostile_tables(tmp_path, table, words):
    with refused(words, "m.index"):
        read_checkpoint(write_table(tmp_path, table))


def test_keys_that_do_not_ascend(tmp_path):
    for keys in ((b"", b"b", b"a"), (b"", b"a", b"a"), (b"a",)):
        table = bundle_writer.table([(key, b"") for key in keys])
        with refused("header" if keys[0] else "ascending", "m.index"):
            read_checkpoint(write_table(tmp_path, table))


def test_a_table_that_reads_one_block_for_ever(tmp_path):
    block = sealed(bundle_writer.block([(b"", b"")]))
    handle = b"\x00" + bundle_writer.varint(len(block) - 5)
    index = bundle_writer.block([(bytes([i]), handle) for i in range(200)])
    place = bundle_writer.varint(len(block)) + bundle_writer.varint(len(index))
    with refused("overlap", "m.index"):
        read_checkpoint(write_table(tmp_path, block + sealed(index) + footer(place)))


def test_a_table_of_too_many_entries(tmp_path):
    pairs = [(i.to_bytes(3, "big"), b"") for i in range(20_001)]
    table = bundle_writer.table([(b"", b""), *pairs], per_block=30_000)
    start = time.process_time()
    with refused("more than 20000 entries", "m.index"):
        read_checkpoint(write_table(tmp_path, table))
    assert time.process_time() - start < 5


def test_an_enormous_index_is_not_read(tmp_path):
    prefix = write_bundle(tmp_path / "m", network())
    os.truncate(f"{prefix}.index", 2**33)
    with refused("m.index", "8589934592 bytes"):
        read_checkpoint(prefix)


def test_every_truncation_of_the_index_is_refused(tmp_path):
    prefix = write_bundle(tmp_path / "m", network(), per_block=4)
    index = Path(f"{prefix}.index")
    whole = index.read_bytes()
    for size in range(0, len(whole), 7):
        index.write_bytes(whole[:size])
        with refused("m.index"):
            read_checkpoint(prefix)


def test_every_truncation_of_the_data_is_refused(tmp_path):
    # The last tensor by name is wanted, so each cut takes something that is needed.
    prefix = write_bundle(tmp_path / "m", own(network()))
    data = Path(f"{prefix}.data-00000-of-00001")
    whole = data.read_bytes()
    for size in range(0, len(whole), 61):
        data.write_bytes(whole[:size])
        with refused("m.data", "is it cut off"):
            read_checkpoint(prefix)


def test_every_flipped_bit_of_the_data_is_noticed(tmp_path):
    prefix = write_bundle(tmp_path / "m", own(network()))
    data = Path(f"{prefix}.data-00000-of-00001")
    whole = data.read_bytes()
    rng = random.Random(1)
    for _ in range(200):
        bit = rng.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        data.write_bytes(damaged)
        with refused("m.data", "checksum of MMNet/"):
            read_checkpoint(prefix)


@fuzz
@given(st.data())
def test_flipped_bits_of_the_index(tmp_path, data):
    """Only bits nobody reads, those of the padding and of the empty metaindex, may be fine."""
    tensors = network()
    prefix = write_bundle(tmp_path / "m", tensors, per_block=4, compress=data.draw(st.booleans()))
    index = Path(f"{prefix}.index")
    damaged = bytearray(index.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
    index.write_bytes(damaged)
    try:
        found = read_checkpoint(prefix)
    except WeightsError as error:
        assert "m.index" in str(error) and str(error).isprintable()
    else:
        assert_same(found, own(tensors))


@fuzz
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=40)), max_size=8), st.booleans()
)
@example([(b"MMNet/a", bytes([8, 1]) + chunk(2, chunk(2, b"\x08\xff\xff\xff\x7f")))], False)
def test_well_formed_tables_of_nonsense(tmp_path, pairs, compress):
    """Checksums right, contents arbitrary: what a hostile writer would make."""
    pairs = [(b"", number(1, 1)), *((b"MMNet/" + key, value) for key, value in pairs)]
    table = bundle_writer.table(sorted(dict(pairs).items()), compress=compress)
    refused_or_fine(read_checkpoint, write_table(tmp_path, table))


@pytest.mark.parametrize("steps", [304500, 1898000])
def test_real_checkpoints(steps):
    prefix = REAL / f"MMNetModel-{steps}"
    if not Path(f"{prefix}.index").exists():
        pytest.skip(
            f"MMNetModel-{steps} is not in the shared data folder beside the checkout: reading "
            "the 529 tensors and 199,420 values of a real checkpoint was not tested"
        )
    start = time.process_time()
    tensors = read_checkpoint(prefix)
    assert time.process_time() - start < 2
    assert len(tensors) == 529
    assert sum(array.size for array in tensors.values()) == 199_420
    assert tensors["MMNet/init_block/conv/weights"].shape == (3, 3, 3, 32)
    assert all(array.dtype == np.float32 for array in tensors.values())
    variances = [array for name, array in tensors.items() if name.endswith("moving_variance")]
    assert len(variances) == 105 and all((array >= 0).all() for array in variances)
