"""Things that stand before a person: hands, cups, desks, in their simplest form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

__all__ = ["occlude"]

_LARGEST = 0.22  # half the extent of one thing, in units of the picture


def occlude(
    rng: np.random.Generator,
    picture: Image.Image,
    alpha: Image.Image,
    fill: Callable[[], Image.Image],
) -> tuple[Image.Image, Image.Image]:
    """Cover parts of a picture with rectangles, ellipses and bars, and clear its matte there.

    Parameters
    ----------
    rng : numpy.random.Generator
    picture : PIL.Image.Image
        RGB.
    alpha : PIL.Image.Image
        L, of the same size.
    fill : callable
        Makes an RGB picture of that size, whose colours a thing takes.

    Returns
    -------
    picture, alpha : PIL.Image.Image
    """
    cover = Image.new("L", picture.size)
    draw = ImageDraw.Draw(cover)
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        draw.polygon(_outline(rng, picture.size), fill=255)
    # Edges as soft as those of other things in the picture.
    cover = cover.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 1.5)))
    # A thin edge of a person under a cover's soft edge keeps its share.
    alpha = ImageChops.multiply(alpha, ImageChops.invert(cover))
    return Image.composite(fill(), picture, cover), alpha


def _outline(rng: np.random.Generator, size: tuple[int, int]) -> list[tuple[float, float]]:
    """Draw one thing: the corners of a turned rectangle or ellipse, or of a desk below."""
    width, height = size
    if rng.random() < 0.25:
        left, right = height * (1 - rng.uniform(0.05, 0.3, 2))
        return [(0, left), (width, right), (width, height), (0, height)]
    x, y = rng.uniform(0, 1, 2)
    a, b = np.exp(rng.uniform(math.log(0.02), math.log(_LARGEST), 2))
    turn = rng.uniform(0, math.pi)
    if rng.random() < 0.5:
        angles = np.array([0.25, 0.75, 1.25, 1.75]) * math.pi
        a, b = a * math.sqrt(2), b * math.sqrt(2)
    else:
        angles = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    u, v = a * np.cos(angles), b * np.sin(angles)
    across = (x + u * math.cos(turn) - v * math.sin(turn)) * width
    down = (y + u * math.sin(turn) + v * math.cos(turn)) * height
    return list(zip(across.tolist(), down.tolist(), strict=True))
