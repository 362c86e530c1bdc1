"""A contact sheet: rows of pictures under headings, each row with a caption, as one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from mmnet_np.command import printable

__all__ = ["Row", "contact_sheet"]

TILE = 240  # pixels; pictures are scaled to fit a square of this side
GAP = 8
LINE = 16  # height of a line of text in Pillow's built-in font
INK, PAPER = (32, 32, 32), (255, 255, 255)


class Row(NamedTuple):
    """One line of the sheet."""

    caption: str
    """Text above the pictures; what the font cannot show is escaped."""
    pictures: Sequence[Image.Image]
    """Any size and mode that converts to RGB; one for each column, fewer leave gaps."""


def contact_sheet(
    columns: Sequence[str], groups: Sequence[tuple[str, Sequence[Row]]], *, tile: int = TILE
) -> Image.Image:
    """Lay out pictures.

    Parameters
    ----------
    columns : sequence of str
        What stands in each column, such as ``("photo", "truth", "ours")``.
    groups : sequence of (str, sequence of Row)
        A heading and the rows below it.
    tile : int
        Side in pixels of the square that each picture is scaled to fit.

    Returns
    -------
    PIL.Image.Image
        RGB, ``len(columns)`` tiles wide.
    """
    rows = sum(len(group) for _, group in groups)
    width = GAP + len(columns) * (tile + GAP)
    height = GAP + LINE + len(groups) * (LINE + GAP) + rows * (LINE + tile + GAP)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()

    def write(x: int, y: int, text: str) -> None:
        # The built-in font of older Pillow knows Latin-1 only and raises on anything else.
        shown = printable(text).encode("ascii", "backslashreplace").decode()
        draw.text((x, y), shown, INK, font)

    for column, title in enumerate(columns):
        write(GAP + column * (tile + GAP), GAP, title)
    y = GAP + LINE
    for heading, group in groups:
        y += GAP
        draw.line((GAP, y - GAP // 2, width - GAP, y - GAP // 2), INK)
        write(GAP, y, heading)
        y += LINE
        for row in group:
            write(GAP, y, row.caption)
            y += LINE
            for column, picture in enumerate(row.pictures):
                small = _fit(picture, tile)
                x = GAP + column * (tile + GAP) + (tile - small.width) // 2
                sheet.paste(small, (x, y + (tile - small.height) // 2))
            y += tile + GAP
    return sheet


def _fit(picture: Image.Image, tile: int) -> Image.Image:
    """Scale to fit a square, keeping the aspect."""
    scale = tile / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
