import numpy as np
import pytest
from PIL import Image

from mmnet_np.kernels import jit
from mmnet_np.metrics import gradient_error, mad
from mmnet_np.preprocess import alpha_bands
from mmnet_np.refine import guide, refined_bands


def disc(height, width):
    """A photo of a bright disc on a dark, textured ground, and its true matte."""
    y, x = np.indices((height, width))
    distance = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    matte = np.clip((0.3 - distance) * min(height, width) + 0.5, 0, 1)
    texture = np.random.default_rng(0).integers(0, 30, (height, width, 3))
    colours = matte[..., None] * [230, 180, 150] + (1 - matte[..., None]) * [40, 60, 90]
    return Image.fromarray((colours + texture - 15).clip(0, 255).astype(np.uint8)), matte


def small_matte(matte, size):
    """What a network of that size would give: the matte reduced by area."""
    picture = Image.fromarray(matte.astype(np.float32))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))


def joined(rows):
    return np.concatenate([band for _, band in rows])


@pytest.mark.parametrize("size", [(600, 800), (301, 999), (1000, 333)])
def test_edges_come_nearer_to_the_truth(size):
    photo, matte = disc(*size)
    small = small_matte(matte, 64)
    plain = joined(alpha_bands(small, *size))
    refined = joined(refined_bands(small, photo, numba=False))
    assert refined.shape == size
    assert refined.dtype == np.float32
    assert gradient_error(refined, matte) < 0.6 * gradient_error(plain, matte)
    assert mad(refined, matte) < 0.8 * mad(plain, matte)


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (320, 200), (700, 1300)])
def test_both_backends_agree(size):
    photo, matte = disc(*size)
    small = small_matte(matte, 32)
    by_numpy, by_numba = (joined(refined_bands(small, photo, numba=n)) for n in (False, True))
    assert np.abs(by_numpy - by_numba).max() < 1e-4


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_and_everything_stay(value):
    photo, _ = disc(300, 400)
    small = np.full((64, 64), np.float32(value))
    assert np.abs(joined(refined_bands(small, photo, numba=False)) - value).max() < 1e-6


def test_the_guide_lies_where_alpha_does():
    """A ramp reduced and read at align_corners positions is a ramp, whatever the factor."""
    for width in (100, 256, 700, 1300, 3000):
        ramp = np.tile(np.linspace(0, 255, width), (80, 1))
        photo = Image.fromarray(np.rint(ramp).astype(np.uint8)).convert("RGB")
        found = guide(photo, 64, 64)
        assert found.shape == (64, 64, 3)
        expected = np.linspace(0, 1, 64)
        # Averages stop short of the very ends.
        assert np.abs(found[:, 2:-2] - expected[None, 2:-2, None]).max() < 4e-3


def test_the_guide_does_not_alias():
    stripes = np.zeros((640, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(guide(Image.fromarray(stripes), 64, 64) - 0.5).max() < 0.01
