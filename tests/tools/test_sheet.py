"""The contact sheet: everything is on it, nothing overlaps, any caption is drawn."""

import numpy as np
import pytest
from PIL import Image

from mmnet_np.tools.sheet import GAP, LINE, Row, contact_sheet

COLOURS = [(255, 0, 0), (0, 160, 0), (0, 0, 255)]


def solid(colour, size=(30, 40)):
    return Image.new("RGB", size, colour)


def count(sheet, colour):
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_every_picture_is_scaled_into_its_tile():
    rows = [Row("one", [solid(colour) for colour in COLOURS])]
    sheet = contact_sheet(("a", "b", "c"), [("group", rows)], tile=80)
    assert sheet.mode == "RGB"
    assert sheet.width == GAP + 3 * (80 + GAP)
    for column, colour in enumerate(COLOURS):
        where = np.argwhere((np.asarray(sheet) == colour).all(axis=2))
        (top, left), (bottom, right) = where.min(axis=0), where.max(axis=0)
        assert (bottom - top + 1, right - left + 1) == (80, 60)  # 40 x 30, its aspect kept
        assert left == GAP + column * (80 + GAP) + 10  # in the middle of the tile


def test_rows_and_groups_do_not_overlap():
    groups = [
        ("first", [Row("x", [solid(COLOURS[0])]), Row("y", [solid(COLOURS[1])])]),
        ("second", [Row("z", [solid(COLOURS[2], (200, 50))])]),
    ]
    sheet = contact_sheet(("only",), groups, tile=40)
    assert [count(sheet, colour) for colour in COLOURS] == [30 * 40, 30 * 40, 40 * 10]
    assert sheet.height == GAP + LINE + 2 * (GAP + LINE) + 3 * (LINE + 40 + GAP)


@pytest.mark.parametrize("caption", ["plain", "日本", "a\nb", "\udce9", "x" * 500])
def test_any_caption_is_drawn(caption):
    def ink(heading, text):
        rows = [Row(text, [solid((255, 255, 255))])]
        return count(contact_sheet(("c",), [(heading, rows)], tile=100), (255, 255, 255))

    blank = ink(" ", " ")
    assert ink(caption, " ") < blank
    assert ink(" ", caption) < blank


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_other_modes(mode):
    picture = Image.new("L", (5, 5), 0).convert(mode)
    sheet = contact_sheet(("c",), [("g", [Row("r", [picture])])], tile=20)
    assert count(sheet, (0, 0, 0)) == 400


def test_nothing_to_show():
    assert contact_sheet(("a",), []).size == (GAP + 240 + GAP, GAP + LINE)
