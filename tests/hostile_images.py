"""Files that a photo command may be handed: damaged, lying, huge, odd, and no files at all."""

import io
import os
import socket
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, features

SIZE = (48, 32)
ORIENTATION = 0x0112
COMPRESSION = 259


class Case(NamedTuple):
    name: str
    path: Path
    outcome: str
    """"photo": it must be read; "error": it must be refused; "either": both are sane."""


def scene(mode="RGB", size=SIZE):
    """A picture whose corners and channels all differ."""
    y, x = np.mgrid[: size[1], : size[0]]
    red = 255 * x // max(1, size[0] - 1)
    green = 255 * y // max(1, size[1] - 1)
    pixels = np.stack([red, green, (x * 5 + y * 3) % 256], axis=2).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(kind, image=None, **options):
    """An image as the bytes of a file."""
    file = io.BytesIO()
    (image or scene()).save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data):
    """A chunk of a PNG file."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, *chunks, depth=8, colour=2):
    """A PNG file of which only the header is sure to be right."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def exif(orientation):
    """An EXIF block with an orientation."""
    block = Image.Exif()
    block[ORIENTATION] = orientation
    return block.tobytes()


def jpeg_of_size(width, height):
    """A JPEG whose frame header claims another size."""
    data = bytearray(encoded("JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def tiff_header(width, height, **more):
    """A TIFF of one uncompressed RGB strip at offset 8, whose sizes are only claims."""
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: 3}
    tags.update({int(key): value for key, value in more.items()})
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    strip = b"\0" * 8
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def damaged():
    """Name, bytes and outcome of files that begin like images."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8))
    jpeg, whole = encoded("JPEG", noise), encoded("PNG", noise)
    for tenth in range(1, 10):
        yield f"jpg-cut-{tenth}.jpg", jpeg[: len(jpeg) * tenth // 10], "error"
        yield f"png-cut-{tenth}.png", whole[: len(whole) * tenth // 10], "error"
    for kind, options in _kinds():
        name = "-".join([kind.lower(), *options.values()])
        data = np.frombuffer(encoded(kind, noise, **options), np.uint8)
        for seed in range(3):
            rng = np.random.default_rng(seed)
            flipped = data.copy()
            flipped[rng.integers(0, len(data), 8)] ^= rng.integers(1, 256, 8).astype(np.uint8)
            yield f"{name}-flipped-{seed}.{kind.lower()}", flipped.tobytes(), "either"
        yield f"{name}-half.{kind.lower()}", data[: len(data) // 2].tobytes(), "either"
    yield "wrong-crc.png", whole.replace(b"IDAT", b"IDAt"), "error"
    yield "no-data.png", png(*SIZE), "error"
    yield "little-data.png", png(*SIZE, chunk(b"IDAT", zlib.compress(b"\0" * 50))), "error"
    yield "only-magic.png", b"\x89PNG\r\n\x1a\n", "error"
    yield "only-magic-jpg.jpg", b"\xff\xd8\xff\xe0", "error"
    yield "only-header.gif", b"GIF89a\x30\0\x20\0\0\0\0;", "error"
    yield "no-pixels.gif", b"GIF89a\0\0\0\0\0\0\0;", "error"
    yield "strip-outside.tif", tiff_header(48, 32, **{"273": 2**31}), "error"
    yield "directory-loop.tif", tiff_header(4, 4)[:-4] + struct.pack("<I", 16), "either"
    yield "tiles.tif", tiff_header(64, 64, **{"322": 2**30, "323": 2**30, "324": 8}), "error"
    yield "exif-garbage.jpg", encoded("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" * 3), "photo"
    yield "exif-loop.jpg", encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 60), "photo"
    yield "profile-garbage.png", encoded("PNG", icc_profile=os.urandom(200)), "photo"


def _kinds():
    """Formats that this Pillow writes, with their options."""
    for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM", "TGA"):
        yield kind, {}
    if features.check("libtiff"):  # which would print of its own on damaged files
        for compression in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
            yield "TIFF", {"compression": compression}
    for kind, feature in (("WEBP", "webp"), ("JPEG2000", "jpg_2000"), ("AVIF", "avif")):
        if feature in features.get_supported():
            yield kind, {}


def huge():
    """Name, bytes and outcome of small files that ask for much memory."""
    nothing = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    yield "30000.png", png(30_000, 30_000, nothing), "error"
    yield "100000-png.png", png(100_000, 100_000, nothing), "error"
    yield "ribbon.png", png(2**31 - 1, 1, nothing), "error"
    yield "tower.png", png(1, 100_000_000, nothing), "error"
    bomb = chunk(b"IDAT", zlib.compress(b"\0" * 120_000_000, 9))
    yield "bomb.png", png(20_000, 20_000, bomb), "error"
    text = b"comment\0\0" + zlib.compress(b"\0" * 100_000_000, 9)
    yield "text-bomb.png", png(*SIZE, chunk(b"zTXt", text)), "error"
    profile = b"icc\0\0" + zlib.compress(b"\0" * 100_000_000, 9)
    yield "profile-bomb.png", png(*SIZE, chunk(b"iCCP", profile)), "error"
    yield "65535.jpg", jpeg_of_size(65_535, 65_535), "error"
    yield (
        "65535-gif.gif",
        b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08\0;",
        "error",
    )
    yield "100000-tif.tif", tiff_header(100_000, 100_000), "error"
    yield "100000-ppm.ppm", b"P6 100000 100000 255\n" + b"\0" * 100, "error"
    header = struct.pack("<IiiHHIIiiII", 40, 100_000, 100_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield (
        "100000-bmp.bmp",
        b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + header + b"\0" * 100,
        "error",
    )
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\xff\xff\xff" * 2
    yield "canvas.webp", b"RIFF" + struct.pack("<I", 22) + b"WEBP" + canvas, "error"
    icon = png(100_000, 100_000, nothing)
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(icon), 22)
    yield "icon.ico", struct.pack("<HHH", 0, 1, 1) + entry + icon, "error"


def no_images():
    """Name, bytes and outcome of files of other kinds."""
    yield "empty.jpg", b"", "error"
    yield "text.jpg", b"Dear photographer,\n" * 50, "error"
    yield "page.png", b"<!DOCTYPE html><html><body>404</body></html>", "error"
    yield "drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><rect/></svg>', "error"
    yield "script.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", "error"
    yield "document.pdf", b"%PDF-1.4\n%%EOF\n", "error"
    yield "noise.jpg", np.random.default_rng(0).bytes(5000), "error"
    yield "zeros.png", b"\0" * 5000, "error"
    yield "program.png", b"\x7fELF\x02\x01\x01" + b"\0" * 500, "error"


def odd():
    """Name, bytes and outcome of sound images that are not plain RGB."""
    yield "dot.png", encoded("PNG", scene(size=(1, 1))), "photo"
    yield "thread.png", encoded("PNG", scene(size=(1, 20_000))), "photo"
    yield "rope.png", encoded("PNG", scene(size=(20_000, 1))), "photo"
    yield "lying.jpg", encoded("PNG"), "photo"
    yield "lying-too.png", encoded("JPEG"), "photo"
    yield "no-suffix", encoded("JPEG"), "photo"
    yield "cmyk.jpg", encoded("JPEG", scene("CMYK")), "photo"
    yield "grey.jpg", encoded("JPEG", scene("L")), "photo"
    yield "progressive.jpg", encoded("JPEG", progressive=True), "photo"
    yield "bits.png", encoded("PNG", scene("1")), "photo"
    yield "la.png", encoded("PNG", scene("LA")), "photo"
    yield "rgba.png", encoded("PNG", scene("RGBA")), "photo"
    yield "palette.png", encoded("PNG", scene("P")), "photo"
    yield "palette-clear.png", encoded("PNG", scene("P"), transparency=3), "photo"
    yield "key-clear.png", encoded("PNG", transparency=(0, 0, 0)), "photo"
    grey = np.asarray(scene("L"))
    yield "sixteen.png", encoded("PNG", Image.fromarray(grey.astype(np.uint16) * 257)), "photo"
    yield "long.tif", encoded("TIFF", Image.fromarray(grey.astype(np.int32) * 257)), "photo"
    yield "float.tif", encoded("TIFF", Image.fromarray(grey.astype(np.float32) / 255)), "photo"
    yield "nan.tif", encoded("TIFF", Image.fromarray(np.full((4, 4), np.nan, np.float32))), "photo"
    yield "lab.tif", encoded("TIFF", _lab()), "photo"
    frames = [scene(), scene().transpose(Image.Transpose.ROTATE_180)]
    moving = {"save_all": True, "append_images": frames[1:]}
    yield "moving-gif.gif", encoded("GIF", frames[0], **moving), "photo"
    yield "moving-png.png", encoded("PNG", frames[0], **moving), "photo"
    yield "moving-tif.tif", encoded("TIFF", frames[0], **moving), "photo"
    if features.check("webp"):
        yield "moving-webp.webp", encoded("WEBP", frames[0], **moving), "photo"
    for orientation in range(10):
        yield f"turned-{orientation}.jpg", encoded("JPEG", exif=exif(orientation)), "photo"


def _lab():
    return Image.merge("LAB", scene().split())


def corpus(folder):
    """Write everything into a folder; return the cases."""
    cases = []
    for group in (damaged(), huge(), no_images(), odd()):
        for name, data, outcome in group:
            path = folder / name
            path.write_bytes(data)
            cases.append(Case(name, path, outcome))
    cases += _special(folder)
    stems = [case.path.stem for case in cases]
    assert len(set(stems)) == len(stems), "each is to have an output of its own"
    return cases


def _special(folder):
    """What is no ordinary file, or has no ordinary name."""
    good = encoded("JPEG")

    def place(name, outcome="error"):
        path = folder / name
        return path, Case(repr(name), path, outcome)

    path, case = place("missing.jpg")
    yield case
    path, case = place("folder.jpg")
    path.mkdir()
    yield case
    path, case = place("pipe.jpg")
    os.mkfifo(path)
    yield case
    path, case = place("loop.jpg")
    path.symlink_to("loop.jpg")
    yield case
    path, case = place("dangling.jpg")
    path.symlink_to("nowhere.jpg")
    yield case
    path, case = place("endless.jpg")
    path.symlink_to("/dev/zero")
    yield case
    path, case = place("socket.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path) if len(str(path)) > 90 else str(path))
    yield case
    path, case = place("sparse.webp")
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\x7fWEBPVP8 ")
        file.truncate(2**31)
    yield case
    if os.geteuid() != 0:  # root reads everything
        path, case = place("locked.jpg")
        path.write_bytes(good)
        path.chmod(0)
        yield case
    yield Case("through a file", folder / "text.jpg" / "photo.jpg", "error")
    yield Case("a name too long", folder / ("n" * 300 + ".jpg"), "error")
    names = ["two\nlines.jpg", "bell\a\x1b[31m.jpg", "  blank .jpg", "-rf.jpg", "日本.jpg"]
    if sys.getfilesystemencoding() == "utf-8":
        names.append(os.fsdecode(b"latin-\xe9.jpg"))
    for name in names:
        path, case = place(name, "photo")
        path.write_bytes(good)
        yield case
