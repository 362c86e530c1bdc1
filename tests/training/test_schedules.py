import numpy as np
import pytest

from mmnet_np.errors import OptionError
from mmnet_np.training.schedules import constant, warmup_cosine


def test_constant():
    assert {constant(step, 10, 3e-4) for step in (0, 5, 9, 100)} == {3e-4}


def test_warm_up_is_linear_and_ends_at_the_peak():
    rates = [warmup_cosine(step, 100, 0.8, warmup=4) for step in range(4)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("warmup", [0, 1, 20])
def test_from_peak_to_floor(warmup):
    rates = np.array([warmup_cosine(step, 101, 1.0, warmup, 0.1) for step in range(101)])
    top = max(warmup - 1, 0)
    assert rates.argmax() == top
    assert rates[top] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert (np.diff(rates[top:]) < 0).all()
    # Half a cosine is odd about its middle.
    fall = rates[top:]
    assert fall + fall[::-1] == pytest.approx(np.full(fall.size, 1.1))
    assert fall[fall.size // 4] > 0.9 * 1.0 - 0.1  # and slow at first, unlike a straight line
    assert warmup_cosine(5000, 101, 1.0, warmup, 0.1) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("step", "total", "warmup", "sentence"),
    [
        (-1, 10, 0, "step is -1; it must be 0 or more"),
        (0, 10, 10, "warmup is 10; it must be less than the 10 steps of the run"),
        (0, 0, 0, "warmup is 0; it must be less than the 0 steps of the run"),
    ],
)
def test_numbers_that_make_no_sense(step, total, warmup, sentence):
    with pytest.raises(OptionError) as caught:
        warmup_cosine(step, total, 1.0, warmup)
    assert str(caught.value) == sentence
