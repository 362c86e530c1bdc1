"""Derivation in exact arithmetic, against Python's and against the package's."""

from fractions import Fraction

import naive_int8
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from random_weights import random_int8_weights

from mmnet_np.dtypes import Int8
from mmnet_np.graph import Filtered, build
from mmnet_np.kernels import softmax_int8
from mmnet_np.spec import Spec
from mmnet_np.verification.exact import _multiplier, expected_integers, plausible_table

scales = st.floats(2**-40, 2**20, width=32)


@given(scales, scales, scales)
def test_multiplier(a, b, c):
    real = float(np.float64(np.float32(a)) * np.float64(np.float32(b)) / np.float64(np.float32(c)))
    exact = Fraction(a) * Fraction(b) / Fraction(c)
    assert _multiplier(exact) == naive_int8.quantize_multiplier(real)


def test_multiplier_at_its_limits():
    for real in (0.5, 1.0, 1 - 2**-33, 2.0**-32, 2.0**-33, 2.0**-31, 1 - 2**-53, 0.0, 3.0):
        assert _multiplier(Fraction(real)) == naive_int8.quantize_multiplier(real)


def test_the_package_derives_the_same():
    spec = Spec(0.5)
    graph, stored = build(spec), random_int8_weights(spec)
    network = Int8(graph, spec, stored, "double").network
    for name, arrays in expected_integers(graph, stored.tensors, network).items():
        plain = network.plain(name)
        if isinstance(graph[name], Filtered):
            assert arrays["zero_point"].tolist() == [plain["output_zero_point"]] * len(
                arrays["bias"]
            )
        for what in arrays.keys() & plain.keys():
            assert (arrays[what] == plain[what]).all(), (name, what)


@settings(max_examples=30)
@given(st.floats(2**-20, 8, width=32))
def test_a_good_table_is_plausible(scale):
    table = softmax_int8.table(scale)
    assert (plausible_table(table, scale) == table).all()


@settings(max_examples=30)
@given(st.floats(2**-8, 1, width=32), st.integers(0, 255), st.integers(0, 255), st.booleans())
def test_a_wrong_entry_is_not(scale, row, column, up):
    table = softmax_int8.table(scale)
    if abs(row - column) > 252 or table[row, column] in (-128, 127):
        return  # a diagonal of three entries or fewer has no usual value
    table[row, column] += 1 if up else -1
    wrong = np.argwhere(plausible_table(table, scale) != table)
    assert wrong.tolist() == [[row, column]]
