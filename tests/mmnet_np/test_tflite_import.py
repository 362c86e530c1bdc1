"""From a TensorFlow Lite model back: the same network, the same bits, or one sentence."""

import json
import time

import litert
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_int8 import random_int8
from random_weights import random_weights
from refusal import refused, refused_or_fine

from mmnet_np import tflite_export
from mmnet_np.graph import Filtered, build
from mmnet_np.model import Matting
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.tflite_export import export
from mmnet_np.tflite_import import load
from mmnet_np.weights import store

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
    given = random_int8(Spec(0.5, 128, variant))
    found = load(write(export(given, 32)))
    assert found.dtype == "int8"
    assert store.digest(found.tensors, found.spec) == store.digest(given.tensors, given.spec)


@pytest.mark.parametrize("make", [random_weights, random_int8])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", [0.5, 0.75, 1.0, 1.4])
def test_without_metadata_it_is_found_out(write, monkeypatch, make, variant, width):
    monkeypatch.setattr(tflite_export, "METADATA", "another")
    given = make(Spec(width, 256, variant))
    found = load(write(export(given, 48)))
    assert found.spec == Spec(width, 48, variant).as_dict()
    assert found.name == f"mmnet-{width:.2f}-48"
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


def altered(leaf, value):
    """Int8 weights with one tensor of the first linear layer changed."""
    given = random_int8()
    name = f"MMNet/enc_block0/merge/pointwise_conv/{leaf}"
    given.tensors[name] = value(given.tensors[name])
    return given


@pytest.mark.parametrize(
    ("leaf", "value", "words"),
    [
        ("output_zero_point", lambda v: v + 500, "zero point"),
        ("output_scale", lambda v: -v, "scale"),
        ("output_scale", lambda v: v * np.inf, "scale"),
        ("weights", lambda v: v.astype(np.float32), "filters of float32"),
        ("biases", lambda v: v.astype(np.int8), "bias of int8"),
        ("weights_scale", lambda v: v[:2], "scale for each"),
    ],
)
def test_int8_that_is_quantized_otherwise(write, leaf, value, words):
    with refused("enc_block0/merge/pointwise_conv", words):
        load(write(export(altered(leaf, value), 32)))


def test_a_resize_or_concat_with_a_scale_of_its_own(write, monkeypatch):
    """The concat's inputs would have to be moved; TensorFlow Lite refuses such a model too."""
    given = random_int8()
    first = "MMNet/enc_block0/branch1/depthwise_conv_dilation/output_scale"
    given.tensors[first] = given.tensors[first] * np.float32(1.5)
    monkeypatch.setattr(tflite_export._Tape, "_alike", lambda self, layer, sources: sources)
    with refused("enc_block0/concat", "scale"):
        load(write(export(given, 32)))


def test_one_scale_for_all_filters_is_broadcast(write):
    given = random_int8()
    layer = next(layer for layer in build(Spec(0.5)) if isinstance(layer, Filtered))
    scale = given.tensors[layer.variable("weights_scale")]
    given.tensors[layer.variable("weights_scale")] = scale[:1]
    found = load(write(export(given, 32))).tensors[layer.variable("weights_scale")]
    assert found.tolist() == [scale[0]] * len(scale)


@pytest.fixture(scope="module")
def files():
    return [export(make(Spec(0.1)), 16) for make in (random_weights, random_int8)]


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
