import numpy as np
import pytest
from PIL import Image

import mmnet_np
from mmnet_np.errors import ImageError, OptionError
from mmnet_np.kernels import jit

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
BACKENDS = [False, pytest.param(True, marks=needs_numba)]


def mixture(height=300, width=400):
    """A photo of a textured disc before another texture; its alpha; its true foreground."""
    y, x = np.indices((height, width)) / height
    alpha = np.clip((0.35 - np.hypot(y - 0.5, x - 0.66)) * 25, 0, 1)
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 4, (height, width, 1))
    front = np.stack([150 + 60 * y, 110 + 30 * x, 90 + 0 * x], -1) + grain
    back = np.stack([20 + 0 * x, 60 + 90 * x / x.max(), 160 - 50 * y], -1) + grain
    photo = alpha[..., None] * front + (1 - alpha[..., None]) * back
    to_bytes = lambda a: np.rint(a.clip(0, 255)).astype(np.uint8)  # noqa: E731
    return to_bytes(photo), np.rint(alpha * 255).astype(np.uint8), to_bytes(front)


@pytest.mark.parametrize("numba", BACKENDS)
@pytest.mark.parametrize("size", [(300, 400), (700, 1500)])
def test_the_halo_goes(numba, size):
    photo, alpha, truth = mixture(*size)
    found = mmnet_np.foreground(photo, alpha, numba=numba).astype(float)
    edge = (alpha > 5) & (alpha < 250)

    def error(colours):
        return (np.abs(colours - truth).mean(-1) * (alpha / 255))[edge].mean()

    assert error(found) < 0.25 * error(photo.astype(float))


@pytest.mark.parametrize("numba", BACKENDS)
def test_what_is_not_mixed_is_not_touched(numba):
    photo, alpha, _ = mixture()
    found = mmnet_np.foreground(photo, alpha, numba=numba)
    whole = (alpha == 0) | (alpha == 255)
    assert (found[whole] == photo[whole]).all()
    assert (found[~whole] != photo[~whole]).any()


@pytest.mark.parametrize("numba", BACKENDS)
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_what_may_only_be_read(numba, kind):
    photo, alpha, _ = mixture()
    locked = (alpha if kind is np.uint8 else alpha / np.float32(255)).copy()
    locked.flags.writeable = photo.flags.writeable = False
    found = mmnet_np.foreground(photo, locked, numba=numba)
    assert (found == mmnet_np.foreground(photo.copy(), alpha, numba=numba)).all()


def test_images_and_arrays_floats_and_bytes():
    photo, alpha, _ = mixture()
    by_array = mmnet_np.foreground(photo, alpha)
    picture = Image.fromarray(photo)
    picture.info["icc_profile"] = b"\0" * 16 + b"RGB " + b"\0" * 100
    by_image = mmnet_np.foreground(picture, alpha / np.float32(255))
    assert by_image.mode == "RGB"
    assert by_image.info["icc_profile"] == picture.info["icc_profile"]
    assert (np.asarray(by_image) == by_array).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (2, 3)])
def test_odd_sizes(size):
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    alpha = rng.integers(0, 256, size, dtype=np.uint8)
    assert mmnet_np.foreground(photo, alpha, numba=False).shape == photo.shape


def test_bad_alpha_is_refused():
    photo, alpha, _ = mixture()
    with pytest.raises(ImageError, match="alpha is"):
        mmnet_np.foreground(photo, alpha[1:])
    with pytest.raises(OptionError, match="alpha lies in"):
        mmnet_np.foreground(photo, alpha / np.float32(100))
