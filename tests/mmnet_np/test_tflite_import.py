"""From a TensorFlow Lite model back: the same network, the same bits, or one sentence."""

import json
import time
from dataclasses import replace

import litert
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_weights import random_int8_weights, random_weights
from refusal import refused, refused_or_fine

from mmnet_np import tflite_export, tflite_import
from mmnet_np.model import Matting
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.tflite_export import export
from mmnet_np.tflite_import import load
from mmnet_np.weights import store
from mmnet_np.weights.tflite_reader import read_model

IMAGE = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)


@pytest.fixture
def write(tmp_path):
    def write(data):
        path = tmp_path / "m.tflite"
        path.write_bytes(data)
        return path

    return write


def test_float32_runs_with_the_same_bits(write):
    for variant in VARIANTS:
        given = random_weights(Spec(0.75, 128, variant))
        found = load(write(export(given, 32)))
        before, after = (
            Matting(weights, backend="numpy").intermediates(IMAGE) for weights in (given, found)
        )
        assert all(before[name].tobytes() == after[name].tobytes() for name in before)
        assert (found.name, found.spec, found.licence, found.provenance) == (
            given.name, given.spec, given.licence, given.provenance,
        )  # fmt: skip
        assert export(found, 32) == export(given, 32)


@pytest.mark.parametrize("variant", VARIANTS)
def test_int8_comes_back_number_for_number(write, variant):
    given = random_int8_weights(Spec(0.5, 128, variant))
    found = load(write(export(given, 32)))
    assert found.dtype == "int8"
    assert store.digest(found.tensors, found.spec) == store.digest(given.tensors, given.spec)


@pytest.mark.parametrize("make", [random_weights, random_int8_weights])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", [0.5, 0.75, 1.0, 1.4])
def test_without_metadata_it_is_found_out(write, monkeypatch, make, variant, width):
    monkeypatch.setattr(tflite_export, "METADATA", "another")
    given = make(Spec(width, 256, variant))
    found = load(write(export(given, 48)))
    assert found.spec == Spec(width, 48, variant).as_dict()
    assert found.name == f"mmnet-{width:.2f}-48" + ("-int8" if found.dtype == "int8" else "")
    assert found.licence.startswith("unknown")


def test_metadata_may_say_anything(write, monkeypatch):
    true = Spec(0.5).as_dict()
    for about in (
        [], None, 1, "{", "[" * 5000, {"spec": 1}, {"spec": {**true, "width": "x"}},
        {"name": 3, "licence": {}}, {"spec": {**true, "width": 1.0}}, {"provenance": []},
        {"spec": {**true, "size": 10**400}},
    ):  # fmt: skip
        told = about if isinstance(about, str) else json.dumps(about)
        monkeypatch.setattr(json, "dumps", lambda *_, told=told, **__: told)
        data = export(random_weights(), 32)
        monkeypatch.undo()
        assert load(write(data)).spec["width"] == 0.5


def other_graphs():
    """Other networks of operators that MMNet has, and what the refusal says of each."""
    zeros = np.zeros((2, 1, 1, 3), np.float32), np.zeros(2, np.float32)
    for words, side, softmax, convolve in (
        ("final_block", 32, True, False),
        ("dec_block4/resize1", 32, True, True),
        ("one softmax", 32, False, True),
        ("(1, 30, 30, 3)", 30, True, True),
    ):
        model = litert.Model()
        x = model.input((1, side, side, 3))
        if convolve:
            x = model.conv_2d(x, *map(model.constant, zeros))
        yield words, model.build([model.softmax(x) if softmax else x])
    yield "inputs are none", litert.Model().build([])


@pytest.mark.parametrize(("words", "data"), list(other_graphs()))
def test_another_network(write, words, data):
    with refused("m.tflite", words):
        load(write(data))


class Changed(litert.Model):
    """Writes one thing otherwise, the first time it is asked."""

    change = ("", None)

    def _operator(self, name, options, inputs, *rest, **more):
        kind, change = self.change
        if name == kind:
            Changed.change = ("", None)
            options, inputs = change(dict(options), list(inputs))
        return super()._operator(name, options, inputs, *rest, **more)


def option(name, value):
    return lambda options, inputs: ({**options, name: value}, inputs)


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("CONV_2D", option("stride_w", 1), "init_block/conv"),
        ("CONV_2D", option("dilation_h", 2), "init_block/conv"),
        ("CONV_2D", option("activation", 0), "init_block/conv"),
        ("CONV_2D", option("activation", 1), "activation"),
        ("CONV_2D", option("padding", 1), "padding"),
        ("DEPTHWISE_CONV_2D", option("depth_multiplier", 2), "depthwise_conv_stride"),
        ("CONCATENATION", option("axis", 2), "enc_block0/concat"),
        ("CONCATENATION", lambda o, i: (o, i[::-1]), "enc_block0"),
        ("CONCATENATION", lambda o, i: (o, i[:-1]), "enc_block0/concat"),
        ("CONCATENATION", lambda o, i: (o, [i[0], *i[:-1]]), "enc_block0"),
        ("RESIZE_BILINEAR", option("align_corners", 1), "dec_block0/resize0"),
        ("RESIZE_BILINEAR", lambda o, i: (o, [i[0], i[0]]), "dec_block0/resize0"),
        ("SOFTMAX", option("beta", 0.5), "softmax"),
        ("CONV_2D", lambda o, i: (o, [i[0], i[1], -1]), "init_block/conv"),
        ("CONV_2D", lambda o, i: (o, [i[0], i[0], i[2]]), "init_block/conv"),
        ("CONV_2D", lambda o, i: (o, [i[0], i[2], i[2]]), "init_block/conv"),
    ],
)
def test_another_option_or_wire_is_named(write, monkeypatch, kind, change, words):
    monkeypatch.setattr(tflite_export, "Model", Changed)
    monkeypatch.setattr(Changed, "change", (kind, change))
    data = export(random_weights(), 32)
    with refused(words):
        load(write(data))


def altered(name, **changes):
    """A reader of models that takes one tensor for another."""

    def read(path):
        model = read_model(path)
        tensors = [
            replace(
                tensor, **{key: change(getattr(tensor, key)) for key, change in changes.items()}
            )
            if tensor.name == name
            else tensor
            for tensor in model.tensors
        ]
        return replace(model, tensors=tuple(tensors))

    return read


LINEAR = "enc_block0/merge/pointwise_conv"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (LINEAR, {"zero_point": lambda v: v + 500}, "zero point"),
        (LINEAR, {"zero_point": lambda v: v + 2**40}, "zero point"),
        (LINEAR, {"zero_point": lambda v: v[:0]}, "one scale and zero point"),
        (LINEAR, {"scale": lambda v: -v}, "output_scale"),
        (LINEAR, {"scale": lambda v: v * np.inf}, "infinity"),
        (LINEAR, {"scale": lambda v: v.repeat(2)}, "one scale and zero point"),
        (LINEAR, {"dtype": lambda _: np.dtype("f4")}, "not int8"),
        (f"MMNet/{LINEAR}/weights", {"scale": lambda v: v[:2]}, "scale for each"),
        (f"MMNet/{LINEAR}/weights", {"scale": lambda v: v * np.nan}, "NaN"),
        (f"MMNet/{LINEAR}/weights", {"zero_point": lambda v: v + 1}, "about zero"),
        (f"MMNet/{LINEAR}/weights", {"axis": lambda _: 3}, "another axis"),
        (f"MMNet/{LINEAR}/weights", {"values": lambda v: np.full_like(v, -128)}, "-128"),
        (f"MMNet/{LINEAR}/weights", {"dtype": lambda _: np.dtype("f4")}, "filters of float32"),
        (f"MMNet/{LINEAR}/weights", {"values": lambda _: None}, "not fixed"),
        (f"MMNet/{LINEAR}/biases", {"dtype": lambda _: np.dtype("i1")}, "bias of int8"),
        (f"MMNet/{LINEAR}/biases", {"values": lambda v: np.full_like(v, 2**31 - 1)}, "sums"),
        ("input", {"scale": lambda v: v * 2}, "scale"),
        ("input", {"dtype": lambda _: np.dtype("i4")}, "int32"),
        ("dec_block0/resize0", {"scale": lambda v: v * 2}, "scale"),
        ("final_block/softmax", {"zero_point": lambda v: v + 1}, "zero point"),
    ],
)
def test_int8_that_is_quantized_otherwise(write, monkeypatch, name, changes, words):
    path = write(export(random_int8_weights(), 32))
    monkeypatch.setattr(tflite_import, "read_model", altered(name, **changes))
    with refused(LINEAR if LINEAR in name else name, words):
        load(path)


def test_a_concat_of_unlike_scales(write, monkeypatch):
    """TensorFlow Lite refuses such a model; we write a move to the concat's scale."""
    given = random_int8_weights()
    given.tensors["MMNet/enc_block0/branch1/depthwise_conv_dilation/output_scale"] *= 2
    assert load(write(export(given, 32))).tensors.keys() == given.tensors.keys()
    monkeypatch.setattr(tflite_export._Tape, "_alike", lambda self, layer, sources: sources)
    with refused("enc_block0/concat", "scale"):
        load(write(export(given, 32)))


def test_one_scale_for_all_filters_is_broadcast(write, monkeypatch):
    name = f"MMNet/{LINEAR}/weights"
    path = write(export(random_int8_weights(), 32))
    monkeypatch.setattr(tflite_import, "read_model", altered(name, scale=lambda v: v[:1]))
    scale = load(path).tensors[f"MMNet/{LINEAR}/weights_scale"]
    assert scale.shape == (8,) and len(set(scale.tolist())) == 1


@pytest.fixture(scope="module")
def files():
    return [export(make(Spec(0.1)), 16) for make in (random_weights, random_int8_weights)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_refused_or_harmless(write, files, data):
    """Flips, mostly where the tables are and not the filters, and truncations."""
    file = bytearray(data.draw(st.sampled_from(files)))
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(file) - 1))
        file[place] = data.draw(st.sampled_from([0, 1, 4, 127, 128, 255, file[place] ^ 1]))
    began = time.perf_counter()
    refused_or_fine(load, write(file))
    refused_or_fine(load, write(file[: data.draw(st.integers(0, len(file)))]))
    assert time.perf_counter() - began < 20


def test_every_byte_of_the_tables_flipped_in_one_file(write, files):
    """Tables lie between the filters; each 37th byte of the whole file is a fair sample."""
    for file in files:
        for place in range(0, len(file), len(file) // 97):
            broken = bytearray(file)
            broken[place] ^= 0xFF
            refused_or_fine(load, write(broken))
