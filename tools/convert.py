"""Trained checkpoints into the package's own weights files.

``python -m mmnet_np.tools.convert SRC DST.h5`` reads a TensorFlow V2 checkpoint, a PyTorch state
dict, a TensorFlow Lite model or another weights file, without TensorFlow or PyTorch, and finds out
which MMNet it holds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mmnet_np.command import emit, guarded, printable, spare
from mmnet_np.spec import VARIANTS

if TYPE_CHECKING:
    from mmnet_np.spec import Spec
    from mmnet_np.weights import store

__all__ = ["identify", "main"]

_UNKNOWN = "unknown; ask whoever trained these weights and chose the photos"


def identify(
    tensors: Mapping, source: str, width: float | None, variant: str | None
) -> tuple[float, str, dict]:
    """Find the width and variant whose variables a checkpoint has.

    The ablation without dilation has the same variables as the full network, so it is found only
    when asked for.

    Parameters
    ----------
    tensors : mapping of str to array
        As `weights.convert.read` gives them.
    source : str
        The checkpoint's name, for messages.
    width, variant : optional
        What the user knows already.

    Returns
    -------
    width : float
    variant : str
    tensors : dict of str to float32 array
        Under their canonical names.

    Raises
    ------
    WeightsError
        No MMNet has these variables.
    """
    from mmnet_np.weights.convert import canonical
    from mmnet_np.weights.errors import WeightsError

    first: WeightsError | None = None
    for candidate, expected, optional in _candidates(width, variant):
        try:
            return (*candidate, canonical(tensors, expected, optional=optional))
        except WeightsError as error:
            first = first or error
    raise WeightsError(f"{printable(source)}: no MMNet has these variables ({first})")


def _candidates(
    width: float | None, variant: str | None
) -> Iterator[tuple[tuple[float, str], dict, set]]:
    from mmnet_np.graph import build, parameters
    from mmnet_np.spec import WIDTHS, Spec

    for this_variant in [variant] if variant else VARIANTS:
        for this_width in WIDTHS if width is None else [width]:
            spec = Spec(this_width, variant=this_variant)
            expected = parameters(build(spec, auxiliary=True))
            optional = expected.keys() - parameters(build(spec)).keys()
            yield (this_width, this_variant), expected, optional


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.convert",
        description="Convert a trained checkpoint into a weights file.",
    )
    parser.add_argument(
        "source",
        metavar="SRC",
        help="TensorFlow V2 checkpoint (prefix or .index), PyTorch state dict, TensorFlow Lite "
        "model (float32 or int8) or weights file",
    )
    parser.add_argument("target", metavar="DST.h5", help="weights file to write")
    parser.add_argument("--width", type=float, help="width multiplier (default: found out)")
    parser.add_argument("--variant", choices=VARIANTS, help="ablation (default: found out)")
    parser.add_argument("--size", type=int, help="input size it was trained at (default 256)")
    parser.add_argument("--name", help="what the weights call themselves (default mmnet-W-S)")
    parser.add_argument("--licence", help="what the weights may be used for")
    parser.add_argument(
        "--sharpen",
        metavar="F",
        type=float,
        help="multiply the logits by F: a matte with less grey (a trained network wants about 2)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DST.h5 if it exists")
    options = parser.parse_args(argv)
    return guarded("convert", lambda: _convert(options))


def _convert(options: argparse.Namespace) -> int:
    from mmnet_np.spec import Spec
    from mmnet_np.weights import convert, store

    target = Path(options.target)
    spare(target, options.overwrite)
    given = _self_describing(options)
    known = Spec.from_dict(given.spec) if given else None
    size = options.size if options.size is not None else known.size if known else 256
    width = options.width if options.width is not None else known.width if known else None
    variant = options.variant or (known.variant if known else None)
    Spec(1.0 if width is None else width, size)  # a wrong option is told before a file is read
    tensors: Mapping = given.tensors if given else convert.read(options.source)
    if given and known and given.dtype == "int8":
        _check_int8(given, known, width, variant)
        spec = Spec(known.width, size, known.variant)
    else:
        width, variant, tensors = identify(tensors, options.source, width, variant)
        spec = Spec(width, size, variant)
    dtype = given.dtype if given else "float32"
    name = f"mmnet-{spec.width:.2f}-{size}" + ("-int8" if dtype == "int8" else "")
    if given and spec == known:
        name = given.name
    source = {"converted_from": Path(options.source).name}
    weights = store.Weights(
        name=options.name or name,
        dtype=dtype,
        spec=spec.as_dict(),
        tensors=tensors,
        provenance={**given.provenance, **source} if given else source,
        licence=options.licence or (given.licence if given else _UNKNOWN),
    )
    if options.sharpen is not None:
        from mmnet_np.sharpening import sharpened

        weights = sharpened(weights, options.sharpen)
    store.save(target, weights)
    values = sum(array.size for array in tensors.values())
    emit(
        f"{target}: {printable(weights.name)}, {spec.variant}, {len(tensors)} tensors, "
        f"{values:,} values"
    )
    return 0


def _check_int8(
    given: store.Weights, known: Spec, width: float | None, variant: str | None
) -> None:
    """Check that int8 weights are a whole network, and the one that the options say."""
    from mmnet_np.errors import OptionError
    from mmnet_np.graph import build
    from mmnet_np.quantized import QuantizedNetwork

    QuantizedNetwork(build(known), given.tensors, printable(given.name))
    if (width, variant) != (known.width, known.variant):
        raise OptionError(f"{printable(given.name)} has width {known.width:g}, {known.variant}")


def _self_describing(options: argparse.Namespace) -> store.Weights | None:
    """Read a source that says which network it is: a weights file, a TensorFlow Lite model."""
    from mmnet_np.tflite_import import load
    from mmnet_np.weights import store
    from mmnet_np.weights.tflite_reader import is_tflite

    if store.is_store(options.source):
        return store.load(options.source)
    if is_tflite(options.source):
        return load(options.source, options.width, options.variant)
    return None


if __name__ == "__main__":
    raise SystemExit(main())
