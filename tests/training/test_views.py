import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.errors import ImageError
from mmnet_np.preprocess import network_input
from mmnet_np.training.views import FLIP, crop, inside, portrait, rotation, sample, scaling

IDENTITY = np.eye(3)
# float32 coordinates of the network's resize are up to 1e-4 pixels off ours.
ROUNDING = 2e-4


def random_pair(seed, height, width):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return photo, rng.integers(0, 256, (height, width), dtype=np.uint8)


def middle(view):
    """A view about the centre instead of the top left corner."""
    return crop(0.5, 0.5, 1, 1) @ view @ crop(-0.5, -0.5, 1, 1)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([(16, 32), (33, 7)]), seeds)
def test_the_identity_is_the_networks_resize(height, width, size, seed):
    photo, matte = random_pair(seed, height, width)
    image, alpha = sample(portrait(photo, matte), IDENTITY, *size)
    assert np.abs(image - network_input(photo, *size)).max() < ROUNDING
    three = np.repeat(matte[..., None], 3, axis=2)
    assert np.abs(alpha - network_input(three, *size)[..., 0]).max() < ROUNDING


def test_large_photos_are_reduced_as_the_network_reduces_them():
    photo, matte = random_pair(1, 1900, 640)
    joined = portrait(photo, matte)
    assert joined.shape == (634, 640, 4)
    assert np.abs(sample(joined, IDENTITY, 64, 64)[0] - network_input(photo, 64, 64)).max() < 1e-3


def test_portraits_keep_every_value_and_are_not_joined_twice():
    photo, matte = random_pair(2, 5, 6)
    matte[:2] = 0  # colours under no alpha stay too
    joined = portrait(photo, matte)
    assert joined.tobytes() == np.dstack([photo, matte]).tobytes()
    assert portrait(joined, None) is joined


@pytest.mark.parametrize(
    ("photo", "matte", "sentence"),
    [
        (np.zeros((4, 5)), np.zeros((4, 5), np.uint8),
         "a photo is (H, W, 3) uint8, not (4, 5) float64"),
        (np.zeros((0, 5, 3), np.uint8), np.zeros((0, 5), np.uint8),
         "a photo is (H, W, 3) uint8, not (0, 5, 3) uint8"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8),
         "the matte is (5, 4) uint8; beside a photo of (4, 5, 3) it must be (4, 5) uint8"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5)),
         "the matte is (4, 5) float64; beside a photo of (4, 5, 3) it must be (4, 5) uint8"),
        (np.zeros((4, 5, 3), np.uint8), None,
         "a portrait is (H, W, 4) uint8, not (4, 5, 3) uint8"),
    ],
)  # fmt: skip
def test_what_is_no_portrait(photo, matte, sentence):
    with pytest.raises(ImageError) as caught:
        portrait(photo, matte)
    assert str(caught.value) == sentence


def pixels(source, view, height, width, **options):
    """Sample and give all four channels as 8 bits."""
    image, alpha = sample(source, view, height, width, **options)
    return np.rint(np.dstack([image, alpha]) * 255).astype(np.uint8)


def test_views_that_hit_pixels_are_slices():
    source = portrait(*random_pair(3, 21, 11))
    # 21 pixels span 20 steps and 11 span 10: the unit is the distance of the outermost centres.
    part = crop(3 / 10, 5 / 20, 4 / 10, 10 / 20)
    assert (pixels(source, part, 11, 5) == source[5:16, 3:8]).all()
    assert (pixels(source, FLIP, 21, 11) == source[:, ::-1]).all()
    assert (pixels(source, part @ FLIP, 11, 5) == source[5:16, 3:8][:, ::-1]).all()
    assert (pixels(source, middle(scaling(-1, -1)), 21, 11) == source[::-1, ::-1]).all()
    assert (pixels(source, scaling(0.5, 0.5), 11, 6) == source[:11, :6]).all()


def test_rotation_is_clockwise_and_right_angled_in_the_photo():
    source = portrait(*random_pair(4, 9, 9))
    turned = middle(np.linalg.inv(rotation(90)))  # a view is where pixels come from
    assert (pixels(source, turned, 9, 9) == np.rot90(source, -1)).all()
    # In a photo twice as wide as high, a quarter turn maps the width to the height's half.
    cos, sin = np.cos(np.radians(30)), np.sin(np.radians(30))
    x, y = rotation(30, 2.0)[:2, :2] @ [0.1, 0.2]
    assert [x * 2, y] == pytest.approx([0.2 * cos - 0.2 * sin, 0.2 * sin + 0.2 * cos])


@pytest.mark.parametrize("border", ["zero", "edge", "mirror"])
def test_beyond_the_border(border):
    source = portrait(*random_pair(5, 8, 6))
    wide = crop(-4 / 5, -3 / 7, 13 / 5, 14 / 7)  # 4 pixels left, 3 above, 14 x 15 in all
    modes = {"zero": "constant", "edge": "edge", "mirror": "reflect"}
    expected = np.pad(source, ((3, 4), (4, 4), (0, 0)), mode=modes[border])
    assert (pixels(source, wide, 15, 14, border=border) == expected).all()
    shown = inside(wide, 15, 14)
    assert (shown == np.pad(np.ones((8, 6)), ((3, 4), (4, 4)))).all()


def test_inside_agrees_with_what_is_sampled():
    source = np.full((20, 30, 4), 255, np.uint8)
    view = middle(rotation(25, 1.5) @ scaling(1.7, 1.7))
    shown = inside(view, 64, 64)
    assert 0.2 < shown.mean() < 0.8
    # They may differ where a sample hits the border itself.
    assert (shown != sample(source, view, 64, 64)[1]).mean() < 0.002


def test_feather_is_inside_the_border():
    soft = inside(crop(-0.5, -0.5, 2, 2), 101, 101, 0.1)
    assert soft[50, 50] == 1
    assert soft[50, 24] == soft[50, 76] == 0  # just outside
    assert soft[50, 27] == pytest.approx((27 / 100 * 2 - 0.5) / 0.1, abs=1e-3)


def test_averaging_hides_no_pixel_and_moves_none():
    """A fine chessboard becomes grey; a ramp stays where it was."""
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    ramp = np.broadcast_to(np.arange(96, dtype=np.uint8) * 2, (96, 96))
    source = portrait(np.dstack([board, ramp, ramp.T]), board)
    rough, smooth = (sample(source, IDENTITY, 16, 16, finest=f) for f in (np.inf, 1.0))
    assert rough[0][..., 0].std() > 0.2
    assert np.abs(smooth[0][..., 0] - 0.5).max() < 0.01
    assert np.abs(smooth[1] - 0.5).max() < 0.01
    within = slice(1, -1)  # the outermost cells' centres lie inside the outermost pixels'
    for channel in (1, 2):
        difference = (smooth[0] - rough[0])[within, within, channel]
        assert np.abs(difference).max() < 0.6 / 255  # cells are rounded to 8 bits


def test_axes_are_averaged_each_by_its_own_factor():
    stripes = np.broadcast_to(np.arange(96, dtype=np.uint8)[:, None] % 2 * 255, (96, 16))
    source = portrait(np.dstack([stripes] * 3), stripes)
    image, _ = sample(source, IDENTITY, 16, 16, finest=1.0)
    assert np.abs(image - 0.5).max() < 0.01  # across the stripes only: 96 rows to 16
    upright = np.ascontiguousarray(source.transpose(1, 0, 2))
    image, _ = sample(upright, IDENTITY, 16, 16, finest=1.0)
    assert np.abs(image - 0.5).max() < 0.01
    kept, _ = sample(source[:, :16].copy(), scaling(1, 15 / 95), 16, 16, finest=1.0)
    assert np.abs(kept - 0.5).min() == 0.5  # steps of one pixel: nothing averaged
