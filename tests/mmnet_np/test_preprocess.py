import naive
import numpy as np
import pytest
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapes import seeds

from mmnet_np.errors import ImageError
from mmnet_np.preprocess import alpha_bands, network_input, reduction


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), seeds)
def test_small_photos_are_resized_by_align_corners(height, width, seed):
    image = photo(height, width, seed)
    expected = naive.resize(image[None] / 255.0, 16, 32, "align_corners")[0]
    assert_same(network_input(image, 16, 32), expected, np.float32)


def test_array_and_image_give_the_same_bits():
    for size in ((50, 30), (1300, 700)):
        image = photo(*size)
        from_array = network_input(image, 32, 32)
        assert from_array.tobytes() == network_input(Image.fromarray(image), 32, 32).tobytes()


def test_the_datas_own_sizes_are_not_reduced():
    assert [reduction(n) for n in (240, 448, 600, 800, 1199)] == [1] * 5
    assert [reduction(n) for n in (1200, 4000)] == [2, 6]


def test_large_photos_are_averaged_first():
    """A fine chessboard is grey, whatever pixels a plain bilinear resize would have hit."""
    board = np.indices((1800, 1800)).sum(axis=0) % 2 * 255
    image = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    x = network_input(image, 64, 64)
    assert np.abs(x - 0.5).max() < 0.06  # 3 x 3 cells: 4 or 5 of 9 white
    small = network_input(image[:600, :600], 64, 64)
    assert small.std() > 5 * x.std()  # not reduced: aliases, as the authors' program does


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "F"])
def test_other_modes_are_converted(mode):
    image = Image.fromarray(photo(20, 30)).convert("L" if mode in ("I;16", "LA", "F") else "RGB")
    image = image.convert("I").convert(mode) if mode == "I;16" else image.convert(mode)
    x = network_input(image, 16, 16)
    assert x.shape == (16, 16, 3)
    assert 0 <= x.min() <= x.max() <= 1


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ("photo.jpg", "the image is a str; it must be a PIL image or a NumPy array"),
        (None, "the image is a NoneType; it must be a PIL image or a NumPy array"),
        (np.zeros((4, 4), np.uint8), "the image is an array of shape (4, 4) and dtype uint8; it "
         "must be (height, width, 3) uint8 with at least one pixel"),
        (np.zeros((4, 4, 3)), "the image is an array of shape (4, 4, 3) and dtype float64; it "
         "must be (height, width, 3) uint8 with at least one pixel"),
        (np.zeros((0, 4, 3), np.uint8), "the image is an array of shape (0, 4, 3) and dtype "
         "uint8; it must be (height, width, 3) uint8 with at least one pixel"),
    ],
)  # fmt: skip
def test_what_is_no_photo_is_named(bad, sentence):
    with pytest.raises(ImageError) as caught:
        network_input(bad, 16, 16)
    assert str(caught.value) == sentence


@given(st.integers(1, 700), st.integers(1, 60), seeds)
def test_alpha_comes_back_by_legacy_bilinear(height, width, seed):
    alpha = np.random.default_rng(seed).random((8, 16), dtype=np.float32)
    bands = list(alpha_bands(alpha, height, width))
    whole = np.concatenate([rows for _, rows in bands])
    assert [first for first, _ in bands] == list(range(0, height, 256))
    assert whole.shape == (height, width)
    assert 0 <= whole.min() <= whole.max() <= 1
    some = slice(0, height, 37)
    expected = naive.resize(alpha[None, :, :, None], height, width, "legacy")[0, :, :, 0]
    assert_same(whole[some], expected[some], np.float32)
