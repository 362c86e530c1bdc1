"""What stands behind and around a person: backgrounds without people, made from the photos at hand.

Photos here are portraits as in `mmnet_np.training.views`: (H, W, 4) uint8, alpha last. Pictures are
Pillow images of mode RGB, since Pillow's 8-bit operations are the quickest there are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .views import crop, reduced, sample

__all__ = ["as_picture", "background", "foreground", "patch", "plain_colours", "plate"]

_PLATE = 24  # cells a side: background colours without any detail
_EMPTY = 8  # of 255: alpha above this counts as a person when a patch is looked for
_STRIDE = 4  # pixels between the rows and columns looked at for it
_OWN_COLOUR = [max(0, 2 * alpha - 255) for alpha in range(256)]  # how far a pixel keeps its own


def background(
    rng: np.random.Generator, source: NDArray[np.uint8], size: int, finest: float
) -> Image.Image:
    """Make a background from a photo: a stretch of it without people, or its colours.

    Parameters
    ----------
    rng : numpy.random.Generator
    source : (H, W, 4) uint8 array
    size : int
        Side of the result.
    finest : float
        As for `mmnet_np.training.views.sample`.

    Returns
    -------
    PIL.Image.Image
        (size, size) RGB.
    """
    free = patch(source)
    if free is None:
        return as_picture(sample(plate(source), np.eye(3), size, size)[0])
    # How much is seen of it, in pixels of the photo; mirrored where it is too small for that.
    height, width = (n * rng.uniform(0.35, 1.2) for n in source.shape[:2])
    view = crop(
        rng.random(), rng.random(), width / free.shape[1], height / free.shape[0]
    )  # a corner anywhere: the mirrors have no beginning
    # A background out of focus is common; sampled coarsely and enlarged it also costs less.
    coarse = size // int(rng.choice((1, 1, 2, 4, 8)))
    far = finest if coarse == size else 1.0
    made = as_picture(sample(free, view, coarse, coarse, border="mirror", finest=far)[0])
    return made if coarse == size else made.resize((size, size), Image.Resampling.BILINEAR)


def plain_colours(rng: np.random.Generator, size: int) -> Image.Image:
    """Make a background of one colour, or of four corners' colours that run into one another."""
    colours = rng.integers(0, 256, (2, 2, 3))
    if rng.random() < 0.4:  # walls are grey more often than purple
        colours = colours.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    mixing = rng.choice((0.0, 0.3, 1.0))
    colours = colours[:1, :1] * (1 - mixing) + colours * mixing
    corners = Image.fromarray(colours.astype(np.uint8))
    # The corners' centres at the picture's: beyond them Pillow would repeat the edge.
    return corners.resize((size, size), Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5))


def patch(source: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Find a large rectangle without people in an upper corner of a photo.

    Returns
    -------
    (h, w, 4) uint8 array or None
        A view; None if none has a 25th of the photo's area and an 8th of both its sides.
    """
    height, width = source.shape[:2]
    occupied = source[::_STRIDE, ::_STRIDE, 3] > _EMPTY
    best, found = 0, None
    heights = np.arange(1, occupied.shape[0] + 1)
    for from_left in (True, False):
        side = occupied if from_left else occupied[:, ::-1]
        first = np.where(side.any(axis=1), side.argmax(axis=1), side.shape[1])
        widths = np.minimum.accumulate(first)  # free columns in all rows down to each
        areas = widths * heights
        areas[(widths < side.shape[1] / 8) | (heights < side.shape[0] / 8)] = 0
        row = int(areas.argmax())
        if areas[row] > best:
            best = int(areas[row])
            # The last row and column looked at are free, those after them unknown.
            down = min(height, (row + 1) * _STRIDE - _STRIDE + 1)
            across = min(width, int(widths[row]) * _STRIDE - _STRIDE + 1)
            found = source[:down, :across] if from_left else source[:down, width - across :]
    # Of the photo's pixels: where few cells were looked at, a patch is much smaller than its cells.
    large = found is not None and 25 * found.shape[0] * found.shape[1] >= height * width
    return found if large else None


def plate(source: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Spread a photo's background colours over the place of the person: a normalised convolution.

    ``blur(colour * w) / blur(w)`` with weights w that vanish with alpha (Knutsson and Westin,
    "Normalized and Differential Convolution", 1993), on about 24 x 24 cells.

    Returns
    -------
    (h, w, 4) uint8 array
        Alpha 0. Enlarged by `mmnet_np.training.views.sample` it is smooth.
    """
    factors = [max(1, round(n / _PLATE)) for n in (source.shape[1], source.shape[0])]
    cells = reduced(source, *factors).astype(np.float64)
    # The power all but excludes cells that hold some of the person; the 1e-9 keeps a photo that is
    # all person from dividing by 0.
    weights = (1 - cells[..., 3:] / 255) ** 12 + 1e-9
    cells[..., :3] *= weights
    cells[..., 3:] = weights
    down, across = (_gaussian(n) for n in cells.shape[:2])
    spread = np.einsum("yv,vuc,xu->yxc", down, cells, across, optimize=True)
    spread[..., :3] /= spread[..., 3:]
    spread[..., 3] = 0
    return np.rint(spread).astype(np.uint8)


def _gaussian(n: int) -> NDArray[np.float64]:
    """Return the (n, n) matrix that blurs n cells by an eighth of them."""
    at = np.arange(n)
    return np.exp(-(((at[:, None] - at) / (n / 8)) ** 2) / 2)


def foreground(image: NDArray[np.float32], alpha: NDArray[np.float32]) -> Image.Image:
    """Replace the colours at a person's edge by those inside, as another background needs them.

    Pixels of partial alpha hold some of the old background, which would shine as a halo. They take
    over the mean colour of nearby pixels of full alpha, in part from alpha 1 down, wholly below
    1/2; a blurred estimate as in Forte, "Approximate Fast Foreground Colour Estimation", 2021, of
    one level.

    Parameters
    ----------
    image : (S, S, 3) float32 array in [0, 1]
    alpha : (S, S) float32 array in [0, 1]

    Returns
    -------
    PIL.Image.Image
        (S, S) RGB; meaningless where alpha is 0.
    """
    picture, opacity = as_picture(image), as_picture(alpha)
    half = np.stack(
        [np.asarray(part, np.float32) for part in (*picture.reduce(2).split(), opacity.reduce(2))]
    )  # (4, S/2, S/2)
    weights = (half[3] / 255) ** 4 + np.float32(1e-5)
    half[:3] *= weights
    half[3] = weights
    radius = max(1, image.shape[0] // 64)
    half = _box(_box(half, radius, 1), radius, 2)
    half[:3] /= half[3]
    inner = Image.fromarray(np.ascontiguousarray(half[:3].transpose(1, 2, 0)).astype(np.uint8))
    inner = inner.resize(picture.size, Image.Resampling.BILINEAR)
    return Image.composite(picture, inner, opacity.point(_OWN_COLOUR))


def _box(x: NDArray[np.float32], radius: int, axis: int) -> NDArray[np.float32]:
    """Sum over 2 * radius + 1 neighbours along an axis, fewer at its ends."""
    total = x.copy()
    to, source = np.moveaxis(total, axis, 0), np.moveaxis(x, axis, 0)
    for k in range(1, radius + 1):
        to[k:] += source[:-k]
        to[:-k] += source[k:]
    return total


def as_picture(values: NDArray[np.float32]) -> Image.Image:
    """Round (h, w, 3) or (h, w) in [0, 1] to a Pillow image of mode RGB or L."""
    scaled = values * np.float32(255)
    scaled += np.float32(0.5)
    return Image.fromarray(scaled.astype(np.uint8))
