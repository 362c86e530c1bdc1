"""Calibration: what range each layer's output takes on photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from mmnet_np.errors import ImageError
from mmnet_np.graph import Concat, Filtered, Graph, Resize, build
from mmnet_np.model import Matting
from mmnet_np.quantized import Quantization

from .observers import Histogram, Observer, minmax, of_range

__all__ = ["calibrate"]


def calibrate(
    model: Matting, images: Iterable[NDArray[np.float32]], observer: Observer = minmax
) -> dict[str, Quantization]:
    """Choose how the output of each filtered layer is quantized.

    Only linear layers and the logits need to be observed: a ReLU6 gives 0 to 6.

    Parameters
    ----------
    model : Matting
        In float32.
    images : iterable of (N, h, w, 3) float32 arrays in [0, 1]
        Photos as the network gets them, one at least.
    observer : callable
        One of `observers.OBSERVERS`.

    Raises
    ------
    ImageError
        There is no image.
    WeightsError
        The network's values overflow.
    """
    graph = build(model.spec)
    seen = {
        layer.name: Histogram()
        for layer in graph
        if isinstance(layer, Filtered) and not layer.relu6
    }
    count = 0
    for batch in images:
        count += len(batch)
        for image in batch:
            with np.errstate(all="ignore"):  # what overflows is told in one sentence
                found = model.intermediates(image[np.newaxis])
            for name, histogram in seen.items():
                histogram.add(found[name])
    if not count:
        raise ImageError("calibration needs one photo at least")
    return _outputs(graph, {name: observer(histogram) for name, histogram in seen.items()})


def _outputs(graph: Graph, observed: Mapping[str, tuple[float, float]]) -> dict[str, Quantization]:
    filtered = [layer.name for layer in graph if isinstance(layer, Filtered)]
    ranges = {name: observed.get(name, (0.0, 6.0)) for name in filtered}
    for layer in graph:
        if isinstance(layer, Concat):
            # A concat is quantized as its first input, whose scale must do for the others too:
            # without refinement a linear skip, which goes far beyond ReLU6's range.
            sources = [_source(graph, name) for name in layer.inputs]
            lows, highs = zip(*(ranges[name] for name in sources), strict=True)
            ranges[sources[0]] = min(lows), max(highs)
    return {name: of_range(*ranges[name]) for name in filtered}


def _source(graph: Graph, name: str) -> str:
    """Return the filtered layer that a tensor comes from through resizes."""
    while isinstance(graph[name], Resize):
        (name,) = graph[name].inputs
    return name
