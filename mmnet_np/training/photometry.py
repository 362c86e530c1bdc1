"""What light, lens, sensor and codec do to a picture: random, and without effect on the matte.

Each effect takes a generator and a Pillow image of mode RGB and gives another one. All is done on
8 bits, as cameras do; Pillow's lookup tables and filters take a fraction of the time that float
arithmetic would. `develop` applies them in the order in which a picture meets them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageFilter

__all__ = ["develop", "grey", "jpeg", "noise"]

Effect = Callable[[np.random.Generator, Image.Image], Image.Image]


def develop(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Apply a random choice of effects, often none.

    Parameters
    ----------
    rng : numpy.random.Generator
    picture : PIL.Image.Image
        RGB.

    Returns
    -------
    PIL.Image.Image
        RGB of the same size.
    """
    if rng.random() < 0.15:
        return picture
    for probability, effect in _EFFECTS:
        if rng.random() < probability:
            picture = effect(rng, picture)
    return picture


def tone(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Vary exposure, contrast, gamma and colour temperature, as one table for each channel."""
    warmth, tint = rng.normal(0, 0.08), rng.normal(0, 0.03)
    gains = rng.uniform(0.75, 1.3) * np.exp([warmth, tint, -warmth])
    contrast, gamma = rng.uniform(0.7, 1.35), math.exp(rng.uniform(-0.35, 0.35))
    return _mapped(picture, gains, contrast, gamma)


def low_light(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Underexpose, and add the noise of a sensor at its limit."""
    gain, warmth = rng.uniform(0.25, 0.6), rng.normal(0.05, 0.1)
    gains = gain * np.exp([warmth, 0, -warmth])
    picture = _mapped(picture, gains, 1.0, rng.uniform(1.0, 1.25))
    return noise(rng, picture, rng.uniform(1, 9))


def _mapped(picture: Image.Image, gains: np.ndarray, contrast: float, gamma: float) -> Image.Image:
    """Map values v in [0, 1] to ``contrast * ((gain * v)**gamma - 1/2) + 1/2``."""
    level = np.linspace(0, 1, 256) * gains[:, None]
    level = (level**gamma - 0.5) * contrast + 0.5
    table = np.clip(np.rint(level * 255), 0, 255).astype(int)
    return picture.point(table.ravel().tolist())


def shade(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Let the light fall off across the picture, as beside a window."""
    corners = (rng.uniform(0.5, 1, (2, 2, 1)) * 255).repeat(3, axis=-1).astype(np.uint8)
    light = Image.fromarray(corners).resize(
        picture.size, Image.Resampling.BILINEAR, box=(0.5, 0.5, 1.5, 1.5)
    )
    return ImageChops.multiply(picture, light)


def saturation(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Make colours paler or stronger."""
    return Image.blend(grey(picture), picture, rng.uniform(0.3, 1.5))


def grey(picture: Image.Image) -> Image.Image:
    """Take all colour away; ITU-R 601 luma in all three channels."""
    return picture.convert("L").convert("RGB")


def defocus(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Blur by the mean of a square, about as wide as a lens's disc, of up to 1/32 of the side."""
    return picture.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1) * picture.width / 64))


def motion(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Blur along a line of up to five pixels through the centre, in one of four directions."""
    line = np.zeros((5, 5))
    reach = int(rng.integers(1, 3))
    dy, dx = ((0, 1), (1, 0), (1, 1), (1, -1))[rng.integers(4)]
    for k in range(-reach, reach + 1):
        line[2 + k * dy, 2 + k * dx] = 1
    return picture.filter(ImageFilter.Kernel((5, 5), line.ravel().tolist()))


def enlarge(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Reduce and enlarge again: a picture that was smaller than the network's input."""
    small = max(8, round(picture.width * rng.uniform(0.3, 0.8)))
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    down, up = (filters[k] for k in rng.integers(2, size=2))
    return picture.resize((small, small), down).resize(picture.size, up)


def sensor(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Add noise as at a high film speed."""
    return noise(rng, picture, rng.uniform(1, 12))


def noise(rng: np.random.Generator, picture: Image.Image, sigma: float) -> Image.Image:
    """Add Gaussian noise of standard deviation ``sigma`` of 255, mostly the same in all channels.

    Denoisers leave more of the brightness noise than of the colour noise, and one set of numbers
    for three channels takes a third of the time.
    """
    values = rng.standard_normal((picture.height, picture.width), np.float32)
    values *= np.float32(sigma)
    values += np.float32(128.5)
    plane = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    level = np.arange(256) - 128
    channels = [plane.point((level * k + 128.5).clip(0, 255).astype(int).tolist())
                for k in rng.uniform(0.7, 1.3, 3)]  # fmt: skip
    return ImageChops.add(picture, Image.merge("RGB", channels), 1, -128)


def compression(rng: np.random.Generator, picture: Image.Image) -> Image.Image:
    """Save as JPEG of quality 25 to 95."""
    return jpeg(picture, int(rng.integers(25, 96)))


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    """Encode as JPEG and decode again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file, formats=("JPEG",)).convert("RGB")


_EFFECTS: tuple[tuple[float, Effect], ...] = (
    # the light
    (0.12, shade),
    (0.70, tone),
    (0.10, low_light),
    # the lens
    (0.12, defocus),
    (0.06, motion),
    # the sensor and what its processor makes of it
    (0.15, sensor),
    (0.35, saturation),
    (0.07, lambda rng, picture: grey(picture)),
    # the file
    (0.10, enlarge),
    (0.25, compression),
)
"""How probable each effect is, in the order in which they happen."""
