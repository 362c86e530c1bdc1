"""The model a user holds: `load` weights, then `Matting.predict` photos."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmnet_np.kernels import jit
from mmnet_np.kernels.fixed_point import ROUNDINGS
from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import shown

from .dtypes import DTYPES
from .errors import MMNetError, OptionError
from .many import How, mapped, packed
from .matte import matte
from .network import Network
from .preprocess import Photo, as_photo, network_input
from .shipped import DEFAULT, SHIPPED
from .spec import check_size, whole

__all__ = ["BACKENDS", "DEFAULT", "DTYPES", "SHIPPED", "Matting", "find_weights", "load"]

BACKENDS = ("auto", "numpy", "numba")


def load(
    weights: str | os.PathLike[str] | None = None,
    *,
    dtype: str | None = None,
    backend: str = "auto",
    threads: int | None = None,
    size: int | None = None,
    images: int | None = None,
    rounding: str = "double",
) -> Matting:
    """Load a model.

    Parameters
    ----------
    weights : path, name or None
        A weights file (``.h5``), the name of a shipped model, or None for the default one.
    dtype : {"float32", "int8"}, optional
        Arithmetic that the weights must be for; by default whatever the file holds, and of the
        shipped models the float32 one.
    backend : {"auto", "numpy", "numba"}
        "auto" takes the Numba kernels when they are already compiled for this machine or when
        there is enough work to repay compiling them, else NumPy.
    threads : int, optional
        Threads that share one image; 1 by default, as handing over a hundred small layers still
        costs more than a second thread brings. No bit depends on it.
    size : int, optional
        Input size to run at, a multiple of 16; by default the one the weights were trained at.
    images : int, optional
        How many photos are coming, where that is known: with few of them "auto" takes NumPy, with
        many Numba.
    rounding : {"double", "single"}
        How an int8 network's sums are rounded (`mmnet_np.kernels.fixed_point`): "double" is the
        default of TensorFlow Lite, "single" another dialect that some builds and DSPs speak.

    Returns
    -------
    Matting

    Raises
    ------
    WeightsError
        The file is missing, damaged or not MMNet's.
    OptionError
        An argument outside what is allowed, or a dtype that is not the weights'.
    """
    if dtype is not None and dtype not in DTYPES:
        raise OptionError(f"dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}")
    if rounding not in ROUNDINGS:
        raise OptionError(f"rounding is {rounding!r}; it must be one of {', '.join(ROUNDINGS)}")
    if backend not in BACKENDS:
        raise OptionError(f"backend is {backend!r}; it must be one of {', '.join(BACKENDS)}")
    if backend == "numba" and not jit.has_numba():
        raise OptionError("backend is 'numba', but Numba is not installed: pip install numba")
    if size is not None:
        size = whole("size", size)
        check_size(size, size)
    threads = None if threads is None else whole("threads", threads)
    images = None if images is None else whole("images", images)
    path = find_weights(weights, dtype)
    try:
        stored = store.load(path)
    except WeightsError as error:
        if path.is_file() and not store.is_store(path):
            raise WeightsError(
                f"{error}; if it is a checkpoint, python -m mmnet_np.tools.convert makes a "
                "weights file of it"
            ) from None
        raise
    if dtype not in (None, stored.dtype):
        raise OptionError(f"dtype is {dtype!r}, but {shown(path)} holds {stored.dtype} weights")
    return Matting(
        stored, backend=backend, threads=threads, size=size, images=images, rounding=rounding
    )


def find_weights(weights: str | os.PathLike[str] | None, dtype: str | None = None) -> Path:
    """Return the path of a weights file given by path, by a shipped model's name or by dtype."""
    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise WeightsError(f"weights is a {type(weights).__name__}; it must be a path or a name")
    if weights is None or str(weights) in SHIPPED:
        name = DEFAULT[dtype or "float32"] if weights is None else str(weights)
        if dtype == "int8" and f"{name}-int8" in SHIPPED:
            name += "-int8"
        path = Path(store.__file__).with_name("pretrained") / f"{name}.h5"
        if path.is_file():
            return path
        raise WeightsError(
            f"the weights {name} are not in this copy of the package: install it again, or give a "
            "weights file (--weights FILE)"
        )
    return Path(weights)


class Matting(Network):
    """MMNet with weights, for photos. Made by `load`; safe to use from several threads.

    What it is, and the bare network, are `Network`'s. It may be sent to other processes.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return self._packed

    @cached_property
    def _packed(self) -> tuple[Any, ...]:
        return packed(_again, *self._arguments)

    def predict(
        self, image: Photo, *, refine: bool = True, refocus: bool = False
    ) -> NDArray[np.float32]:
        """Return the alpha matte of a photo, at the photo's own size.

        Parameters
        ----------
        image : path, PIL.Image.Image or (H, W, 3) uint8 array
            A file is read upright (`mmnet_np.images.open_photo`). An image of another mode than
            RGB is converted. Images and arrays are taken as they lie: apply EXIF orientation
            first.
        refine : bool
            Enlarge the network's alpha along the photo's edges (`mmnet_np.refine`); otherwise by
            legacy bilinear, as the paper's authors do.
        refocus : bool
            Where the person is small, look again at the part of the photo around the person
            (`mmnet_np.refocus`).

        Returns
        -------
        (H, W) float32 array in [0, 1]
            1 where the person is.

        Raises
        ------
        ImageError
            Not an image, an array of another shape or dtype, or a file that is no usable image.
        """
        return self._matte(image, np.float32, refine, refocus)

    def predict_uint8(
        self, image: Photo, *, refine: bool = True, refocus: bool = False
    ) -> NDArray[np.uint8]:
        """Return `predict` rounded to (H, W) uint8 in 0..255, in a quarter of the memory."""
        return self._matte(image, np.uint8, refine, refocus)

    def predict_batch(
        self, images: Iterable[Photo], *, refine: bool = True, refocus: bool = False
    ) -> list[NDArray[np.float32]]:
        """Return `predict` of several photos of any sizes, done on all processors at once.

        Raises
        ------
        ImageError
            As `predict`, of the first photo that fails.
        """
        return list(mapped(self, images, How(refine, refocus)))  # type: ignore[arg-type]

    def map(
        self,
        images: Iterable[Photo],
        executor: Executor | None = None,
        *,
        ahead: int | None = None,
        errors: str = "raise",
        rounded: bool = False,
        refine: bool = True,
        refocus: bool = False,
    ) -> Iterator[NDArray | MMNetError]:
        """Predict any number of photos, on any executor, in bounded memory.

        Parameters
        ----------
        images : iterable of path, PIL.Image.Image or (H, W, 3) uint8 array
            As for `predict`. Drawn from as they are needed. Where the executor's workers are
            other machines, they must know the paths.
        executor : concurrent.futures.Executor, optional
            What does the work: threads, processes, a cluster. By default threads of our own, as
            many as there are processors.
        ahead : int, optional
            Photos in hand at a time: sent, being done, or done and not yet asked for. By default
            twice the executor's workers, where it has a known number, else 16.
        errors : {"raise", "return"}
            "return" gives the `MMNetError` of a photo that failed in the place of its matte.
        rounded : bool
            Give what `predict_uint8` gives: a quarter to send.
        refine, refocus : bool
            As for `predict`.

        Yields
        ------
        (H, W) array, or MMNetError
            In the order of ``images``.

        Raises
        ------
        ImageError
            A photo failed, when its turn comes.
        OptionError
            An argument is not one of those above.
        """
        if errors not in ("raise", "return"):
            raise OptionError(f"errors is {errors!r}; it must be 'raise' or 'return'")
        how = How(refine, refocus, rounded, kept=errors == "return")
        return mapped(self, images, how, executor, ahead)

    def _matte(self, image: Photo, dtype: type, refine: bool, refocus: bool) -> NDArray:
        numba = self.backend == "numba"
        return matte(
            self._look, as_photo(image), dtype, refine=refine, refocus=refocus, numba=numba
        )

    def look(
        self, photo: Image.Image, shape: tuple[int, int] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return what the network sees of a photo, and its alpha, before that is enlarged.

        Parameters
        ----------
        photo : PIL.Image.Image
            RGB.
        shape : (int, int), optional
            Height and width of the input, multiples of 16; by default `size` both.

        Returns
        -------
        seen : (height, width, 3) float32 array in [0, 1]
        alpha : (height, width) float32 array in [0, 1]
        """
        backend = self._engine.backend
        seen = network_input(photo, *(shape or (self.size, self.size)))
        x = self._arithmetic.from_photo(seen[np.newaxis], backend)
        return seen, self._arithmetic.to_alpha(self.forward(x)[0], backend)

    def _look(self, photo: Image.Image) -> NDArray[np.float32]:
        return self.look(photo)[1]


def _again(stored: store.Weights, options: dict[str, Any]) -> Matting:
    """Make a model in another process."""
    return Matting(stored, **options)
