"""SHA-256 of every layer's output: how two machines compare without sending the numbers.

A digest covers an output's bytes alone, (h, w, C) int8 in C order, so that anybody can make it with
``sha256sum``; that of a layer's integers covers what its kernel holds. The file is JSON:

    {"format": "mmnet_np digests", "schema_version": 1,
     "models": {NAME: {"weights": ..., "size": 256, "rounding": "double",
                       "layers": {LAYER: {"output": ..., "integers": ...}}}}}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmnet_np.weights import store
from mmnet_np.weights.errors import WeightsError
from mmnet_np.weights.files import naming, read_regular, shown

from .check import Comparison
from .compare import Difference, Tally
from .engines import Ours
from .inputs import photo

__all__ = ["GOLDEN", "check_digests", "digests", "golden", "model_digests", "read_digests"]

FORMAT = "mmnet_np digests"
SCHEMA_VERSION = 1
FILE_LIMIT = 4 << 20

GOLDEN = Path(__file__).with_name("golden.json")
"""Digests of the shipped int8 models on the example photo."""


def model_digests(stored: store.Weights, backend: Ours, size: int, rounding: str) -> dict[str, Any]:
    """Return a model's entry: the digests of its layers on the example photo."""
    layers: dict[str, dict[str, str]] = {
        name: {"output": hashlib.sha256(array.tobytes()).hexdigest()}
        for name, array in backend.whole(photo(size)).items()
    }
    for name, arrays in backend.integers().items():
        state = hashlib.sha256()
        for what in sorted(arrays):
            state.update(arrays[what].astype(arrays[what].dtype.newbyteorder("<")).tobytes())
        layers[name]["integers"] = state.hexdigest()
    return {
        "weights": store.digest(stored.tensors, stored.spec),
        "size": size,
        "rounding": rounding,
        "layers": layers,
    }


def digests(models: dict[str, dict[str, Any]]) -> str:
    """Return the text of a digest file of these models, by name."""
    content = {"format": FORMAT, "schema_version": SCHEMA_VERSION, "models": models}
    return json.dumps(content, indent=1)


def read_digests(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """Return the models of a digest file, by name.

    Raises
    ------
    WeightsError
        The file is missing or not what `digests` writes.
    """
    data = read_regular(path, FILE_LIMIT)
    with naming(path):
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            raise WeightsError("it is no JSON; expected digests") from None
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise WeightsError(f"it is JSON, but its format is not {FORMAT!r}")
        if content.get("schema_version") != SCHEMA_VERSION:
            raise WeightsError(f"its schema version is not {SCHEMA_VERSION}")
        models = content.get("models")
        if not isinstance(models, dict) or not all(map(_is_entry, models.values())):
            raise WeightsError("its models are not as --digest --json writes them")
    return models


def golden(name: str) -> dict[str, Any]:
    """Return the entry of a shipped model in the package's digest file."""
    models = read_digests(GOLDEN) if GOLDEN.is_file() else {}
    if name not in models:
        raise WeightsError(f"this version has no golden digests of {shown(name)}")
    return models[name]


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("weights"), str)
        and isinstance(entry.get("rounding"), str)
        and isinstance(entry.get("size"), int)
        and isinstance(entry.get("layers"), dict)
        and all(
            isinstance(layer, dict) and all(isinstance(text, str) for text in layer.values())
            for layer in entry["layers"].values()
        )
    )


def check_digests(into: Comparison, expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Compare two entries; a digest counts as one value.

    A layer is to blame if its integers differ, or its output while its inputs' outputs do not.
    """
    theirs, ours = expected["layers"], found["layers"]
    wrong: set[str] = set()
    for layer in into.graph:
        for what, digest in ours[layer.name].items():
            told = theirs.get(layer.name, {}).get(what)
            if told is None:
                continue
            tally = Tally(values=1)
            if told != digest:
                short = [f"{text[:12]}..." for text in (told, digest)]
                tally = Tally(1, 1, 0, Difference(f"digest of {what}", (), *short))
                tally.culprit = what == "integers" or wrong.isdisjoint(layer.inputs)
                if what == "output":
                    wrong.add(layer.name)
            into.layers[layer.name].add(tally)
