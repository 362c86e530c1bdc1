"""What a photo says of itself, for the pictures made of it: when, where, with which camera.

Only tags that describe the photo are copied. What describes the file's own bits, its orientation,
which has been applied, and the thumbnail, which shows the background that was taken away, stay
behind.
"""

from __future__ import annotations

from collections.abc import Collection

from PIL import Image

__all__ = ["kept_exif"]

# Tags of Exif 2.32: IFD0 (section 4.6.4) and where it points to.
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_DESCRIPTIVE = (
    *(0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C),  # subject, camera, date, artist
    *(0x011A, 0x011B, 0x0128),  # resolution
    *(0x4746, 0x4749, 0x8298),  # rating, copyright
    *range(0x9C9B, 0x9CA0),  # title, comment and so on, as Windows writes them
)
_MAKER_NOTE = 0x927C
# Sizes of the photo's file, offsets into it.
_OF_THE_FILE = (0xA002, 0xA003, 0xA005)

_LARGEST = 65_533
"""Bytes that fit into JPEG's segment, less the two that tell its length."""


def kept_exif(image: Image.Image) -> bytes | None:
    """Return the EXIF block for a picture made of a photo.

    Parameters
    ----------
    image : PIL.Image.Image
        As Pillow opened it, decoded.

    Returns
    -------
    bytes or None
        Begins with ``Exif``, of at most 65,533 bytes: the camera maker's private note goes first
        where there is more. None if there is no EXIF, or it is damaged or too large.
    """
    try:
        # The base class's method: that of PNG decodes the whole image to look behind the pixels.
        found = Image.Image.getexif(image)
        for left_out in ((), (_MAKER_NOTE,)):
            kept = _descriptive(found, left_out)
            block = kept.tobytes() if kept else b""
            if len(block) <= _LARGEST:
                return block or None
    except MemoryError:
        raise
    except Exception:  # damaged EXIF makes Pillow stumble in many ways
        return None
    return None


def _descriptive(found: Image.Exif, left_out: Collection[int]) -> Image.Exif:
    """Copy the tags that describe a photo."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in found:
            kept[tag] = found[tag]
    for pointer in (_EXIF_IFD, _GPS_IFD):
        part = {
            tag: value
            for tag, value in found.get_ifd(pointer).items()
            if tag not in _OF_THE_FILE and tag not in left_out
        }
        if part:
            kept[pointer] = part
    return kept
