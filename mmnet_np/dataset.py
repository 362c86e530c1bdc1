"""Folders of photos with their mattes, as the authors' program lays them out.

``{folder}/{split}/image/NAME.jpg`` belongs to ``{folder}/{split}/mask/NAME.png``; a folder that
holds ``image`` and ``mask`` itself counts as a split. `pairs` lists them, `problems` says what is
wrong with them before an hour of work is spent on the rest. Where no mattes are needed, `photos`
lists the photos of any folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .command import printable, reason
from .errors import ImageError
from .images import photo_size

__all__ = ["Pair", "pairs", "photos", "problems"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


class Pair(NamedTuple):
    """A photo and its matte."""

    name: str
    """File name of the photo without its suffix."""
    image: Path
    """The photo."""
    mask: Path
    """The matte, 8-bit grey of the photo's size; `pairs` does not look whether it exists."""


def pairs(folder: str | os.PathLike[str], split: str = "test") -> list[Pair]:
    """List the photos of a split with their mattes, in order of name.

    Parameters
    ----------
    folder : path-like
        The data set, or one split of it.
    split : str
        ``"train"``, ``"val"``, ``"test"`` or any other subfolder; not looked at where ``folder``
        has ``image`` and ``mask`` itself.

    Raises
    ------
    ImageError
        There is no such split, or no photo in it.
    """
    root = _root(Path(folder), split)
    try:
        found = sorted(path for path in (root / "image").iterdir() if _is_photo(path))
    except OSError as error:
        raise ImageError(f"{printable(root / 'image')}: {reason(error)}") from None
    if not found:
        raise ImageError(f"{printable(root / 'image')}: there is no photo in it")
    return [Pair(path.stem, path, root / "mask" / f"{path.stem}.png") for path in found]


def photos(folder: str | os.PathLike[str]) -> list[Path]:
    """List the photos in a folder at any depth, in order of name.

    Mattes are left out: a folder ``mask`` beside a folder ``image`` is not looked into.

    Raises
    ------
    ImageError
        There is no such folder, or no photo in it.
    """
    if not Path(folder).is_dir():
        raise ImageError(f"{printable(folder)}: there is no such folder")
    found: list[Path] = []
    for here, folders, files in os.walk(folder):
        if {"image", "mask"} <= set(folders):
            folders.remove("mask")
        found += (Path(here, name) for name in files if _is_photo(Path(name)))
    if not found:
        raise ImageError(f"{printable(folder)}: there is no photo in it")
    return sorted(found)


def problems(chosen: Iterable[Pair], *, smallest: int = 1) -> list[str]:
    """Say what is wrong with pairs, as far as file headers show it.

    Parameters
    ----------
    chosen : iterable of Pair
        What is going to be used.
    smallest : int
        The least height and width in pixels.

    Returns
    -------
    list of str
        A sentence for each pair that cannot be used: a matte is missing, a file is unreadable,
        sizes differ or are too small, two photos share a matte. Empty if all is well.
    """
    found: list[str] = []
    owners: dict[Path, Path] = {}
    for pair in chosen:
        first = owners.setdefault(pair.mask, pair.image)
        if first != pair.image:
            name = printable(pair.image)
            found.append(f"{name}: has the same mask as {printable(first.name)}")
            continue
        if not pair.mask.exists():
            found.append(f"{printable(pair.image)}: its mask {printable(pair.mask)} is missing")
            continue
        try:
            photo, mask = photo_size(pair.image), photo_size(pair.mask)
        except ImageError as error:
            found.append(str(error))
            continue
        if photo != mask:
            sizes = f"{photo[0]} x {photo[1]}, but its mask {mask[0]} x {mask[1]}"
            found.append(f"{printable(pair.image)}: is {sizes}")
        elif min(photo) < smallest:
            size = f"{photo[0]} x {photo[1]}"
            found.append(f"{printable(pair.image)}: is {size}, less than {smallest} pixels a side")
    return found


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _root(folder: Path, split: str) -> Path:
    """Find the folder that holds ``image`` and ``mask``."""
    for root in (folder / split, folder):
        if (root / "image").is_dir() and (root / "mask").is_dir():
            return root
    if not folder.is_dir():
        raise ImageError(f"{printable(folder)}: there is no such folder")
    raise ImageError(
        f"{printable(folder)}: has neither {printable(split)}/image and {printable(split)}/mask"
        " nor image and mask"
    )
