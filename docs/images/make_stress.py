"""Make ``stress.jpg`` of this folder: the example photo under every stress condition, with mattes.

``python docs/images/make_stress.py [--weights FILE]``

The matte that says where the person is, when a condition moves them, is the model's own of the
plain photo: these are pictures to look at, not figures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import mmnet_np
from mmnet_np.images import open_photo
from mmnet_np.training.stress import CONDITIONS, stress

HERE = Path(__file__).resolve().parent
PHOTO = HERE.parent.parent / "examples" / "portrait.jpg"
WIDTH, GAP, LABEL, COLUMNS = 104, 6, 14, 7


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Make the picture that the model card shows.")
    parser.add_argument("--weights", metavar="FILE", help="weights file; default: the package's")
    parser.add_argument("--out", metavar="FILE.jpg", type=Path, default=HERE / "stress.jpg")
    options = parser.parse_args()

    model = mmnet_np.load(options.weights, backend="numpy")
    photo = np.asarray(open_photo(PHOTO))
    matte = model.predict_uint8(photo)
    names = [name for name in CONDITIONS if name != "scale 1.0"]  # the same as plain
    height = round(WIDTH * photo.shape[0] / photo.shape[1])
    rows = -(-len(names) // COLUMNS)
    cell = (WIDTH + GAP, LABEL + 2 * (height + GAP))
    sheet = Image.new("RGB", (COLUMNS * cell[0] - GAP, rows * cell[1]), "white")
    draw = ImageDraw.Draw(sheet)
    for k, name in enumerate(names):
        left, top = k % COLUMNS * cell[0], k // COLUMNS * cell[1]
        hard, _ = stress(photo, matte, name)
        draw.text((left, top), name, fill="black")
        pictures = Image.fromarray(hard), Image.fromarray(model.predict_uint8(hard))
        for row, picture in enumerate(pictures):
            small = picture.resize((WIDTH, height), Image.Resampling.LANCZOS)
            sheet.paste(small, (left, top + LABEL + row * (height + GAP)))
    sheet.save(options.out, quality=88)
    print(options.out)


if __name__ == "__main__":
    main()
