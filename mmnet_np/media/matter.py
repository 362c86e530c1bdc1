"""From a frame to its picture, in three steps that the pipeline runs on several threads."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..background import background_rows
from ..matte import matte
from ..model import Matting
from ..picture import Style
from ..stability import Stabilizer
from .frames import Format, Frame

__all__ = ["Matter", "Seen", "input_shape"]

_WIDEST = 2.4
"""Width by height of the widest input: what is wider still is mostly not filmed but made."""

_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


class Seen(NamedTuple):
    """A frame that the network has looked at.

    Attributes
    ----------
    time : int
        The frame's.
    photo : PIL.Image.Image
        The frame.
    small : (h, w, 3) float32 array in [0, 1]
        What the network saw of it.
    alpha : (h, w) float32 array in [0, 1]
    """

    time: int
    photo: Image.Image
    small: NDArray[np.float32]
    alpha: NDArray[np.float32]


def input_shape(form: Format, size: int) -> tuple[int, int]:
    """Return the shape of the network's input for frames of a video, (height, width).

    A photo becomes a square, which makes the people of a portrait somewhat stouter; of a wide frame
    it would make them so thin that the network, which never saw such, errs. So wide frames keep
    their shape, with as many pixels as the square: on portraits set into frames of 16 to 9 that
    lowered MAD from 0.084 to 0.051.

    Parameters
    ----------
    form : Format
        Of the frames.
    size : int
        Side of the square that the network was trained for, a multiple of 16.

    Examples
    --------
    >>> input_shape(Format(1280, 720), 256)
    (192, 336)
    >>> input_shape(Format(720, 1280), 256)
    (256, 256)
    """
    pixel = form.aspect[0] / form.aspect[1] if all(form.aspect) else 1.0
    stretch = math.sqrt(min(max(form.width * pixel / form.height, 1.0), _WIDEST))
    return 16 * max(1, round(size / stretch / 16)), 16 * round(size * stretch / 16)


class Matter:
    """Makes the frames of the output.

    Parameters
    ----------
    model : Matting
    style : Style
        What to make.
    form : Format
        Of the frames that come.
    refine : bool
        As for `Matting.predict`.
    stabilize : bool
        Take the flicker out of still edges (`mmnet_np.stability`).

    Attributes
    ----------
    form : Format
        Of the frames that are made.
    """

    def __init__(
        self, model: Matting, style: Style, form: Format, *, refine: bool, stabilize: bool
    ) -> None:
        if isinstance(style.background, Image.Image):  # scaled once, not for each frame
            rows = background_rows(style.background, form.height, form.width)
            style = style._replace(background=Image.fromarray(np.concatenate(list(rows))))
        self.form = replace(form, channels=_CHANNELS[style.mode])
        self._model, self._style, self._refine = model, style, refine
        self._shape = input_shape(form, model.size)
        self._stabilizer = Stabilizer() if stabilize else None

    def look(self, frame: Frame) -> Seen:
        """Run the network. Any thread, any order."""
        photo = Image.fromarray(frame.pixels)
        return Seen(frame.time, photo, *self._model.look(photo, self._shape))

    def steady(self, seen: Seen) -> Seen:
        """Take the flicker out: one frame after the other."""
        if self._stabilizer is None:
            return seen
        numba = self._model.backend == "numba"
        return seen._replace(alpha=self._stabilizer(seen.small, seen.alpha, numba=numba))

    def picture(self, seen: Seen) -> Frame:
        """Enlarge alpha and compose. Any thread, any order."""
        photo, style = seen.photo, self._style
        numba = self._model.backend == "numba"
        alpha = matte(
            lambda _: seen.alpha, photo, np.uint8, refine=self._refine, refocus=False, numba=numba
        )
        background = style.behind(photo, alpha)
        made = style.compose(style.colours(photo, alpha, numba=numba), alpha, background)
        return Frame(seen.time, np.asarray(made).reshape(self.form.shape))
