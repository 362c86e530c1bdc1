"""Short clips of known matte, made of portraits: what stands still, and what moves how fast.

There is no video with true mattes here, so a photo is filmed by a camera that is moved over it, and
a person cut out by their own matte moves before a background that does not. Every frame has a
camera's noise of its own, and lamps that flicker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["FRAMES", "MOTIONS", "Shot", "filmed"]

FRAMES = 24
"""Frames of a clip: a second."""

MOTIONS = ("still", "drift", "pan", "sway")
"""Nothing moves; the camera moves by a thousandth of the width a frame, hardly seen; by six of
them; the person moves to and fro by twelve of them a frame where they are fastest."""

_WINDOW = 0.8
"""What the camera sees of the photo, of its width and height."""

_NOISE = 3.0
"""Standard deviation of the noise, of 255: a phone indoors."""

_FLICKER = 0.01
"""Standard deviation of the brightness."""


class Shot(NamedTuple):
    """A frame and its true matte: (h, w, 3) and (h, w) uint8."""

    pixels: NDArray[np.uint8]
    truth: NDArray[np.uint8]


def filmed(photo: Image.Image, matte: NDArray[np.uint8], motion: str, seed: int) -> Iterator[Shot]:
    """Film a portrait.

    Parameters
    ----------
    photo : PIL.Image.Image
        RGB.
    matte : (H, W) uint8 array
    motion : str
        One of `MOTIONS`.
    seed : int
        Of noise and flicker.

    Yields
    ------
    Shot
        `FRAMES` of them, four fifths as wide and high as the photo.
    """
    rng = np.random.default_rng(seed)
    if motion == "sway":
        person, behind = _apart(photo, matte)
    for number in range(FRAMES):
        if motion == "sway":
            away = 0.045 * photo.width * np.sin(2 * np.pi * number / FRAMES)
            scene, alpha = _placed(person, behind, float(away))
            position = 0.0
        else:
            scene, alpha = photo, Image.fromarray(matte)
            speed = {"still": 0.0, "drift": 0.001, "pan": 0.006}[motion]
            position = speed * (number - FRAMES / 2) * photo.width
        pixels = np.asarray(_seen(scene, position), np.float32)
        pixels = pixels * np.float32(1 + _FLICKER * rng.standard_normal())
        pixels += rng.normal(0, _NOISE, pixels.shape).astype(np.float32)
        truth = np.asarray(_seen(alpha, position))
        yield Shot(np.rint(np.clip(pixels, 0, 255)).astype(np.uint8), truth)


def _seen(image: Image.Image, position: float) -> Image.Image:
    """Return what the camera sees, ``position`` pixels right of the photo's middle."""
    size = round(_WINDOW * image.width), round(_WINDOW * image.height)
    left = (image.width - size[0]) / 2 + position
    top = (image.height - size[1]) / 2
    box = (left, top, left + size[0], top + size[1])
    return image.resize(size, Image.Resampling.BICUBIC, box)


def _apart(photo: Image.Image, matte: NDArray[np.uint8]) -> tuple[Image.Image, Image.Image]:
    """Return the person as RGBA, and a background that shows nothing of them."""
    from mmnet_np import cutout, foreground
    from mmnet_np.blur import blurred

    person = cutout(foreground(photo, matte, numba=False), matte)
    behind = blurred(photo, matte).resize(photo.size, Image.Resampling.BICUBIC)
    return person, behind


def _placed(
    person: Image.Image, behind: Image.Image, away: float
) -> tuple[Image.Image, Image.Image]:
    """Return the scene with the person moved to the right, and their alpha there."""
    matrix = (1, 0, -away, 0, 1, 0)
    moved = person.transform(person.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    scene = behind.convert("RGBA")
    scene.alpha_composite(moved)
    return scene.convert("RGB"), moved.getchannel("A")
