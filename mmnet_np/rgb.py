"""Colour modes: whatever Pillow decodes, as 8-bit RGB.

Conversions that Pillow does not do, or does by clipping (16-bit, float, transparency), run over
bands of rows, so that beside the source and the result nothing of the photo's size is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from .errors import ImageError

__all__ = ["bands", "has_transparency", "photo_shape", "rgb_profile", "to_rgb"]

# Rows handled at once. 128 rows of a 12-megapixel photo are 2 MB a float32 channel.
ROWS = 128


def bands(height: int, rows: int = ROWS) -> Iterator[tuple[int, int]]:
    """Split ``height`` rows into (first, behind the last) pairs of at most ``rows`` rows."""
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def photo_shape(image: Image.Image | NDArray[np.uint8]) -> tuple[int, int]:
    """Give (height, width) of a photo: an image, or an (H, W, 3) uint8 array; else raise."""
    if isinstance(image, Image.Image):
        if 0 in image.size:
            raise ImageError("an image has at least one pixel")
        return image.height, image.width
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is a PIL.Image or an array, not {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ImageError(f"an image is (H, W, 3) uint8, not {image.shape} {image.dtype}")
    return image.shape[0], image.shape[1]


def has_transparency(image: Image.Image) -> bool:
    """Tell whether pixels can be transparent: by an alpha band or by a transparent colour.

    The transparent grey of a 16-bit or float image does not count.
    """
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        return True
    return image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any mode into RGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode. Transparent parts are laid over white, as a viewer shows them: the colours
        hidden under them are often rubbish. 16-bit values are scaled by 255 / 65535, 32-bit
        integers as well unless one is larger, which then becomes white; negative ones are
        black. Float values count as 0..1, or as 0..255 when one is above 2; NaN is black. CMYK
        is converted without its profile.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, the same size. A plain RGB image is returned itself, not a copy; else ``info``
        is that of `rgb_profile`.

    Raises
    ------
    ValueError
        Pillow cannot convert the mode.
    """
    if image.mode == "F" or image.mode[0] == "I":
        result = _rescaled(image)
    elif has_transparency(image):
        result = _over_white(image)
    elif image.mode == "RGB":
        return image
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        if converted is None:
            raise ValueError("conversion from LAB to RGB failed")
        result = converted
    else:
        result = image.convert("RGB")
    result.info = rgb_profile(image)
    return result


def rgb_profile(image: Image.Image) -> dict[str | tuple[int, int], Any]:
    """Give ``{"icc_profile": ...}`` if the image has a profile for RGB, else an empty dict.

    That is all of ``Image.info`` that still holds after a conversion: profiles for CMYK or grey
    no longer fit, and what else a photo says of itself (place, camera) is for nobody else.
    """
    profile = image.info.get("icc_profile")
    # Bytes 16 to 19 of a profile name its colour space (ICC.1, table 18).
    fits = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    return {"icc_profile": profile} if fits else {}


def _over_white(image: Image.Image) -> Image.Image:
    result = Image.new("RGB", image.size)
    for top, bottom in bands(image.height):
        band = image.crop((0, top, image.width, bottom))
        if band.mode == "La":  # Pillow has no direct way from here to RGBA
            band = band.convert("LA")
        white = Image.new("RGBA", band.size, "white")
        white.alpha_composite(band.convert("RGBA"))
        result.paste(white.convert("RGB"), (0, top))
    return result


def _rescaled(image: Image.Image) -> Image.Image:
    """Scale a 16-bit, 32-bit or float image to 8 bit; see `to_rgb` for the ranges."""
    white = 65535.0
    if image.mode in ("I", "F"):
        largest = max(float(np.max(values)) for _, values in _values(image))
        steps = (2.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
        white = next((step for step in steps if largest <= step), largest)
        white = 1.0 if white == 2.0 else white
    result = Image.new("RGB", image.size)
    for top, values in _values(image):
        eight = np.clip(values * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)
        result.paste(Image.fromarray(eight), (0, top))
    return result


def _values(image: Image.Image) -> Iterator[tuple[int, np.ndarray]]:
    """Give (first row, float64 values) of each band of a one-channel image, NaN and inf as 0."""
    for top, bottom in bands(image.height):
        band = np.asarray(image.crop((0, top, image.width, bottom)), np.float64)
        yield top, np.nan_to_num(band, nan=0.0, posinf=0.0, neginf=0.0)
