"""What is made of a photo and its matte: the four outputs of the command."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .background import Background, Blur
from .blur import blurred
from .colours import foreground
from .compose import composite, cutout

__all__ = ["Style"]


class Style(NamedTuple):
    """An output."""

    output: str
    """``"cutout"``, ``"alpha"``, ``"foreground"`` or ``"composite"``."""
    background: Background | None = None
    """Of a composite; None leaves it transparent, as a cutout."""
    own_colours: bool = True
    """Whether the old background's colours are taken out of the person's edge."""

    @property
    def mode(self) -> str:
        """Pillow's name of what the output's pixels are: ``"L"``, ``"RGB"`` or ``"RGBA"``."""
        if self.output == "alpha":
            return "L"
        clear = self.output == "cutout" or (self.output == "composite" and self.background is None)
        return "RGBA" if clear else "RGB"

    def behind(self, photo: Image.Image, alpha: NDArray[np.uint8]) -> Background | None:
        """Return the background of this photo: what is blurred is the photo as it was taken."""
        if self.output == "composite" and isinstance(self.background, Blur):
            return blurred(photo, alpha, self.background.radius)
        return self.background

    def colours(self, photo: Image.Image, alpha: NDArray[np.uint8], *, numba: bool) -> Image.Image:
        """Return the photo with the colours that the output shows."""
        if self.output == "alpha" or not self.own_colours:
            return photo
        return foreground(photo, alpha, numba=numba)

    def compose(
        self, photo: Image.Image, alpha: NDArray[np.uint8], background: Background | None
    ) -> Image.Image:
        """Make the output of what `colours` and `behind` gave."""
        if self.output == "alpha":
            return Image.fromarray(alpha)
        if self.output == "foreground":
            return photo
        if self.output == "cutout" or background is None:
            return cutout(photo, alpha)
        return composite(photo, background, alpha)
