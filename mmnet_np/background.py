"""What stands behind a person: a colour, an image scaled to fill the photo, or a blur."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from .command import printable
from .errors import OptionError
from .images import open_photo
from .rgb import bands, photo_shape, to_rgb

__all__ = ["Background", "Blur", "background_rows", "blur_of", "parse_background"]

Colour = tuple[int, int, int]


class Blur(NamedTuple):
    """The photo's own background, out of focus: see `mmnet_np.blur.blurred`."""

    radius: float | None = None
    """Standard deviation in the photo's pixels; None is a fiftieth of its longer side."""


Background = Image.Image | NDArray[np.uint8] | str | Colour | Blur

_BLUR = re.compile(r"blur(?::(.*))?", re.DOTALL)
_LARGEST_RADIUS = 65_535  # a photo has no longer side


def parse_background(text: str) -> Colour | Blur | Image.Image:
    """Read what a user gave as background: a colour, a blur or the path of an image.

    Parameters
    ----------
    text : str
        ``"blur"`` or ``"blur:RADIUS"``; a colour if it is one, as `PIL.ImageColor` reads it
        (``"red"``, ``"#00b140"``, ``"rgb(0,177,64)"``); else a path. A file named like a colour
        is ``./red``.

    Returns
    -------
    tuple of three int, Blur or PIL.Image.Image
        The colour in 0..255, the blur, or the image as `mmnet_np.images.open_photo` reads it.

    Raises
    ------
    OptionError
        Neither a colour nor a blur nor an existing file, or a radius that is none.
    ImageError
        The file is no usable image.
    """
    blur = blur_of(text)
    if blur is not None:
        return blur
    try:
        return _colour(text)
    except OptionError:
        if not os.path.lexists(text):
            raise OptionError(
                f"{printable(text)}: is neither a colour (a name, #rrggbb), nor blur, nor an image"
            ) from None
        return open_photo(Path(text))


def blur_of(background: Background) -> Blur | None:
    """Return the blur that a background is; None if it is something else.

    Raises
    ------
    OptionError
        The radius is no number above 0, or beyond all photos.
    """
    if isinstance(background, Blur):
        radius: Any = background.radius
    elif isinstance(background, str) and (found := _BLUR.fullmatch(background.strip().lower())):
        radius = found[1]
    else:
        return None
    if radius is None:
        return Blur()
    with suppress(TypeError, ValueError):
        if 0 < (value := float(radius)) <= _LARGEST_RADIUS:
            return Blur(value)
    shown = printable(str(radius))
    raise OptionError(f"a blur's radius is in pixels, above 0 to {_LARGEST_RADIUS}, not {shown}")


def background_rows(background: Background, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Give the background behind each band of a photo: (h, width, 3), or (3,) for a colour.

    Of a blur the photo makes an image first, see `mmnet_np.compose.composite`.
    """
    if isinstance(background, (str, tuple)) and not isinstance(background, Blur):
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
