"""Somebody else's results: models, dumps and digests, right ones and ones with a fault."""

import dataclasses
import sys

import h5py
import litert
import numpy as np
import pytest
from random_weights import random_int8_weights, random_weights
from refusal import refused, refused_or_fine

from mmnet_np.errors import OptionError
from mmnet_np.kernels import jit
from mmnet_np.spec import Spec
from mmnet_np.tflite_export import export
from mmnet_np.verification import digests, engines
from mmnet_np.verification.digests import read_digests
from mmnet_np.verification.dump import read_dump
from mmnet_np.verification.subject import Subject

SPEC = Spec(0.5, 32)
LAYER = "enc_block2/branch1/depthwise_conv_dilation"


@pytest.fixture(scope="module")
def subject():
    return Subject(random_int8_weights(SPEC))


@pytest.fixture
def faulty():
    """Weights with one number of one layer changed."""

    def make(leaf, step=1):
        stored = random_int8_weights(SPEC)
        values = stored.tensors[f"MMNet/{LAYER}/{leaf}"].reshape(-1)
        values[4] = np.nextafter(values[4], 1) if values.dtype == np.float32 else values[4] - step
        return stored

    return make


def culprits(comparisons):
    return [comparison.culprits for comparison in comparisons]


class TestModel:
    def test_our_own_export(self, subject, tmp_path):
        (tmp_path / "a.tflite").write_bytes(export(subject.stored, 48))
        (comparison,) = subject.check_against(tmp_path / "a.tflite")
        assert comparison.mismatches == 0
        # Every layer, on five inputs, and what the layers compute with.
        assert comparison.values > 5 * 48 * 48 * 8 * 10
        assert comparison.layers["final_block/softmax"].values > 65536

    def test_without_our_names(self, subject, tmp_path, monkeypatch):
        """Layers are found by their place in the graph."""
        monkeypatch.setattr(litert.Model, "label", lambda self, tensor, name, shape=None: tensor)
        model = litert.Model.input
        monkeypatch.setattr(
            litert.Model, "input", lambda self, shape, *rest: model(self, (1, 32, 32, 3), *rest)
        )
        (tmp_path / "a.tflite").write_bytes(export(subject.stored))
        (comparison,) = subject.check_against(tmp_path / "a.tflite")
        assert comparison.mismatches == 0

    @pytest.mark.parametrize("leaf", ["depthwise_weights", "weights_scale", "biases"])
    def test_a_fault_is_named(self, subject, faulty, tmp_path, leaf):
        """One ulp of a scale makes another multiplier and perhaps not one other output."""
        (tmp_path / "a.tflite").write_bytes(export(faulty(leaf)))
        assert culprits(subject.check_against(tmp_path / "a.tflite")) == [[LAYER]]

    def test_another_network(self, subject, tmp_path):
        for stored in (random_int8_weights(Spec(0.75, 32)), random_weights(SPEC)):
            (tmp_path / "a.tflite").write_bytes(export(stored))
            with refused("a.tflite", "another network than random-0.50-32-int8"):
                subject.check_against(tmp_path / "a.tflite")

    def test_float32_within_tolerance(self, tmp_path):
        stored = random_weights(SPEC)
        subject = Subject(stored)
        (tmp_path / "a.tflite").write_bytes(export(stored))
        assert culprits(subject.check_against(tmp_path / "a.tflite")) == [[]]
        stored = random_weights(SPEC)
        stored.tensors[f"MMNet/{LAYER}/depthwise_weights"][1, 1, 2] += 0.05
        (tmp_path / "a.tflite").write_bytes(export(stored))
        assert culprits(subject.check_against(tmp_path / "a.tflite"))[0][0] == LAYER

    def test_without_litert_and_with_another_rounding(self, subject, tmp_path, monkeypatch):
        (tmp_path / "a.tflite").write_bytes(export(subject.stored))
        with pytest.raises(OptionError, match="rounds twice"):
            Subject(subject.stored, "single").check_against(tmp_path / "a.tflite")
        monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
        assert not engines.has_litert()
        with pytest.raises(OptionError, match=r"pip install 'mmnet-np\[tflite\]'"):
            subject.check_against(tmp_path / "a.tflite")


class TestDump:
    @pytest.fixture
    def path(self, subject, tmp_path):
        path = tmp_path / "dump.h5"
        assert subject.dump(path) == path.stat().st_size
        return path

    def test_it_has_everything(self, subject, path):
        """As anybody's HDF5 library reads it."""
        with h5py.File(path) as file:
            assert file.attrs["name"] == b"random-0.50-32-int8"
            for layer in subject.graph:
                assert file[f"outputs/{layer.name}"].dtype == np.int8
            found = file[f"parameters/{LAYER}"]
            assert found["weights"].shape == (3, 3, 16, 1)
            assert found["multiplier"].dtype == found["shift"].dtype == np.int32
            assert found["weights_scale"].dtype == np.float32
            assert file["parameters/final_block/softmax/table"].shape == (256, 256)
        assert path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"

    def test_it_agrees_with_itself(self, subject, path):
        (comparison,) = subject.check_against(path)
        assert comparison.mismatches == 0
        assert all(tally.values for tally in comparison.layers.values())

    @pytest.mark.parametrize(
        "name",
        [f"outputs/{LAYER}", f"parameters/{LAYER}/multiplier", f"parameters/{LAYER}/weights"],
    )
    def test_a_fault_is_named(self, subject, path, name):
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            values = file[name][...]
            values.reshape(-1)[5] += 1
            file[name][...] = values
        (comparison,) = subject.check_against(path)
        assert (comparison.culprits, comparison.mismatches) == ([LAYER], 1)
        assert comparison.layers[LAYER].largest == 1

    def test_of_another_machine_with_a_part_of_it(self, subject, path, tmp_path):
        with (
            h5py.File(path) as ours,
            h5py.File(tmp_path / "b.h5", "w", libver=("v110", "v110")) as theirs,
        ):
            theirs["outputs/input"] = ours["outputs/input"][...]
            alpha = ours["outputs/final_block/softmax"][...]
            theirs["outputs/final_block/softmax"] = np.minimum(alpha, 100)
        (comparison,) = subject.check_against(tmp_path / "b.h5")
        assert comparison.culprits == ["final_block/softmax"]
        assert comparison.layers[LAYER].values == 0

    @pytest.mark.parametrize(
        ("name", "array", "words"),
        [
            ("outputs/input", np.zeros((1, 32, 32, 3), np.float32), "outputs/input is float32"),
            ("outputs/input", np.zeros((32, 32, 3), np.int8), "outputs/input"),
            (f"outputs/{LAYER}", np.zeros((16, 4, 4), np.int8), "expected int8 (1, 8, 8, 16)"),
            (f"parameters/{LAYER}/shift", np.zeros(4, np.int32), "expected int32 (16,)"),
            ("outputs/else", np.zeros(4, np.int8), "nothing of random-0.50-32-int8"),
            ("else", np.zeros(4, np.int8), "neither outputs/ nor parameters/"),
        ],
    )
    def test_what_cannot_be_compared(self, subject, tmp_path, name, array, words):
        with h5py.File(tmp_path / "b.h5", "w", libver=("v110", "v110")) as file:
            file[name] = array
        with refused("b.h5", words):
            subject.check_against(tmp_path / "b.h5")

    def test_h5py_by_default_writes_an_older_format(self, subject, tmp_path):
        with h5py.File(tmp_path / "b.h5", "w", libver="earliest") as file:
            file["outputs/input"] = np.zeros((1, 32, 32, 3), np.int8)
        with refused("b.h5", "superblock version 0"):
            subject.check_against(tmp_path / "b.h5")

    def test_float32(self, tmp_path):
        subject = Subject(random_weights(SPEC))
        subject.dump(tmp_path / "f.h5")
        assert culprits(subject.check_against(tmp_path / "f.h5")) == [[]]
        dump = read_dump(tmp_path / "f.h5")
        assert set(dump.parameters[LAYER]) == {"weights", "bias"}
        assert dump.outputs[LAYER].dtype == np.float32


class TestDigests:
    @pytest.fixture
    def path(self, subject, tmp_path):
        path = tmp_path / "d.json"
        path.write_text(digests.digests({subject.stored.name: subject.digests()[0]}))
        return path

    def test_both_backends_make_the_same(self, subject):
        first, *others = subject.digests()
        assert len(others) == int(jit.has_numba())
        assert all(entry == first for entry in others)
        assert set(first["layers"]) == {layer.name for layer in subject.graph}

    def test_they_agree_with_themselves(self, subject, path):
        comparisons = subject.check_against(path)
        assert [c.mismatches for c in comparisons] == [0] * len(subject.backends)

    @pytest.mark.parametrize("leaf", ["weights_scale", "biases", "depthwise_weights"])
    def test_a_fault_is_named(self, faulty, path, leaf):
        """One ulp of a scale shows in the integers, if nowhere else."""
        for comparison in Subject(faulty(leaf)).check_against(path):
            assert comparison.culprits == [LAYER]

    def test_of_another_rounding_or_size(self, subject, path):
        with refused("rounding"):
            Subject(subject.stored, "single").check_against(path)
        spec = {**subject.stored.spec, "size": 64}
        with refused("size 32, not 64"):
            Subject(dataclasses.replace(subject.stored, spec=spec)).check_against(path)

    def test_float32_has_none(self):
        with pytest.raises(OptionError, match="last bits may differ"):
            Subject(random_weights(SPEC)).digests()

    @pytest.mark.parametrize(
        "text",
        [
            "", "{", "[]", "1", "[" * 100_000, '{"format": "x"}',
            '{"format": "mmnet_np digests", "schema_version": 2}',
            '{"format": "mmnet_np digests", "schema_version": 1}',
            '{"format": "mmnet_np digests", "schema_version": 1, "models": {"a": {}}}',
            '{"format": "mmnet_np digests", "schema_version": 1, "models": {"a": {"weights": "",'
            '"rounding": "", "size": 1, "layers": {"a": 1}}}}',
        ],
    )  # fmt: skip
    def test_other_files(self, tmp_path, text):
        (tmp_path / "x.json").write_text(text)
        with refused("x.json"):
            read_digests(tmp_path / "x.json")

    def test_damage_is_refused_or_fine(self, path, tmp_path):
        text = path.read_text()
        rng = np.random.default_rng(0)
        for _ in range(200):
            at = int(rng.integers(len(text)))
            (tmp_path / "x.json").write_text(
                text[:at] + chr(rng.integers(32, 127)) + text[at + 1 :]
            )
            refused_or_fine(read_digests, tmp_path / "x.json")
