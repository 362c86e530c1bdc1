"""Photos in: upright 8-bit RGB from any file, or one sentence that says why not.

Files come from anywhere, so everything Pillow or the system can say about a bad one becomes an
`ImageError` of one sentence that names the file, size limits hold before a pixel is decoded, and
only regular files are opened: a named pipe would hang, ``/dev/zero`` would never end.
"""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from .command import printable, reason
from .errors import ImageError
from .metadata import kept_exif
from .rgb import has_transparency, rgb_profile, to_rgb

__all__ = ["open_mask", "open_photo", "photo_size"]

# Pillow's own hard limit is 178,956,970 pixels; RGB takes 4 bytes a pixel in it, here 712 MB.
MAX_PIXELS = 178_000_000
# JPEG's limit. Without one, an image of 1 x 178 million needs 1.4 GB for its row pointers.
MAX_SIDE = 65_535
# Some decoders (WebP, AVIF) read the whole file into memory first.
MAX_BYTES = 2**30

# Tried first: all other plugins are imported only when a file is neither.
_COMMON = ("JPEG", "PNG")
# EPS runs Ghostscript, FITS unpacks gzip without a limit, the others cannot be decoded.
_REFUSED = frozenset({"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"})

# EXIF orientation 2..8 (Exif 2.32, section 4.6.4 A) and what makes such an image upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_FILTERS = threading.Lock()


def open_photo(
    source: str | os.PathLike[str] | BinaryIO, *, metadata: bool = False, name: str | None = None
) -> Image.Image:
    """Read a photo as upright RGB.

    Parameters
    ----------
    source : path-like or binary file
        A regular file, or an open binary file that can seek (left open). Of an animation the
        first frame is read.
    metadata : bool
        Keep what the photo says of itself (`mmnet_np.metadata`), as ``info["exif"]``.
    name : str, optional
        What errors call an open file that has no name.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, turned by its EXIF orientation. ``info`` holds the embedded RGB colour profile
        as ``icc_profile``, if there is one; `mmnet_np.rgb.to_rgb` says how other modes convert.

    Raises
    ------
    ImageError
        Missing, unreadable, no regular file, empty, no image, damaged, truncated, or more than
        178 million pixels, 65,535 a side or 1 GiB. One sentence with the name.
    """
    with _opened(source, name) as (image, _):
        early = image.format == "TIFF"  # whose file is let go when it is decoded
        exif = kept_exif(image) if metadata and early else None
        image.load()
        if metadata and not early:  # in a PNG it may stand behind the pixels
            exif = kept_exif(image)
        turn = _UPRIGHT.get(_orientation(image))
        image = to_rgb(image)  # one name, so that the decoded original is freed before the turn
        if image.format not in (None, *_COMMON):
            image = image.copy()  # a WebP decoder keeps two more frames as long as its image lives
        image.info = rgb_profile(image)
        if exif is not None:
            image.info["exif"] = exif
        return image if turn is None else image.transpose(turn)


def open_mask(source: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """Read a matte.

    Parameters
    ----------
    source : path-like or binary file
        A grey image of any mode; of a coloured one the luminance counts.

    Returns
    -------
    ndarray
        (H, W) uint8, 0 background to 255 foreground, turned by its EXIF orientation.

    Raises
    ------
    ImageError
        As `open_photo`; also if pixels are transparent, since such a file is a cutout and the
        matte could be meant by its transparency or by its grey.
    """
    with _opened(source) as (image, name):
        image.load()
        if has_transparency(image):
            alpha = image.convert("RGBA").getchannel("A").getextrema()
            if alpha != (255, 255):
                raise ImageError(f"{name}: has transparent pixels, but a mask is a grey image")
        turn = _UPRIGHT.get(_orientation(image))
        grey = image if image.mode == "L" else to_rgb(image).convert("L")
        return np.array(grey if turn is None else grey.transpose(turn))


def photo_size(source: str | os.PathLike[str] | BinaryIO) -> tuple[int, int]:
    """Read (width, height) in pixels, as `open_photo` would turn it, without decoding.

    Raises
    ------
    ImageError
        As `open_photo`, as far as the header shows it.
    """
    with _opened(source) as (image, _):
        tags = getattr(image, "tag_v2", None)
        if tags is not None:  # some releases of Pillow swap the sides of a TIFF already here
            (width, height), turn = (tags[256], tags[257]), tags.get(0x0112, 1)
        else:
            (width, height), turn = image.size, _orientation(image)
        return (height, width) if turn in (5, 6, 7, 8) else (width, height)


@contextmanager
def _opened(
    source: str | os.PathLike[str] | BinaryIO, called: str | None = None
) -> Iterator[tuple[Image.Image, str]]:
    """Give (image with its header read, printable name); every fault inside is an ImageError."""
    try:
        if isinstance(source, (str, os.PathLike)):
            name = printable(source)
            with _regular(source, name) as file:
                yield _header(file, name), name
        else:
            name = printable(called or str(getattr(source, "name", "image")))
            yield _header(source, name), name
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name}: is no image, or of a kind Pillow cannot read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"{name}: has more than {MAX_PIXELS:,} pixels") from None
    except OSError as error:
        # Without errno it is Pillow speaking about the content, not the system about the file.
        fault = "cannot be read" if error.errno else "is damaged or truncated"
        raise ImageError(f"{name}: {fault} ({reason(error)})") from None
    except MemoryError:
        raise ImageError(f"{name}: there is not enough memory to decode it") from None
    except Exception as error:  # plugins raise whatever damaged data makes them stumble over
        raise ImageError(f"{name}: is damaged or truncated ({reason(error)})") from None


def _regular(path: str | os.PathLike[str], name: str) -> BinaryIO:
    """Open a regular file of sensible size."""
    status = Path(path).stat()  # first: opening a named pipe would wait for its writer
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name}: is a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name}: is not a regular file")
    if status.st_size == 0:
        raise ImageError(f"{name}: is empty")
    if status.st_size > MAX_BYTES:
        raise ImageError(f"{name}: has more than {MAX_BYTES:,} bytes")
    return Path(path).open("rb")


def _header(file: BinaryIO, name: str) -> Image.Image:
    """Read the header and hold it against the size limits."""
    # Pillow warns from half its limit on, but large photos are no reason to. The filter is the
    # process's, hence the lock, and it is put back before the pixels are decoded.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(file, formats=_COMMON)
        except UnidentifiedImageError:
            file.seek(0)
            Image.init()
            image = Image.open(file, formats=[kind for kind in Image.ID if kind not in _REFUSED])
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: has no pixels")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limits = f"{MAX_PIXELS:,} pixels in all and {MAX_SIDE:,} a side"
        raise ImageError(f"{name}: is {width} x {height}, more than {limits}")
    return image


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation that is still to be applied, 1 to 8; damaged EXIF counts as 1."""
    if image.format == "TIFF":  # Pillow applies it when it decodes
        return 1
    try:
        # The base class's method: that of PNG decodes the whole image to look behind the pixels.
        value = Image.Image.getexif(image).get(0x0112, 1)
        return value if value in _UPRIGHT else 1
    except MemoryError:
        raise
    except Exception:
        return 1
