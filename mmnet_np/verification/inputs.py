"""What a network is fed with when it is verified: a photo, and inputs that hurt.

Everything here is the same on every machine. No file is decoded lossily, no float is rounded, and
noise comes from SHAKE-256 rather than a generator whose stream may change with a library.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["PATTERNS", "network_inputs", "noise", "photo"]

Int8 = NDArray[np.int8]

PORTRAIT = Path(__file__).with_name("portrait.png")
"""The example photo as a 256 x 256 network sees it, lossless."""


def photo(size: int) -> Int8:
    """Return the example photo, (1, size, size, 3), at the network's input scale.

    At 256 it is what `mmnet_np.preprocess` makes of the photo; at another size the nearest of its
    pixels, as whole numbers are the same everywhere.
    """
    from PIL import Image

    with Image.open(PORTRAIT) as image:
        pixels = np.asarray(image.convert("RGB"))
    at = np.arange(size) * len(pixels) // size
    return _centred(pixels[at[:, np.newaxis], at][np.newaxis])


def noise(shape: Sequence[int], seed: str) -> Int8:
    """Return values in -128..127, each as likely, from a seed."""
    data = hashlib.shake_256(seed.encode()).digest(math.prod(shape))
    return np.frombuffer(data, np.int8).reshape(shape)


def _checkers(shape: Sequence[int], seed: str) -> Int8:
    """Return the lowest and the highest value by turns, along rows, columns and channels."""
    turns = np.indices(shape).sum(axis=0) % 2
    return np.where(turns == 0, -128, 127).astype(np.int8)


PATTERNS: dict[str, Callable[[Sequence[int], str], Int8]] = {
    "lowest": lambda shape, seed: np.full(shape, -128, np.int8),
    "highest": lambda shape, seed: np.full(shape, 127, np.int8),
    "checkers": _checkers,
    "noise": noise,
}
"""Adversarial inputs of any shape: name to a function of shape and seed."""


def network_inputs(size: int) -> dict[str, Int8]:
    """Return the photo and the adversarial inputs of a network, each (1, size, size, 3)."""
    shape = (1, size, size, 3)
    return {"photo": photo(size)} | {
        name: make(shape, "network input") for name, make in PATTERNS.items()
    }


def _centred(pixels: NDArray[np.uint8]) -> Int8:
    """Return 8-bit values as int8 at zero point -128."""
    return (pixels.astype(np.int16) - 128).astype(np.int8)
