"""The primitives against Python integers: exhaustively where few bits decide, else drawn."""

import functools
import math
from fractions import Fraction

import naive_int8 as naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmnet_np.kernels import fixed_point, jit

int32 = st.integers(-(2**31), 2**31 - 1)
mantissas = st.integers(2**30, 2**31 - 1)
shifts = st.integers(-31, fixed_point.LARGEST_SHIFT)

# Where a carry, a sign or a half can go wrong: powers of two and their neighbours.
EDGES = sorted({-(2**31), 0, *(s * (2**k + d) for s in (-1, 1) for k in range(31)
                               for d in (-1, 0, 1)), 2**31 - 1, 1 - 2**31})  # fmt: skip


@functools.cache
def by_numba(inline):
    """A ufunc of the compiled twin."""
    import numba

    function = inline.build().py_func
    arguments = ", ".join(["int64"] * function.__code__.co_argcount)
    return numba.vectorize([f"int64({arguments})"])(function)


def by_numpy(inline):
    return inline.function


IMPLEMENTATIONS = [
    by_numpy,
    pytest.param(
        by_numba, marks=pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
    ),
]


def same(actual, expected):
    assert actual.dtype == np.int64
    assert actual.reshape(-1).tolist() == expected


def table(*values):
    """All combinations of the values, as int64 columns and as rows of Python integers."""
    columns = np.meshgrid(*(np.array(v, np.int64) for v in values), indexing="ij")
    columns = [column.reshape(-1) for column in columns]
    return columns, list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("made_by", IMPLEMENTATIONS)
class TestPrimitives:
    def test_rdpot_at_every_remainder_and_sign(self, made_by):
        """All 11-bit numbers at all shifts that matter to them, then the edges at all shifts."""
        for values in (range(-1024, 1024), EDGES):
            columns, rows = table(values, range(32))
            same(made_by(fixed_point.rdpot)(*columns), [naive.rdpot(*row) for row in rows])

    def test_rdpot_is_rounding_half_away_from_zero(self, made_by):
        columns, rows = table(range(-300, 301), range(9))
        exact = [Fraction(x, 2**n) for x, n in rows]
        rounded = [math.floor(abs(r) + Fraction(1, 2)) * (-1 if r < 0 else 1) for r in exact]
        same(made_by(fixed_point.rdpot)(*columns), rounded)

    def test_srdhm_at_all_pairs_of_edges(self, made_by):
        columns, rows = table(EDGES, EDGES)
        same(made_by(fixed_point.srdhm)(*columns), [naive.srdhm(*row) for row in rows])

    def test_srdhm_rounds_halves_up(self, made_by):
        """Exactly half: an odd x times 2**30."""
        columns, _ = table(range(-101, 102, 2), [2**30])
        same(made_by(fixed_point.srdhm)(*columns), [(x + 1) // 2 for x in range(-101, 102, 2)])

    def test_wrap32(self, made_by):
        columns, rows = table(EDGES, range(32))
        shifted = columns[0] << columns[1]
        expected = [naive.wrap32(x << n) for x, n in rows]
        same(made_by(fixed_point.wrap32)(shifted), expected)
        assert (shifted.astype(np.int32) == expected).all()

    def test_mbqm_at_all_edges(self, made_by):
        edges, some = EDGES[::5], [0, 2**30, 2**30 + 1, 1518500250, 2**31 - 1]
        columns, rows = table(edges, some, range(-31, 31))
        x, multiplier, shift = columns
        left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
        expected = [naive.mbqm(*row) for row in rows]
        same(made_by(fixed_point.mbqm)(x, multiplier, left, right), expected)
        expected = [naive.mbqm_single(*row) for row in rows]
        same(made_by(fixed_point.mbqm_single)(x, multiplier, shift), expected)


@given(int32, int32)
def test_srdhm_of_any_pair(a, b):
    assert fixed_point.srdhm(a, b) == naive.srdhm(a, b)


@given(int32, mantissas, shifts)
def test_multiplying_any_number(x, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    assert fixed_point.mbqm(x, multiplier, left, right) == naive.mbqm(x, multiplier, shift)
    single = fixed_point.mbqm_single(x, multiplier, shift)
    assert single == naive.mbqm_single(x, multiplier, shift)
    exact = Fraction(x * multiplier) * Fraction(2) ** (shift - 31)
    assert abs(single - exact) <= Fraction(1, 2)


@given(st.integers(-(2**24), 2**24), mantissas, st.integers(-31, 0))
def test_the_dialects_differ_by_at_most_one_and_at_halves(x, multiplier, shift):
    double = fixed_point.mbqm(x, multiplier, 0, -shift)
    single = fixed_point.mbqm_single(x, multiplier, shift)
    if double != single:
        assert abs(double - single) == 1
        once = fixed_point.srdhm(x, multiplier)
        assert 2 * once % 2 ** (1 - shift) == 2**-shift  # half of 2**n, modulo 2**n


@given(st.floats(0, 2.0**31, allow_subnormal=True))
def test_multiplier_of_any_number(real):
    multiplier, shift = fixed_point.quantize_multiplier(real)
    assert (int(multiplier), int(shift)) == naive.quantize_multiplier(real)
    value = Fraction(int(multiplier)) * Fraction(2) ** (int(shift) - 31)
    if multiplier:
        assert 2**30 <= multiplier < 2**31
        assert abs(value - Fraction(real)) <= Fraction(real) / 2**31
    else:
        assert real < 2.0**-32


def test_multipliers_by_hand():
    real = np.array([[1.0, 0.5, 0.75], [0.0, 2.0**-32, 2.0**-33], [1 - 2.0**-40, 6.0, 2.0**31 - 1]])
    multiplier, shift = fixed_point.quantize_multiplier(real)
    assert multiplier.dtype == shift.dtype == np.int32
    assert multiplier.tolist() == [
        [2**30, 2**30, 3 * 2**29], [0, 2**30, 0], [2**30, 3 * 2**29, 2**31 - 1],
    ]  # fmt: skip
    assert shift.tolist() == [[1, 0, 0], [0, -31, 0], [1, 3, 31]]


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_impossible_multipliers_are_refused(bad):
    with pytest.raises(ValueError, match="negative or no finite number"):
        fixed_point.quantize_multiplier([1.0, bad])
