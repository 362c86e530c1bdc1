"""Augmentation: from a photo and its matte to one training sample, never the same twice.

`paper` is the paper's, `plain` is none, the others are ours. Each is a function
of a generator and the photo, so a sample is the same whenever and wherever it is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from .occlusion import occlude
from .photometry import develop
from .surroundings import as_picture, background, foreground, plain_colours, plate
from .views import FLIP, Matrix, crop, inside, portrait, rotation, sample, scaling

__all__ = [
    "AUGMENTATIONS", "Augmentation", "balanced", "gentle", "paper", "plain", "robust",
]  # fmt: skip

Sample = tuple[NDArray[np.float32], NDArray[np.float32]]
Other = Callable[[], NDArray[np.uint8]]
Scene = tuple[Image.Image, Image.Image]
"""A picture, mode RGB, and its matte, mode L."""

_SMALLEST = 0.35  # times the photo's scale
_CROWD = 0.03  # of the picture: how much of it mirrored or smeared people may take
_DATA_SIDE = 800  # pixels: the longer side of photos as the network meets them at inference


def plain(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None = None,
) -> Sample:
    """Resize as at inference, and do nothing else; parameters as `robust`."""
    return sample(portrait(photo, matte), np.eye(3), size, size)


def paper(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None = None,
) -> Sample:
    """Augment as the paper does (section 3); parameters as `robust`, ``other`` is not used.

    The photo is resized to the square by align_corners bilinear; height and width are scaled, each
    by a factor from 1.00 to 1.15, and cropped back at random; half of all are flipped; half are
    rotated by up to 15 degrees either way, and the largest upright square inside is enlarged
    again. Rotation is that of the square, not of the photo, as in the authors' program. There each
    step resamples the last one's pixels; here the steps are one view, sampled once.
    """
    shown = 1 / (1 + rng.uniform(0, 0.15, 2))
    left, top = rng.random(2) * (1 - shown)
    view = crop(left, top, *shown)
    if rng.random() < 0.5:
        view = view @ FLIP
    if rng.random() < 0.5:
        angle = rng.uniform(-15, 15)
        radians = math.radians(abs(angle))
        # The largest upright square in a unit square turned by that angle.
        side = 1 / (math.cos(radians) + math.sin(radians))
        view = view @ crop(0.5, 0.5, side, side) @ rotation(angle) @ crop(-0.5, -0.5, 1, 1)
    return sample(portrait(photo, matte), view, size, size)


def robust(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None = None,
) -> Sample:
    """Augment for photos as people take them.

    The person is shown at 0.35 to 1.3 times the photo's scale, shifted, squeezed as by a frame of
    another shape, sometimes rotated by up to 30 degrees, before surroundings made up for it; or cut
    out and set before another background, sometimes one with another person, who then belongs to
    the matte. Things cover parts of some; some show nobody. Light, lens, sensor and codec follow
    (`mmnet_np.training.photometry`). A third of the photos fill the frame nearly as they are.

    Parameters
    ----------
    rng : numpy.random.Generator
        Everything random comes from it.
    photo : (H, W, 3) uint8 array
    matte : (H, W) uint8 array or None
        None if ``photo`` is (H, W, 4), joined with its matte by `mmnet_np.training.views.portrait`.
    size : int
        Side of the result, even.
    other : callable, optional
        Gives another photo so joined, for backgrounds; this one itself by default. It is called
        only where one is needed, once for each.

    Returns
    -------
    image : (size, size, 3) float32 array in [0, 1]
    alpha : (size, size) float32 array in [0, 1]

    Raises
    ------
    ImageError
        Photo or matte is of another shape or dtype.
    """
    source = portrait(photo, matte)
    # The network's input skips pixels where photos are large (`mmnet_np.preprocess`); smaller ones
    # must sometimes show what that looks like, and larger ones what it looks like without.
    finest = rng.uniform(1, max(2, _DATA_SIDE / size))

    def elsewhere() -> NDArray[np.uint8]:
        return source if other is None else other()

    chance = rng.random()
    if chance < 0.04:
        made: Scene = _behind(rng, elsewhere(), size, finest), Image.new("L", (size, size))
    elif chance < 0.09:
        made = _beside(rng, source, elsewhere, size, finest)
    elif chance < 0.35:
        made = _cut_out(rng, source, _behind(rng, elsewhere(), size, finest), finest)
    else:
        made = _surrounded(rng, source, elsewhere, size, finest)
    if rng.random() < 0.2:
        made = occlude(rng, *made, lambda: _behind(rng, elsewhere(), size, finest))
    return _floats(develop(rng, made[0])), _floats(made[1])


def balanced(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None = None,
) -> Sample:
    """Augment half of all as `robust` does; parameters as there.

    The other half are framed as the paper's and only developed anew: portraits that were taken well
    are most of what a portrait network sees, and a small one unlearns them among nothing but hard
    cases.
    """
    return _mixed(rng, photo, matte, size, other, hard=0.5, developed=1.0)


def gentle(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None = None,
) -> Sample:
    """Augment a quarter of all as `robust` does, and half of the others as the paper alone.

    For the last part of a training, in which edges are to become exact. Parameters as `robust`.
    """
    return _mixed(rng, photo, matte, size, other, hard=0.25, developed=0.5)


def _mixed(
    rng: np.random.Generator,
    photo: NDArray[np.uint8],
    matte: NDArray[np.uint8] | None,
    size: int,
    other: Other | None,
    *,
    hard: float,
    developed: float,
) -> Sample:
    """Take a share ``hard`` for `robust` and `paper` for the rest, a part of it developed anew."""
    if rng.random() < hard:
        return robust(rng, photo, matte, size, other)
    image, alpha = paper(rng, photo, matte, size)
    if developed == 1 or rng.random() < developed:
        image = _floats(develop(rng, as_picture(image)))
    return image, alpha


Augmentation = Callable[
    [np.random.Generator, NDArray[np.uint8], NDArray[np.uint8] | None, int, Other | None], Sample
]
AUGMENTATIONS: dict[str, Augmentation] = {
    "plain": plain,
    "paper": paper,
    "robust": robust,
    "balanced": balanced,
    "gentle": gentle,
}


def _floats(picture: Image.Image) -> NDArray[np.float32]:
    return np.asarray(picture, np.float32) * np.float32(1 / 255)


def _camera(rng: np.random.Generator, source: NDArray[np.uint8]) -> Matrix:
    """Choose a view of a person: where the photo lies in the frame, inverted."""
    scale = rng.uniform(0.95, 1.3)
    if rng.random() < 0.55:
        scale = math.exp(rng.uniform(math.log(_SMALLEST), 0))
    across = scale
    if rng.random() < 0.35:  # frames are squeezed to a square: a wide one makes people thin
        across *= math.exp(rng.uniform(math.log(0.55), math.log(1.15)))
    angle = rng.uniform(-30, 30) if rng.random() < 0.35 else 0.0
    x = 0.5 + rng.uniform(-1, 1) * (abs(1 - across) / 2 + 0.08)
    floor = rng.uniform(min(scale, 1), max(scale, 1))  # where the photo's lower border comes to lie
    if (source[-1, :, 3] > 127).any() and rng.random() < 0.9:
        # The photo cuts the person there, and so should the frame, rotated corners included.
        lift = across / 2 * math.sin(math.radians(abs(angle)))
        floor = max(1.0, scale * rng.uniform(0.9, 1)) + rng.random() * lift
        floor += rng.uniform(0, 0.1) * scale
    aspect = source.shape[1] / source.shape[0] * scale / across
    pivot = crop(-0.5, -0.55, 1, 1)
    view = crop(x, floor - 0.45 * scale, 1, 1) @ rotation(angle, aspect)
    view = view @ scaling(across, scale) @ pivot
    if rng.random() < 0.5:
        view = view @ FLIP
    return np.asarray(np.linalg.inv(view), np.float64)


def _behind(
    rng: np.random.Generator, source: NDArray[np.uint8], size: int, finest: float
) -> Image.Image:
    """Make a whole background: mostly from a photo, sometimes plain."""
    if rng.random() < 0.25:
        return plain_colours(rng, size)
    return background(rng, source, size, finest)


def _surrounded(
    rng: np.random.Generator,
    source: NDArray[np.uint8],
    elsewhere: Callable[[], NDArray[np.uint8]],
    size: int,
    finest: float,
) -> Scene:
    """Keep the photo's own background, and continue it where the frame is larger."""
    kind = rng.choice(("mirror", "edge", "own", "other"), p=(0.2, 0.15, 0.4, 0.25))
    view = _camera(rng, source)
    if kind in ("mirror", "edge"):
        image, alpha = sample(source, view, size, size, border=kind, finest=finest)
        # Who is seen twice is a person twice, but an upside-down crowd teaches nothing.
        crowd = float(np.vdot(alpha, 1 - inside(view, size, size))) / size**2
        if crowd < _CROWD:
            return as_picture(image), as_picture(alpha)
    front, opacity = map(as_picture, sample(source, view, size, size, finest=finest))
    blend = as_picture(inside(view, size, size, rng.choice((0.0, 0.02, 0.08))))
    if blend.getextrema() == (255, 255):
        return front, opacity
    if kind == "other":
        back = _behind(rng, elsewhere(), size, finest)
    else:
        back = as_picture(sample(plate(source), view, size, size, border="edge")[0])
    # The background may fade into its surroundings, the person may not: the matte stays sharp.
    return Image.composite(front, back, ImageChops.lighter(blend, opacity)), opacity


def _cut_out(
    rng: np.random.Generator, source: NDArray[np.uint8], back: Image.Image, finest: float
) -> Scene:
    """Set the person before another background."""
    size = back.width
    image, alpha = sample(source, _camera(rng, source), size, size, finest=finest)
    opacity = as_picture(alpha)
    return Image.composite(foreground(image, alpha), back, opacity), opacity


def _beside(
    rng: np.random.Generator,
    source: NDArray[np.uint8],
    elsewhere: Callable[[], NDArray[np.uint8]],
    size: int,
    finest: float,
) -> Scene:
    """Set the person before another person's photo; both belong to the matte."""
    back, behind = _surrounded(rng, elsewhere(), elsewhere, size, finest)
    front, alpha = _cut_out(rng, source, back, finest)
    # Both cover independently: 1 - (1 - a)(1 - b).
    return front, ImageChops.screen(alpha, behind)
