"""FlatBuffers: what we write is read by Google's library, and what anybody writes by us or not."""

import time
import tracemalloc
from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import refused, refused_or_fine

from mmnet_np.weights.flatbuffer_reader import decode
from mmnet_np.weights.flatbuffer_writer import encode
from mmnet_np.weights.tflite_schema import (
    FILE_IDENTIFIER,
    MODEL,
    OPERATORS,
    Child,
    Children,
    Field,
    Scalar,
    Text,
    Vector,
)

LEAF = {"a": Field(0, Scalar("<i4", 7)), "b": Field(3, Scalar("<u1")), "t": Field(1, Text())}
TREE = {
    "one": Field(0, Child(LEAF)),
    "many": Field(2, Children(LEAF)),
    "wide": Field(5, Vector("<i8")),
    "bytes": Field(4, Vector("<u1", 16)),
    "real": Field(1, Scalar("<f4")),
}
leaves = st.fixed_dictionaries(
    {"a": st.integers(-(2**31), 2**31 - 1), "b": st.integers(0, 255)},
    optional={"t": st.text(max_size=9)},
)
trees = st.fixed_dictionaries(
    {
        "many": st.lists(leaves, max_size=4),
        "wide": st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4),
        "bytes": st.lists(st.integers(0, 255), max_size=40),
        "real": st.floats(width=32, allow_nan=False),
    },
    optional={"one": leaves},
)


def plain(value):
    """Arrays as lists, and nothing that is None."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


@given(trees)
def test_what_is_written_is_read(tree):
    data = encode(TREE, tree, b"TEST")
    assert data[4:8] == b"TEST"
    assert plain(decode(TREE, data)) == tree
    assert encode(TREE, tree, b"TEST") == data


def test_what_is_left_out_is_its_default():
    found = decode(TREE, encode(TREE, {}, b"TEST"))
    assert plain(found) == {"many": [], "wide": [], "bytes": [], "real": 0}
    found = decode(TREE, encode(TREE, {"one": {"a": 7}}, b"TEST"))
    assert plain(found["one"]) == {"a": 7, "b": 0}


def test_a_later_schema_has_more_fields_and_an_older_one_fewer():
    less = {name: TREE[name] for name in ("one", "real")}
    data = encode(TREE, {"one": {"a": 1}, "real": 2.0, "wide": [1, 2]}, b"TEST")
    assert plain(decode(less, data)) == {"one": {"a": 1, "b": 0}, "real": 2.0}
    data = encode(less, {"one": {"a": 1}, "real": 2.0}, b"TEST")
    assert plain(decode(TREE, data))["wide"] == []


def test_the_table_of_the_schema_against_googles():
    """Every field of every table, written by us and read by the code generated from the schema."""
    schema = pytest.importorskip(
        "ai_edge_litert.schema_py_generated", reason="ai-edge-litert is not installed: no schema"
    )

    def values(fields, start):
        """Give each field a value of its own."""
        found = {}
        for name, (_, kind) in fields.items():
            start += 1
            if isinstance(kind, Scalar):
                found[name] = 1 if name in ("align_corners", "half_pixel_centers") else start
            elif isinstance(kind, Vector):
                found[name] = [start, start + 1]
            elif isinstance(kind, Text):
                found[name] = f"text {start}"
            elif isinstance(kind, Child):
                found[name] = values(kind.fields, start)
            elif isinstance(kind, Children):
                found[name] = [values(kind.fields, start), values(kind.fields, start + 5)]
        return found

    model = values(MODEL, 0)
    for graph in model["subgraphs"]:
        (row, *_) = graph["operators"]
        graph["operators"] = [
            {**row, "options_type": known.options_type, "options": values(known.options, 20)}
            for known in OPERATORS.values()
        ]
    read = schema.ModelT.InitFromObj(
        schema.Model.GetRootAs(encode(MODEL, model, FILE_IDENTIFIER), 0)
    )
    names = {"code": "builtinCode", "deprecated_code": "deprecatedBuiltinCode",
             "activation": "fusedActivationFunction", "dilation_w": "dilationWFactor",
             "dilation_h": "dilationHFactor", "options": "builtinOptions",
             "options_type": "builtinOptionsType"}  # fmt: skip

    def same(ours, theirs):
        if isinstance(ours, dict):
            for name, value in ours.items():
                first, *rest = name.split("_")
                camel = names.get(name, first + "".join(part.title() for part in rest))
                same(value, getattr(theirs, camel))
        elif isinstance(ours, list):
            assert len(ours) == len(theirs)
            for pair in zip(ours, theirs, strict=True):
                same(*pair)
        else:
            assert ours == (theirs.decode() if isinstance(theirs, bytes) else theirs)

    same(model, read)
    for kind, known in zip(read.subgraphs[0].operators, OPERATORS, strict=True):
        code = getattr(schema.BuiltinOperator, known)
        assert OPERATORS[known].code == code
        wanted = type(kind.builtinOptions).__name__.removesuffix("T")
        assert OPERATORS[known].options_type == getattr(schema.BuiltinOptions, wanted)
        assert wanted.removesuffix("Options").upper() == known.replace("_", "")


@settings(max_examples=200)
@given(trees, st.data())
def test_damage_is_refused_or_harmless(tree, data):
    file = bytearray(encode(TREE, tree, b"TEST"))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    refused_or_fine(decode, TREE, bytes(file))
    refused_or_fine(decode, TREE, bytes(file[: data.draw(st.integers(0, len(file)))]))


@given(st.binary(max_size=200))
def test_anything_is_refused_or_fine(data):
    refused_or_fine(decode, TREE, data)


@pytest.mark.parametrize("data", [b"", b"\0" * 3, b"\xff" * 8, pack("<I", 4) + bytes(4)])
def test_no_table_at_all(data):
    with refused():
        decode(TREE, data)


def test_one_table_a_million_times():
    """A small file of offsets that all lead to one table, with a text that each would copy."""
    rows = 1_000_000
    vtable = pack("<4H", 8, 12, 4, 8)  # of LEAF: "a" at byte 4, "t" at byte 8
    leaf = pack("<iiI", len(vtable), 1, 4) + pack("<I", 4000) + b"x" * 4001
    place = 8 + 10 + 2  # behind the root's vtable, of TREE: "many" at byte 4
    root = pack("<I4sHHHHHxx", place, b"TEST", 10, 8, 0, 0, 4) + pack("<iI", place - 8, 4)
    vector = pack("<I", rows) + b"".join(
        pack("<I", 4 * (rows - i) + len(vtable)) for i in range(rows)
    )
    one = root + pack("<II", 1, 4 + len(vtable)) + vtable + leaf
    assert plain(decode(TREE, one))["many"] == [{"a": 1, "b": 0, "t": "x" * 4000}]
    tracemalloc.start()
    began = time.perf_counter()
    with refused("more than 20000 tables"):
        decode(TREE, root + vector + vtable + leaf)
    assert time.perf_counter() - began < 10
    assert tracemalloc.get_traced_memory()[1] < 200e6
    tracemalloc.stop()
