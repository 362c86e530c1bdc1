import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmnet_np.errors import OptionError
from mmnet_np.graph import build, parameters
from mmnet_np.spec import MMNET, VARIANTS, Encoder, Spec


def test_width_rule_at_one_keeps_every_multiple_of_eight():
    assert [Spec(1.0).channels(c) for c in (16, 24, 32, 40, 64, 80, 120)] == [
        16, 24, 32, 40, 64, 80, 120,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "count", "channels"),
    [
        (0.5, 24, 16),  # 12 -> half way between 8 and 16 goes up
        (0.5, 40, 24),
        (0.75, 24, 16),  # 18
        (1.4, 24, 32),  # 33.6 -> 34
        (0.25, 16, 8),
        (0.05, 120, 8),  # never below 8
        (0.5, 25, 16),  # 12.5 rounds half to even: 12
    ],
)
def test_width_rule(width, count, channels):
    assert Spec(width).channels(count) == channels


@given(st.floats(0.01, 8), st.integers(1, 200))
def test_width_rule_gives_multiples_of_eight(width, count):
    channels = Spec(width).channels(count)
    assert channels % 8 == 0
    assert abs(channels - count * width) <= 4.5 or channels == 8


def test_table_has_the_papers_rows():
    encoders = [row for row in MMNET if isinstance(row, Encoder)]
    assert [len(row.dilations) for row in encoders] == [4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 3, 3]
    assert [row.project for row in encoders] == [16, 24, 24, 24, 40, 40, 40, 40, 80, 80, 40, 40]
    assert [row.scope for row in encoders if not row.linear] == ["enc_block9"]


@pytest.mark.parametrize(
    ("width", "variables"), [(1.0, 199_420), (0.75, 127_244), (0.5, 68_996), (1.4, 368_876)]
)
def test_variables_of_table_3(width, variables):
    shapes = parameters(build(Spec(width), auxiliary=True)).values()
    assert sum(math.prod(shape) for shape in shapes) == variables


@given(st.floats(0.05, 2.0), st.integers(1, 64).map(lambda k: 16 * k), st.sampled_from(VARIANTS))
def test_round_trip_through_json(width, size, variant):
    spec = Spec(width, size, variant)
    assert Spec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architecture": "UNet"}, "the architecture is 'UNet', not 'MMNet'"),
        ({"width": "1"}, "the spec's width is '1'; it must be a number"),
        ({"width": float("nan")}, "width is nan; it must be above 0 and at most 8"),
        ({"width": -1}, "width is -1.0; it must be above 0 and at most 8"),
        ({"size": 100}, "the input's height is 100; it must be a multiple of 16 up to 16384"),
        ({"size": True}, "the spec's size is True; it must be a whole number"),
        ({"size": None}, "the spec's size is None; it must be a whole number"),
        ({"variant": "half"}, "variant is 'half'; it must be one of full, no-dilation, "
         "no-refinement, no-enhancement"),
        ({"variant": 3}, "the spec's variant is 3; it must be a string"),
    ],
)  # fmt: skip
def test_bad_fields_are_named(change, sentence):
    with pytest.raises(OptionError) as caught:
        Spec.from_dict({**Spec().as_dict(), **change})
    assert str(caught.value) == sentence
