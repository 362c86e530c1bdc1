"""Measure a model on photos with known mattes: ``python -m mmnet_np.tools.evaluate --data DIR``.

Each photo goes through `predict`, as a user's would, and its alpha is compared with the truth at
the photo's own size. Figures are means over photos.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmnet_np._version import __version__
from mmnet_np.command import complain, emit, guarded, positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from mmnet_np.dataset import Pair
    from mmnet_np.model import Matting

__all__ = ["evaluate", "main"]

COMMAND = "evaluate"
SHEET_ROWS = 6  # in each half of the contact sheet: the worst, the median


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0; 1 if data, weights or output cannot be used, 2 for unusable options, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.stress and args.sheet is not None:
        parser.error("--sheet does not go with --stress")
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.evaluate",
        description="Compare a model's mattes with true ones, at the photos' own size.",
    )
    add = parser.add_argument
    add(
        "--data",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder with SPLIT/image/NAME.jpg and SPLIT/mask/NAME.png",
    )
    add("--split", default="test", help="default: test")
    add("--weights", metavar="FILE", help="weights file, or name of a model in the package")
    add("--size", metavar="S", type=positive, help="input size of the network; default: its own")
    add("--backend", choices=("auto", "numpy", "numba"), default="auto", help="default: auto")
    add("--threads", metavar="N", type=positive, help="that share one photo; default: 1")
    add(
        "--no-refine",
        action="store_true",
        help="enlarge alpha by legacy bilinear, as the paper's figures were made",
    )
    add("--refocus", action="store_true", help="look again, closer, where the person is small")
    add("--limit", metavar="N", type=positive, help="only the first N photos")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add(
        "--stress",
        action="store_true",
        help="instead, MAD with the photos made hard: person small, off centre, turned, dark, ...",
    )
    add("--sheet", metavar="FILE.png", type=Path, help="picture of the worst and median photos")
    add("--overwrite", action="store_true", help="replace the file of --sheet if it exists")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def evaluate(
    model: Matting,
    chosen: Sequence[Pair],
    *,
    metrics: Collection[str] | None = None,
    refine: bool = True,
    refocus: bool = False,
    quiet: bool = True,
) -> dict[str, list[float]]:
    """Measure a model on pairs of photo and matte.

    Parameters
    ----------
    model : Matting
        What `mmnet_np.load` gives; only its ``predict`` is used.
    chosen : sequence of Pair
        From `mmnet_np.dataset.pairs`.
    metrics : collection of str, optional
        Names in `mmnet_np.metrics.METRICS`; all of them by default.
    refine, refocus : bool
        As in `Matting.predict`.
    quiet : bool
        Whether to leave the progress bar out.

    Returns
    -------
    dict of str to list of float
        For each metric one figure a photo.

    Raises
    ------
    ImageError
        A photo or matte is damaged.
    """
    from mmnet_np.metrics import METRICS
    from mmnet_np.progress import Progress

    wanted = {name: METRICS[name] for name in (METRICS if metrics is None else metrics)}
    figures: dict[str, list[float]] = {name: [] for name in wanted}
    with Progress(len(chosen), COMMAND, quiet=quiet) as progress:
        for pair in chosen:
            _, truth, alpha = _matted(model, pair, refine, refocus)
            for name, metric in wanted.items():
                figures[name].append(metric(alpha, truth))
            progress.step()
    return figures


def evaluate_stress(
    model: Matting,
    chosen: Sequence[Pair],
    *,
    refine: bool = True,
    refocus: bool = False,
    quiet: bool = True,
) -> dict[str, list[float]]:
    """Measure a model on photos made hard (`mmnet_np.training.stress`); as `evaluate`.

    Returns
    -------
    dict of str to list of float
        For each condition the MAD of each photo.
    """
    import numpy as np

    from mmnet_np.metrics import mad
    from mmnet_np.progress import Progress
    from mmnet_np.training.stress import CONDITIONS, stress

    figures: dict[str, list[float]] = {name: [] for name in CONDITIONS}
    with Progress(len(chosen), f"{COMMAND} stress", quiet=quiet) as progress:
        for pair in chosen:
            photo, matte = _read(pair)
            for name, found in figures.items():
                hard, truth = stress(np.asarray(photo), matte, name)
                alpha = model.predict(hard, refine=refine, refocus=refocus)
                found.append(mad(alpha, truth / 255.0))
            progress.step()
    return figures


def _run(args: argparse.Namespace) -> int:
    from mmnet_np.command import printable
    from mmnet_np.dataset import pairs, problems
    from mmnet_np.errors import ImageError
    from mmnet_np.formats import check_target, output_format
    from mmnet_np.metrics import RADIUS
    from mmnet_np.model import load
    from mmnet_np.output import save_image
    from mmnet_np.quiet import quiet_decoders

    with quiet_decoders():
        if args.sheet is not None:
            output_format(args.sheet, alpha=False)
            check_target(args.sheet, overwrite=args.overwrite)
            if not args.sheet.parent.is_dir():
                raise ImageError(f"{printable(args.sheet)}: there is no such folder")
        chosen = pairs(args.data, args.split)[: args.limit]
        if wrong := problems(chosen, smallest=2 * RADIUS + 1):
            for problem in wrong:
                complain(COMMAND, problem)
            return 1
        model = load(
            args.weights,
            backend=args.backend,
            threads=args.threads,
            size=args.size,
            images=len(chosen),
        )
        start = time.monotonic()
        measure = evaluate_stress if args.stress else evaluate
        how = {"refine": not args.no_refine, "refocus": args.refocus}
        figures = measure(model, chosen, **how, quiet=False)
        report: dict[str, Any] = {name: sum(all_) / len(all_) for name, all_ in figures.items()}
        if args.stress:
            report = {"stress": report} if args.json else report
        report |= {
            "images": len(chosen),
            "weights": model.name if args.weights is None else args.weights,
            "size": model.size,
            "refined": not args.no_refine,
            "refocused": args.refocus,
            "backend": model.backend,
            "split": args.split,
            "seconds": round(time.monotonic() - start, 3),
        }
        emit(json.dumps(report) if args.json else _table(report))
        if args.sheet is not None:
            sheet = _sheet(model, chosen, figures["mad"], **how)
            save_image(sheet, args.sheet, overwrite=args.overwrite)
    return 0


def _matted(
    model: Matting, pair: Pair, refine: bool, refocus: bool
) -> tuple[Image.Image, NDArray[np.float64], NDArray[np.float32]]:
    """Give photo, truth and our alpha; both mattes (H, W) in [0, 1]."""
    photo, truth = _read(pair)
    return photo, truth / 255.0, model.predict(photo, refine=refine, refocus=refocus)


def _read(pair: Pair) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Read a photo and its matte, (H, W) uint8."""
    from mmnet_np.command import printable
    from mmnet_np.errors import ImageError
    from mmnet_np.images import open_mask, open_photo

    photo, truth = open_photo(pair.image), open_mask(pair.mask)
    if truth.shape != (photo.height, photo.width):  # headers may have said otherwise
        raise ImageError(f"{printable(pair.image)}: its mask has another size")
    return photo, truth


def _table(report: dict[str, Any]) -> str:
    """Write a report as two aligned columns."""
    width = max(map(len, report))
    return "\n".join(
        f"{name:<{width}}  {value:.6g}" if isinstance(value, float) else f"{name:<{width}}  {value}"
        for name, value in report.items()
    )


def _sheet(
    model: Matting, chosen: Sequence[Pair], mads: Sequence[float], *, refine: bool, refocus: bool
) -> Image.Image:
    """Show photo, truth and ours where MAD is largest and where it is in the middle."""
    import numpy as np
    from PIL import Image

    from .sheet import Row, contact_sheet

    def row(index: int) -> Row:
        photo, truth, alpha = _matted(model, chosen[index], refine, refocus)
        grey = [Image.fromarray(np.rint(m * 255).astype(np.uint8)) for m in (truth, alpha)]
        return Row(f"{chosen[index].name}  MAD {mads[index]:.4f}", (photo, *grey))

    order = sorted(range(len(chosen)), key=lambda index: -mads[index])
    worst = order[:SHEET_ROWS]
    middle = max(0, (len(order) - SHEET_ROWS) // 2)
    median = [index for index in order[middle : middle + SHEET_ROWS] if index not in worst]
    groups = [("worst", [row(index) for index in worst])]
    if median:
        groups.append(("around the median", [row(index) for index in median]))
    return contact_sheet(("photo", "truth", "ours"), groups)


if __name__ == "__main__":
    sys.exit(main())
