"""Cutout and composite: the equation, both kinds of image, bands without seams, bad input."""

import numpy as np
import pytest
from hostile_images import encoded, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mmnet_np import composite, cutout
from mmnet_np.background import Blur, parse_background
from mmnet_np.blur import blurred
from mmnet_np.errors import ImageError, OptionError

HEIGHT, WIDTH = 300, 40  # more rows than fit one band


def photo(seed=0, shape=(HEIGHT, WIDTH)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def matte(dtype=np.float32, shape=(HEIGHT, WIDTH)):
    alpha = np.random.default_rng(9).random(shape)
    alpha[0], alpha[1] = 0, 1
    return np.rint(alpha * 255).astype(np.uint8) if dtype == np.uint8 else alpha.astype(dtype)


def naive_composite(foreground, background, alpha):
    """Equation 1 in exact integers: alpha in 255ths, rounded to nearest (a tie cannot occur)."""
    result = np.empty_like(foreground)
    for y, x in np.ndindex(alpha.shape):
        weight = int(alpha[y, x])
        for c in range(3):
            total = weight * int(foreground[y, x, c]) + (255 - weight) * int(background[y, x, c])
            result[y, x, c] = (2 * total + 255) // 510
    return result


@pytest.mark.parametrize("kind", ["array", "image"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_cutout_is_the_photo_with_alpha(kind, dtype):
    given_, alpha = photo(), matte(dtype)
    expected = alpha if dtype == np.uint8 else np.rint(alpha.astype(np.float64) * 255)
    result = cutout(given_ if kind == "array" else Image.fromarray(given_), alpha)
    assert isinstance(result, np.ndarray if kind == "array" else Image.Image)
    if kind == "image":
        assert result.mode == "RGBA"
        assert result.size == (WIDTH, HEIGHT)
    pixels = np.asarray(result)
    assert pixels.dtype == np.uint8
    assert (pixels[..., :3] == given_).all()
    assert np.abs(pixels[..., 3] - expected).max() <= (1 if dtype == np.float16 else 0)


@pytest.mark.parametrize("kind", ["array", "image"])
def test_composite_is_equation_1(kind):
    front, back, alpha = photo(1), photo(2), matte(np.uint8)
    expected = naive_composite(front, back, alpha)
    if kind == "image":
        result = composite(Image.fromarray(front), Image.fromarray(back), alpha)
        assert isinstance(result, Image.Image)
        assert result.mode == "RGB"
    else:
        result = composite(front, back, alpha)
        assert result.dtype == np.uint8
    assert (np.asarray(result) == expected).all()


def test_alpha_as_float_or_as_eight_bits_gives_the_same():
    eight = matte(np.uint8)
    ours = composite(photo(1), photo(2), eight)
    assert (composite(photo(1), photo(2), eight / np.float32(255)) == ours).all()
    assert (composite(photo(1), photo(2), eight / 255.0) == ours).all()


def test_ends_of_alpha_are_exact():
    front, back = photo(1), photo(2)
    assert (composite(front, back, np.ones((HEIGHT, WIDTH))) == front).all()
    assert (composite(front, back, np.zeros((HEIGHT, WIDTH), np.float32)) == back).all()


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_one_pixel(front, back, alpha):
    result = composite(
        np.full((1, 1, 3), front, np.uint8), (back,) * 3, np.full((1, 1), alpha, np.uint8)
    )
    assert result[0, 0, 0] == (2 * (alpha * front + (255 - alpha) * back) + 255) // 510


@pytest.mark.parametrize("colour", ["lime", "#00ff00", "#0f0", (0, 255, 0), "rgb(0,255,0)"])
def test_a_colour_behind(colour):
    result = composite(photo(), colour, np.zeros((HEIGHT, WIDTH)))
    assert (result == (0, 255, 0)).all()


@pytest.mark.parametrize("size", [(20, 20), (400, 100), (33, 777), (WIDTH * 2, HEIGHT * 2)])
@pytest.mark.parametrize("kind", ["array", "image"])
def test_a_background_of_another_size_fills_the_photo(size, kind):
    back = scene(size=size)
    expected = ImageOps.fit(back, (WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    given_ = np.asarray(back) if kind == "array" else back
    result = composite(photo(), given_, np.zeros((HEIGHT, WIDTH)))
    # Bands are resized one by one; where they meet there must be no seam.
    assert np.abs(result.astype(int) - np.asarray(expected)).max() <= 1


@settings(max_examples=300)
@given(*[st.integers(1, 60)] * 4)
def test_a_background_of_any_size_fills_a_photo_of_any_size(wide, high, width, height):
    back = Image.new("RGB", (wide, high), (9, 99, 199))
    result = composite(photo(shape=(height, width)), back, np.zeros((height, width)))
    assert (result == (9, 99, 199)).all()


def test_a_background_of_the_same_size_is_not_resampled():
    back = scene(size=(WIDTH, HEIGHT))
    result = composite(photo(), back, np.zeros((HEIGHT, WIDTH)))
    assert (result == np.asarray(back)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16"])
def test_images_of_other_modes_serve_as_photo_and_background(mode):
    image = Image.new("L", (5, 4), 100)
    image = Image.new("I;16", (5, 4), 25700) if mode == "I;16" else image.convert(mode)
    half = np.full((4, 5), 0.5)
    assert cutout(image, half).getpixel((0, 0)) == (100, 100, 100, 128)
    assert composite(image, image, half).getpixel((0, 0)) == (100, 100, 100)


def test_what_is_given_is_left_alone():
    front, back = scene(), scene("RGBA")
    front.info = {"icc_profile": b"x" * 16 + b"RGB " + b"x" * 100, "comment": "mine"}
    before = (front.tobytes(), dict(front.info), back.tobytes(), back.mode)
    alpha = np.full((32, 48), 0.5)
    cut, mixed = cutout(front, alpha), composite(front, back, alpha)
    assert (front.tobytes(), dict(front.info), back.tobytes(), back.mode) == before
    assert cut.info == mixed.info == {"icc_profile": front.info["icc_profile"]}
    array, values = photo(), matte()
    copies = array.copy(), values.copy()
    cutout(array, values)
    composite(array, array, values)
    assert (array == copies[0]).all()
    assert (values == copies[1]).all()


def test_arrays_need_not_be_contiguous():
    array, alpha = photo()[::-1, ::2], matte()[::-1, ::2]
    straight = cutout(np.ascontiguousarray(array), np.ascontiguousarray(alpha))
    assert (cutout(array, alpha) == straight).all()
    assert (composite(array, array, alpha) == array).all()


@pytest.mark.parametrize("slip", [-1e-6, 1 + 1e-6])
def test_a_rounding_error_outside_the_range_is_clipped(slip):
    alpha = np.full((4, 5), slip)
    expected = round(min(max(slip, 0), 1)) * 255
    assert (cutout(photo(shape=(4, 5)), alpha)[..., 3] == expected).all()


@pytest.mark.parametrize("apply", [cutout, lambda image, alpha: composite(image, "red", alpha)])
@pytest.mark.parametrize(
    ("image", "alpha", "error", "words"),
    [
        (photo(), matte()[:-1], ImageError, r"alpha is \(299, 40\)"),
        (photo(), matte()[..., None], ImageError, r"alpha is \(300, 40, 1\)"),
        (photo(), matte().T, ImageError, r"alpha is \(40, 300\)"),
        (photo().astype(float), matte(), ImageError, r"uint8, not \(300, 40, 3\) float64"),
        (photo()[..., :2], matte(), ImageError, r"\(H, W, 3\)"),
        (photo()[:0], matte()[:0], ImageError, r"\(H, W, 3\)"),
        (Image.new("RGB", (0, 3)), np.zeros((3, 0)), ImageError, "one pixel"),
        ("photo.jpg", matte(), ImageError, "not str"),
        (photo(), matte().astype(int), OptionError, "not int64"),
        (photo(), matte() > 0.5, OptionError, "not bool"),
        (photo(), matte().tolist(), OptionError, "not list"),
        (photo(), matte() * 255, OptionError, r"alpha lies in \[0, 1\], not 0 to 25"),
        (photo(), matte() - 0.5, OptionError, r"\[0, 1\]"),
        (photo(), np.where(matte() > 0.9, np.nan, 0.5), OptionError, "nan"),
    ],
)
def test_bad_input_is_refused(apply, image, alpha, error, words):
    with pytest.raises(error, match=words):
        apply(image, alpha)


@pytest.mark.parametrize(
    ("background", "words"),
    [
        ("no colour", "is no colour"),
        ("#12345", "is no colour"),
        ("#ff000080", "red, green and blue"),
        ((1, 2), "red, green and blue"),
        ((0, 0, 256), "in 0 to 255"),
        ((0.5, 0.5, 0.5), "red, green and blue"),
        (None, "not NoneType"),
        ("blur:", "a blur's radius is in pixels"),
        ("blur:0", "not 0"),
        ("blur:nan", "not nan"),
        ("blur:1e9", "not 1e9"),
        (Blur(-1), "not -1"),
        (Blur("x"), "not x"),
    ],
)
def test_bad_backgrounds_are_refused(background, words):
    with pytest.raises(OptionError, match=words):
        composite(photo(), background, matte())


def test_parse_background(tmp_path):
    path = tmp_path / "beach.png"
    path.write_bytes(encoded("PNG"))
    assert parse_background("red") == (255, 0, 0)
    assert parse_background("#00b140") == (0, 177, 64)
    assert parse_background(str(path)).size == (48, 32)
    assert parse_background("blur") == Blur(None)
    assert parse_background(" Blur:2.5 ") == Blur(2.5)
    with pytest.raises(OptionError, match="neither a colour"):
        parse_background("reddish")
    path.write_bytes(b"sand")
    with pytest.raises(ImageError, match="is no image"):
        parse_background(str(path))


def test_a_blurred_background_is_behind_the_photo_itself():
    front, alpha = photo(1), matte(np.uint8)
    soft = blurred(Image.fromarray(front), alpha, 3)
    expected = composite(front, soft, alpha)
    assert (composite(front, "blur:3", alpha) == expected).all()
    assert (np.asarray(composite(Image.fromarray(front), Blur(3), alpha)) == expected).all()
