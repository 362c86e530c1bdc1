"""Make ``example.jpg`` of this folder: photo, matte and cutout of the example photo side by side.

``python docs/images/make_example.py --weights mmnet.h5``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import mmnet_np
from mmnet_np.images import open_photo

HERE = Path(__file__).resolve().parent
PHOTO = HERE.parent.parent / "examples" / "portrait.jpg"
COLOUR = "#00b140"
GAP = 12


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Set pictures of one size beside each other on white."""
    width, height = pictures[0].size
    sheet = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, height), "white")
    for k, picture in enumerate(pictures):
        sheet.paste(picture, (k * (width + GAP), 0))
    return sheet


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description="Make the picture that the README shows.")
    parser.add_argument("--weights", metavar="FILE", help="weights file; default: the package's")
    parser.add_argument("--out", metavar="FILE.jpg", type=Path, default=HERE / "example.jpg")
    options = parser.parse_args()

    photo = open_photo(PHOTO)
    alpha = mmnet_np.load(options.weights, backend="numpy").predict(photo)
    matte = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    own = mmnet_np.foreground(photo, alpha)
    cut = mmnet_np.composite(own, COLOUR, alpha)
    side_by_side([photo, matte, cut]).save(options.out, quality=88)
    print(options.out)


if __name__ == "__main__":
    main()
