"""Reading photos: every mode and orientation, and everything that is no photo."""

import functools
import io
import subprocess
import sys
import threading
import time
import warnings

import hostile_images
import numpy as np
import pytest
from hostile_images import ORIENTATION, encoded, scene
from PIL import Image, ImageCms

from mmnet_np.errors import ImageError
from mmnet_np.images import open_mask, open_photo, photo_size
from mmnet_np.rgb import to_rgb

READERS = [open_photo, open_mask, photo_size]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return hostile_images.corpus(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def keep(tmp_path):
    """Write bytes, give their path."""

    def write(data, name="photo"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def pixels(image):
    return np.asarray(image).astype(int)


# Hostile files


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
def test_every_hostile_file_is_read_or_refused(corpus):
    assert len(corpus) >= 100
    wrong = []
    for case in corpus:
        start = time.monotonic()
        try:
            image = open_photo(case.path)
            outcome = "photo" if image.mode == "RGB" and min(image.size) > 0 else "nonsense"
        except ImageError as error:
            outcome = "error"
            text = str(error)
            assert text.isprintable(), text
            assert case.path.name.split("\n")[0][:4] in text
        if case.outcome not in ("either", outcome) or outcome == "nonsense":
            wrong.append((case.name, outcome))
        assert time.monotonic() - start < 5, case.name
    assert not wrong


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("read", READERS)
def test_hostile_files_raise_nothing_else(corpus, read):
    refused = 0
    for case in corpus:
        try:
            read(case.path)
        except ImageError:
            refused += 1
    assert refused >= 40


def test_hostile_files_need_little_memory(corpus):
    """Headers claim gigabytes and streams unpack to 100 MB; a 48 x 32 photo needs 6 kB."""
    program = (
        "import resource, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from mmnet_np.images import open_photo, ImageError\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "from PIL import Image, ImageCms; Image.init()\n"
        "before = peak()\n"
        "for path in sys.stdin.buffer.read().split(b'\\0'):\n"
        "    try: open_photo(path.decode('utf-8', 'surrogateescape'))\n"
        "    except ImageError: pass\n"
        "print(peak() - before)\n"
    )
    paths = b"\0".join(bytes(case.path) for case in corpus)
    done = subprocess.run(
        [sys.executable, "-c", program], input=paths, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) < 60


def test_errors_name_the_file_in_one_printable_line(tmp_path):
    with pytest.raises(ImageError) as caught:
        open_photo(tmp_path / "a\nb\udce9.jpg")
    assert "a\\nb\\udce9.jpg: cannot be read (No such file or directory)" in str(caught.value)


@pytest.mark.parametrize("name", ["pipe", "endless", "socket"])
def test_what_is_no_regular_file_is_called_so(corpus, name):
    path = next(case.path for case in corpus if case.path.stem == name)
    with pytest.raises(ImageError, match=f"{name}.jpg: is not a regular file"):
        open_photo(path)


def test_no_other_program_is_run_to_decode():
    """Pillow hands EPS to Ghostscript, a whole programming language."""
    with pytest.raises(ImageError, match="of a kind Pillow cannot read"):
        open_photo(io.BytesIO(encoded("EPS")))


def test_nothing_of_the_process_is_changed():
    before = (list(warnings.filters), Image.MAX_IMAGE_PIXELS)
    with pytest.raises(ImageError):
        open_photo(io.BytesIO(hostile_images.png(30_000, 30_000)))
    open_photo(io.BytesIO(encoded("PNG")))
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS) == before


def test_large_photos_are_no_reason_for_a_warning(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow warns from here, refuses at twice
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_photo(io.BytesIO(encoded("PNG"))).size == (48, 32)


def test_threads_read_at_the_same_time(keep):
    path, found = keep(encoded("JPEG")), []
    expected = pixels(open_photo(path))

    def work():
        found.append(all((pixels(open_photo(path)) == expected).all() for _ in range(20)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


# Modes


@pytest.mark.parametrize("source", ["path", "str", "file"])
def test_reads_paths_and_open_files(keep, source):
    path = keep(encoded("PNG"))
    if source == "file":
        with path.open("rb") as file:
            image = open_photo(file)
            assert not file.closed
    else:
        image = open_photo(path if source == "path" else str(path))
    assert (pixels(image) == pixels(scene())).all()


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP"])
def test_an_image_outlives_its_file(keep, kind):
    path = keep(encoded(kind, save_all=kind in ("GIF", "TIFF", "PNG", "WEBP")))
    image = open_photo(path)
    path.unlink()
    if kind == "WEBP":  # whose decoder would stay as long as the image, with two frames
        assert type(image) is Image.Image
    copy = image.copy()
    image.load()
    assert (pixels(image.crop((3, 4, 20, 21))) == pixels(copy)[4:21, 3:20]).all()
    assert abs(pixels(copy) - pixels(scene())).mean() < (
        20 if kind in ("GIF", "JPEG", "WEBP") else 1
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "HSV"])
def test_modes_that_pillow_converts(mode):
    image = scene(mode)
    if mode in ("HSV", "YCbCr"):  # Pillow has no file format for them that all releases can read
        result = to_rgb(image)
    else:
        data = encoded("TIFF" if mode == "CMYK" else "PNG", image)
        result = open_photo(io.BytesIO(data))
    assert result.mode == "RGB"
    assert abs(pixels(result) - pixels(image.convert("RGB"))).max() <= 1


def grey_levels():
    return np.arange(256).reshape(16, 16)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_are_scaled_not_clipped(order):
    values = (grey_levels() * 257).astype(order)
    raw = "I;16B" if order == ">u2" else "I;16"
    image = Image.frombytes(raw, (16, 16), values.tobytes())
    result = open_photo(io.BytesIO(encoded("TIFF", image)))
    assert (pixels(result) == grey_levels()[:, :, np.newaxis]).all()


def test_sixteen_bit_png():
    image = Image.fromarray((grey_levels() * 257).astype(np.uint16))
    result = open_photo(io.BytesIO(encoded("PNG", image)))
    assert (pixels(result) == grey_levels()[:, :, np.newaxis]).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (grey_levels() * 257, grey_levels()),
        (grey_levels() - 9, np.rint(np.maximum(grey_levels() - 9, 0) / 257)),
        (grey_levels() * 2**20, grey_levels()),  # beyond 16 bits the largest is white
    ],
)
def test_thirty_two_bit_integers(values, expected):
    result = open_photo(io.BytesIO(encoded("TIFF", Image.fromarray(values.astype(np.int32)))))
    assert (pixels(result) == expected[:, :, np.newaxis]).all()


@pytest.mark.parametrize("white", [1, 255, 65535, 1e9])
def test_float_ranges(white):
    values = (grey_levels() / 255 * white).astype(np.float32)
    result = open_photo(io.BytesIO(encoded("TIFF", Image.fromarray(values))))
    assert (pixels(result) == grey_levels()[:, :, np.newaxis]).all()


def test_float_with_overshoot_nan_and_infinity():
    values = np.float32([[0.5, 1.3, -0.2, np.nan, np.inf, -np.inf, 1.0]])
    result = open_photo(io.BytesIO(encoded("TIFF", Image.fromarray(values))))
    assert pixels(result)[0, :, 0].tolist() == [128, 255, 0, 0, 0, 0, 255]


def test_transparent_parts_are_laid_over_white():
    rgba = Image.new("RGBA", (3, 300), (200, 100, 0, 255))  # taller than a band of rows
    rgba.putpixel((1, 299), (0, 0, 0, 0))
    rgba.putpixel((2, 0), (0, 0, 0, 51))
    result = open_photo(io.BytesIO(encoded("PNG", rgba)))
    assert result.getpixel((0, 150)) == (200, 100, 0)
    assert result.getpixel((1, 299)) == (255, 255, 255)
    assert result.getpixel((2, 0)) == (204, 204, 204)


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_every_mode_with_alpha_is_laid_over_white(mode):
    image = Image.new("LA", (2, 1), (100, 255))
    image.putpixel((1, 0), (0, 51))
    image = image.convert("RGBA") if mode in ("PA", "RGBA", "RGBa") else image
    result = to_rgb(image.convert(mode))
    assert result.mode == "RGB"
    assert abs(pixels(result)[0] - [[100] * 3, [204] * 3]).max() <= 1


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_transparent_colour_is_laid_over_white(mode):
    image = Image.new("RGB", (4, 1), (9, 9, 9))
    image.putpixel((1, 0), (80, 80, 80))
    image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    value = image.getpixel((1, 0))
    result = open_photo(io.BytesIO(encoded("PNG", image, transparency=value)))
    assert [result.getpixel((x, 0))[0] for x in range(3)] == [9, 255, 9]


def test_lab_white_and_black():
    values = np.uint8([[[255, 128, 128], [0, 128, 128]]])
    image = Image.merge("LAB", Image.fromarray(values).split())
    result = open_photo(io.BytesIO(encoded("TIFF", image)))
    assert abs(pixels(result)[0] - [[255] * 3, [0] * 3]).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encoded(kind, frames[0], save_all=True, append_images=frames[1:])
    assert abs(pixels(open_photo(io.BytesIO(data))) - (255, 0, 0)).max() < 8


# Orientation and profile


def stored(orientation):
    """How a camera held this way stores the scene: undone by viewers, hence the inverse."""
    transpose = Image.Transpose
    inverse = {
        2: transpose.FLIP_LEFT_RIGHT,
        3: transpose.ROTATE_180,
        4: transpose.FLIP_TOP_BOTTOM,
        5: transpose.TRANSPOSE,
        6: transpose.ROTATE_90,
        7: transpose.TRANSVERSE,
        8: transpose.ROTATE_270,
    }
    image = scene()
    return image.transpose(inverse[orientation]) if orientation in inverse else image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    if kind == "TIFF":
        options["tiffinfo"] = {ORIENTATION: orientation}
    else:
        options["exif"] = hostile_images.exif(orientation)
    file = io.BytesIO(encoded(kind, stored(orientation), **options))
    image = open_photo(file)
    assert image.size == photo_size(file) == (48, 32)
    assert abs(pixels(image) - pixels(scene())).mean() < (4 if kind == "JPEG" else 1e-9)


def test_a_mask_is_turned_like_a_photo():
    data = encoded("PNG", stored(6).convert("L"), exif=hostile_images.exif(6))
    assert (open_mask(io.BytesIO(data)) == np.asarray(scene("L"))).all()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_orientations_that_do_not_exist_count_as_upright(orientation):
    data = encoded("PNG", exif=hostile_images.exif(orientation))
    assert (pixels(open_photo(io.BytesIO(data))) == pixels(scene())).all()


@functools.cache  # it holds the time it was made at
def srgb():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_profile_for_rgb_is_kept_and_nothing_else(mode, orientation):
    options = {"exif": hostile_images.exif(orientation), "dpi": (72, 72), "icc_profile": srgb()}
    image = open_photo(io.BytesIO(encoded("PNG", scene(mode), **options)))
    assert image.info == {"icc_profile": srgb()}


@pytest.mark.parametrize("space", [b"CMYK", b"GRAY"])
def test_a_profile_for_other_colours_is_dropped(space):
    profile = srgb()[:16] + space + srgb()[20:]
    image = open_photo(io.BytesIO(encoded("JPEG", scene("CMYK"), icc_profile=profile)))
    assert image.info == {}


# Masks


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA", "RGBA"])
def test_a_mask_of_any_opaque_mode_gives_its_grey(mode):
    grey = Image.fromarray(grey_levels().astype(np.uint8))
    mask = open_mask(io.BytesIO(encoded("PNG", grey.convert(mode))))
    assert mask.dtype == np.uint8
    assert (mask == grey_levels()).all()


def test_a_mask_of_one_bit():
    mask = open_mask(io.BytesIO(encoded("PNG", scene("1"))))
    assert set(np.unique(mask)) == {0, 255}


def test_a_cutout_is_no_mask(keep):
    path = keep(encoded("PNG", Image.new("RGBA", (4, 4), (0, 0, 0, 0))), "cutout.png")
    with pytest.raises(ImageError, match=r"cutout\.png: has transparent pixels"):
        open_mask(path)


# Memory


@pytest.mark.parametrize("make", ["RGB", "CMYK", "L", "turned"])
def test_peak_memory_stays_within_four_times_the_photo(keep, make):
    size = (4000, 3000)
    options = {"exif": hostile_images.exif(6)} if make == "turned" else {}
    image = Image.linear_gradient("L").resize(size).convert("RGB" if make == "turned" else make)
    path = keep(encoded("JPEG", image, **options))
    program = (
        "import resource, sys\n"
        "from mmnet_np.images import open_photo\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "open_photo(sys.argv[2])\n"
        "before = peak()\n"
        "open_photo(sys.argv[1])\n"
        "print(peak() - before)\n"
    )
    small = keep(encoded("JPEG", scene()), "small.jpg")
    done = subprocess.run(
        [sys.executable, "-c", program, path, small], capture_output=True, timeout=60, check=True
    )
    assert int(done.stdout) < 4 * 3 * size[0] * size[1]
