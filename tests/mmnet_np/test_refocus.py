"""The second look: which part of a photo it takes, and how its matte is put back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmnet_np.matte import matte
from mmnet_np.refine import refined_bands
from mmnet_np.refocus import Box, closer, paste


def spot(top, bottom, left, right, size=100):
    """A small matte that is 1 in a rectangle."""
    alpha = np.zeros((size, size), np.float32)
    alpha[top:bottom, left:right] = 1
    return alpha


def test_the_part_is_the_matte_with_a_margin():
    # The rectangle without a hundredth at each side, and a tenth of what is left around it.
    assert closer(spot(40, 60, 20, 60), 1000, 500) == Box(80, 380, 320, 620)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (spot(10, 90, 48, 52), Box(212, 20, 788, 980)),  # tall: as wide as 0.6 of its height
        (spot(10, 90, 0, 4), Box(0, 20, 576, 980)),
        (spot(48, 52, 30, 70), Box(260, 300, 740, 700)),  # wide: as high as its width by 1.2
        (spot(96, 100, 30, 70), Box(260, 600, 740, 1000)),
    ],
)
def test_the_part_is_not_much_narrower_or_wider_than_a_portrait(alpha, expected):
    assert closer(alpha, 1000, 1000) == expected


def test_the_part_ends_where_the_photo_does():
    assert closer(spot(60, 100, 0, 30), 400, 400) == Box(0, 224, 132, 400)


def test_the_part_must_have_something_to_show():
    alpha = spot(40, 60, 20, 60)  # the part is 0.48 of the photo's width, 0.4 of its height
    assert closer(alpha, 220, 220) is None
    assert closer(alpha, 240, 240) == Box(38, 72, 154, 169)


def test_stray_spots_do_not_count():
    alpha = spot(40, 60, 20, 60)
    expected = closer(alpha, 300, 300)
    alpha[2, 2] = alpha[97, 95] = alpha[30, 99] = 1
    assert closer(alpha, 300, 300) == expected


@pytest.mark.parametrize(
    "alpha", [spot(0, 0, 0, 0), spot(5, 8, 5, 8), spot(10, 100, 5, 95), spot(0, 100, 0, 100) * 0.5]
)
def test_nobody_and_people_who_fill_the_photo_need_none(alpha):
    assert closer(alpha, 640, 480) is None


@given(*[st.integers(0, 31)] * 4, st.integers(1, 40), st.integers(1, 40), st.sampled_from([16, 32]))
def test_a_part_of_any_photo_lies_in_it(a, b, c, d, height, width, size):
    top, bottom = sorted((a, b))
    left, right = sorted((c, d))
    box = closer(spot(top, bottom + 1, left, right + 1, size), height, width)
    if box is not None:
        assert 0 <= box.left < box.right <= width
        assert 0 <= box.upper < box.lower <= height


def banded(rows, height=3):
    for first in range(0, len(rows), height):
        yield first, rows[first : first + height].astype(np.float32)


@pytest.mark.parametrize(("dtype", "white"), [(np.float32, 1.0), (np.uint8, 255.0)])
def test_paste_fades_in_where_the_box_ends_inside_the_photo(dtype, white):
    alpha = np.zeros((60, 60), dtype)
    paste(alpha, banded(np.ones((48, 60))), Box(0, 12, 60, 60), white)
    column = alpha[:, 30] / white
    assert (column[:12] == 0).all()
    assert (column[14:] == 1).all()  # half the margin is 48 / 12 / 2 = 2 rows
    assert 0 < column[12] < column[13] < 1
    assert (alpha == alpha[:, :1]).all()  # left, right and below the photo itself ends


def test_paste_of_the_same_changes_nothing():
    rng = np.random.default_rng(0)
    alpha = rng.integers(0, 256, (40, 50), np.uint8)
    before = alpha.copy()
    box = Box(5, 6, 45, 36)
    paste(alpha, banded(before[6:36, 5:45] / 255), box, 255.0)
    assert (alpha == before).all()


# Through `matte`, with a network that finds red


class Looking:
    """Red is a person, seen on a 32 x 32 grid; remembers the sizes of what it was shown."""

    def __init__(self):
        self.seen = []

    def __call__(self, photo):
        self.seen.append(photo.size)
        return np.asarray(photo.resize((32, 32)).getchannel("R"), np.float32) / 255


def photo(box, size=(300, 400)):
    image = Image.new("RGB", size, "black")
    image.paste("red", box)
    return image, (np.asarray(image)[..., 0] / 255).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_small_person_is_seen_better_the_second_time(dtype):
    image, truth = photo((103, 207, 157, 291))
    look = Looking()
    once = matte(look, image, dtype, refine=False, refocus=False, numba=False)
    assert look.seen == [(300, 400)]
    twice = matte(look, image, dtype, refine=False, refocus=True, numba=False)
    assert len(look.seen) == 3
    width, height = look.seen[2]
    assert 54 < width < 90
    assert 84 < height < 130
    assert once.dtype == twice.dtype == dtype
    white = 255 if dtype is np.uint8 else 1
    assert np.abs(twice / white - truth).mean() < 0.6 * np.abs(once / white - truth).mean()
    assert (twice[:100] == once[:100]).all()


def test_the_second_look_follows_the_photos_edges_too():
    image, _ = photo((103, 207, 157, 291))
    look = Looking()
    box = closer(look(image), 400, 300)
    part = image.crop(box)
    expected = np.vstack([rows for _, rows in refined_bands(look(part), part, numba=False)])
    alpha = matte(look, image, np.float32, refine=True, refocus=True, numba=False)
    inner = np.s_[box.upper + 8 : box.lower - 8, box.left + 8 : box.right - 8]
    assert np.abs(alpha[inner] - expected[8:-8, 8:-8]).max() < 1e-6


def test_a_person_who_fills_the_photo_is_looked_at_once():
    image, _ = photo((20, 20, 280, 400))
    look = Looking()
    options = {"refine": True, "numba": False}
    twice = matte(look, image, np.uint8, refocus=True, **options)
    assert look.seen == [(300, 400)]
    assert (twice == matte(look, image, np.uint8, refocus=False, **options)).all()
