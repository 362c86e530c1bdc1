"""Small synthetic portraits with their mattes, in the layout of the authors' program."""

import numpy as np
from PIL import Image


def portrait(seed, size=(40, 50)):
    """A soft-edged bright disc before a dark background: (RGB image, uint8 matte)."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    centre, radius = rng.uniform(15, 25, 2), rng.uniform(8, 14)
    alpha = np.clip(radius - np.hypot(x - centre[0], y - centre[1]) + 0.5, 0, 1)
    colour = rng.integers(150, 256, 3)
    pixels = alpha[:, :, np.newaxis] * colour + rng.integers(0, 30, (*alpha.shape, 3))
    return (
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)),
        np.rint(alpha * 255).astype(np.uint8),
    )


def write_pairs(root, count, *, suffix=".jpg"):
    """Write image/ and mask/ under ``root``; return the names."""
    names = [f"p{index:03}" for index in range(count)]
    (root / "image").mkdir(parents=True)
    (root / "mask").mkdir()
    for seed, name in enumerate(names):
        image, mask = portrait(seed)
        image.save(root / "image" / f"{name}{suffix}")
        Image.fromarray(mask).save(root / "mask" / f"{name}.png")
    return names
