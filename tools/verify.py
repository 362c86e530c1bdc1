"""Check a network's arithmetic layer by layer: ``python -m mmnet_np.tools.verify [WEIGHTS]``.

NumPy is compared with Numba, and with TensorFlow Lite's reference kernels where they are installed,
on a photo and on inputs that hurt; with ``--against``, with somebody else's results. Of int8 every
value must be the same. Without WEIGHTS all int8 models of the package are checked.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmnet_np._version import __version__
from mmnet_np.command import emit, guarded, printable, spare

if TYPE_CHECKING:
    from mmnet_np.verification.check import Comparison
    from mmnet_np.verification.compare import Tally
    from mmnet_np.verification.subject import Subject
    from mmnet_np.weights.store import Weights

__all__ = ["main"]

COMMAND = "verify"
COLUMNS = "{:<46} {:>13} {:>10} {:>8}  {}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code, 0 only if nothing differs."""
    parser = _parser()
    args = parser.parse_args(argv)
    modes = [args.digest, args.golden, args.dump is not None, args.against is not None]
    if sum(modes) > 1:
        parser.error("only one of --against, --dump, --digest and --golden")
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m mmnet_np.tools.{COMMAND}",
        description="Check a network's arithmetic layer by layer, int8 to the bit.",
    )
    add = parser.add_argument
    add(
        "weights",
        metavar="WEIGHTS",
        nargs="?",
        help="weights file, or name of a model in the package; default: its int8 models",
    )
    add(
        "--against",
        metavar="FILE",
        type=Path,
        help="compare with a TensorFlow Lite model, a dump (.h5) or digests (.json)",
    )
    add("--images", metavar="DIR", type=Path, help="feed these photos as well")
    add("--layers", action="store_true", help="a line for every layer, not only for blocks")
    add("--json", action="store_true", help="print JSON instead of tables")
    add("--dump", metavar="FILE.h5", type=Path, help="write all of a run on the example photo")
    add("--digest", action="store_true", help="print SHA-256 of each layer on the example photo")
    add("--golden", action="store_true", help="compare digests with those in the package")
    add(
        "--rounding",
        choices=("double", "single"),
        default="double",
        help="of an int8 network; default: double",
    )
    add("--overwrite", action="store_true", help="replace the file of --dump if it exists")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _run(args: argparse.Namespace) -> int:
    from mmnet_np import dataset
    from mmnet_np.verification.subject import Subject

    photos = dataset.photos(args.images) if args.images is not None else []
    given = list(_stored(args.weights))
    subjects = (Subject(stored, args.rounding, photos) for stored in given)
    if args.dump is not None:
        return _dump(next(subjects), args)
    if args.digest:
        return _digest(subjects, args)
    results = [(subject, _comparisons(subject, args)) for subject in subjects]
    if args.json:
        emit(json.dumps([_as_dict(*result) for result in results], indent=1))
    else:
        for result in results:
            _print(*result, args.layers)
            for what in result[0].missing() if not (args.against or args.golden) else ():
                emit(f"\nnot compared: {what}")
    return int(any(c.mismatches for _, comparisons in results for c in comparisons))


def _stored(weights: str | None) -> Iterator[Weights]:
    """Yield the weights to look at."""
    from mmnet_np.model import SHIPPED, find_weights
    from mmnet_np.weights import store

    names = [weights] if weights else [name for name in SHIPPED if name.endswith("-int8")]
    for name in names:
        yield store.load(find_weights(name))


def _comparisons(subject: Subject, args: argparse.Namespace) -> list[Comparison]:
    from mmnet_np.verification.digests import golden

    if args.golden:
        return subject.check_digests(golden(subject.stored.name))
    return subject.check_against(args.against) if args.against else subject.check_here()


def _dump(subject: Subject, args: argparse.Namespace) -> int:
    spare(args.dump, args.overwrite)
    size = subject.dump(args.dump)
    emit(f"{printable(args.dump)}: {printable(subject.stored.name)}, {size:,} bytes")
    return 0


def _digest(subjects: Iterable[Subject], args: argparse.Namespace) -> int:
    from mmnet_np.errors import MMNetError
    from mmnet_np.verification.digests import digests

    models: dict[str, Any] = {}
    for subject in subjects:
        entries = subject.digests()
        if any(entry != entries[0] for entry in entries):
            raise MMNetError(
                f"{printable(subject.stored.name)}: our backends differ; without --digest the "
                "layer is found"
            )
        models[subject.stored.name] = entries[0]
    if args.json:
        emit(digests(models))
        return 0
    for name, entry in models.items():
        emit(f"# {printable(name)}, {entry['size']} x {entry['size']}, {entry['rounding']}")
        for layer, found in entry["layers"].items():
            for what, digest in found.items():
                emit(f"{digest}  {layer}" + (f" ({what})" if what != "output" else ""))
    return 0


def _print(subject: Subject, comparisons: list[Comparison], layers: bool) -> None:
    """Print a table for each comparison, and a verdict below it."""
    emit(f"{printable(subject.stored.name)}: {subject.stored.dtype}, {subject.rounding} rounding")
    for comparison in comparisons:
        emit(f"\n{comparison.against}")
        emit(COLUMNS.format("layer", "values", "mismatches", "largest", "first difference"))
        for name, tally in _rows(comparison, layers):
            largest = f"{tally.largest:.3g}"
            first = printable(str(tally.first)) if tally.first else ""
            note = "" if tally.culprit or not tally.mismatches else " (its input differs)"
            counts = f"{tally.values:,}", f"{tally.mismatches:,}"
            emit(COLUMNS.format(name, *counts, largest, first + note).rstrip())
        emit(_verdict(comparison))


def _rows(comparison: Comparison, layers: bool) -> Iterator[tuple[str, Tally]]:
    """Yield the lines of a table: layers that differ one by one, others by block unless asked."""
    from mmnet_np.verification.compare import Tally

    blocks: dict[str, Tally] = {}
    for name, tally in comparison.layers.items():
        block = comparison.graph.block[name] or name
        blocks.setdefault(block, Tally()).add(tally)
    seen = set()
    for name, tally in comparison.layers.items():
        block = comparison.graph.block[name] or name
        if layers or blocks[block].mismatches:
            yield name, tally
        elif block not in seen and blocks[block].values:
            yield block, blocks[block]
        seen.add(block)


def _verdict(comparison: Comparison) -> str:
    if not comparison.mismatches:
        return f"no mismatch in {comparison.values:,} values"
    first, *more = comparison.culprits
    others = f", and {len(more)} more layers" if more else ""
    return (
        f"{comparison.mismatches:,} mismatches in {comparison.values:,} values; at fault: "
        f"{first}{others}"
    )


def _as_dict(subject: Subject, comparisons: list[Comparison]) -> dict[str, Any]:
    return {
        "weights": subject.stored.name,
        "dtype": subject.stored.dtype,
        "rounding": subject.rounding,
        "comparisons": [comparison.as_dict() for comparison in comparisons],
        "not_compared": subject.missing(),
    }


if __name__ == "__main__":
    raise SystemExit(main())
