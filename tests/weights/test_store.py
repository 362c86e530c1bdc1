"""The native store: what comes back, what is refused, and that damage never passes."""

import hashlib
import json
import os
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.store import Weights, check_tensors, digest, load, save

fuzz = settings(
    max_examples=300, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def small(**changes) -> Weights:
    rng = np.random.default_rng(3)
    weights = Weights(
        name="mmnet-0.5-128",
        dtype="float32",
        spec={"architecture": "MMNet", "width": 0.5, "size": 128, "variant": "full"},
        tensors={
            "MMNet/init_block/conv/weights": rng.normal(size=(3, 3, 3, 8)).astype(np.float32),
            "MMNet/init_block/conv/BatchNorm/gamma": rng.normal(size=8).astype(np.float32),
            "MMNet/final_block/pointwise_conv/biases": rng.normal(size=2).astype(np.float32),
        },
        provenance={"command": "train --seed 1", "mad": 0.02, "portraits": ["a", "b"]},
        licence="research and non-commercial use; siehe Übersicht",
    )
    return replace(weights, **changes)


def full() -> Weights:
    """Return as many tensors and values as MMNet at width 1.0 has, under names as long."""
    tensors: dict[str, np.ndarray] = {}
    rng = np.random.default_rng(0)
    for i in range(105):
        scope = f"MMNet/enc_block{i // 10}/branch{i % 10}/depthwise_conv_dilation"
        for leaf in ("gamma", "beta", "moving_mean", "moving_variance"):
            tensors[f"{scope}/BatchNorm/{leaf}"] = rng.random(32, np.float32)
        tensors[f"{scope}/weights"] = rng.random((1, 1, 42, 42), np.float32)
    for leaf in ("weights", "biases"):
        tensors[f"MMNet/final_block/{leaf}"] = rng.random(2, np.float32)
        tensors[f"MMNet/aux_block/{leaf}"] = rng.random(379, np.float32)
    assert len(tensors) == 529 and sum(map(np.size, tensors.values())) > 199_420
    return small(tensors=tensors)


def assert_same(found: Weights, expected: Weights) -> None:
    for name in ("name", "dtype", "spec", "provenance", "licence"):
        assert getattr(found, name) == getattr(expected, name)
    assert list(found.tensors) == sorted(expected.tensors)
    for name, array in expected.tensors.items():
        back = found.tensors[name]
        assert back.dtype == array.dtype and back.shape == array.shape
        assert back.flags.c_contiguous and back.flags.owndata and back.flags.writeable
        np.testing.assert_array_equal(back, array)


class TestRoundTrip:
    def test_float32(self, tmp_path):
        save(tmp_path / "a.h5", small())
        assert_same(load(tmp_path / "a.h5"), small())
        assert_same(load(str(tmp_path / "a.h5")), small())
        assert names_in(tmp_path) == ["a.h5"]

    def test_int8(self, tmp_path):
        tensors = {
            "a/weights": np.arange(-128, 128, dtype=np.int8).reshape(2, 128),
            "a/biases": np.array([-(2**31), 2**31 - 1], np.int32),
            "a/scale": np.array(0.25, np.float32),
        }
        save(tmp_path / "a.h5", small(dtype="int8", tensors=tensors))
        assert_same(load(tmp_path / "a.h5"), small(dtype="int8", tensors=tensors))

    @given(
        st.dictionaries(
            st.from_regex(r"[a-z_0-9]{1,9}x(/[A-Z.\-_]{0,3}y){0,3}", fullmatch=True).map(
                lambda name: "/".join(f"n{part}" for part in name.split("/"))
            ),
            st.lists(st.integers(1, 5), max_size=4),
            min_size=1,
            max_size=8,
        ),
        st.dictionaries(st.text("\n\0ä€\U0001f600'\"", max_size=9), st.text(max_size=9)),
    )
    @settings(fuzz, max_examples=60)
    def test_any_names_shapes_and_texts(self, tmp_path, shapes, spec):
        tensors = {name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}
        groups = {name[:i] for name in tensors for i in range(len(name)) if name[i] == "/"}
        weights = small(tensors=tensors, spec=spec, provenance=spec)
        if groups & tensors.keys():
            with refused("is a tensor and a scope"):
                save(tmp_path / "a.h5", weights)
        else:
            save(tmp_path / "a.h5", weights)
            assert_same(load(tmp_path / "a.h5"), weights)

    def test_layouts_and_mappings_are_normalised(self, tmp_path):
        array = np.arange(12, dtype=np.float32).reshape(3, 4)
        weights = small(tensors=MappingProxyType({"a": array.T}), spec=MappingProxyType({"b": 1}))
        save(tmp_path / "a.h5", weights)
        found = load(tmp_path / "a.h5")
        np.testing.assert_array_equal(found.tensors["a"], array.T)
        assert found.tensors["a"].flags.c_contiguous and found.spec == {"b": 1}

    def test_same_weights_same_bytes(self, tmp_path):
        save(tmp_path / "a.h5", small())
        time.sleep(1.1)  # HDF5's timestamps, were there any, count seconds
        reordered = dict(reversed(small().tensors.items()))
        save(tmp_path / "b.h5", small(tensors=reordered))
        assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()

    def test_other_programs_can_read_it(self, tmp_path):
        save(tmp_path / "a.h5", small())
        with h5py.File(tmp_path / "a.h5") as file:
            assert file.attrs["format"] == b"mmnet_np weights"
            assert file.attrs["schema_version"] == 1
            assert json.loads(file.attrs["spec"]) == small().spec
            assert file.attrs["licence"].decode() == small().licence
            for name, array in small().tensors.items():
                np.testing.assert_array_equal(file[name][()], array)

    def test_full_size_is_small_and_fast(self, tmp_path):
        save(tmp_path / "a.h5", full())
        assert (tmp_path / "a.h5").stat().st_size < 1_000_000
        start = time.process_time()
        found = load(tmp_path / "a.h5")
        assert time.process_time() - start < 0.5  # 0.03 s on a quiet machine
        assert_same(found, full())


class TestDigest:
    def test_is_what_it_says(self):
        tensors = {"b": np.array([1.5], np.float32), "a": np.array([[2]], np.int32)}
        head = '{"w":1}[["a","i4",[1,1]],["b","f4",[1]]]'
        expected = hashlib.sha256(head.encode() + bytes([2, 0, 0, 0, 0, 0, 0xC0, 0x3F]))
        assert digest(tensors, {"w": 1}) == expected.hexdigest()

    def test_any_change_shows(self):
        base = {"a": np.arange(6, dtype=np.float32), "b": np.ones(2, np.float32)}
        variants = [
            (base, {"w": 1}),
            (base, {"w": 2}),
            (base, {"w": 1, "x": None}),
            ({**base, "a": base["a"].reshape(2, 3)}, {"w": 1}),
            ({**base, "a": base["a"].view(np.int32)}, {"w": 1}),
            ({**base, "a": base["a"][::-1]}, {"w": 1}),
            ({"a": base["a"], "c": base["b"]}, {"w": 1}),
            ({"a": base["a"]}, {"w": 1}),
        ]
        assert len({digest(*variant) for variant in variants}) == len(variants)

    def test_order_and_memory_layout_do_not(self):
        array = np.arange(6, dtype=np.float32).reshape(2, 3)
        first = digest({"a": array, "b": array}, {"x": 1, "y": 2})
        second = digest({"b": np.asfortranarray(array), "a": array.copy()}, {"y": 2, "x": 1})
        assert first == second


class TestCheckTensors:
    shapes = MappingProxyType({"a": (2,), "b": (3, 1), "c": ()})

    def tensors(self, **changes) -> dict[str, np.ndarray]:
        found = {name: np.zeros(shape, np.float32) for name, shape in self.shapes.items()}
        return {name: array for name, array in {**found, **changes}.items() if array is not None}

    def test_fine(self):
        assert check_tensors(self.tensors(), self.shapes, "a.h5") is None
        assert check_tensors(self.tensors(a=np.zeros(2, np.int8)), self.shapes, "a.h5") is None

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"a": None}, ("lacks 1 of 3 tensors (a)",)),
            ({"a": None, "x": np.zeros(1)}, ("lacks 1 of 3", "and holds 1 unexpected", "(x)")),
            (
                {f"x{i}": np.zeros(1) for i in range(5)},
                ("holds 5 unexpected tensors (x0, x1, x2, ...)",),
            ),
            ({"b": np.zeros(3)}, ("1 tensors of another shape", "b: (3,), expected (3, 1)")),
            ({"a": np.array([1, np.nan])}, ("NaN or infinity in 1 tensors (a)",)),
            ({"a": np.array([1, np.inf]), "c": np.array(-np.inf)}, ("in 2 tensors (a, c)",)),
            ({"evil\n\x1b[31m": np.zeros(1)}, ("\\n",)),
            ({"n" * 5000: np.zeros(1)}, ("nnn...nnn",)),
        ],
    )
    def test_faults(self, changes, words):
        with refused("a.h5", *words):
            check_tensors(self.tensors(**changes), self.shapes, "a.h5")


class TestSaveRefuses:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"tensors": {}}, "no tensors"),
            ({"tensors": {"a": np.zeros(2)}}, "a is float64"),
            ({"tensors": {"a": np.zeros(2, np.int8)}}, "a is int8"),
            ({"tensors": {"a": np.zeros(2, ">f4")}}, "a is float32"),
            ({"dtype": "int8", "tensors": {"a": np.zeros(2, np.int64)}}, "a is int64"),
            ({"tensors": {"a": np.zeros((2, 0), np.float32)}}, "is empty"),
            ({"tensors": {"a": np.zeros((1,) * 9, np.float32)}}, "rank 9"),
            ({"tensors": {"a": np.array([np.nan], np.float32)}}, "NaN"),
            ({"tensors": {"a": np.broadcast_to(np.float32(1), 2**25)}}, "134217728 bytes"),
            ({"tensors": {"a": np.ones(1, np.float32), "a/b": np.ones(1, np.float32)}}, "scope"),
            ({"dtype": "float16"}, "float16"),
            ({"spec": {"a": object()}}, "the spec is no JSON"),
            ({"spec": {"a": float("nan")}}, "the spec is no JSON"),
            ({"spec": {1: 2, "1": 3}}, "the spec is no JSON"),
            ({"spec": [1]}, "the spec is no JSON"),
            ({"provenance": {"a": {1, 2}}}, "the provenance is no JSON"),
            ({"provenance": {"a": "x" * 40_000}}, "the provenance is not text"),
            ({"licence": "a\0"}, "the licence is not text"),
            ({"licence": "\ud800"}, "the licence is not text"),
            ({"name": None}, "the name is not text"),
        ],
    )
    def test_what_could_not_be_loaded(self, tmp_path, changes, words):
        with refused("cannot save", tmp_path / "a.h5", words):
            save(tmp_path / "a.h5", small(**changes))
        assert not names_in(tmp_path)

    @pytest.mark.parametrize(
        "name",
        [
            *("", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "é", "a b", "a\n", "x" * 201),
            "/".join("abcdefghijklmnopq"),
        ],
    )
    def test_names(self, tmp_path, name):
        with refused("is no name of a tensor", tmp_path / "a.h5"):
            save(tmp_path / "a.h5", small(tensors={name: np.ones(1, np.float32)}))

    def test_places_that_cannot_be_written(self, tmp_path):
        save(tmp_path / "a.h5", small())
        (tmp_path / "folder").mkdir()
        for path, words in (
            (tmp_path / "none" / "a.h5", "No such file"),
            (tmp_path / "folder", "Is a directory"),
            (tmp_path / "a.h5" / "b", "Not a directory"),
            (f"{tmp_path}/a\0b", "null"),
        ):
            with refused("cannot save", words):
                save(path, small())
        assert names_in(tmp_path) == ["a.h5", "folder"]

    def test_a_failed_save_keeps_the_old_file(self, tmp_path, monkeypatch):
        save(tmp_path / "a.h5", small())

        def full_disk(self, data):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full_disk)
        with refused("cannot save", tmp_path / "a.h5", "No space left"):
            save(tmp_path / "a.h5", small(name="new"))
        assert load(tmp_path / "a.h5").name == small().name
        assert names_in(tmp_path) == ["a.h5"]


def edited(tmp_path, edit, weights: Weights | None = None) -> Path:
    """Return a good file that ``edit`` then changed through h5py."""
    path = tmp_path / "a.h5"
    save(path, weights or small())
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        edit(file)
    return path


def test_an_edit_that_changes_nothing_is_fine(tmp_path):
    """So that the refusals below are for what was edited, not for editing."""
    assert_same(load(edited(tmp_path, lambda file: file["MMNet"])), small())


def put(name, value):
    def edit(file):
        file.attrs[name] = value

    return edit


def deep(file):
    file["/".join("abcdefghijklmnopqrstuvwxyz")] = np.ones(1, np.float32)


def many(file):
    for i in range(20_001):
        file.create_group(f"g{i}")


def cycle(file):
    file["MMNet/again"] = file["MMNet"]


def soft(file):
    file["s"] = h5py.SoftLink("/MMNet")


def external_link(file):
    file["s"] = h5py.ExternalLink("/etc/passwd", "/x")


def virtual(file):
    layout = h5py.VirtualLayout((2,), "<f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
    file.create_virtual_dataset("v", layout)


def external_data(file):
    file.create_dataset("x", (4,), "<f4", external=[("/etc/passwd", 0, 16)])


def dataset(*arguments, **options):
    return lambda file: file.create_dataset("x", *arguments, **options)


def compact(file):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F32LE, space, plist)


def alias(file):
    for i in range(2):
        file[f"x{i}"] = file["MMNet/init_block/conv/weights"]


class TestLoadRefuses:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "is empty"),
            (b"PK\x03\x04", "not an HDF5 file"),
            (b"\x89HDF\r\n\x1a\n", "cut off"),
            (b"\x89HDF\r\n\x1a\n" + bytes(100), "superblock version 0"),
            (b"\x89HDF\r\n\x1a\n\x03\x08\x08" + bytes(100), "never write"),
            (b"\x89HDF\r\n\x1a\n\x03\x03\x08" + bytes(100), "superblock is damaged"),
        ],
    )
    def test_other_files(self, tmp_path, content, words):
        (tmp_path / "a.h5").write_bytes(content)
        with refused(tmp_path / "a.h5", words):
            load(tmp_path / "a.h5")

    def test_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        for path, words in (
            (tmp_path / "none", "does not exist"),
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "a pipe"),
            ("/dev/zero", "a device"),
            (tmp_path / "loop", "cannot read"),
            (tmp_path / "none\n", "does not exist"),
            ("a\0b", "cannot read"),
        ):
            with refused(words):
                load(path)

    def test_files_of_other_programs(self, tmp_path):
        with h5py.File(tmp_path / "keras.h5", "w") as file:
            file["x"] = np.ones(3)
        with refused("keras.h5", "superblock version 0"):
            load(tmp_path / "keras.h5")
        with h5py.File(tmp_path / "new.h5", "w", libver=("v110", "v110")) as file:
            file["x"] = np.ones(3)
        with refused("new.h5", "do not say 'mmnet_np weights'"):
            load(tmp_path / "new.h5")

    def test_an_enormous_file_is_not_read(self, tmp_path):
        save(tmp_path / "a.h5", small())
        os.truncate(tmp_path / "a.h5", 2**34)
        with refused(tmp_path / "a.h5", "17179869184 bytes"):
            load(tmp_path / "a.h5")

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("format", np.bytes_(b"other"), "do not say"),
            ("schema_version", np.int32(2), "upgrade mmnet_np"),
            ("schema_version", np.int32(0), "do not say"),
            ("schema_version", np.bytes_(b"1"), "do not say"),
            ("schema_version", np.array([1, 1], np.int32), "not one value"),
            ("name", "variable-length text", "fixed-length"),
            ("name", np.int32(1), "lacks one of the texts"),
            ("name", np.float32(1), "fixed-length"),
            ("name", np.bytes_(b"\xff"), "UTF-8"),
            ("licence", np.bytes_(b"x" * 33_000), "fixed-length"),
            ("dtype", np.bytes_(b"float64"), "float64"),
            ("dtype", np.bytes_(b"int8"), None),
            ("spec", np.bytes_(b"{"), "spec is no JSON"),
            ("spec", np.bytes_(b"[1]"), "expected an object"),
            ("spec", np.bytes_(b"[" * 30_000), "spec is no JSON"),
            ("spec", np.bytes_(b'{"a":' + b"9" * 5000 + b"}"), "JSON"),
            ("spec", np.bytes_(b'{"width":1.0}'), "digest"),
            ("spec", np.bytes_(b'{"width":NaN}'), "no JSON"),
            ("provenance", np.bytes_(b"nothing"), "provenance is no JSON"),
            ("digest", np.bytes_(b"0" * 64), "digest"),
            ("digest", np.bytes_("à".encode()), "digest"),
        ],
    )
    def test_attributes(self, tmp_path, name, value, words):
        path = edited(tmp_path, put(name, value))
        if words is None:  # int8 networks may hold float32: not a fault of the file
            assert load(path).dtype == "int8"
        else:
            with refused(path, words):
                load(path)

    @pytest.mark.parametrize("name", ["format", "schema_version", "spec", "digest", "licence"])
    def test_missing_attributes(self, tmp_path, name):
        path = edited(tmp_path, lambda file: file.attrs.pop(name))
        with refused(path, "do not say" if name in ("format", "schema_version") else name):
            load(path)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (soft, "s is a soft or external link"),
            (external_link, "s is a soft or external link"),
            (cycle, "again stands in two places"),
            (virtual, "v is neither a group nor a plain dataset"),
            (external_data, "x is neither a group nor a plain dataset"),
            (compact, "x is neither a group nor a plain dataset"),
            (dataset((4,), "<f4", chunks=(2,)), "x is neither a group nor a plain dataset"),
            (
                dataset((2**30,), "<f4", chunks=(1024,), compression="gzip"),
                "x is neither a group nor a plain dataset",
            ),
            (dataset((2**40,), "<f4"), "x has no values"),
            (dataset((0,), "<f4"), "x has no values"),
            (dataset(data=h5py.Empty("<f4")), "x is neither a group nor a plain dataset"),
            (dataset(data=np.ones((1,) * 9, "<f4")), "x is neither a group nor a plain dataset"),
            (dataset(data=np.ones(2)), "x is not of float32"),
            (dataset(data=np.ones(2, ">f4")), "x is not of float32"),
            (dataset(data=np.ones(2, "<f2")), "x is not of float32"),
            (dataset(data="text"), "x is not of float32"),
            (dataset(data=np.ones(2, [("a", "<f4")])), "x is not of float32"),
            (lambda file: file.__setitem__("t", np.dtype("<f4")), "t is neither a group nor"),
            (dataset(data=np.ones(2, np.int8)), "x is int8"),
            (dataset(data=np.ones(2, np.float32)), "digest"),
            (dataset(data=np.array([np.nan], np.float32)), "NaN"),
            (lambda file: file.pop("MMNet/final_block/pointwise_conv/biases"), "digest"),
            (lambda file: file.pop("MMNet"), "no tensors"),
            (
                lambda file: file["MMNet/final_block/pointwise_conv/biases"].write_direct(
                    np.ones(2, np.float32)
                ),
                "digest",
            ),
            (lambda file: file.move("MMNet", "Other"), "digest"),
            (lambda file: file.__setitem__("a b", np.ones(1, np.float32)), "no name"),
            (lambda file: file.__setitem__("a\x1b[31m", np.ones(1, np.float32)), "no name"),
            (lambda file: file.create_dataset(b"\xff", data=np.ones(1, "<f4")), "no name"),
            (deep, "16 levels"),
            (many, "too many names"),
            (alias, "stands in two places"),
        ],
    )
    def test_contents(self, tmp_path, edit, words):
        path = edited(tmp_path, edit)
        tracemalloc.start()
        with refused(path, words):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2e7
        tracemalloc.stop()

    def test_two_large_datasets_in_one_place(self, tmp_path):
        """33 MB in the file, 66 MB to allocate: noticed before."""
        large = 33 * 2**18

        def edit(file):
            file["x0"] = np.ones(large, np.float32)
            file["x1"] = np.ones(77_777, np.float32)
            edit.address = file["x0"].id.get_offset()

        path = edited(tmp_path, edit)
        data = bytearray(path.read_bytes())

        def patch(old: bytes, new: bytes) -> None:
            assert data.count(old) == 1
            start = data.index(old)
            data[start : start + len(old)] = new

        layout = data.index(b"\x03\x01", data.index((77_777).to_bytes(4, "little")))
        data[layout + 2 : layout + 6] = edit.address.to_bytes(4, "little")
        patch((4 * 77_777).to_bytes(4, "little"), (4 * large).to_bytes(4, "little"))
        start = 0
        while (start := data.find((77_777).to_bytes(4, "little"), start)) >= 0:
            data[start : start + 4] = large.to_bytes(4, "little")
        path.write_bytes(data)
        tracemalloc.start()
        with refused(path, "take 69206", "expected at most 67108864"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < len(data) + 2e6
        tracemalloc.stop()


def test_every_truncation_is_refused(tmp_path):
    save(tmp_path / "a.h5", small())
    whole = (tmp_path / "a.h5").read_bytes()
    for size in range(0, len(whole), 13):
        (tmp_path / "a.h5").write_bytes(whole[:size])
        with refused(tmp_path / "a.h5"):
            load(tmp_path / "a.h5")
    (tmp_path / "a.h5").write_bytes(whole + b"\0")
    with refused(tmp_path / "a.h5"):
        load(tmp_path / "a.h5")


@fuzz
@given(st.data())
def test_flipped_bits_never_change_a_value(tmp_path, data):
    """Checksums of HDF5 cover the structure, the digest the tensors: there are no other bytes."""
    save(tmp_path / "a.h5", small())
    damaged = bytearray((tmp_path / "a.h5").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
        damaged[bit // 8] ^= 1 << bit % 8
    (tmp_path / "a.h5").write_bytes(damaged)
    found = refused_or_fine(load, tmp_path / "a.h5")
    if found is not None:
        assert_same(found, small())


def test_loading_does_not_import_h5py(tmp_path):
    """It takes ten times as long to import as the weights take to load."""
    save(tmp_path / "a.h5", small())
    code = (
        "import sys; from mmnet_np.weights import convert, store; store.load(sys.argv[1]); "
        "sys.exit('h5py' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / "a.h5"]
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run(command, cwd=root, check=False).returncode == 0
