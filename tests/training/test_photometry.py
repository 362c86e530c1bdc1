import numpy as np
import pytest
from PIL import Image

from mmnet_np.training import photometry
from mmnet_np.training.occlusion import occlude


def picture(size=64, seed=0):
    """Smooth colours, as a lens gives them."""
    corners = np.random.default_rng(seed).integers(40, 216, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(corners).resize((size, size), Image.Resampling.BICUBIC)


def values(image):
    return np.asarray(image).astype(float)


@pytest.mark.parametrize("effect", [effect for _, effect in photometry._EFFECTS])
def test_every_effect_changes_a_picture_and_not_its_size(effect):
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    before = Image.blend(picture(128), Image.fromarray(noise), 0.3)  # something to blur, too
    kept = before.tobytes()
    changed = 0
    for seed in range(5):
        after = effect(np.random.default_rng(seed), before)
        again = effect(np.random.default_rng(seed), before)
        assert (after.mode, after.size) == ("RGB", before.size)
        assert after.tobytes() == again.tobytes()
        changed += after.tobytes() != kept
    assert changed >= 4  # a weak blur may round to none
    assert before.tobytes() == kept


def test_some_pictures_stay_as_they_are():
    before = picture(16)
    made = [photometry.develop(np.random.default_rng(seed), before) for seed in range(300)]
    untouched = sum(after.tobytes() == before.tobytes() for after in made)
    assert 0.1 < untouched / len(made) < 0.4
    assert {(after.mode, after.size) for after in made} == {("RGB", (16, 16))}


def test_tone_curve():
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3))
    same = photometry._mapped(ramp, np.ones(3), 1.0, 1.0)
    assert same.tobytes() == ramp.tobytes()
    mapped = values(photometry._mapped(ramp, np.array([0.5, 1.0, 2.0]), 0.8, 2.0))[0]
    level = np.arange(256)[:, None] / 255 * [0.5, 1.0, 2.0]
    expected = np.clip(((level**2 - 0.5) * 0.8 + 0.5) * 255, 0, 255)
    assert np.abs(mapped - expected).max() <= 0.51


def test_noise_has_the_size_asked_for():
    grey = Image.new("RGB", (128, 128), (128, 128, 128))
    noisy = values(photometry.noise(np.random.default_rng(1), grey, 8.0)) - 128
    assert noisy.std() == pytest.approx(8, rel=0.3)  # channels vary by that much
    assert abs(noisy.mean()) < 0.3
    between = np.corrcoef(noisy[..., 0].ravel(), noisy[..., 2].ravel())[0, 1]
    assert between > 0.95


def test_grey_and_jpeg():
    image = picture()
    grey = values(photometry.grey(image))
    assert (grey == grey[..., :1]).all()
    assert np.abs(grey[..., 0] - values(image) @ [0.299, 0.587, 0.114]).max() <= 1
    errors = [np.abs(values(photometry.jpeg(image, q)) - values(image)).mean() for q in (95, 30)]
    assert 0 < errors[0] < errors[1] < 10


def test_low_light_is_dark():
    image = picture()
    for seed in range(20):
        dark = values(photometry.low_light(np.random.default_rng(seed), image))
        assert dark.mean() < 0.75 * values(image).mean()


def test_occlusion_covers_picture_and_matte_alike():
    """White on white: what a black thing covers is black in both, soft edges included."""
    white, full = Image.new("RGB", (96, 96), "white"), Image.new("L", (96, 96), 255)
    covered = []
    for seed in range(40):
        black = lambda: Image.new("RGB", (96, 96), "black")  # noqa: E731
        image, alpha = occlude(np.random.default_rng(seed), white, full, black)
        assert np.abs(values(image) - values(alpha)[..., None]).max() <= 1
        covered.append(1 - values(alpha).mean() / 255)
    assert 0.05 < np.mean(covered) < 0.3
    assert max(covered) < 0.7
    assert full.getextrema() == (255, 255)


def test_occlusion_leaves_no_matte_where_there_was_none():
    half = np.zeros((64, 64), np.uint8)
    half[:, 20:40] = 200
    for seed in range(10):
        rng = np.random.default_rng(seed)
        _, alpha = occlude(rng, picture(), Image.fromarray(half), picture)
        assert (np.asarray(alpha) <= half).all()
