"""The state-dict reader against archives written here, hostile ones, and PyTorch itself."""

import os
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine
from state_dict_writer import (
    ORDERED_DICT,
    archive,
    dictionary,
    hostile_pickle,
    integer,
    integers,
    name_of,
    program,
    tensor,
    text,
    write_state_dict,
)

from mmnet_np.weights.pickle_reader import ACTIONS, interpret
from mmnet_np.weights.pytorch import read_state_dict

fuzz = settings(
    max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
VALUES = np.arange(24, dtype="<f4")


def network() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "init_block.conv.conv.weight": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "init_block.conv.bn.weight": rng.normal(size=8).astype(np.float32),
        "init_block.conv.bn.num_batches_tracked": np.array(5, np.int64),
    }


def assert_same(found, expected) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].flags.c_contiguous and found[name].flags.writeable
        np.testing.assert_array_equal(found[name], array)


def write(tmp_path, body: bytes, data: bytes = VALUES.tobytes(), **options) -> Path:
    """Write an archive of one storage, "0", and a pickle with the given body."""
    path = tmp_path / "net.pt"
    path.write_bytes(archive(program(body), {"0": data}, **options))
    return path


def one(*arguments, **options) -> bytes:
    """Return the body of a pickle of one tensor ``w``."""
    return dictionary({"w": tensor("0", *arguments, **options)})


@pytest.mark.parametrize("byteorder", [b"little", None])
@pytest.mark.parametrize("folder", ["archive/", "my net-1/"])
def test_reads_a_state_dict(tmp_path, byteorder, folder):
    path = write_state_dict(tmp_path / "a.pt", network(), byteorder=byteorder, folder=folder)
    assert_same(read_state_dict(path), network())
    assert_same(read_state_dict(str(path)), network())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32"])
def test_dtypes_are_kept(tmp_path, dtype):
    arrays = {"w": np.arange(-5, 7).reshape(3, 4).astype(dtype)}
    assert_same(read_state_dict(write_state_dict(tmp_path / "a.pt", arrays)), arrays)


def test_bfloat16_becomes_float32(tmp_path):
    data = np.array([0x3F80, 0xC000, 0x3DCD], "<u2").tobytes()
    found = read_state_dict(write(tmp_path, one(3, (3,), storage="BFloat16Storage"), data))
    assert_same(found, {"w": np.array([1, -2, 0.10009765625], np.float32)})


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ((2, 3), (1, 2), 0, VALUES[:6].reshape(3, 2).T),
        ((2, 2), (6, 1), 4, VALUES[[[4, 5], [10, 11]]]),
        ((3, 2), (0, 1), 22, VALUES[[[22, 23]] * 3]),
        ((), (), 23, VALUES[23]),
        ((1, 2), (10**12, 1), 0, VALUES[:2].reshape(1, 2)),
        ((1, 1), (2**62, -5), 0, VALUES[:1].reshape(1, 1)),
    ],
)
def test_views_of_a_storage(tmp_path, shape, strides, offset, expected):
    found = read_state_dict(write(tmp_path, one(24, shape, strides, offset)))
    assert_same(found, {"w": expected})


def test_two_views_of_one_storage(tmp_path):
    items = {"a": tensor("0", 24, (24,)), "b": tensor("0", 24, (2, 12))}
    found = read_state_dict(write(tmp_path, dictionary(items)))
    assert_same(found, {"a": VALUES, "b": VALUES.reshape(2, 12)})
    found["a"][0] = 9
    assert found["b"][0, 0] == 0


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrapped_dicts_and_other_leaves(tmp_path, wrapper):
    inner = {"w": tensor("0", 24, (24,)), "n": integer(3), "none": b"N", "x": b"]"}
    outer = {
        "epoch": integer(300),
        "rate": b"G" + struct.pack(">d", 1e-4),
        "note": text("hällo"),
        "yes": b"\x88",
        "best": tensor("0", 24, (1,)),
        wrapper: dictionary(inner),
        "list": b"](" + integer(1) + integer(2) + b"e",
    }
    assert_same(read_state_dict(write(tmp_path, dictionary(outer, ordered=False))), {"w": VALUES})


def test_parameters(tmp_path):
    body = name_of("torch._utils", "_rebuild_parameter")
    body += tensor("0", 24, (24,)) + b"\x88" + ORDERED_DICT + b"\x87R"
    assert_same(read_state_dict(write(tmp_path, dictionary({"w": body}))), {"w": VALUES})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (dictionary({}), "no tensors"),
        (dictionary({"a": integer(1)}), "no tensors"),
        (integer(1), "holds a int"),
        (tensor("0", 24, (24,)), "holds a TensorRef"),
        (dictionary({"model": dictionary({"model": b"}"})}), "no tensors"),
        (b"}q\x00" + text("model") + b"h\x00s", "no tensors"),  # a dict inside itself
    ],
)
def test_no_state_dict(tmp_path, body, words):
    with refused(words, tmp_path / "net.pt"):
        read_state_dict(write(tmp_path, body))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((24, (25,)), "lies outside its storage of 24 values"),
        ((24, (2, 3), (1, 12)), "lies outside"),
        ((24, (24,), (1,), 1), "lies outside"),
        ((24, (1,), (1,), -1), "lies outside"),
        ((24, (2,), (-1,), 5), "lies outside"),
        ((24, (2, 2), (-1, 5), 0), "lies outside"),
        ((24, (2, 3), (1,)), "lies outside"),
        ((24, (2,), (1, 1)), "lies outside"),
        ((24, (0,), (1,)), "lies outside"),
        ((24, (-4,), (1,)), "lies outside"),
        ((24, (2,), (2**63,)), "lies outside"),
        ((24, (1,), (1,), 2**63), "lies outside"),
        ((24, (2**40,), (0,)), "4398046511104 bytes"),
        ((24, (2**63, 2**63), (0, 0)), "expected at most"),
        ((24, (-(2**40), 8), (0, 0)), "expected at most"),
        ((24, (1,) * 9), "a call that a state dict does not need"),
        ((25, (24,)), "96 bytes; expected 25 values"),
        ((23, (23,)), "96 bytes"),
        ((-24, (1,)), "96 bytes"),
        ((2**60, (1,)), "96 bytes"),
    ],
)
def test_hostile_views(tmp_path, arguments, words):
    path = write(tmp_path, one(*arguments))
    tracemalloc.start()
    with refused(words, path):
        read_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_many_views_of_one_small_storage(tmp_path):
    """Each is small enough; together they are not."""
    data = bytes(4 * 1024 * 1024)
    items = {f"w{i}": tensor("0", 2**20, (2**20,)) for i in range(17)}
    path = write(tmp_path, dictionary(items), data)
    tracemalloc.start()
    with refused("take 71303168 bytes", path):
        read_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 3e7
    tracemalloc.stop()


def test_missing_storage(tmp_path):
    for key in ("1", "../data.pkl", "", "x\ny"):
        with refused("is missing", tmp_path / "net.pt"):
            read_state_dict(write(tmp_path, dictionary({"w": tensor(key, 24, (24,))})))


class Canary:
    """A file that a hostile pickle would create."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "executed"

    def pickles(self) -> dict[str, bytes]:
        command = f"touch {self.path}"
        touch = f"open({str(self.path)!r}, 'w')"
        chain = (
            name_of("builtins", "getattr")
            + (name_of("os", "path") + text("os") + b"\x86R")
            + (text("system") + b"\x86R" + text(command) + b"\x85R")
        )
        return {
            "os.system": hostile_pickle(os.system, command),
            "posix.system": program(name_of("posix", "system") + text(command) + b"\x85R"),
            "eval": hostile_pickle(eval, touch),
            "exec": hostile_pickle(exec, touch),
            "open": hostile_pickle(open, str(self.path), "w"),
            "getattr chain": program(chain),
            "nested name": program(
                b"\x8c\x05torch\x8c\x0fos.path.os.open\x93" + text(str(self.path)) + b"\x85R"
            ),
            "stack global": program(b"\x8c\x02os\x8c\x06system\x93" + text(command) + b"\x85R"),
            "instance": program(b"(" + text(command) + b"ios\nsystem\n"),
            "object": program(b"(" + name_of("os", "system") + text(command) + b"o"),
            "newobj": program(name_of("os", "system") + text(command) + b"\x85\x81"),
            "extension": program(b"\x82\x01"),
            "persistent line": program(b"P0\n"),
            "torch loader": program(
                name_of("torch.serialization", "load") + text(str(self.path)) + b"\x85R"
            ),
            "dict of a call": program(
                dictionary({"w": name_of("os", "system") + text(command) + b"\x85R"})
            ),
            "call of data": program(text("system") + text(command) + b"\x85R"),
            "dict from items": program(name_of("collections", "OrderedDict") + b"]" + b"\x85R"),
            "build on a name": program(name_of("torch", "FloatStorage") + b"}b"),
            "setitem on a name": program(name_of("torch", "FloatStorage") + text("a") + b"Ns"),
        }


@pytest.mark.parametrize("kind", Canary(Path()).pickles())
def test_nothing_is_executed(tmp_path, kind):
    canary = Canary(tmp_path)
    path = tmp_path / "net.pt"
    path.write_bytes(archive(canary.pickles()[kind], {}))
    with refused("its pickle", path):
        read_state_dict(path)
    assert not canary.path.exists()


def test_the_canary_sings(tmp_path):
    """Under Python's own unpickler the same pickle does run, so the test above can fail."""
    canary = Canary(tmp_path)
    pickle.loads(canary.pickles()["os.system"])
    assert canary.path.exists()


@pytest.mark.parametrize(
    ("instructions", "words"),
    [
        (b"", "middle of an instruction"),
        (b"\x8e" + struct.pack("<Q", 2**40), "opcode 0x8e"),  # BINBYTES8
        (b"X" + struct.pack("<I", 2**32 - 1), "middle of an instruction"),
        (b"\x8b" + struct.pack("<i", 2**31 - 1), "opcode 0x8b"),  # LONG4
        (b"\x8a\xff" + bytes(255), "64 bits"),
        (b"I" + b"9" * 100_000 + b"\n", "opcode 0x49"),
        (b"c" + b"x" * 10_000, "without an end"),
        (b"cos\n" + b"x" * 300 + b"\nR", "without an end"),
        (b"X\x01\x00\x00\x00\xff", "UTF-8"),
        (b"c\xff\n\n", "UTF-8"),
        (b"h\x05", "recalls value 5"),
        (b"j\xff\xff\xff\xff", "recalls value 4294967295"),
        (b"R", "empty stack"),
        (b"((R", "empty stack"),
        (b"N(N\x86.", "empty stack"),
        (b".", "empty stack"),
        (b"t", "never opened"),
        (b"}(Nu", "without a value"),
        (b"}NNs", "NoneType as a key"),
        (b"})Ns", "tuple as a key"),
        (b"NNNs", "fills a NoneType as a dict"),
        (b"]" + text("a") + b"Ns", "fills a list as a dict"),
        (b"}Na", "fills a dict as a list"),
        (b"NNb", "fills a NoneType"),
        (b"NQ", "unknown way"),
        (integers((1, 2)) + b"Q", "unknown way"),
        (b"]]\x93", "other than text"),
        (text("os\n\x1b[31m") + text("system") + b"\x93", "os"),
    ],
)
def test_hostile_instructions(tmp_path, instructions, words):
    path = tmp_path / "net.pt"
    path.write_bytes(archive(b"\x80\x02" + instructions, {}))
    tracemalloc.start()
    with refused("its pickle", words, path):
        read_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_a_large_memo_index_costs_nothing():
    tracemalloc.start()
    assert interpret(b"\x80\x02Nr\xff\xff\xff\xffj\xff\xff\xff\xff.") is None
    assert tracemalloc.get_traced_memory()[1] < 1e5
    tracemalloc.stop()


@pytest.mark.parametrize(
    "unit", [b"N", b"(", b"}", b"]", b")", b"}q\x00", b"X\0\0\0\0", b"h\x00", b"\x85", b"NNs"]
)
def test_a_million_instructions_end_soon(unit):
    head = b"\x80\x02]q\x00"
    body = (unit * (2**20 // len(unit)))[: 2**20 - len(head) - 1]
    start = time.process_time()
    refused_or_fine(interpret, head + body + b".")
    assert time.process_time() - start < 8


def test_a_long_tuple_recalled_often_ends_soon():
    """Work must not be the product of the tuple's length and the number of calls."""
    names = name_of("torch._utils", "_rebuild_tensor_v2") + b"q\x00"
    place = b"(" + text("storage") + name_of("torch", "FloatStorage") + text("0") + text("cpu")
    long = b"(" + b"K\x01" * 200_000 + b"tq\x01"
    args = b"(" + place + b"K\x01tQ" + b"K\x00" + b"h\x01h\x01tq\x02"
    start = time.process_time()
    with refused("a call"):
        interpret(b"\x80\x02" + long + names + args + b"h\x00h\x02R" * 100_000 + b".")
    assert time.process_time() - start < 5


def test_deep_nesting_is_no_recursion():
    depth = 300_000
    assert refused_or_fine(interpret, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")


def test_sizes_of_entries(tmp_path):
    path = tmp_path / "net.pt"
    path.write_bytes(archive(program(b"N" * 2**20), {}))
    with refused("data.pkl has", "expected at most 1048576", path):
        read_state_dict(path)
    path.write_bytes(archive(b"N.", {str(i): b"" for i in range(20_001)}))
    with refused("more than 20000 entries", path):
        read_state_dict(path)
    with path.open("r+b") as file:
        file.truncate(2**33)
    with refused("8589934592 bytes", path):
        read_state_dict(path)


def test_compressed_entries(tmp_path):
    body = dictionary({"w": tensor("0", 2**23, (2**23,))})
    path = write(tmp_path, body, bytes(2**25), method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    tracemalloc.start()
    with refused("is compressed", path):
        read_state_dict(path)
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_entries_that_only_say_they_are_compressed(tmp_path):
    path = write_state_dict(tmp_path / "net.pt", network())
    data = bytearray(path.read_bytes())
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data[start + method] = 8
    path.write_bytes(data)
    with refused("is compressed", path):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "torch.save it again"),
        (b"PK\x03\x04 not really", "no complete zip archive"),
        (b"", "is empty"),
        (archive(b"N.", {}, folder=""), "without a data.pkl"),
        (archive(b"N.", {}, byteorder=b"big"), "little-endian"),
        (archive(b"N.", {}, byteorder=b"little" * 9), "has 54 bytes"),
    ],
)
def test_other_files(tmp_path, content, words):
    path = tmp_path / "net.pt"
    path.write_bytes(content)
    with refused(words, path):
        read_state_dict(path)


def test_no_file(tmp_path):
    with refused(tmp_path / "none.pt", "does not exist"):
        read_state_dict(tmp_path / "none.pt")
    with refused(tmp_path, "is a folder"):
        read_state_dict(tmp_path)


def test_every_truncation_is_refused(tmp_path):
    path = write_state_dict(tmp_path / "net.pt", network())
    whole = path.read_bytes()
    for size in range(0, len(whole), 23):
        path.write_bytes(whole[:size])
        with refused(path):
            read_state_dict(path)


@fuzz
@given(st.data())
def test_flipped_bits(tmp_path, data):
    """zipfile checks a CRC of all contents, so what is not refused is what was written."""
    path = write_state_dict(tmp_path / "net.pt", network())
    damaged = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    found = refused_or_fine(read_state_dict, path)
    if found is not None:
        assert_same(found, network())


good_parts = [text("w"), integer(7), ORDERED_DICT, tensor("0", 24, (24,)), integers((2, 3))]
parts = st.one_of(
    st.sampled_from(sorted(ACTIONS)), st.sampled_from(good_parts), st.binary(max_size=3)
)


@fuzz
@given(st.lists(parts, max_size=30).map(b"".join))
def test_programs_of_nonsense(tmp_path, body):
    refused_or_fine(read_state_dict, write(tmp_path, body))


class TestAgainstPyTorch:
    """Files that PyTorch wrote, read back without it."""

    def test_modules(self, tmp_path):
        torch = pytest.importorskip("torch")
        net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3),
            torch.nn.BatchNorm2d(8),
            torch.nn.Conv2d(8, 8, 3, groups=8, bias=False),
        )
        state = net.state_dict()
        expected = {name: value.numpy() for name, value in state.items()}
        optimizer = torch.optim.Adam(net.parameters())
        net(torch.rand(2, 3, 9, 9)).sum().backward()
        optimizer.step()
        expected = {name: value.numpy().copy() for name, value in net.state_dict().items()}
        for wrapped in (
            net.state_dict(),
            {"state_dict": net.state_dict(), "epoch": 3},
            {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "rate": 1e-4},
        ):
            torch.save(wrapped, tmp_path / "net.pt")
            assert_same(read_state_dict(tmp_path / "net.pt"), expected)

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_pickle_protocols(self, tmp_path, protocol):
        torch = pytest.importorskip("torch")
        state = {"a": torch.arange(6.0).reshape(2, 3), "n": 2**40, "m": -(2**70) >> 10}
        torch.save(state, tmp_path / "net.pt", pickle_protocol=protocol)
        assert_same(read_state_dict(tmp_path / "net.pt"), {"a": state["a"].numpy()})

    @pytest.mark.parametrize(
        "dtype", ["float32", "float64", "float16", "bfloat16", "int64", "int32"]
    )
    def test_views_and_dtypes(self, tmp_path, dtype):
        torch = pytest.importorskip("torch")
        base = (torch.arange(60.0).reshape(3, 4, 5) - 9).to(getattr(torch, dtype))
        state = {
            "t": base.permute(2, 0, 1),
            "slice": base[1:, ::2, 3],
            "expanded": base[0, 0, :1].expand(4, 3),
            "last": base.contiguous().reshape(1, 3, 4, 5).to(memory_format=torch.channels_last),
            "scalar": base[2, 3, 4],
            "parameter": torch.nn.Parameter(base, requires_grad=False),
        }
        torch.save(state, tmp_path / "net.pt")
        expected = {
            name: (value.float() if dtype == "bfloat16" else value).detach().numpy()
            for name, value in state.items()
        }
        assert_same(read_state_dict(tmp_path / "net.pt"), expected)

    def test_a_whole_module_is_refused(self, tmp_path):
        torch = pytest.importorskip("torch")
        torch.save(torch.nn.Linear(2, 3), tmp_path / "net.pt")
        with refused("torch.nn.modules.linear.Linear", "model.state_dict()", tmp_path / "net.pt"):
            read_state_dict(tmp_path / "net.pt")

    def test_the_old_format_is_refused(self, tmp_path):
        torch = pytest.importorskip("torch")
        state = {"a": torch.ones(3)}
        torch.save(state, tmp_path / "net.pt", _use_new_zipfile_serialization=False)
        with refused("before PyTorch 1.6", tmp_path / "net.pt"):
            read_state_dict(tmp_path / "net.pt")
