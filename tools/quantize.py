"""Quantize a trained network to int8, without training.

``python -m mmnet_np.tools.quantize FLOAT.h5 --calibrate DIR -o INT8.h5``

Photos say which values each layer takes; the int8 network is then compared with the float32 one on
the same photos, layer by layer. Training goes further: see quantization-aware training in
docs/training.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmnet_np._version import __version__
from mmnet_np.command import complain, emit, guarded, positive, printable, spare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmnet_np.model import Matting
    from mmnet_np.quantization.fidelity import Fidelity
    from mmnet_np.weights import store

__all__ = ["main"]

COMMAND = "quantize"
OBSERVER_NAMES = ("mse", "minmax", "percentile")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = _parser().parse_args(argv)
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.quantize",
        description="Make int8 weights of trained float32 ones, without training.",
    )
    add = parser.add_argument
    add("source", metavar="FLOAT.h5", help="weights file, or name of a model in the package")
    add(
        "--calibrate",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder of photos as the network will meet them, at any depth; no mattes needed",
    )
    add("-o", "--output", metavar="INT8.h5", type=Path, required=True, help="file to write")
    add(
        "--observer",
        choices=OBSERVER_NAMES,
        default="mse",
        help="range of a layer's values: with the least squared error (mse, default), all of them"
        " (minmax), all but a ten thousandth at either end (percentile)",
    )
    add("--limit", metavar="N", type=positive, default=100, help="photos to use; default: 100")
    add("--backend", choices=("auto", "numpy", "numba"), default="auto", help="default: auto")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--name", help="what the weights call themselves; default: as FLOAT.h5, with -int8")
    add("--overwrite", action="store_true", help="replace INT8.h5 if it exists")
    add("--quiet", action="store_true", help="no progress bar")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _run(args: argparse.Namespace) -> int:
    import warnings

    from mmnet_np.errors import WeightsError
    from mmnet_np.model import Matting, find_weights
    from mmnet_np.quantization.fidelity import compare
    from mmnet_np.weights import store

    spare(args.output, args.overwrite)
    given = store.load(find_weights(args.source))
    if given.dtype != "float32":
        raise WeightsError(
            f"{printable(args.source)} holds {given.dtype} weights; only float32 ones can be "
            "quantized"
        )
    with warnings.catch_warnings():
        # Pillow warns of oddities in files; what matters becomes a sentence of our own.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        chosen = _photos(args)
        if not chosen:
            return 1
        model = Matting(given, backend=args.backend, images=2 * len(chosen))
        inputs = _Inputs(chosen, model.size, args.quiet)
        weights = _quantized(args, given, model, inputs)
        quantized = Matting(weights, backend=args.backend, images=len(chosen))
        fidelity = compare(model, quantized, inputs("comparing"))
    store.save(args.output, weights)
    report = _report(quantized, fidelity)
    report |= {"weights": str(args.output), "observer": args.observer, "photos": len(chosen)}
    emit(json.dumps(report) if args.json else _table(report))
    return 0


def _photos(args: argparse.Namespace) -> list[Path]:
    """Choose photos spread over the folder; none if some are unreadable, which is told."""
    from mmnet_np.dataset import photos
    from mmnet_np.errors import ImageError
    from mmnet_np.images import photo_size

    found = photos(args.calibrate)
    count = min(args.limit, len(found))
    chosen = [found[k * len(found) // count] for k in range(count)]
    usable = True
    for path in chosen:
        try:
            photo_size(path)
        except ImageError as error:
            complain(COMMAND, error)
            usable = False
    return chosen if usable else []


class _Inputs:
    """The network's inputs of some photos, read again each time they are asked for."""

    def __init__(self, paths: Sequence[Path], size: int, quiet: bool) -> None:
        self.paths, self._size, self._quiet = paths, size, quiet

    def __call__(self, label: str) -> Iterator[NDArray[np.float32]]:
        """Give (1, size, size, 3) for each photo, behind a progress bar."""
        import numpy as np

        from mmnet_np.images import open_photo
        from mmnet_np.preprocess import network_input
        from mmnet_np.progress import Progress

        with Progress(len(self.paths), label, unit="photos", quiet=self._quiet) as bar:
            for path in self.paths:
                yield network_input(open_photo(path), self._size, self._size)[np.newaxis]
                bar.step()


def _quantized(
    args: argparse.Namespace, given: store.Weights, model: Matting, inputs: _Inputs
) -> store.Weights:
    from dataclasses import replace

    from mmnet_np.graph import build
    from mmnet_np.quantization.calibrate import calibrate
    from mmnet_np.quantization.observers import OBSERVERS
    from mmnet_np.quantization.quantizer import quantize
    from mmnet_np.weights import store

    outputs = calibrate(model, inputs("calibrating"), OBSERVERS[args.observer])
    return replace(
        given,
        name=args.name or f"{given.name}-int8",
        dtype="int8",
        tensors=quantize(build(model.spec), given.tensors, outputs),
        provenance={
            **given.provenance,
            "quantized_by": f"mmnet_np {__version__}",
            "quantized_from": given.name,
            "quantized_digest": store.digest(given.tensors, given.spec),
            "observer": args.observer,
            "calibration_photos": len(inputs.paths),
        },
    )


def _report(quantized: Matting, fidelity: Fidelity) -> dict[str, Any]:
    layers = []
    for name, noise in fidelity.noise.items():
        scale, zero_point = quantized.quantization(name)
        finite = noise if abs(noise) < float("inf") else None  # JSON has no infinity
        layers.append(
            {"name": name, "scale": float(scale), "zero_point": zero_point, "sqnr": finite}
        )
    return {"layers": layers, "alpha_difference": fidelity.alpha}


def _table(report: dict[str, Any]) -> str:
    lines = [f"{'layer':<44} {'scale':>10} {'zero point':>10} {'SQNR, dB':>9}"]
    for row in report["layers"]:
        noise = "none" if row["sqnr"] is None else f"{row['sqnr']:.1f}"
        lines.append(f"{row['name']:<44} {row['scale']:>10.6f} {row['zero_point']:>10} {noise:>9}")
    lines.append(f"alpha differs by {report['alpha_difference']:.5f} on average")
    lines.append(f"{printable(report['weights'])}: int8, from {report['photos']} photos")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
