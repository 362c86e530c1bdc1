"""The trainer of quantization-aware training: float32 variables in, int8 weights out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import WeightsError
from mmnet_np.graph import Filtered, Graph, build
from mmnet_np.model import Matting
from mmnet_np.quantization.calibrate import calibrate
from mmnet_np.quantization.observers import mse, of_range
from mmnet_np.quantization.quantizer import quantize
from mmnet_np.quantized import Quantization
from mmnet_np.threads import Bands
from mmnet_np.weights import store

from .arithmetic import Arithmetic
from .layout import is_head
from .quantized import QuantizedArithmetic
from .trainer import Trainer

__all__ = ["QuantizingTrainer"]

_AUXILIARY = of_range(-16.0, 16.0)
"""Of the auxiliary head, which is not observed: beyond, its loss does not change any more."""


class QuantizingTrainer(Trainer):
    """As `Trainer`, to be started from trained weights; see `mmnet_np.training.quantized`.

    What is trained are the float32 network's own variables, batch norm's statistics aside. How
    activations are quantized is chosen before the first step, and stays so.
    """

    dtype = "int8"

    def _arithmetic(self, graph: Graph, bands: Bands) -> Arithmetic:
        self._outputs: dict[str, Quantization] = {}
        return QuantizedArithmetic(
            graph, self.variables.views, self.gradients.views, self._outputs, bands
        )

    def prepare(self, images: Iterable[NDArray[np.float32]]) -> None:
        """Choose how activations are quantized, from what the float32 network makes of images."""
        weights = store.Weights(
            "trained weights", "float32", self.spec.as_dict(), self.variables.tensors(), {}, ""
        )
        # Numba's bits depend on nothing, which scales that a run may have to find again must not.
        self._outputs |= calibrate(Matting(weights, backend="numba"), images, mse)
        for layer in build(self.spec, auxiliary=True):
            if is_head(layer):
                self._outputs.setdefault(layer.name, _AUXILIARY)

    def tensors(self) -> dict[str, NDArray]:
        """Return the averaged weights, quantized."""
        return quantize(build(self.spec), super().tensors(), self._outputs)

    def state(self) -> dict[str, NDArray]:
        """Return everything that `restore` needs, as arrays."""
        scales, zero_points = zip(*self._outputs.values(), strict=True)
        return {
            **super().state(),
            "outputs/name": np.array(list(self._outputs)),
            "outputs/scale": np.array(scales, np.float32),
            "outputs/zero_point": np.array(zero_points, np.int32),
        }

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from a `state`, to the same bits; `WeightsError` if it is another network's."""
        super().restore(state)
        names, scales, zero_points = (
            state[f"outputs/{leaf}"].tolist() for leaf in ("name", "scale", "zero_point")
        )
        wanted = {
            layer.name for layer in build(self.spec, auxiliary=True) if isinstance(layer, Filtered)
        }
        if set(names) != wanted:
            raise WeightsError("the run's state is of another network")
        for name, scale, zero_point in zip(names, scales, zero_points, strict=True):
            self._outputs[name] = Quantization(np.float32(scale), zero_point)
