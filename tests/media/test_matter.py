"""From a frame to its picture: every output, by the same functions as for photos."""

from fractions import Fraction

import numpy as np
import pytest
from clips import scenes
from fake_model import FakeModel
from PIL import Image

from mmnet_np import composite, cutout, foreground
from mmnet_np.background import Blur
from mmnet_np.media.frames import Format, Frame
from mmnet_np.media.matter import Matter, input_shape
from mmnet_np.picture import Style

FORM = Format(40, 30, 3, Fraction(1, 25), (4, 3))


def pictures(style, pixels, model=None, **options):
    options = {"refine": False, "stabilize": False} | options
    matter = Matter(model or FakeModel(), style, FORM, **options)
    made = [
        matter.picture(matter.steady(matter.look(Frame(7 + number, frame))))
        for number, frame in enumerate(pixels)
    ]
    assert [frame.time for frame in made] == [7 + number for number in range(len(pixels))]
    assert all(frame.pixels.shape == matter.form.shape for frame in made)
    assert all(frame.pixels.dtype == np.uint8 for frame in made)
    assert (matter.form.width, matter.form.height, matter.form.aspect) == (40, 30, (4, 3))
    return [frame.pixels for frame in made]


def alpha_of(frame):
    return np.asarray(Image.fromarray(frame).convert("L"))


@pytest.fixture
def frame():
    return scenes(1, 40, 30)[0]


def test_alpha(frame):
    (made,) = pictures(Style("alpha"), [frame])
    assert (made[..., 0] == alpha_of(frame)).all()


@pytest.mark.parametrize("own", [True, False])
def test_cutout(frame, own):
    (made,) = pictures(Style("cutout", own_colours=own), [frame])
    front = foreground(frame, alpha_of(frame), numba=False) if own else frame
    assert (made == cutout(front, alpha_of(frame))).all()


def test_foreground(frame):
    (made,) = pictures(Style("foreground"), [frame])
    assert (made == foreground(frame, alpha_of(frame), numba=False)).all()


@pytest.mark.parametrize("background", [(0, 177, 64), Blur(3.0)])
def test_composite(frame, background):
    (made,) = pictures(Style("composite", background, own_colours=False), [frame])
    assert (made == composite(frame, background, alpha_of(frame))).all()


@pytest.mark.parametrize("size", [(40, 30), (77, 500), (1, 1)])
def test_composite_before_an_image(frame, size):
    image = Image.fromarray(scenes(1, *size, seed=1)[0])
    for made in pictures(Style("composite", image, own_colours=False), [frame, frame]):
        assert np.abs(made.astype(int) - composite(frame, image, alpha_of(frame))).max() <= 1


def test_steady_or_not():
    """A picture that stands still but for a trembling of 3 of 255."""
    rng = np.random.default_rng(0)
    base = scenes(1, 40, 30)[0].astype(int)
    pixels = [
        np.clip(base + rng.integers(-3, 4, base.shape), 0, 255).astype(np.uint8) for _ in range(12)
    ]
    plain = pictures(Style("alpha"), pixels)
    steady = pictures(Style("alpha"), pixels, stabilize=True)

    def changes(frames):
        return np.abs(np.diff(np.array(frames, int), axis=0))[4:].mean()

    assert (plain[0] == steady[0]).all()
    assert changes(steady) < 0.3 * changes(plain)


@pytest.mark.parametrize(
    ("form", "size", "shape"),
    [
        (Format(1920, 1080), 256, (192, 336)),
        (Format(1920, 1080), 128, (96, 176)),
        (Format(640, 480), 256, (224, 288)),
        (Format(720, 720), 256, (256, 256)),
        (Format(1080, 1920), 128, (128, 128)),  # a portrait, as the network knows them
        (Format(5000, 100), 256, (160, 400)),
        (Format(100, 5000), 16, (16, 16)),
        (Format(5000, 100), 16, (16, 32)),
        (Format(1440, 1080, aspect=(4, 3)), 256, (192, 336)),  # as HDV has it
        (Format(1920, 1080, aspect=(0, 1)), 256, (192, 336)),
    ],
)
def test_wide_frames_are_seen_in_their_own_shape(form, size, shape):
    assert input_shape(form, size) == shape


def test_the_network_is_asked_for_that_shape():
    asked = []

    class Asked(FakeModel):
        def look(self, photo, shape=None):
            asked.append(shape)
            return super().look(photo)

    form = Format(160, 90)
    matter = Matter(Asked(), Style("alpha"), form, refine=False, stabilize=False)
    matter.look(Frame(0, scenes(1, 160, 90)[0]))
    assert asked == [(192, 336)]


@pytest.mark.parametrize("refine", [True, False])
def test_alpha_is_enlarged_as_for_photos(frame, monkeypatch, refine):
    asked = []

    def recorded(look, photo, dtype, **options):
        asked.append((look(photo).tolist(), photo.size, dtype, options))
        return np.zeros((30, 40), np.uint8)

    monkeypatch.setattr("mmnet_np.media.matter.matte", recorded)
    pictures(Style("alpha"), [frame], refine=refine)
    alpha = FakeModel().predict(Image.fromarray(frame)).tolist()
    options = {"refine": refine, "refocus": False, "numba": False}
    assert asked == [(alpha, (40, 30), np.uint8, options)]
