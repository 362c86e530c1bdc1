"""From a photo to the network's input and from its alpha back to the photo's size.

`predict`, the commands, evaluation and training all come through here. A photo is resized to the
network's size by align_corners bilinear without keeping its aspect, as in the authors' program, and
divided by 255. That resize has no prefilter, and the data it was trained on are about 600 x 800, so
a much larger photo is first reduced by area averaging to about that size.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmnet_np.kernels import resize

from .errors import ImageError
from .images import open_photo
from .rgb import to_rgb

__all__ = ["Photo", "alpha_bands", "as_photo", "as_rgb", "network_input", "reduction"]

Photo = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""What `predict` takes: a path, an image of any mode, or an (H, W, 3) array."""

_SIDE = 600
"""Pixels along an axis that area averaging does not go below: the data's shorter side."""

_BAND = 256
"""Rows of full-size alpha made at a time."""


def as_photo(image: Photo) -> Image.Image:
    """Return a photo as an RGB image, not copied if it is one; a path is read.

    Raises
    ------
    ImageError
        The file is no usable image (`mmnet_np.images.open_photo`), or see `as_rgb`.
    """
    if isinstance(image, str | os.PathLike):
        return open_photo(image)
    rgb = as_rgb(image)
    return Image.fromarray(rgb) if isinstance(rgb, np.ndarray) else rgb


def as_rgb(image: Image.Image | NDArray[np.uint8]) -> Image.Image | NDArray[np.uint8]:
    """Check a photo and return it as an RGB image or an (H, W, 3) uint8 array, not copied if so.

    Raises
    ------
    ImageError
        Not an image, an array of another shape or dtype, or no pixels.
    """
    if isinstance(image, Image.Image):
        if min(image.size) < 1:
            raise ImageError(f"the image is {image.width} x {image.height}: it has no pixels")
        return to_rgb(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"the image is a {type(image).__name__}; it must be a PIL image or a NumPy array"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ImageError(
            f"the image is an array of shape {image.shape} and dtype {image.dtype}; "
            "it must be (height, width, 3) uint8 with at least one pixel"
        )
    return image


def reduction(length: int) -> int:
    """Return the whole factor by which an axis of ``length`` pixels is first area averaged."""
    return max(1, length // _SIDE)


def network_input(
    image: Image.Image | NDArray[np.uint8], height: int, width: int
) -> NDArray[np.float32]:
    """Make the network's input from a photo.

    Parameters
    ----------
    image : PIL.Image.Image or (H, W, 3) uint8 array
    height, width : int
        The network's input size.

    Returns
    -------
    (height, width, 3) float32 array in [0, 1]

    Raises
    ------
    ImageError
        See `as_rgb`.
    """
    image = as_rgb(image)
    if isinstance(image, np.ndarray):
        full_height, full_width = image.shape[:2]
    else:
        full_width, full_height = image.size
    factors = reduction(full_width), reduction(full_height)
    if factors != (1, 1):
        picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        image = picture.reduce(factors)
    pixels = np.asarray(image)
    y = resize.coordinates(pixels.shape[0], height, "align_corners")
    x = resize.coordinates(pixels.shape[1], width, "align_corners")
    # Only the rows that are read become float.
    rows, where = np.unique(np.concatenate(y[:2]), return_inverse=True)
    needed = pixels[rows].astype(np.float32)  # (R, W, 3), R at most 2 * height
    down = resize.along(needed, 0, where[:height], where[height:], y[2])
    down = resize.along(down, 1, *x)
    down /= np.float32(255)
    return down


def alpha_bands(
    alpha: NDArray[np.float32], height: int, width: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Resize alpha to a photo's size by legacy bilinear, a band of rows at a time.

    Parameters
    ----------
    alpha : (h, w) float32 array in [0, 1]
    height, width : int
        The photo's size.

    Yields
    ------
    first row : int
    rows : (up to 256, width) float32 array in [0, 1]
    """
    across = resize.along(alpha, 1, *resize.coordinates(alpha.shape[1], width))  # (h, width)
    y = resize.coordinates(alpha.shape[0], height)
    for first in range(0, height, _BAND):
        yield first, resize.along(across, 0, *(table[first : first + _BAND] for table in y))
