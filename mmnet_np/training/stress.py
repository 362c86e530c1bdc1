"""Stress conditions: known photos made hard in one way each, to see what a model makes of them.

Every condition is a deterministic function of photo and matte, at the photo's own size, and gives a
photo and a matte of that size. Where the frame shows more than the photo did, the photo's own
background colours continue, without its detail: mirroring would put a second person there, and
plain colour would be an easier task than any real photo. They are spread under the person too
(`mmnet_np.training.surroundings.plate`), so nothing of the person leaks out, with a little fixed
grain, so that they are not recognised by smoothness alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mmnet_np.errors import OptionError

from .photometry import grey, jpeg
from .surroundings import as_picture, plate
from .views import Matrix, check_portrait, crop, inside, rotation, sample

__all__ = ["CONDITIONS", "stress"]

Pixels = NDArray[np.uint8]
Condition = Callable[[Pixels, Pixels], tuple[Pixels, Pixels]]

_SEED = 20190410  # of grain and noise: any fixed number


def stress(photo: Pixels, matte: Pixels, name: str) -> tuple[Pixels, Pixels]:
    """Put a photo under one condition.

    Parameters
    ----------
    photo : (H, W, 3) uint8 array
    matte : (H, W) uint8 array
    name : str
        One of `CONDITIONS`.

    Returns
    -------
    photo : (H, W, 3) uint8 array
    matte : (H, W) uint8 array

    Raises
    ------
    OptionError
        No such condition.
    ImageError
        Photo or matte is of another shape or dtype.
    """
    if name not in CONDITIONS:
        known = ", ".join(CONDITIONS)
        raise OptionError(f"there is no stress condition {name!r}; it must be one of {known}")
    check_portrait(photo, matte)
    return CONDITIONS[name](photo, matte)


def plain(photo: Pixels, matte: Pixels) -> tuple[Pixels, Pixels]:
    """Change nothing: what the others are to be compared with."""
    return photo, matte


def scaled(photo: Pixels, matte: Pixels, scale: float) -> tuple[Pixels, Pixels]:
    """Show the person ``scale`` times as large.

    The photo's lower border stays where it is, since that is where it cuts the person; sideways the
    middle stays.
    """
    return _moved(photo, matte, crop(0.5 - 0.5 / scale, 1 - 1 / scale, 1 / scale, 1 / scale))


def shifted(photo: Pixels, matte: Pixels, right: float, down: float) -> tuple[Pixels, Pixels]:
    """Shift by fractions of width and height."""
    return _moved(photo, matte, crop(-right, -down, 1, 1))


def rotated(photo: Pixels, matte: Pixels, degrees: float) -> tuple[Pixels, Pixels]:
    """Rotate about the centre, clockwise, at the photo's own scale."""
    turn = rotation(-degrees, photo.shape[1] / photo.shape[0])
    return _moved(photo, matte, crop(0.5, 0.5, 1, 1) @ turn @ crop(-0.5, -0.5, 1, 1))


def low_light(photo: Pixels, matte: Pixels) -> tuple[Pixels, Pixels]:
    """Expose three stops too low, with noise of standard deviation 5 of 255.

    An eighth of the light is 0.125 ** (1 / 2.2) = 0.39 of an sRGB value.
    """
    dark = photo * np.float32(0.125 ** (1 / 2.2)) + _grain(photo.shape, 5)
    return np.clip(np.rint(dark), 0, 255).astype(np.uint8), matte


def colourless(photo: Pixels, matte: Pixels) -> tuple[Pixels, Pixels]:
    """Take the colours away."""
    return np.asarray(grey(Image.fromarray(photo))), matte


def compressed(photo: Pixels, matte: Pixels, quality: int) -> tuple[Pixels, Pixels]:
    """Save as JPEG."""
    return np.asarray(jpeg(Image.fromarray(photo), quality)), matte


def blurred(photo: Pixels, matte: Pixels, factor: float) -> tuple[Pixels, Pixels]:
    """Blur by a Gaussian of standard deviation ``factor`` / 256 of the photo's mean side.

    That is about ``factor`` pixels of a 256 x 256 input, whatever the photo's size: a blur of two
    of a large photo's own pixels would not outlast the resize.
    """
    radius = factor * sum(matte.shape) / 2 / 256
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius))), matte


CONDITIONS: dict[str, Condition] = {
    "plain": plain,
    **{f"scale {scale}": partial(scaled, scale=scale) for scale in (0.4, 0.6, 0.8, 1.0, 1.3)},
    "shift left": partial(shifted, right=-0.25, down=0.0),
    "shift right": partial(shifted, right=0.25, down=0.0),
    "shift down": partial(shifted, right=0.0, down=0.25),
    "rotation 30": partial(rotated, degrees=30),
    "rotation -30": partial(rotated, degrees=-30),
    "low light": low_light,
    "grey": colourless,
    "jpeg 30": partial(compressed, quality=30),
    "blur 2x": partial(blurred, factor=2),
}
"""Conditions by name, ``plain`` first. ``scale 1.0`` differs from it in nothing: a check."""


def _moved(photo: Pixels, matte: Pixels, view: Matrix) -> tuple[Pixels, Pixels]:
    """Show photo and matte through a view, with surroundings."""
    height, width = matte.shape
    source = np.dstack([photo, matte])  # not `portrait`, which would reduce a large photo
    # Area averaged before shrinking: a camera farther away sees no aliasing either.
    image, alpha = sample(source, view, height, width, finest=1.0)
    around, _ = sample(plate(source), view, height, width, border="edge")
    around += _grain(around.shape, 2.5) * np.float32(1 / 255)
    around += (image - around) * inside(view, height, width)[..., None]
    return np.asarray(as_picture(np.clip(around, 0, 1))), np.asarray(as_picture(alpha))


def _grain(shape: tuple[int, ...], sigma: float) -> NDArray[np.float32]:
    """Make fixed Gaussian noise, the same for photos of the same size."""
    return np.random.default_rng(_SEED).standard_normal(shape, np.float32) * np.float32(sigma)
