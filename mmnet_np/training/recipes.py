"""Recipes: everything a training run chooses besides the network and the data."""

from __future__ import annotations

from dataclasses import dataclass

from .augment import AUGMENTATIONS
from .schedules import constant, warmup_cosine

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes
    ----------
    augment : str
        One of `augment.AUGMENTATIONS`.
    peak : float
        Largest learning rate.
    cosine : bool
        Fall to ``peak / 100`` along a cosine after a warm-up; else the rate is constant.
    warmup : float
        Part of the run that the warm-up takes.
    average : float
        Decay of the moving average of weights; what is validated and kept. 0: the weights
        themselves.
    epochs, batch : int
        Used unless the command says otherwise.
    quantized : bool
        Train int8 weights from trained float32 ones (`quantizing_trainer`).
    """

    augment: str
    peak: float
    cosine: bool
    warmup: float
    average: float
    epochs: int
    batch: int
    quantized: bool = False

    def rate(self, step: int, total: int) -> float:
        """Return the learning rate of one of ``total`` steps."""
        if not self.cosine:
            return constant(step, total, self.peak)
        warmup = min(int(total * self.warmup), total - 1)
        return warmup_cosine(step, total, self.peak, warmup, self.peak / 100)


RECIPES = {
    # Ours: as good in a fraction of the steps, and made for photos as people take them.
    "fast": Recipe("balanced", 8e-3, True, 0.03, 0.998, epochs=200, batch=16),
    # From trained weights to one's own photos, of which there may be few.
    "finetune": Recipe("balanced", 4e-4, True, 0.1, 0.99, epochs=30, batch=16),
    # From trained float32 weights to int8 ones: little is left to learn.
    "quantize": Recipe("balanced", 2e-4, True, 0.1, 0.99, epochs=10, batch=16, quantized=True),
    # The paper's and its authors' program: constant 1e-4, for hundreds of thousands of steps.
    "paper": Recipe("paper", 1e-4, False, 0.0, 0.0, epochs=4000, batch=32),
}
"""The recipes by name."""

assert all(recipe.augment in AUGMENTATIONS for recipe in RECIPES.values())
