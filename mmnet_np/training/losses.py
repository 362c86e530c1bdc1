"""The training loss: equations 2 to 10 of the paper, and its gradient by both heads' logits.

Arrays only. The loss is the weighted sum of five terms, by default their mean; the exact form of
each stands in `mmnet_np.kernels.losses`. Weight decay is `mmnet_np.training.optimizer`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import OptionError
from mmnet_np.kernels import jit
from mmnet_np.kernels import losses as kernels
from mmnet_np.threads import Bands

__all__ = ["TERMS", "Losses"]

TERMS = (*kernels.TERMS, "auxiliary")
"""The paper's five terms: alpha, compositional, kl, gradient, auxiliary."""


class Losses:
    """The loss and its gradient.

    In the authors' program the sum of the terms is divided by the sum of their weights, so that
    equal weights of one make a mean: that is the default. Equation 10 of the paper is the bare sum,
    which under Adam differs only in what epsilon and weight decay mean beside it.

    The compositional term follows equation 3 with colours in [0, 1]. The authors' program divides
    them by 255 once more, which all but removes the term.

    Parameters
    ----------
    weights : mapping of str to float, optional
        A weight for each of `TERMS`; one left out counts 0. All 1/5 by default.
    bands : Bands, optional
        Threads to share rows among. The result's bits do not depend on how many there are.

    Raises
    ------
    OptionError
        A weight with another name, negative or not finite.
    """

    def __init__(
        self, weights: Mapping[str, float] | None = None, bands: Bands | None = None
    ) -> None:
        weights = dict.fromkeys(TERMS, 1 / len(TERMS)) if weights is None else weights
        for name, weight in weights.items():
            if name not in TERMS:
                known = ", ".join(TERMS)
                raise OptionError(f"there is no loss {name!r}; it must be one of {known}")
            if not 0 <= weight < float("inf"):
                raise OptionError(f"the weight of loss {name!r} is {weight}; it must be 0 or more")
        self.weights = {name: float(weights.get(name, 0)) for name in TERMS}
        self._bands = bands or Bands(1)
        self._scratch: tuple[NDArray, NDArray, NDArray] | None = None

    def __call__(
        self, logits: NDArray, auxiliary: NDArray, image: NDArray, truth: NDArray
    ) -> tuple[dict[str, float], NDArray, NDArray]:
        """Compute the loss of a batch.

        Parameters
        ----------
        logits : (N, H, W, 2) float array
            Of the final layer; channel 1 is foreground. float32 runs in Numba where it is
            installed, float64 always in NumPy.
        auxiliary : (N, H/16, W/16, 2) float array
            Logits of the auxiliary head.
        image : (N, H, W, 3) float array
            The network's input, in [0, 1].
        truth : (N, H, W) float array
            True alpha in [0, 1].

        Returns
        -------
        terms : dict of str to float
            Each of `TERMS`, not weighted, and ``"total"``, their weighted sum.
        by_logits, by_auxiliary : arrays shaped as ``logits`` and ``auxiliary``
            Derivatives of the total.

        Raises
        ------
        ValueError
            Shapes do not fit together.
        """
        self._check(logits, auxiliary, image, truth)
        weights = np.array([self.weights[name] for name in kernels.TERMS])
        if logits.dtype == np.float32 and jit.has_numba():
            found, by_logits = self._numba(logits, image, truth, weights)
        else:
            found, by_logits = kernels.reference(logits, image, truth, weights)
        # TensorFlow's nearest downsampling by a whole factor reads the first pixel of each cell.
        down, across = (truth.shape[k] // auxiliary.shape[k] for k in (1, 2))
        coarse = np.ascontiguousarray(truth[:, ::down, ::across])
        inner, by_auxiliary = kernels.cross_entropy(auxiliary, coarse)
        by_auxiliary *= by_auxiliary.dtype.type(self.weights["auxiliary"])
        terms = dict(zip(TERMS, (*found.tolist(), inner), strict=True))
        terms["total"] = sum(self.weights[name] * terms[name] for name in TERMS)
        return terms, by_logits, by_auxiliary

    def _numba(
        self, logits: NDArray, image: NDArray, truth: NDArray, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """As `kernels.reference`, in three sweeps over bands of rows."""
        n, height, width = truth.shape
        if self._scratch is None or self._scratch[0].shape != (n, height + 2, width + 2):
            # The frames of zeros around both are never written.
            error = np.zeros((n, height + 2, width + 2), np.float32)
            signs = np.zeros((2, *error.shape), np.int8)
            self._scratch = error, signs, np.empty((n * height, len(kernels.TERMS)))
        error, signs, sums = self._scratch
        gradient = np.empty(logits.shape, np.float32)
        scaled = (weights / truth.size).astype(np.float32)
        logits, image, truth = (
            np.ascontiguousarray(array, np.float32) for array in (logits, image, truth)
        )
        steps = (
            (kernels.pixelwise, (logits, image, truth, scaled, error, gradient, sums)),
            (kernels.edges, (error, signs, sums)),
            (kernels.combine, (signs, scaled, gradient)),
        )
        for kernel, arguments in steps:
            self._bands.run(kernel, arguments, n * height, truth.size)
        return sums.sum(axis=0) / truth.size, gradient

    @staticmethod
    def _check(logits: NDArray, auxiliary: NDArray, image: NDArray, truth: NDArray) -> None:
        n, height, width = truth.shape
        wanted = {
            "logits": (logits, (n, height, width, 2)),
            "image": (image, (n, height, width, 3)),
            "auxiliary": (auxiliary, (n, height // 16, width // 16, 2)),
        }
        for name, (array, shape) in wanted.items():
            if array.shape != shape:
                raise ValueError(
                    f"{name} is {array.shape}; beside a truth of {truth.shape} it must be {shape}"
                )
