"""One implementation against another, layer by layer, and which layer is to blame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from mmnet_np.graph import Graph

from .compare import Tally, compare
from .engines import Computer, Feeds, Ours, Outputs

__all__ = ["Comparison", "check_held", "check_integers", "check_network", "check_outputs"]

Integers = Mapping[str, Mapping[str, NDArray]]
"""Layer name to arrays by name."""


@dataclass
class Comparison:
    """What was found of one implementation.

    Attributes
    ----------
    against : str
        What was compared, in words.
    graph : Graph
    tolerance : float
        As `mmnet_np.verification.compare.compare` takes it; 0 for int8.
    layers : dict of str to Tally
        By layer name, in graph order.
    """

    against: str
    graph: Graph
    tolerance: float = 0.0
    layers: dict[str, Tally] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = {layer.name: Tally() for layer in self.graph}

    @property
    def mismatches(self) -> int:
        """How many values differ."""
        return sum(tally.mismatches for tally in self.layers.values())

    @property
    def values(self) -> int:
        """How many values were compared."""
        return sum(tally.values for tally in self.layers.values())

    @property
    def culprits(self) -> list[str]:
        """Layers that differ although what they were given was the same, in graph order."""
        return [name for name, tally in self.layers.items() if tally.culprit]

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "against": self.against,
            "values": self.values,
            "mismatches": self.mismatches,
            "culprits": self.culprits,
            "layers": [{"name": n, **tally.as_dict()} for n, tally in self.layers.items()],
        }


def check_outputs(into: Comparison, where: str, expected: Outputs, found: Outputs) -> None:
    """Compare a run of the whole network; layers that ``found`` lacks are passed over.

    A layer is to blame if it differs and none of its inputs does.
    """
    wrong: set[str] = set()
    for layer in into.graph:
        if layer.name not in found:
            continue
        tally = compare(where, expected[layer.name], found[layer.name], into.tolerance)
        if tally.mismatches:
            wrong.add(layer.name)
            tally.culprit = wrong.isdisjoint(layer.inputs)
        into.layers[layer.name].add(tally)


def check_network(
    reference: Computer,
    others: Sequence[tuple[Computer, Comparison]],
    inputs: Mapping[str, NDArray],
    probes: Iterable[tuple[str, int, Feeds]],
) -> None:
    """Compare implementations on inputs of the network and on probes of each layer.

    Parameters
    ----------
    reference : Computer
    others : sequence of (Computer, Comparison)
        Each with where its findings go.
    inputs : mapping
        Name to an input of the whole network.
    probes : iterable
        From `mmnet_np.verification.probes.probes`.
    """
    for where, x in inputs.items():
        expected = reference.whole(x)
        for other, into in others:
            check_outputs(into, where, expected, other.whole(x))
    for where, size, feeds in probes:
        expected = reference.apart(feeds, size)
        for other, into in others:
            for name, found in other.apart(feeds, size).items():
                tally = compare(f"fed {where}", expected[name], found, into.tolerance)
                tally.culprit = tally.mismatches > 0
                into.layers[name].add(tally)


def check_integers(into: Comparison, expected: Integers, found: Integers) -> None:
    """Compare the integers of each layer; a layer with wrong ones is to blame."""
    for name, arrays in found.items():
        for what, array in arrays.items():
            if what in expected.get(name, {}):
                tally = compare(what, expected[name][what], array, into.tolerance)
                tally.culprit = tally.mismatches > 0
                into.layers[name].add(tally)


def check_held(into: Comparison, expected: Integers, backends: Iterable[Ours]) -> None:
    """Compare what our backends' kernels hold with what follows from the stored tensors."""
    for backend in backends:
        check_integers(into, expected, backend.integers())
