"""Writing images: formats, whole files or none, nothing replaced unasked."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest
from hostile_images import scene
from PIL import Image, ImageCms

from mmnet_np.errors import ImageError
from mmnet_np.output import save_image


def folder_is(folder, *names):
    return sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"])
def test_the_suffix_names_the_format(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    save_image(scene(), path)
    with Image.open(path) as image:
        assert image.format in ("PNG", "TIFF", "WEBP", "JPEG")
        assert image.format[:2] == suffix[1:3].upper()
        assert np.abs(np.asarray(image).astype(int) - np.asarray(scene())).mean() < 8
    assert folder_is(tmp_path, path.name)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_transparency_and_profile_are_written(tmp_path, suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = scene("RGBA")
    image.putalpha(scene("L"))
    image.info["icc_profile"] = profile
    save_image(image, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as back:
        assert back.mode == "RGBA"
        assert (np.asarray(back)[..., 3] == np.asarray(scene("L"))).all()
        assert back.info["icc_profile"] == profile


@pytest.mark.parametrize("name", ["out.gif", "out", ".png", "out.pdf"])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ImageError, match=r"must end in \.png, \.tif"):
        save_image(scene(), tmp_path / name)
    assert folder_is(tmp_path)


def test_jpeg_cannot_hold_transparency(tmp_path):
    with pytest.raises(ImageError, match=r"out\.jpg: JPEG cannot hold transparency"):
        save_image(scene("RGBA"), tmp_path / "out.jpg")
    assert folder_is(tmp_path)


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    path = tmp_path / "out.png"
    path.write_bytes(b"precious")
    with pytest.raises(ImageError, match=r"out\.png: exists, give --overwrite"):
        save_image(scene(), path)
    assert path.read_bytes() == b"precious"
    save_image(scene(), path, overwrite=True)
    assert Image.open(path).size == (48, 32)
    assert folder_is(tmp_path, "out.png")


def test_a_file_that_appears_while_saving_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    save = Image.Image.save

    def slow(self, target, **options):
        save(self, target, **options)
        path.write_bytes(b"precious")

    monkeypatch.setattr(Image.Image, "save", slow)
    with pytest.raises(ImageError, match="exists"):
        save_image(scene(), path)
    assert path.read_bytes() == b"precious"
    assert folder_is(tmp_path, "out.png")


def test_a_dangling_link_counts_as_existing(tmp_path):
    path = tmp_path / "out.png"
    path.symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ImageError, match="exists"):
        save_image(scene(), path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_only_regular_files_are_replaced(tmp_path, make):
    make(tmp_path / "out.png")
    with pytest.raises(ImageError, match="is not a regular file"):
        save_image(scene(), tmp_path / "out.png", overwrite=True)
    assert folder_is(tmp_path, "out.png")


@pytest.mark.parametrize("name", ["nowhere/out.png", "x" * 300 + ".png"])
def test_what_the_system_refuses_is_one_sentence(tmp_path, name):
    with pytest.raises(ImageError, match=r"cannot be written \([A-Z][a-z ]+\)"):
        save_image(scene(), tmp_path / name)
    assert folder_is(tmp_path)


@pytest.mark.parametrize("size", [(70_000, 1)])
def test_what_the_format_refuses_is_one_sentence(tmp_path, size):
    with pytest.raises(ImageError, match=r"out\.jpg: cannot be written"):
        save_image(Image.new("RGB", size), tmp_path / "out.jpg")
    assert folder_is(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_a_full_disk_leaves_no_part(tmp_path, suffix):
    """A limit on file size stands in for the disk: write() fails half-way either way."""
    program = (
        "import sys, numpy as np\n"
        "from PIL import Image\n"
        "from mmnet_np.output import save_image, ImageError\n"
        "noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)\n"
        "try: save_image(Image.fromarray(noise), sys.argv[1])\n"
        "except ImageError as error: print(error)\n"
    )

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    path = tmp_path / f"out{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )
    assert done.stdout.startswith(f"{path}: cannot be written ("), done
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
    assert folder_is(tmp_path)
