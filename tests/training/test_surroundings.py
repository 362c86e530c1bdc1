import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.training.surroundings import (
    as_picture,
    background,
    foreground,
    patch,
    plain_colours,
    plate,
)


def person(height, width, top, left, bottom, right, colour=(255, 0, 0), behind=(0, 0, 255)):
    """A rectangle of one colour before another."""
    source = np.empty((height, width, 4), np.uint8)
    source[...] = (*behind, 0)
    source[top:bottom, left:right] = (*colour, 255)
    return source


@given(
    st.integers(20, 90), st.integers(20, 90),
    *(st.floats(0, 1) for _ in range(4)),
)  # fmt: skip
def test_a_patch_is_free_of_people_but_for_what_lies_between_its_rows(height, width, a, b, c, d):
    (top, bottom), (left, right) = sorted((a, b)), sorted((c, d))
    # In steps of four pixels, as people are looked for.
    edges = [int(part * n) // 4 * 4 for part, n in
             ((top, height), (left, width), (bottom, height), (right, width))]  # fmt: skip
    source = person(height, width, *edges)
    free = patch(source)
    if free is not None:
        assert not free[..., 3].any()
        assert free.shape[0] * free.shape[1] * 25 >= height * width
        assert free.base is source or free is source


def test_the_largest_patch_is_found():
    # Free: 40 columns on the left, 20 on the right, 12 rows above.
    source = person(100, 100, 12, 40, 100, 80)
    assert patch(source).shape[:2] == (97, 37)  # as far as rows and columns were looked at
    assert patch(source[:, ::-1]).shape[:2] == (97, 37)
    assert patch(person(100, 100, 60, 0, 100, 100)).shape[:2] == (57, 97)


def test_a_small_photos_patch_is_judged_by_its_pixels():
    """The free column is one of seven cells, but one of 26 pixels."""
    assert patch(person(20, 26, 0, 0, 20, 24)) is None


def test_no_patch_where_everybody_is():
    assert patch(person(100, 100, 0, 0, 100, 100)) is None
    assert patch(person(100, 100, 4, 8, 100, 92)) is None


@pytest.mark.parametrize("size", [64, 128])
def test_a_background_shows_nobody(size):
    for source in (person(90, 80, 20, 30, 90, 60), person(90, 80, 0, 4, 90, 76)):
        for seed in range(8):
            made = background(np.random.default_rng(seed), source, size, 2.0)
            assert (made.mode, made.size) == ("RGB", (size, size))
            values = np.asarray(made)
            assert values[..., 0].max() <= 2  # not a trace of red
            assert values[..., 2].min() >= 250


def test_a_plate_spreads_the_background_under_the_person():
    spread = plate(person(120, 90, 30, 20, 120, 70, behind=(40, 80, 120)))
    assert not spread[..., 3].any()
    assert np.abs(spread[..., :3].astype(int) - (40, 80, 120)).max() <= 1
    two = person(120, 96, 30, 30, 120, 66)
    two[:, :30, :3] = 250
    two[:, 66:, :3] = 10
    colours = plate(two)[-1, :, 0].astype(int)
    assert colours[0] > 200 > 60 > colours[-1]
    assert (np.diff(colours) <= 0).all()


def test_a_plate_of_nothing_but_a_person_is_finite():
    assert (plate(person(50, 50, 0, 0, 50, 50))[..., 0] == 255).all()


def test_foreground_colours_come_from_inside():
    """A red person with soft edges before green: nothing green is left where alpha counts."""
    alpha = np.clip(np.linspace(-8, 9, 128, dtype=np.float32), 0, 1)[None].repeat(128, axis=0)
    red, green = np.array([1, 0, 0], np.float32), np.array([0, 1, 0], np.float32)
    image = alpha[..., None] * red + (1 - alpha[..., None]) * green
    cleaned = np.asarray(foreground(image, alpha)) / 255
    edge = (alpha > 0.3) & (alpha < 0.7)
    assert image[edge][:, 1].mean() > 0.4
    # Equation 1 with a black background: all green that comes through.
    assert (cleaned[edge][:, 1] * alpha[edge]).mean() < 0.1
    assert cleaned[edge][:, 0].mean() > 0.7
    assert np.abs(cleaned[alpha == 1] - red).max() < 0.01


@given(seeds)
def test_plain_colours_run_between_corners(seed):
    values = np.asarray(plain_colours(np.random.default_rng(seed), 33)).astype(int)
    assert values.shape == (33, 33, 3)
    steps = np.abs(np.diff(values, axis=0)).max(), np.abs(np.diff(values, axis=1)).max()
    assert max(steps) <= 255 / 32 + 2
    corners = values[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (values.max(axis=(0, 1)) <= corners.max(axis=0) + 4).all()


def test_pictures_are_rounded():
    values = np.array([[0, 0.4 / 255, 0.6 / 255, 1]], np.float32)
    assert np.asarray(as_picture(values)).tolist() == [[0, 0, 1, 255]]
    assert as_picture(np.zeros((2, 3, 3), np.float32)).mode == "RGB"
