"""What a model's dtype decides: its parameters, its backends, and how a photo meets the network.

`model.Matting` has one of these two and is the same for both otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmnet_np.weights import store
from mmnet_np.weights.files import shown

from .backends import Backend, NumbaBackend, NumpyBackend
from .errors import ImageError, OptionError, WeightsError
from .folding import folded_layers
from .graph import Graph, build, parameters
from .quantized import ALPHA, INPUT, Quantization, QuantizedNetwork
from .spec import Spec
from .threads import Bands

__all__ = ["DTYPES", "Float32", "Int8"]


MATTE = Quantization(np.float32(1 / 255), ALPHA.zero_point)
"""What the photo's matte takes the network's int8 alpha for."""


class Float32:
    """Float32 arithmetic.

    Parameters
    ----------
    graph : Graph
    spec : Spec
    stored : store.Weights
    rounding : str
        Of no meaning here: must be ``"double"``, the default.

    Raises
    ------
    WeightsError
        The stored tensors are not the graph's.
    OptionError
        Another rounding.
    """

    dtype = np.dtype(np.float32)
    kernels = ("inference", "photo")
    """The groups of kernels that Numba compiles for it and for the photos around it."""

    def __init__(self, graph: Graph, spec: Spec, stored: store.Weights, rounding: str) -> None:
        if rounding != "double":
            raise OptionError(f"rounding is {rounding!r}; {shown(stored.name)} is float32")
        # The auxiliary head may be there for further training; inference has no use for it.
        trained, needed = parameters(build(spec, auxiliary=True)), parameters(graph)
        present = {n: s for n, s in trained.items() if n in needed or n in stored.tensors}
        store.check_tensors(stored.tensors, present, shown(stored.name))
        self.parameters: dict[str, Any] = folded_layers(graph, stored.tensors)
        self._name = stored.name

    def backend(self, name: str, bands: Bands) -> Backend:
        """Make the backend of a name."""
        return NumbaBackend(bands) if name == "numba" else NumpyBackend()

    def check_input(self, x: NDArray[np.float32]) -> None:
        """Raise ImageError on NaN and infinity."""
        if not np.isfinite(x).all():
            raise ImageError("the input has NaN or infinite values")

    def check_alpha(self, alpha: NDArray[np.float32]) -> None:
        """Raise WeightsError where the network overflowed."""
        if not np.isfinite(alpha).all():
            raise WeightsError(f"{shown(self._name)}: its values overflow; they make no matte")

    def from_photo(self, x: NDArray[np.float32], backend: Backend) -> NDArray[np.float32]:
        """Return the network's input for (N, h, w, 3) float32 in [0, 1]."""
        return x

    def to_alpha(self, x: NDArray[np.float32], backend: Backend) -> NDArray[np.float32]:
        """Return float32 alpha in [0, 1] of the network's (h, w)."""
        return x


class Int8:
    """Int8 arithmetic; parameters as for `Float32`.

    A photo, resized to the network's size in float32 and divided by 255, is quantized at scale
    1/255 and zero point -128: pixels of a photo that has that size already become themselves minus
    128. Alpha is int8 at scale 1/256, so that its largest value, 127, means 255/256; the photo's
    matte takes it for 1, and every other in proportion: ``(q + 128) / 255``, see `MATTE`.
    """

    dtype = np.dtype(np.int8)
    kernels = ("int8", "photo")

    def __init__(self, graph: Graph, spec: Spec, stored: store.Weights, rounding: str) -> None:
        self.network = QuantizedNetwork(graph, stored.tensors, shown(stored.name), rounding)
        self.parameters = self.network.integers

    def backend(self, name: str, bands: Bands) -> Backend:
        """Make the backend of a name."""
        from .backends_int8 import NumbaInt8Backend, NumpyInt8Backend

        return NumbaInt8Backend(bands) if name == "numba" else NumpyInt8Backend()

    def check_input(self, x: NDArray[np.int8]) -> None:
        """Accept any int8."""

    def check_alpha(self, alpha: NDArray[np.int8]) -> None:
        """Accept any int8."""

    def from_photo(self, x: NDArray[np.float32], backend: Any) -> NDArray[np.int8]:
        """Return the network's input for (N, h, w, 3) float32 in [0, 1]."""
        return backend.quantize(x, INPUT)

    def to_alpha(self, x: NDArray[np.int8], backend: Any) -> NDArray[np.float32]:
        """Return float32 alpha in [0, 1] of the network's (h, w)."""
        return backend.dequantize(x[np.newaxis, :, :, np.newaxis], MATTE)[0, :, :, 0]


DTYPES: dict[str, type[Float32] | type[Int8]] = {"float32": Float32, "int8": Int8}
