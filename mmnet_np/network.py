"""The network with weights, on inputs that are prepared: `Network.forward`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmnet_np.kernels import cache, jit
from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import shown

from .choice import Choice
from .dtypes import DTYPES, Int8
from .engine import Engine
from .errors import ImageError, MMNetError, OptionError
from .graph import build
from .quantized import Quantization, QuantizedNetwork
from .spec import Spec, check_size
from .threads import Bands

__all__ = ["Network"]


class Network:
    """MMNet with weights, for arrays of the network's own kind.

    Attributes
    ----------
    name : str
        What the weights call themselves, such as ``"mmnet-1.00-256"``.
    size : int
        Side of the square that it is for.
    width : float
        Width multiplier.
    dtype : str
        ``"float32"`` or ``"int8"``.
    rounding : str
        ``"double"``, or ``"single"`` for an int8 network loaded so.
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
        options = {"backend": backend, "threads": threads, "size": size, "rounding": rounding}
        self._arguments = stored, options  # to make it again elsewhere
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
