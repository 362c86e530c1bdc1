"""One training step, and all the state that a run must keep to go on with the same bits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.graph import Depthwise, Filtered, Graph, build, parameters
from mmnet_np.spec import Spec
from mmnet_np.threads import Bands

from .arithmetic import Arithmetic, BatchNormArithmetic
from .losses import Losses
from .network import DECAY, TrainingNetwork
from .optimizer import Adam, ExponentialMovingAverage, WeightDecay
from .parameters import Parameters
from .recipes import Recipe

__all__ = ["Trainer", "initialize"]


def initialize(graph: Graph, seed: int) -> Parameters:
    """Return a graph's variables before training.

    Filters are drawn from Glorot's uniform distribution, variance 2 / (fan in + fan out); gamma and
    moving variance are 1, everything else is 0.
    """
    rng = np.random.default_rng([seed, 0x494E4954])
    made = Parameters(parameters(graph))
    for layer in graph:
        if not isinstance(layer, Filtered):
            continue
        k, _, depth, channels = layer.weights_shape()
        fan_in, fan_out = k * k * depth, k * k * channels
        if isinstance(layer, Depthwise):
            fan_in = fan_out = k * k  # each output channel sees one input channel
        limit = math.sqrt(6 / (fan_in + fan_out))
        made.views[layer.weights_name][...] = rng.uniform(-limit, limit, layer.weights_shape())
        if layer.batch_norm:
            made.views[layer.norm_name("gamma")][...] = 1
            made.views[layer.norm_name("moving_variance")][...] = 1
    return made


class Trainer:
    """A network with its optimizer, in float32.

    Parameters
    ----------
    spec : Spec
        Which network; ``spec.size`` is the input size to train at.
    recipe : Recipe
    batch : int
        Images in a batch.
    steps : int
        Of the whole run, for the schedule.
    seed : int
        Of the initial weights, and of dropout.
    threads : int, optional
        All available CPUs by default. No bit depends on it.
    dropout : float
        Share of values set to 0 after each encoder block; none by default, as the authors'.

    Attributes
    ----------
    dtype : str
        Of the weights that `tensors` gives.
    """

    dtype = "float32"

    def __init__(
        self,
        spec: Spec,
        recipe: Recipe,
        *,
        batch: int,
        steps: int,
        seed: int = 0,
        threads: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        self.spec, self.recipe, self.steps, self.seed = spec, recipe, steps, seed
        graph = build(spec, auxiliary=True, dropout=dropout)
        bands = Bands(threads)
        self.variables = initialize(graph, seed)
        self.gradients = Parameters(self.variables.shapes)
        self._network = TrainingNetwork(
            graph, self.variables.views, self.gradients.views, batch, spec.size, bands,
            self._arithmetic(graph, bands),
        )  # fmt: skip
        self._losses = Losses(bands=bands)
        self._decay = WeightDecay(self.variables)
        self._adam = Adam(len(self.variables.flat))
        self._average = ExponentialMovingAverage(self.variables.flat, recipe.average)

    def _arithmetic(self, graph: Graph, bands: Bands) -> Arithmetic:
        return BatchNormArithmetic(self.variables.views, self.gradients.views)

    @property
    def done(self) -> int:
        """Steps taken."""
        return self._adam.steps

    def start_from(self, tensors: Mapping[str, NDArray]) -> None:
        """Begin with trained weights instead of drawn ones; `WeightsError` if they do not fit."""
        self.variables.load(tensors)
        self._average = ExponentialMovingAverage(self.variables.flat, self.recipe.average)

    def prepare(self, images: Iterable[NDArray[np.float32]]) -> None:
        """Get ready for the first step of a run.

        Parameters
        ----------
        images : iterable of (N, S, S, 3) float32 arrays
            Some of those that are going to be trained on; not looked at in float32.
        """

    def step(self, image: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
        """Take one step.

        Parameters
        ----------
        image : (N, S, S, 3) float32 array in [0, 1]
        truth : (N, S, S) float32 array in [0, 1]

        Returns
        -------
        dict of str to float
            The loss terms, as `Losses` gives them.
        """
        rate = self.recipe.rate(self.done, self.steps)
        # Early on, as in the average of the weights, the initial statistics are forgotten quickly.
        decay = min(DECAY, (1 + self.done) / (10 + self.done))
        logits, auxiliary = self._network.forward(image, decay, (self.seed, self.done))
        terms, by_logits, by_auxiliary = self._losses(logits, auxiliary, image, truth)
        self._network.backward(by_logits, by_auxiliary)
        self._decay.add_gradient(self.variables.flat, self.gradients.flat)
        self._adam.step(self.variables.flat, self.gradients.flat, rate)
        self._average.update(self.variables.flat)
        return terms

    def tensors(self) -> dict[str, NDArray]:
        """Return the averaged weights: what is validated and kept."""
        averaged = Parameters(self.variables.shapes)
        averaged.flat[...] = self._average.average
        return averaged.tensors()

    def state(self) -> dict[str, NDArray]:
        """Return everything that `restore` needs, as arrays."""
        parts = {"adam": self._adam.state(), "average": self._average.state()}
        flat = {f"{part}/{name}": a for part, held in parts.items() for name, a in held.items()}
        return {"variables": self.variables.flat.copy(), **flat}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Go on from a `state`, to the same bits; `WeightsError` if it is another network's."""

        def part(prefix: str) -> dict[str, NDArray]:
            return {
                name.removeprefix(prefix): array
                for name, array in state.items()
                if name.startswith(prefix)
            }

        self._adam.restore(part("adam/"))
        self._average.restore(part("average/"))
        self.variables.flat[...] = state["variables"]
