"""Views: where each pixel of a training image comes from in its photo, sampled once.

A view is a 3x3 affine matrix from the unit square of the output to the unit square of the photo,
in which 0 and 1 are the centres of the first and the last pixel along an axis (align_corners).
The identity is the network's own resize, whatever both sizes are; flips, crops, rotations and
zooms compose by ``@`` and cost one bilinear sampling in all.

Photo and matte travel together as one "portrait", (H, W, 4) uint8: red, green, blue, alpha. They
cannot come apart, and one sampling serves both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmnet_np.errors import ImageError
from mmnet_np.kernels.sampling import affine_sample
from mmnet_np.preprocess import reduction

__all__ = [
    "FLIP",
    "Matrix",
    "check_portrait",
    "crop",
    "inside",
    "portrait",
    "reduced",
    "rotation",
    "sample",
    "scaling",
]

Matrix = NDArray[np.float64]
Portrait = NDArray[np.uint8]

FLIP: Matrix = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])
"""Left and right exchanged."""


def portrait(photo: NDArray[np.uint8], matte: NDArray[np.uint8] | None) -> Portrait:
    """Join a photo and its matte; what is joined already is given back as it is.

    A photo so large that `mmnet_np.preprocess` area averages it first is so reduced here.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
        Or, if ``matte`` is None, what this function gave before.
    matte : (H, W) uint8 array or None

    Returns
    -------
    (h, w, 4) uint8 array
        ``h`` and ``w`` below 1,200.

    Raises
    ------
    ImageError
        Another shape or dtype.
    """
    if matte is None:
        if photo.dtype != np.uint8 or photo.shape[2:] != (4,):
            raise ImageError(f"a portrait is (H, W, 4) uint8, not {photo.shape} {photo.dtype}")
        return photo
    check_portrait(photo, matte)
    factors = reduction(photo.shape[1]), reduction(photo.shape[0])
    joined = Image.fromarray(photo)
    opacity = Image.fromarray(matte)
    if factors != (1, 1):
        joined, opacity = joined.reduce(factors), opacity.reduce(factors)
    joined.putalpha(opacity)
    return np.asarray(joined)


def check_portrait(photo: NDArray[np.uint8], matte: NDArray[np.uint8]) -> None:
    """Raise `ImageError` unless they are (H, W, 3) and (H, W), uint8, with at least one pixel."""
    if photo.dtype != np.uint8 or photo.shape[2:] != (3,) or 0 in photo.shape:
        raise ImageError(f"a photo is (H, W, 3) uint8, not {photo.shape} {photo.dtype}")
    if matte.dtype != np.uint8 or matte.shape != photo.shape[:2]:
        raise ImageError(
            f"the matte is {matte.shape} {matte.dtype}; beside a photo of {photo.shape} it must be "
            f"{photo.shape[:2]} uint8"
        )


def scaling(x: float, y: float) -> Matrix:
    """Scale about the origin, the top left corner."""
    return np.diag([x, y, 1.0])


def crop(x: float, y: float, width: float, height: float) -> Matrix:
    """Show the rectangle whose top left is (x, y), all in units of the photo; so also a shift."""
    return np.array([[width, 0, x], [0, height, y], [0, 0, 1.0]])


def rotation(degrees: float, aspect: float = 1.0) -> Matrix:
    """Rotate about the origin, clockwise as seen.

    Parameters
    ----------
    degrees : float
    aspect : float
        Width by height of what the unit square stands for: angles are right angles there, not in
        the square.
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cos, -sin / aspect, 0], [sin * aspect, cos, 0], [0, 0, 1.0]])


def sample(
    source: Portrait,
    view: Matrix,
    height: int,
    width: int,
    *,
    border: str = "zero",
    finest: float = math.inf,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sample a portrait bilinearly through a view.

    Parameters
    ----------
    source : (H, W, 4) uint8 array
    view : (3, 3) float array
    height, width : int
        Of the output.
    border : {"zero", "edge", "mirror"}
        What lies beyond the photo: nothing (black of alpha 0), its outermost pixels, or the
        photo mirrored.
    finest : float
        The step in pixels of the photo that neighbouring samples are to be apart at most. Where
        they would be more than half as much again, the photo is first area averaged by the nearest
        whole factor. Infinite: never, as for the network's input at inference, which skips pixels.

    Returns
    -------
    image : (height, width, 3) float32 array in [0, 1]
    alpha : (height, width) float32 array in [0, 1]
    """
    ends = np.array([source.shape[1] - 1, source.shape[0] - 1])
    steps = 1 / max(1, width - 1), 1 / max(1, height - 1)
    grid = (scaling(*ends) @ view @ scaling(*steps))[:2]  # pixel numbers to pixel numbers
    factors = np.array([max(1, round(math.hypot(*row[:2]) / finest)) for row in grid])
    if factors.max() > 1:
        source = reduced(source, *factors.tolist())
        # Cell i of the reduced photo is the mean of pixels i * f to i * f + f - 1.
        grid[:, 2] -= (factors - 1) / 2
        grid /= factors[:, None]
    # The outermost pixels' centres lie that far beyond the outermost cells'. Rounding must not push
    # the outermost samples out.
    margin = (factors - 1) / (2 * factors) + 1e-3
    image, alpha = (np.empty((height, width, *rest), np.float32) for rest in ((3,), ()))
    affine_sample(source, grid, image, alpha, border, margin)
    return image, alpha


def inside(view: Matrix, height: int, width: int, feather: float = 0.0) -> NDArray[np.float32]:
    """Say which samples of a view lie within the photo.

    Parameters
    ----------
    view : (3, 3) float array
    height, width : int
        Of the output.
    feather : float
        Width of the transition inside the photo's border, in units of the photo; 0 for none.

    Returns
    -------
    (height, width) float32 array
        1 inside, 0 outside.
    """
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    rows = view.astype(np.float32)
    along_x, along_y = (row[0] * x + row[1] * y + (row[2] - np.float32(0.5)) for row in rows[:2])
    # Distance from the nearest border, positive inside.
    margin = np.float32(0.5) - np.maximum(np.abs(along_x), np.abs(along_y))
    if feather <= 0:
        return (margin >= -1e-6).astype(np.float32)
    return np.clip(margin * np.float32(1 / feather), 0, 1)


def reduced(source: Portrait, across: int, down: int) -> Portrait:
    """Area average by whole factors; rows and columns left over form smaller cells."""
    size = source.shape[1], source.shape[0]
    # RGBX, not RGBA: Pillow would hide the colours where alpha is 0.
    pixels = np.ascontiguousarray(source)
    image = Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", 0, 1)
    return np.asarray(image.reduce((across, down)))
