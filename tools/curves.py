"""Curves of a training run as a picture: loss, MAD and gradient error by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["curves"]

WIDTH, HEIGHT = 900, 240  # of one panel, in pixels
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 28, 24
INK, FAINT, LINE, PAPER = (32, 32, 32), (216, 216, 216), (200, 60, 30), (255, 255, 255)


def curves(series: Mapping[str, Sequence[float]]) -> Image.Image:
    """Draw one panel below another, each with a logarithmic scale of its own.

    Parameters
    ----------
    series : mapping of str to sequence of float
        Title to one positive value for each epoch; values that are not are left out.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    picture = Image.new("RGB", (WIDTH, HEIGHT * len(series)), PAPER)
    draw = ImageDraw.Draw(picture)
    for k, (title, values) in enumerate(series.items()):
        _panel(draw, k * HEIGHT, title, values)
    return picture


def _panel(draw: ImageDraw.ImageDraw, above: int, title: str, values: Sequence[float]) -> None:
    font = ImageFont.load_default()
    points = [(k, v) for k, v in enumerate(values) if v > 0 and math.isfinite(v)]
    latest = f"{title}   last {points[-1][1]:.5g}   least {min(v for _, v in points):.5g}"
    draw.text((LEFT, above + 8), latest if points else title, INK, font)
    top, bottom = above + TOP, above + HEIGHT - BOTTOM
    draw.rectangle((LEFT, top, WIDTH - RIGHT, bottom), outline=FAINT)
    if not points:
        return
    low = math.log(min(v for _, v in points))
    high = max(math.log(max(v for _, v in points)), low + 1e-6)
    last = max(len(values) - 1, 1)

    def place(epoch: int, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - RIGHT - LEFT) * epoch / last
        return x, bottom - (bottom - top) * (math.log(value) - low) / (high - low)

    for part in (0, 0.5, 1):
        value = math.exp(low + (high - low) * part)
        y = place(0, value)[1]
        draw.line((LEFT, y, WIDTH - RIGHT, y), FAINT)
        draw.text((8, y - 6), f"{value:.4g}", INK, font)
    draw.text((LEFT, bottom + 6), "epoch 1", INK, font)
    draw.text((WIDTH - RIGHT - 40, bottom + 6), str(len(values)), INK, font)
    line = [place(*point) for point in points]
    if len(line) > 1:
        draw.line(line, LINE, width=2)
    for x, y in line[-1:]:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=LINE)
