"""TensorFlow Lite models that no writer of ours makes: what is refused, and at what cost."""

import time
import tracemalloc

import numpy as np
import pytest
from refusal import refused

from mmnet_np.weights import tflite_reader
from mmnet_np.weights.flatbuffer_writer import encode
from mmnet_np.weights.tflite_reader import is_tflite, read_model
from mmnet_np.weights.tflite_schema import FILE_IDENTIFIER, MODEL

TENSOR = {"shape": [2], "type": 0, "buffer": 1, "name": "t"}
SOFTMAX = {
    "opcode_index": 0, "inputs": [0], "outputs": [0], "options_type": 9, "options": {"beta": 1.0},
}  # fmt: skip


def model(**changes):
    """A file of one tensor and one operator; fields of the graph or of the model replaced."""
    graph = {"tensors": [TENSOR], "inputs": [0], "outputs": [0], "operators": [SOFTMAX]}
    fields = {
        "version": 3,
        "operator_codes": [{"code": 25, "deprecated_code": 25}],
        "buffers": [{}, {"data": np.arange(2, dtype="<f4").view("u1")}],
        "subgraphs": [{**graph, **{k: v for k, v in changes.items() if k in graph}}],
        **{key: value for key, value in changes.items() if key not in graph},
    }
    return encode(MODEL, fields, FILE_IDENTIFIER)


@pytest.fixture
def write(tmp_path):
    def write(data):
        (tmp_path / "m.tflite").write_bytes(data)
        return tmp_path / "m.tflite"

    return write


def test_a_small_one(write):
    found = read_model(write(model()))
    (tensor,), (operator,) = found.tensors, found.operators
    assert (tensor.name, tensor.shape, tensor.values.tolist()) == ("t", (2,), [0, 1])
    assert tensor.scale.size == tensor.zero_point.size == 0
    assert tensor.values.flags.owndata and tensor.values.dtype == np.float32
    assert (operator.name, operator.options) == ("SOFTMAX", {"beta": 1.0})
    assert (found.inputs, found.outputs, dict(found.metadata)) == ((0,), (0,), {})


def test_an_old_file_has_its_operators_in_a_byte(write):
    found = read_model(write(model(operator_codes=[{"deprecated_code": 25}])))
    assert found.operators[0].name == "SOFTMAX"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "schema version 2"),
        ({"subgraphs": []}, "0 subgraphs"),
        ({"subgraphs": [{}, {}]}, "2 subgraphs"),
        ({"operator_codes": []}, "operator code 0 and has 0"),
        ({"operator_codes": [{"code": 22}]}, "operator of number 22"),
        ({"operator_codes": [{"code": -5}]}, "operator of number 0"),
        ({"operators": [{**SOFTMAX, "options_type": 1, "options": {}}]}, "lacks its options"),
        ({"operators": [{**SOFTMAX, "options": None}]}, "lacks its options"),
        ({"operators": [{**SOFTMAX, "inputs": [1]}]}, "tensors that it has not"),
        ({"operators": [{**SOFTMAX, "inputs": [-2]}]}, "tensors that it has not"),
        ({"operators": [{**SOFTMAX, "outputs": [-1]}]}, "tensors that it has not"),
        ({"operators": [{**SOFTMAX, "inputs": [0] * 17}]}, "17 tensors where there may be 16"),
        ({"inputs": [3]}, "tensors that it has not"),
        ({"outputs": [0] * 2001}, "2001 tensors"),
        ({"tensors": [{**TENSOR, "type": 3}]}, "t is of type 3"),
        ({"tensors": [{**TENSOR, "buffer": 2}]}, "buffer 2 and has 2"),
        ({"tensors": [{**TENSOR, "shape": [3]}]}, "has 8 bytes"),
        ({"tensors": [{**TENSOR, "shape": [-1, -2]}]}, "impossible shape"),
        ({"tensors": [{**TENSOR, "shape": [1] * 9 + [2]}]}, "impossible shape"),
        ({"tensors": [{**TENSOR, "shape": [2**31 - 1] * 8}]}, "has 8 bytes"),
        ({"metadata": [{"name": "x", "buffer": 9}]}, "buffer 9 and has 2"),
    ],
)
def test_what_is_refused(write, changes, words):
    with refused("m.tflite", words):
        read_model(write(model(**changes)))


def test_names_are_shown_on_one_line(write):
    with refused("m.tflite", r"a\nb\x1b"):
        read_model(write(model(tensors=[{**TENSOR, "name": "a\nb\x1b", "type": 7}])))


def test_many_tensors_that_share_their_numbers(write):
    """Each would be an array of its own: 2,000 times 1 MB of a file of 1 MB."""
    big = np.zeros(250_000, "<f4")
    rows = [{**TENSOR, "shape": [big.size]}] * 2000
    data = model(tensors=rows, buffers=[{}, {"data": big.view("u1")}])
    path = write(data)
    tracemalloc.start()
    began = time.perf_counter()
    with refused("its tensors take"):
        read_model(path)
    assert tracemalloc.get_traced_memory()[1] < 3 * len(data) + 20e6
    assert time.perf_counter() - began < 5
    tracemalloc.stop()


def test_scales_count_too(write, monkeypatch):
    monkeypatch.setattr(tflite_reader, "LIMIT", 10_000)
    rows = [{**TENSOR, "quantization": {"scale": np.zeros(1000, "<f4")}}] * 3
    read_model(write(model(tensors=rows[:2])))
    with refused("its tensors take 12024 bytes; expected at most 10000"):
        read_model(write(model(tensors=rows)))


def test_other_files(write, tmp_path):
    for data in (b"x" * 4, b"x" * 100, b"\0" * 4 + FILE_IDENTIFIER, b"\0\0\0\0TFL2"):
        with refused("m.tflite"):
            read_model(write(data))
    with refused("does not exist"):
        read_model(tmp_path / "nowhere")
    with refused("is empty"):
        read_model(write(b""))
    assert not is_tflite(tmp_path / "nowhere") and not is_tflite(tmp_path)
    assert is_tflite(write(model()))
