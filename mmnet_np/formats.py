"""Output files by name: which format a suffix asks for, and whether the file may be written.

Nothing heavy is imported here, so that a command can say what is wrong before it loads anything.
"""

from __future__ import annotations

import os
from pathlib import Path

from .command import printable
from .errors import ImageError

__all__ = ["FORMATS", "check_target", "output_format"]

FORMATS = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
}
"""Pillow's name of a format, by suffix."""


def output_format(path: str | os.PathLike[str], *, alpha: bool) -> str:
    """Name the Pillow format that a file name asks for.

    Parameters
    ----------
    path : path-like
        The output file.
    alpha : bool
        Whether the image has transparency, which JPEG cannot hold.

    Raises
    ------
    ImageError
        Unknown suffix, or JPEG with transparency.
    """
    kind = FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise ImageError(f"{printable(path)}: the name must end in {', '.join(FORMATS)}")
    if alpha and kind == "JPEG":
        raise ImageError(f"{printable(path)}: JPEG cannot hold transparency, use .png")
    return kind


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raise `ImageError` if ``path`` exists and may not or cannot be replaced by a file."""
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise ImageError(f"{printable(path)}: exists, give --overwrite to replace it")
    if path.exists() and not path.is_file():
        raise ImageError(f"{printable(path)}: exists and is not a regular file")
