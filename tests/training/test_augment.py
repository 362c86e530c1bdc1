import numpy as np
import pytest
from PIL import Image

from mmnet_np.errors import ImageError
from mmnet_np.preprocess import network_input
from mmnet_np.training import augment
from mmnet_np.training.augment import AUGMENTATIONS, balanced, gentle, paper, plain, robust
from mmnet_np.training.views import portrait


def person(height=90, width=68):
    """A photo in which whiteness is alpha: a white, softly bordered bust on black."""
    y, x = np.indices((height, width)) / np.array([height, width])[:, None, None]
    head = 0.2 - np.hypot(y - 0.4, (x - 0.5) * 0.9)
    body = np.minimum(y - 0.6, 0.35 - np.abs(x - 0.5))
    matte = (np.clip(np.maximum(head, body) * 40, -1, 1) * 127.5 + 127.5).astype(np.uint8)
    return np.repeat(matte[..., None], 3, axis=2), matte


def noise(seed, height=70, width=50):
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return photo, rng.integers(0, 256, (height, width), dtype=np.uint8)


class Fixed:
    """Stands in for a generator: gives the middle, the lowest or the highest of every range."""

    def __init__(self, at, chance):
        self.at, self.chance = at, chance

    def uniform(self, low, high, size=None):
        value = low + (high - low) * self.at
        return value if size is None else np.full(size, value)

    def random(self, size=None):
        return self.chance if size is None else np.full(size, self.at)


def test_plain_is_the_networks_input():
    photo, matte = noise(1)
    image, alpha = plain(None, photo, matte, 32)
    assert np.abs(image - network_input(photo, 32, 32)).max() < 2e-4
    three = np.repeat(matte[..., None], 3, axis=2)
    assert np.abs(alpha - network_input(three, 32, 32)[..., 0]).max() < 2e-4


def test_the_papers_without_any_change_is_the_networks_input():
    photo, matte = noise(2)
    # Factors 1, no flip, no rotation.
    image, _ = paper(Fixed(0.0, 1.0), photo, matte, 48)
    assert np.abs(image - network_input(photo, 48, 48)).max() < 2e-4


def test_the_papers_flip():
    """Centred crops, no rotation but one by 0 degrees."""
    photo, matte = noise(2)
    straight, flipped = (paper(Fixed(0.5, chance), photo, matte, 48) for chance in (1.0, 0.0))
    for one, other in zip(straight, flipped, strict=True):
        assert np.abs(one - other[:, ::-1]).max() < 1e-4
        assert np.abs(one - other).max() > 0.5


def test_the_papers_crop_against_a_slice():
    """At a factor of 1.15 a photo of 116 pixels shows 100 of its steps, here exactly a slice."""
    photo, matte = noise(3, 116, 116)
    image, alpha = paper(Fixed(1.0, 1.0), photo, matte, 101)
    # Random crops at 1.0 lie at the lower right end.
    expected = plain(None, photo[15:, 15:].copy(), matte[15:, 15:].copy(), 101)
    assert np.abs(image - expected[0]).max() < 1e-3
    assert np.abs(alpha - expected[1]).max() < 1e-3


def test_the_papers_never_leaves_the_photo():
    photo, matte = np.full((60, 45, 3), 255, np.uint8), np.full((60, 45), 255, np.uint8)
    for seed in range(60):
        image, alpha = paper(np.random.default_rng(seed), photo, matte, 32)
        assert image.min() == alpha.min() == 1


def test_the_papers_largest_inner_square_touches_the_border():
    """One step further out and a rotated corner would lie beyond the photo."""
    matte = np.full((400, 400), 255, np.uint8)
    matte[[0, 1, -2, -1]] = matte[:, [0, 1, -2, -1]] = 0
    photo = np.zeros((400, 400, 3), np.uint8)
    rng = Fixed(0.0, 0.0)
    rng.uniform = lambda low, high, size=None: 11.0 if size is None else np.zeros(size)
    _, alpha = paper(rng, photo, matte, 400)
    # A rotated inscribed square has its corners on the photo's sides.
    corners = alpha[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() < 0.2
    assert alpha[8:-8, 8:-8].min() == 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [32, 80])
def test_shapes_ranges_and_determinism(name, size):
    photo, matte = noise(4)
    kept = photo.copy(), matte.copy()
    other = portrait(*person())
    distinct = set()
    for seed in range(25):
        image, alpha = AUGMENTATIONS[name](
            np.random.default_rng(seed), photo, matte, size, lambda: other
        )
        assert (image.shape, alpha.shape) == ((size, size, 3), (size, size))
        assert image.dtype == alpha.dtype == np.float32
        assert image.flags.c_contiguous
        assert 0 <= min(image.min(), alpha.min()) <= max(image.max(), alpha.max()) <= 1
        again = AUGMENTATIONS[name](
            np.random.default_rng(seed), portrait(photo, matte), None, size, lambda: other
        )
        assert [a.tobytes() for a in (image, alpha)] == [a.tobytes() for a in again]
        distinct.add(image.tobytes())
    assert len(distinct) == (1 if name == "plain" else 25)
    assert (photo == kept[0]).all()
    assert (matte == kept[1]).all()


@pytest.mark.parametrize("seed", range(40))
def test_the_papers_matte_follows_the_photo(seed):
    image, alpha = paper(np.random.default_rng(seed), *person(), 64)
    assert np.abs(image - alpha[..., None]).max() < 1e-6


def test_the_robust_matte_follows_the_photo(monkeypatch):
    """With white people on black before black, and no light, lens or covers, colour is alpha."""
    monkeypatch.setattr(augment, "develop", lambda rng, picture: picture)
    monkeypatch.setattr(augment, "occlude", lambda rng, picture, alpha, fill: (picture, alpha))
    black = lambda rng, size: Image.new("RGB", (size, size))  # noqa: E731
    monkeypatch.setattr(augment, "plain_colours", black)
    photo, matte = person()
    other = portrait(*(array[::-1].copy() for array in person(60, 80)))
    shown = []
    for seed in range(150):
        image, alpha = robust(np.random.default_rng(seed), photo, matte, 64, lambda: other)
        difference = np.abs(image - alpha[..., None])
        # Soft edges may differ: a person cut out is white up to its very edge.
        assert difference.mean() < 0.02, seed
        assert (difference > 0.3).mean() < 0.002, seed
        shown.append(alpha.mean())
    shown = np.array(shown)
    assert 0.005 < (shown == 0).mean() < 0.12  # some show nobody
    assert np.quantile(shown, 0.9) > 2.5 * np.quantile(shown, 0.25) > 0.05


@pytest.mark.parametrize(("function", "framed"), [(balanced, 0.5), (gentle, 0.75)])
def test_so_many_are_framed_as_the_papers(monkeypatch, function, framed):
    monkeypatch.setattr(augment, "develop", lambda rng, picture: picture)
    photo, matte = person()
    as_paper = 0
    for seed in range(200):
        image, alpha = function(np.random.default_rng(seed), photo, matte, 32)
        rng = np.random.default_rng(seed)
        rng.random()
        expected = paper(rng, photo, matte, 32)
        if (alpha == expected[1]).all():
            as_paper += 1
            assert np.abs(image - expected[0]).max() <= 0.5 / 255 + 1e-6
    # Four standard deviations of 200 throws of a coin.
    assert abs(as_paper - 200 * framed) < 28


def test_half_of_the_gently_framed_stay_undeveloped(monkeypatch):
    developed = []
    monkeypatch.setattr(augment, "develop", lambda rng, picture: developed.append(1) or picture)
    monkeypatch.setattr(augment, "robust", lambda *arguments: (np.zeros(1), np.zeros(1)))
    for seed in range(200):
        gentle(np.random.default_rng(seed), *person(), 16)
    assert abs(len(developed) - 75) < 28


def test_a_person_free_photo_stays_so():
    photo, _ = noise(5)
    nobody = np.zeros(photo.shape[:2], np.uint8)
    for seed in range(40):
        _, alpha = robust(np.random.default_rng(seed), photo, nobody, 32)
        assert not alpha.any()


def test_a_photo_full_of_a_person_works():
    photo, _ = noise(6)
    full = np.full(photo.shape[:2], 255, np.uint8)
    means = [robust(np.random.default_rng(s), photo, full, 32)[1].mean() for s in range(40)]
    assert 0.3 < np.mean(means) < 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 2), (1300, 20)])
def test_odd_photos_do_not_crash(shape):
    photo, matte = noise(7, *shape)
    for seed in range(15):
        for function in (paper, robust, balanced, gentle):
            image, alpha = function(np.random.default_rng(seed), photo, matte, 32)
            assert np.isfinite(image).all()
            assert np.isfinite(alpha).all()


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_matte_of_another_size_is_refused(name):
    with pytest.raises(ImageError, match=r"the matte is \(5, 4\) uint8; beside a photo of"):
        AUGMENTATIONS[name](
            np.random.default_rng(1), np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.uint8), 32
        )
