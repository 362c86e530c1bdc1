"""The network that is verified, and what it is compared with."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dtypes import DTYPES, Int8
from mmnet_np.errors import OptionError
from mmnet_np.graph import build
from mmnet_np.images import open_photo
from mmnet_np.kernels import jit
from mmnet_np.preprocess import network_input
from mmnet_np.spec import Spec, check_size
from mmnet_np.tflite_import import load
from mmnet_np.tflite_match import match
from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import naming, read_regular, shown
from mmnet_np.weights.tflite_reader import is_tflite, read_model

from .check import Comparison, check_held, check_integers, check_network, check_outputs
from .digests import check_digests, model_digests, read_digests
from .dump import layer_parameters, read_dump, write_dump
from .engines import Computer, LiteRT, Ours, has_litert
from .exact import expected_integers
from .inputs import network_inputs, photo
from .probes import probes

__all__ = ["Subject"]

FLOAT32_TOLERANCE = 1e-4
"""Of float32, relative to 1 + |value|, over a whole network: another order rounds otherwise."""

Inputs = dict[str, NDArray]


class Subject:
    """A network with our backends ready to run, NumPy's first: it is the reference.

    Parameters
    ----------
    stored : store.Weights
    rounding : {"double", "single"}
    photos : sequence of path
        Photos to feed it with, beside the built-in inputs.

    Raises
    ------
    WeightsError
        The weights are not an MMNet's.
    """

    def __init__(
        self, stored: store.Weights, rounding: str = "double", photos: Sequence[Path] = ()
    ) -> None:
        self.stored, self.rounding, self.photos = stored, rounding, photos
        self.spec = Spec.from_dict(stored.spec)
        self.graph = build(self.spec)
        self.arithmetic = DTYPES[stored.dtype](self.graph, self.spec, stored, rounding)
        names = ("numpy", "numba") if jit.has_numba() else ("numpy",)
        self.backends = [Ours(name, self.graph, self.arithmetic) for name in names]

    @cached_property
    def parameters(self) -> dict[str, dict[str, NDArray]]:
        """What each layer computes with."""
        return layer_parameters(self.graph, self.arithmetic)

    def inputs(self, size: int) -> Inputs:
        """Return what the whole network is fed with: the user's photos, ours, and worse."""
        found = {name: self._prepared(x) for name, x in network_inputs(size).items()}
        for path in self.photos:
            x = network_input(open_photo(path), size, size)[np.newaxis]
            found[path.name] = self.arithmetic.from_photo(x, self.backends[0].engine.backend)
        return found

    def _prepared(self, x: NDArray[np.int8]) -> NDArray:
        if isinstance(self.arithmetic, Int8):
            return x
        return (x.astype(np.float32) + 128) / np.float32(255)

    def check_here(self) -> list[Comparison]:
        """Compare the kernels' integers with the file's, and NumPy with all that runs here."""
        found: list[Comparison] = []
        if isinstance(self.arithmetic, Int8):
            held = self._comparison("the file's integers with the kernels'")
            expected = expected_integers(self.graph, self.stored.tensors, self.arithmetic.network)
            check_held(held, expected, self.backends)
            found.append(held)
        others: list[Computer] = list(self.backends[1:])
        if has_litert() and self.rounding == "double":
            others.append(LiteRT("TensorFlow Lite's reference kernels", self.stored))
        pairs = [(other, self._comparison(f"numpy with {other.name}")) for other in others]
        check_network(
            self.backends[0],
            pairs,
            self.inputs(self.spec.size),
            probes(self.graph, self.arithmetic),
        )
        return found + [comparison for _, comparison in pairs]

    def _comparison(self, against: str) -> Comparison:
        exact = isinstance(self.arithmetic, Int8)
        return Comparison(against, self.graph, 0.0 if exact else FLOAT32_TOLERANCE)

    def missing(self) -> list[str]:
        """Say what `check_here` cannot compare with, and why."""
        found = [] if jit.has_numba() else ["Numba: it is not installed"]
        if self.rounding != "double":
            return [*found, "TensorFlow Lite: it rounds twice"]
        if not has_litert():
            found.append("TensorFlow Lite: pip install 'mmnet-np[tflite]'")
        return found

    def check_against(self, path: str | os.PathLike[str]) -> list[Comparison]:
        """Compare with a file: a TensorFlow Lite model, a dump or digests, told by its content.

        Raises
        ------
        WeightsError
            It is none of these, or of another network.
        OptionError
            It is a model, and TensorFlow Lite is not installed or rounds otherwise.
        """
        if is_tflite(path):
            return [self._check_model(path)]
        if store.is_store(path):
            return [self._check_dump(path)]
        models = read_digests(path)
        with naming(path):
            if self.stored.name not in models:
                raise WeightsError(f"it has no digests of {shown(self.stored.name)}")
            return self.check_digests(models[self.stored.name])

    def _check_model(self, path: str | os.PathLike[str]) -> Comparison:
        if self.rounding != "double":
            raise OptionError("TensorFlow Lite rounds twice: leave out --rounding single")
        theirs, model = load(path), read_model(path)
        with naming(path):
            shapes = [{n: t.shape for n, t in w.tensors.items()} for w in (theirs, self.stored)]
            if theirs.dtype != self.stored.dtype or (
                isinstance(self.arithmetic, Int8) and shapes[0] != shapes[1]
            ):
                raise WeightsError(f"it is another network than {shown(self.stored.name)}")
            operators = match(self.graph, model)
        tensors = {name: operator.outputs[0] for name, operator in operators.items()}
        tensors["input"] = model.inputs[0]
        comparison = self._comparison(f"numpy with {shown(path)}")
        other = DTYPES[theirs.dtype](self.graph, self.spec, theirs, self.rounding)
        check_integers(comparison, self.parameters, layer_parameters(self.graph, other))
        runner = LiteRT("", self.stored, read_regular(path), tensors)
        for where, x in self.inputs(model.tensors[model.inputs[0]].shape[1]).items():
            check_outputs(comparison, where, self.backends[0].whole(x), runner.whole(x))
        return comparison

    def _check_dump(self, path: str | os.PathLike[str]) -> Comparison:
        dump = read_dump(path)
        comparison = self._comparison(f"numpy with {shown(path)}")
        with naming(path):
            x = dump.outputs.get("input", self._prepared(photo(self.spec.size)))
            if (
                x.ndim != 4
                or x.shape[0] != 1
                or x.shape[3] != 3
                or x.dtype != self.arithmetic.dtype
            ):
                raise WeightsError(
                    f"its outputs/input is {x.dtype} {x.shape}; expected (1, h, w, 3) "
                    f"{self.arithmetic.dtype}"
                )
            check_size(*x.shape[1:3])
            outputs = self.backends[0].whole(x)
            _check_shapes(outputs, dump.outputs)
            for name, arrays in dump.parameters.items():
                _check_shapes(self.parameters.get(name, {}), arrays)
            check_integers(comparison, self.parameters, dump.parameters)
            check_outputs(comparison, "dump", outputs, dump.outputs)
            if not comparison.values:
                raise WeightsError(f"it has nothing of {shown(self.stored.name)}")
        return comparison

    def dump(self, path: str | os.PathLike[str]) -> int:
        """Write all of a run on the example photo to an HDF5 file; return its size in bytes."""
        outputs = self.backends[0].whole(self._prepared(photo(self.spec.size)))
        return write_dump(path, self.stored, outputs, self.parameters, self.rounding)

    def digests(self) -> list[dict[str, Any]]:
        """Return the digests of each backend, NumPy's first.

        Raises
        ------
        OptionError
            The network is float32, whose last bits may differ between processors.
        """
        if not isinstance(self.arithmetic, Int8):
            raise OptionError(
                f"{shown(self.stored.name)} is float32, whose last bits may differ between "
                "processors; digests are for int8"
            )
        return [
            model_digests(self.stored, backend, self.spec.size, self.rounding)
            for backend in self.backends
        ]

    def check_digests(self, expected: Mapping[str, Any]) -> list[Comparison]:
        """Compare each backend's digests with an entry of a digest file.

        Raises
        ------
        WeightsError
            They were made at another size or rounding.
        """
        found = self.digests()
        for key in ("size", "rounding"):
            if expected[key] != found[0][key]:
                raise WeightsError(
                    f"the digests are of {key} {shown(expected[key])}, not {found[0][key]}"
                )
        comparisons = []
        for backend, entry in zip(self.backends, found, strict=True):
            comparison = self._comparison(f"digests with {backend.name}'s")
            check_digests(comparison, expected, entry)
            comparisons.append(comparison)
        return comparisons


def _check_shapes(ours: Mapping[str, NDArray], theirs: Mapping[str, NDArray]) -> None:
    """Check that arrays of a dump are of our shapes and dtypes, where we have them."""
    for name, array in theirs.items():
        own = ours.get(name, array)
        if (own.shape, own.dtype) != (array.shape, array.dtype):
            raise WeightsError(
                f"its {shown(name)} is {array.dtype} {array.shape}; expected {own.dtype} "
                f"{own.shape}"
            )
