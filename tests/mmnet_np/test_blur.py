"""The blurred background: a normalized convolution, no colour of the person in it, any size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmnet_np.blur import blurred


def person(height, width, factor=1.0):
    """A photo of a red person before blue and green stripes, and alpha."""
    y, x = np.mgrid[:height, :width]
    inside = np.hypot((y - height) / height, (x - width / 2) / width) < 0.4
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 1] = 120 + 60 * np.sin(x / width * 7)
    pixels[..., 2] = 150
    pixels[inside] = (255, 0, 0)
    return Image.fromarray(pixels), inside.astype(np.float32) * np.float32(factor)


def normalized_convolution(photo, alpha, radius):
    """The same in float64, at full size, with a Gaussian as long as the photo."""
    pixels, weight = np.asarray(photo, np.float64), 1 - alpha.astype(np.float64)
    filters = []
    for length in weight.shape:
        distance = np.subtract.outer(np.arange(length), np.arange(length))
        filters.append(np.exp(-(distance**2) / (2 * radius**2)))
    down, across = filters

    def soften(plane):
        return down @ plane @ across

    total = soften(weight)
    planes = [soften(pixels[..., c] * weight) / np.maximum(total, 1e-30) for c in range(3)]
    return np.stack(planes, axis=2)


@pytest.mark.parametrize("size", [(150, 200), (200, 151)])
@pytest.mark.parametrize("radius", [1, 3, 8, 13])
@pytest.mark.parametrize("kind", ["float", "uint8"])
def test_is_a_normalized_convolution(size, radius, kind):
    photo, alpha = person(*size)
    given_ = (alpha * 255).astype(np.uint8) if kind == "uint8" else alpha
    ours = blurred(photo, given_, radius)
    shown = np.asarray(ours.resize(photo.size, Image.Resampling.BICUBIC)).astype(float)
    expected = normalized_convolution(photo, alpha, radius)
    # What can be seen: outside the person, and inside as far as a soft edge reaches. Pillow's
    # Gaussian is three box filters, which repeat the border where the equation ends.
    softened = normalized_convolution(Image.fromarray(np.uint8(alpha * 255)).convert("RGB"),
                                      np.zeros_like(alpha), radius)[..., 0] / 255  # fmt: skip
    seen = softened < 0.6
    margin = 3 * radius
    seen[:margin], seen[-margin:], seen[:, :margin], seen[:, -margin:] = (False,) * 4
    assert seen.sum() > 1000
    assert np.abs(shown - expected)[seen].max() < 4


def test_nothing_of_the_person_is_in_it():
    photo, alpha = person(160, 200)
    red = np.asarray(blurred(photo, alpha, 10))[..., 0]
    assert red.max() == 0
    plain = np.asarray(blurred(photo, np.zeros_like(alpha), 10))[..., 0]
    assert plain.max() > 200


def test_the_default_radius_is_a_share_of_the_longer_side():
    photo, alpha = person(300, 400)
    assert blurred(photo, alpha).tobytes() == blurred(photo, alpha, 8).tobytes()


def test_a_large_blur_is_made_small():
    photo, alpha = person(1200, 900)
    assert blurred(photo, alpha, 40).size == (113, 150)
    assert blurred(photo, alpha, 65_535).size == (8, 10)


@settings(max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.01, 60_000))
def test_any_size_and_radius(height, width, radius):
    photo = Image.new("RGB", (width, height), (9, 99, 199))
    alpha = np.zeros((height, width), np.uint8)
    alpha[height // 2] = 100
    soft = blurred(photo, alpha, radius)
    assert soft.mode == "RGB"
    # Colours are kept in eight bits, times a weight of 155 / 255 at least.
    assert np.abs(np.asarray(soft).astype(int) - (9, 99, 199)).max() <= 3


def test_no_background_at_all():
    photo = Image.new("RGB", (30, 20), "red")
    assert blurred(photo, np.ones((20, 30)), 3).size == (30, 20)
