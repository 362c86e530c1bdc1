"""What a photo says of itself: what is kept of it, in every format, and what damage does."""

import io
import struct

import hostile_images
import numpy as np
import pytest
from hostile_images import encoded, scene
from PIL import Image

from mmnet_np.images import open_photo
from mmnet_np.metadata import kept_exif
from mmnet_np.output import save_image

EXIF, GPS, MAKER_NOTE, DATE = 0x8769, 0x8825, 0x927C, 0x9003
CAMERA, ORIENTATION, ARTIST = 0x0110, 0x0112, 0x013B


def block(note=b"private " * 4):
    """EXIF with something of every kind, as bytes."""
    made = Image.Exif()
    made[CAMERA], made[ARTIST], made[ORIENTATION] = "Lucida", "Nadar", 6
    made[EXIF] = {DATE: "1858:01:01 12:00:00", 0xA002: 48, MAKER_NOTE: note}
    made[GPS] = {1: "N", 2: (48.0, 51.0, 30.0)}
    return made.tobytes()


def read(data):
    """Give the tags of a file: the plain ones, EXIF's, the place."""
    with Image.open(data) as image:
        found = Image.Image.getexif(image)
        plain = {tag: found[tag] for tag in found if tag in (CAMERA, ORIENTATION, ARTIST)}
        return plain, dict(found.get_ifd(EXIF)), dict(found.get_ifd(GPS))


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_what_describes_the_photo_goes_from_any_format_to_any(tmp_path, source, suffix):
    file = io.BytesIO(encoded(source, exif=block()))
    photo = open_photo(file, metadata=True)
    assert photo.size == (32, 48)  # the orientation is applied, hence not kept
    exif = photo.info.pop("exif")
    save_image(photo, tmp_path / f"out{suffix}", exif=exif)
    plain, details, place = read(tmp_path / f"out{suffix}")
    assert plain == {CAMERA: "Lucida", ARTIST: "Nadar"}
    assert details == {DATE: "1858:01:01 12:00:00", MAKER_NOTE: b"private " * 4}
    assert place == {1: "N", 2: (48.0, 51.0, 30.0)}
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.size == (32, 48)


def test_nothing_is_kept_unasked(tmp_path):
    assert open_photo(io.BytesIO(encoded("JPEG", exif=block()))).info == {}


def test_a_photo_without_exif():
    assert open_photo(io.BytesIO(encoded("PNG")), metadata=True).info == {}
    only_turned = encoded("JPEG", exif=hostile_images.exif(6))
    assert open_photo(io.BytesIO(only_turned), metadata=True).info == {}


def test_exif_behind_the_pixels_of_a_png():
    whole = encoded("PNG", exif=block())
    at = whole.index(b"eXIf") - 4
    end = at + 12 + struct.unpack(">I", whole[at : at + 4])[0]
    closing = whole.index(b"IEND") - 4
    moved = whole[:at] + whole[end:closing] + whole[at:end] + whole[closing:]
    assert moved != whole
    kept = open_photo(io.BytesIO(moved), metadata=True).info["exif"]
    assert kept == open_photo(io.BytesIO(whole), metadata=True).info["exif"]


def thumbnail():
    """EXIF with a second directory that holds a small picture, which no longer shows the truth."""
    small = encoded("JPEG", scene(size=(16, 16)))
    first = struct.pack("<HHHI4sI", 1, CAMERA, 2, 4, b"abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, 56, 0x202, 4, 1, len(small), 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + first + second + small


def test_the_thumbnail_stays_behind():
    data = thumbnail()
    kept = open_photo(io.BytesIO(encoded("JPEG", exif=data)), metadata=True).info["exif"]
    assert b"\xff\xd8" in data
    assert b"\xff\xd8" not in kept
    assert b"abc\0" in kept


def test_of_too_much_the_makers_note_goes_first():
    large = Image.new("RGB", (2, 2))
    large.info["exif"] = block(note=b"x" * 70_000)
    kept = kept_exif(large)
    assert len(kept) < 1000
    found = Image.Exif()
    found.load(kept)
    assert found[CAMERA] == "Lucida"
    assert dict(found.get_ifd(EXIF)) == {DATE: "1858:01:01 12:00:00"}
    too_large = Image.Exif()
    too_large[ARTIST] = "x" * 70_000
    large = Image.new("RGB", (2, 2))
    large.info["exif"] = too_large.tobytes()
    assert kept_exif(large) is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
@pytest.mark.parametrize("seed", range(40))
def test_damaged_exif_never_stops_a_photo(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(block())
    for at in rng.integers(6, len(data), 6):
        data[at] = rng.integers(256)
    if seed % 3 == 0:
        del data[rng.integers(8, len(data)) :]
    photo = open_photo(io.BytesIO(encoded("JPEG", exif=bytes(data))), metadata=True)
    save_image(photo, tmp_path / "out.jpg", exif=photo.info.pop("exif", None))
    assert open_photo(tmp_path / "out.jpg", metadata=True).mode == "RGB"
