"""Pairs of photo and matte: the folder layout, and what can be wrong with it."""

import pytest
from hostile_images import exif
from PIL import Image
from portrait_folder import write_pairs

from mmnet_np.dataset import Pair, pairs, photos, problems
from mmnet_np.errors import ImageError


def test_pairs_of_a_split(tmp_path):
    names = write_pairs(tmp_path / "val", 3)
    found = pairs(tmp_path, "val")
    assert [pair.name for pair in found] == names
    assert found[0] == Pair(
        "p000", tmp_path / "val" / "image" / "p000.jpg", tmp_path / "val" / "mask" / "p000.png"
    )
    assert problems(found) == []


def test_a_folder_that_is_a_split_itself(tmp_path):
    names = write_pairs(tmp_path / "mine", 2)
    assert [pair.name for pair in pairs(tmp_path / "mine", "test")] == names
    assert pairs(str(tmp_path / "mine")) == pairs(tmp_path, "mine")


def test_other_files_are_no_photos(tmp_path):
    write_pairs(tmp_path, 1)
    for name in (".DS_Store", "._p000.jpg", "notes.txt", "Thumbs.db"):
        (tmp_path / "image" / name).write_bytes(b"x")
    Image.new("RGB", (40, 50)).save(tmp_path / "image" / "q.PNG")
    assert [pair.name for pair in pairs(tmp_path)] == ["p000", "q"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root: None, "has neither test/image and test/mask nor image and mask"),
        (lambda root: root.rmdir(), "there is no such folder"),
        (lambda root: (root / "test" / "image").mkdir(parents=True), "has neither"),
        (lambda root: [(root / n).mkdir() for n in ("image", "mask")], "no photo in it"),
    ],
)
def test_folders_that_are_no_data_set(tmp_path, make, words):
    root = tmp_path / "data"
    root.mkdir()
    make(root)
    with pytest.raises(ImageError, match=words):
        pairs(root)


def spoil_missing(root):
    (root / "mask" / "p001.png").unlink()


def spoil_photo(root):
    (root / "image" / "p001.jpg").write_bytes(b"no photo")


def spoil_mask(root):
    (root / "mask" / "p001.png").write_bytes(b"")


def spoil_size(root):
    Image.new("L", (50, 40)).save(root / "mask" / "p001.png")


def spoil_small(root):
    Image.new("L", (8, 40)).save(root / "mask" / "p001.png")
    Image.new("RGB", (8, 40)).save(root / "image" / "p001.jpg")


def spoil_twin(root):
    Image.new("RGB", (40, 50)).save(root / "image" / "p001.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_missing, "p001.jpg: its mask {root}/mask/p001.png is missing"),
        (spoil_photo, "p001.jpg: is no image, or of a kind Pillow cannot read"),
        (spoil_mask, "mask/p001.png: is empty"),
        (spoil_size, "p001.jpg: is 40 x 50, but its mask 50 x 40"),
        (spoil_small, "p001.jpg: is 8 x 40, less than 9 pixels a side"),
        (spoil_twin, "p001.png: has the same mask as p001.jpg"),
    ],
)
def test_each_problem_is_one_sentence(tmp_path, spoil, words):
    write_pairs(tmp_path, 3)
    spoil(tmp_path)
    found = problems(pairs(tmp_path), smallest=9)
    assert len(found) == 1
    assert found[0].startswith(str(tmp_path))
    assert found[0].endswith(words.format(root=tmp_path))


def test_the_size_of_a_turned_photo_is_that_of_the_upright_one(tmp_path):
    write_pairs(tmp_path, 1)
    image = Image.open(tmp_path / "image" / "p000.jpg").transpose(Image.Transpose.ROTATE_90)
    image.save(tmp_path / "image" / "p000.jpg", exif=exif(6))
    assert problems(pairs(tmp_path)) == []


def test_photos_at_any_depth_without_the_mattes(tmp_path):
    write_pairs(tmp_path / "b" / "train", 2)
    (tmp_path / "a" / "mask").mkdir(parents=True)
    for path in (tmp_path / "a" / "mask" / "party.JPG", tmp_path / "z.png"):
        Image.new("RGB", (8, 8)).save(path)
    for name in ("notes.txt", "._z.png"):
        (tmp_path / name).write_bytes(b"x")
    found = [str(path.relative_to(tmp_path)) for path in photos(tmp_path)]
    images = [f"b/train/image/p00{k}.jpg" for k in (0, 1)]
    assert found == ["a/mask/party.JPG", *images, "z.png"]
    assert photos(tmp_path / "b" / "train" / "image") == photos(str(tmp_path / "b"))


def test_folders_without_photos(tmp_path):
    with pytest.raises(ImageError, match="there is no photo in it"):
        photos(tmp_path)
    with pytest.raises(ImageError, match="there is no such folder"):
        photos(tmp_path / "none")
