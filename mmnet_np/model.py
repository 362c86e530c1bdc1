"""The model a user holds: `load` weights, then `Matting.predict` photos."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmnet_np.kernels import cache, jit
from mmnet_np.kernels.fixed_point import ROUNDINGS
from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import shown

from .choice import Choice
from .dtypes import DTYPES, Int8
from .engine import Engine
from .errors import ImageError, MMNetError, OptionError
from .graph import build
from .preprocess import alpha_bands, as_rgb, network_input
from .quantized import Quantization, QuantizedNetwork
from .refine import refined_bands
from .spec import Spec, check_size, whole
from .threads import Bands

__all__ = ["BACKENDS", "DEFAULT", "DTYPES", "SHIPPED", "Matting", "find_weights", "load"]

BACKENDS = ("auto", "numpy", "numba")

SHIPPED = ("mmnet-1.00-256", "mmnet-1.00-128", "mmnet-1.00-256-int8", "mmnet-1.00-128-int8")
"""Names of the models that belong in the package."""

DEFAULT = {"float32": "mmnet-1.00-256", "int8": "mmnet-1.00-256-int8"}
"""The shipped model that is taken when none is named, by dtype."""


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
        path = Path(store.__file__).with_name("pretrained") / f"{name}.h5"
        if path.is_file():
            return path
        raise WeightsError(
            "no trained weights ship with this version: give a weights file "
            "(--weights FILE; see 'Weights' in the README)"
        )
    return Path(weights)


class Matting:
    """MMNet with weights. Made by `load`; safe to use from several threads.

    Attributes
    ----------
    name : str
        What the weights call themselves, such as ``"mmnet-1.00-256"``.
    size : int
        Side of the square that a photo is resized to.
    width : float
        Width multiplier.
    dtype : str
        ``"float32"`` or ``"int8"``.
    rounding : str
        ``"double"``, or ``"single"`` for an int8 model loaded so.
    variant : str
        ``"full"`` or one of the ablations.
    """

    def __init__(
        self,
        stored: store.Weights,
        *,
        backend: str = "auto",
        threads: int | None = None,
        size: int | None = None,
        images: int | None = None,
        rounding: str = "double",
    ) -> None:
        try:
            spec = Spec.from_dict(stored.spec)
        except MMNetError as error:
            raise WeightsError(f"{shown(stored.name)}: {error}") from None
        self.name, self.dtype, self.rounding = stored.name, stored.dtype, rounding
        self.spec, self.variant = spec, spec.variant
        self.size, self.width = size or spec.size, spec.width
        self._graph = build(spec)
        self._arithmetic = DTYPES[stored.dtype](self._graph, spec, stored, rounding)
        self._bands = Bands(1 if threads is None else threads)
        self._choice = Choice(backend, images, self._arithmetic.kernels)
        self._engine = self._make(self._choice.name)

    @property
    def backend(self) -> str:
        """The backend now in use: ``"numpy"`` or ``"numba"``."""
        return self._engine.backend.name

    @property
    def threads(self) -> int:
        """How many threads share one image."""
        return self._bands.threads

    def __repr__(self) -> str:
        return (
            f"<Matting {self.name}: width {self.width:g}, size {self.size}, {self.dtype}, "
            f"{self.backend}>"
        )

    def _make(self, name: str) -> Engine:
        arithmetic = self._arithmetic
        backend = arithmetic.backend(name, self._bands)
        if name == "numba":
            from mmnet_np.kernels import foreground, guided  # noqa: F401  (defines "photo")

            for group in arithmetic.kernels:
                if not cache.is_warm(group):
                    jit.compile_all(group)
        return Engine(self._graph, arithmetic.parameters, backend)

    def predict(
        self, image: Image.Image | NDArray[np.uint8], *, refine: bool = True
    ) -> NDArray[np.float32]:
        """Return the alpha matte of a photo, at the photo's own size.

        Parameters
        ----------
        image : PIL.Image.Image or (H, W, 3) uint8 array
            RGB; an image of another mode is converted. Taken as it is: apply EXIF orientation
            first (`mmnet_np.images.open_photo` does).
        refine : bool
            Enlarge the network's alpha along the photo's edges (`mmnet_np.refine`); otherwise by
            legacy bilinear, as the paper's authors do.

        Returns
        -------
        (H, W) float32 array in [0, 1]
            1 where the person is.

        Raises
        ------
        ImageError
            Not an image, or an array of another shape or dtype.
        """
        return self._matte(image, np.float32, refine)

    def predict_uint8(
        self, image: Image.Image | NDArray[np.uint8], *, refine: bool = True
    ) -> NDArray[np.uint8]:
        """Return `predict` rounded to (H, W) uint8 in 0..255, in a quarter of the memory."""
        return self._matte(image, np.uint8, refine)

    def _matte(self, image: Image.Image | NDArray[np.uint8], dtype: type, refine: bool) -> NDArray:
        image = as_rgb(image)
        photo = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        prepared = network_input(photo, self.size, self.size)[np.newaxis]
        backend = self._engine.backend
        x = self._arithmetic.from_photo(prepared, backend)
        small = self._arithmetic.to_alpha(self.forward(x)[0], backend)
        alpha: NDArray = np.empty((photo.height, photo.width), dtype)
        made = (
            refined_bands(small, photo, numba=backend.name == "numba")
            if refine
            else alpha_bands(small, photo.height, photo.width)
        )
        for first, rows in made:
            if dtype is np.uint8:
                rows *= np.float32(255)
                np.rint(rows, out=rows)
            alpha[first : first + len(rows)] = rows
        return alpha

    def forward(self, x: NDArray) -> NDArray:
        """Run the network on prepared inputs.

        Parameters
        ----------
        x : (N, h, w, 3) float32 array in [0, 1], or int8 array
            Of the model's dtype; int8 is a uint8 photo minus 128 (scale 1/255, zero point -128). h
            and w are multiples of 16; they need not be `size`.

        Returns
        -------
        (N, h, w) float32 array in [0, 1], or int8 array
            Alpha; int8 at scale 1/256, zero point -128.

        Raises
        ------
        ImageError
            ``x`` is not such an array.
        OptionError
            h or w is no multiple of 16.
        """
        self._check(x)
        alpha = np.empty(x.shape[:3], x.dtype)
        for image, out in zip(x, alpha, strict=True):
            if self._choice.changes():
                self._engine = self._make(self._choice.name)
            began = time.perf_counter()
            engine = self._engine
            with engine.workspace(*image.shape[:2]) as workspace:
                workspace.input[0] = image
                with np.errstate(all="ignore"):  # what overflows is told below, in one sentence
                    workspace.run()
                out[...] = workspace.output[0, :, :, 1]
            self._choice.spent(time.perf_counter() - began)
        self._arithmetic.check_alpha(alpha)
        return alpha

    def intermediates(self, x: NDArray) -> dict[str, NDArray]:
        """Run the network and return every layer's output.

        Parameters
        ----------
        x : (N, h, w, 3) array
            As for `forward`.

        Returns
        -------
        dict of str to (N, h', w', C) array of the model's dtype
            By layer name, in graph order; ``"input"`` first, the softmax last. A layer named
            ``S`` with variables has them under ``MMNet/S/`` in the weights.
        """
        self._check(x)
        found: dict[str, list[NDArray]] = {layer.name: [] for layer in self._graph}
        with self._engine.workspace(*x.shape[1:3]) as workspace:
            for image in x:
                workspace.input[0] = image
                found["input"].append(image.copy())
                workspace.run(lambda name, value: found[name].append(value[0].copy()))
        return {name: np.stack(values) for name, values in found.items()}

    def quantization(self, layer: str) -> Quantization:
        """Return scale and zero point of a layer: ``real = (q - zero_point) * scale``.

        Parameters
        ----------
        layer : str
            A name that `intermediates` gives, ``"input"`` among them.

        Raises
        ------
        OptionError
            The model is float32, or has no such layer.
        """
        return self._quantized(layer).quantizations[layer]

    def integers(self, layer: str) -> dict[str, Any]:
        """Return what the int8 kernels know of a layer, derived from its scales once.

        Parameters
        ----------
        layer : str
            As for `quantization`.

        Returns
        -------
        dict
            ``output_scale`` and ``output_zero_point``, and of layers that compute something
            ``input_scale`` and ``input_zero_point``. A convolution also has ``weights`` (int8, the
            checkpoint's layout), ``weights_scale`` (O,), ``bias``, ``multiplier`` and ``shift``
            (O,) int32, ``lower`` and ``upper``. The softmax has its ``table`` (256, 256), alpha at
            ``[q0 + 128, q1 + 128]``. A concat has arrays over its inputs, among them ``multiplier``
            and ``shift``; with a multiplier of 0 an input is copied.

        Raises
        ------
        OptionError
            The model is float32, or has no such layer.
        """
        return self._quantized(layer).plain(layer)

    def _quantized(self, layer: str) -> QuantizedNetwork:
        if not isinstance(self._arithmetic, Int8):
            raise OptionError(f"{shown(self.name)} is {self.dtype}; only int8 is quantized")
        if layer not in self._arithmetic.network.quantizations:
            raise OptionError(f"there is no layer {shown(repr(layer))} in {shown(self.name)}")
        return self._arithmetic.network

    def _check(self, x: NDArray) -> None:
        if not isinstance(x, np.ndarray) or x.dtype != self.dtype or x.ndim != 4 or x.shape[3] != 3:
            kind = (
                f"{x.dtype} array of shape {x.shape}"
                if isinstance(x, np.ndarray)
                else type(x).__name__
            )
            raise ImageError(
                f"the input is a {kind}; it must be (N, height, width, 3) {self.dtype}"
            )
        if not len(x):
            raise ImageError("the input holds no image")
        check_size(*x.shape[1:3])
        self._arithmetic.check_input(x)
