"""Learning rates over the steps of a training run.

Each is a pure function of the step, so a resumed run needs no state of it.
"""

from __future__ import annotations

import math

from mmnet_np.errors import OptionError

__all__ = ["constant", "warmup_cosine"]


def constant(step: int, total: int, peak: float) -> float:
    """Return ``peak`` at every step: the paper's schedule, with 1e-4.

    >>> constant(7, 100, 1e-4)
    0.0001
    """
    return peak


def warmup_cosine(step: int, total: int, peak: float, warmup: int = 0, floor: float = 0.0) -> float:
    """Rise linearly to ``peak``, then fall along half a cosine to ``floor``.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, equation
    5, with one period and no restart. The first of ``warmup`` steps has ``peak / warmup``, the last
    one ``peak``; the last step of all, ``total - 1``, has ``floor``, and so has every later one.

    Parameters
    ----------
    step : int
        From 0.
    total : int
        Steps of the whole run.
    peak, floor : float
        Largest and last learning rate.
    warmup : int
        Steps of the rise, less than ``total``.

    Raises
    ------
    OptionError
        A negative step, or a warm-up that is not shorter than the run.

    Examples
    --------
    >>> [round(warmup_cosine(k, 7, 1.0, warmup=2), 2) for k in range(7)]
    [0.5, 1.0, 0.9, 0.65, 0.35, 0.1, 0.0]
    """
    if step < 0:
        raise OptionError(f"step is {step}; it must be 0 or more")
    if not 0 <= warmup < total:
        raise OptionError(f"warmup is {warmup}; it must be less than the {total} steps of the run")
    if step < warmup:
        return peak * (step + 1) / warmup
    # With a warm-up, its last step is the cosine's first.
    first = max(warmup - 1, 0)
    progress = min(1.0, (step - first) / max(1, total - 1 - first))
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2
