"""What stands behind a person: a colour, or an image scaled to fill the photo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from .command import printable
from .errors import OptionError
from .images import open_photo
from .rgb import bands, photo_shape, to_rgb

__all__ = ["Background", "background_rows", "parse_background"]

Colour = tuple[int, int, int]
Background = Image.Image | NDArray[np.uint8] | str | Colour


def parse_background(text: str) -> Colour | Image.Image:
    """Read what a user gave as background: a colour or the path of an image.

    Parameters
    ----------
    text : str
        A colour if it is one, as `PIL.ImageColor` reads it (``"red"``, ``"#00b140"``,
        ``"rgb(0,177,64)"``), else a path; a file named like a colour is ``./red``.

    Returns
    -------
    tuple of three int, or PIL.Image.Image
        The colour in 0..255, or the image as `mmnet_np.images.open_photo` reads it.

    Raises
    ------
    OptionError
        Neither a colour nor an existing file.
    ImageError
        The file is no usable image.
    """
    try:
        return _colour(text)
    except OptionError:
        if not os.path.lexists(text):
            raise OptionError(
                f"{printable(text)}: is neither a colour (a name, #rrggbb) nor an image file"
            ) from None
        return open_photo(Path(text))


def background_rows(background: Background, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Give the background behind each band of a photo: (h, width, 3), or (3,) for a colour."""
    if isinstance(background, (str, tuple)):
        colour = np.array(_colour(background), np.uint8)
        return (colour for _ in bands(height))
    if not isinstance(background, (Image.Image, np.ndarray)):
        kind = type(background).__name__
        raise OptionError(f"a background is an image or a colour, not {kind}")
    photo_shape(background)
    if isinstance(background, Image.Image):
        return _fitted(to_rgb(background), height, width)
    return _fitted(Image.fromarray(background), height, width)


def _fitted(image: Image.Image, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Scale to fill height x width, crop about the centre, band by band."""
    wide, high = image.width, image.height
    # The part of the image that is seen: all of one side, and of the other what fits the aspect.
    part_w = min(wide, high * width / height)
    part_h = min(high, wide * height / width)
    left, upper = (wide - part_w) / 2, (high - part_h) / 2
    for top, bottom in bands(height):
        # Pillow's filter reaches beyond the box, so that bands meet without a seam.
        first, last = upper + part_h * top / height, upper + part_h * bottom / height
        box = (left, first, left + part_w, last)
        yield np.asarray(image.resize((width, bottom - top), Image.Resampling.BICUBIC, box))


def _colour(value: str | tuple[int, ...]) -> Colour:
    """Check a colour; raise `OptionError` if it is none."""
    numbers: tuple[int, ...]
    if isinstance(value, str):
        try:
            numbers = ImageColor.getrgb(value)
        except ValueError:
            raise OptionError(f"{printable(value)}: is no colour (a name, #rrggbb)") from None
    else:
        numbers = value
    if len(numbers) != 3 or not all(isinstance(n, int) and 0 <= n <= 255 for n in numbers):
        raise OptionError(f"a colour is red, green and blue in 0 to 255, not {value!r}")
    return numbers[0], numbers[1], numbers[2]
