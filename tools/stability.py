"""Measure how steady a video's mattes are: ``python -m mmnet_np.tools.stability --data DIR``.

Clips of known matte are made of portraits (`tools/motions.py`) and matted as by the video command,
with stabilization and without. What ought to stand still is judged by dtSSD, what moves by MAD
where it moved: a filter over time that lags behind would lose there what it wins in the other.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmnet_np._version import __version__
from mmnet_np.command import complain, emit, guarded, positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmnet_np.dataset import Pair
    from mmnet_np.model import Matting

__all__ = ["main", "measure"]

COMMAND = "stability"

_SMALLEST = 16
"""Pixels a side of the smallest photo."""

_MOVED = 0.1
"""Change of the true alpha by which a pixel counts as moved, and the frames that it does so for."""

_MEMORY = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0; 1 if data or weights cannot be used, 2 for unusable options, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    args = _parser().parse_args(argv)
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.stability",
        description="Measure the flicker and the lag of mattes in clips made of portraits.",
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
    add("--limit", metavar="N", type=positive, default=10, help="photos; default: the first 10")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def measure(
    model: Matting, chosen: Sequence[Pair], *, quiet: bool = True
) -> dict[str, dict[str, tuple[float, float]]]:
    """Measure mattes without and with stabilization.

    Parameters
    ----------
    model : Matting
    chosen : sequence of Pair
        From `mmnet_np.dataset.pairs`.
    quiet : bool
        Whether to leave the progress bar out.

    Returns
    -------
    dict of str to dict of str to (float, float)
        By motion and metric (``"dtssd"``, ``"mad"``, ``"mad_moved"``), the means over photos
        without and with it. ``"mad_moved"`` is 0 where nothing moves.

    Raises
    ------
    ImageError
        A photo or matte is damaged.
    """
    import numpy as np

    from mmnet_np.images import open_mask, open_photo
    from mmnet_np.metrics import dtssd
    from mmnet_np.progress import Progress

    from .motions import MOTIONS, filmed

    figures: dict[str, dict[str, tuple[float, float]]] = {}
    with Progress(len(MOTIONS) * len(chosen), COMMAND, unit="clips", quiet=quiet) as progress:
        for motion in MOTIONS:
            found = []
            for seed, pair in enumerate(chosen):
                shots = list(filmed(open_photo(pair.image), open_mask(pair.mask), motion, seed))
                truths = np.stack([shot.truth for shot in shots]) / 255
                moved = _moved(truths)
                found.append(
                    [
                        (
                            dtssd(a, truths),
                            float(np.abs(a - truths).mean()),
                            _mean_where(moved, a, truths),
                        )
                        for a in _mattes(model, [shot.pixels for shot in shots])
                    ]
                )
                progress.step()
            means = np.mean(found, axis=0)
            figures[motion] = {
                name: (float(means[0, column]), float(means[1, column]))
                for column, name in enumerate(("dtssd", "mad", "mad_moved"))
            }
    return figures


def _mattes(model: Matting, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
    """Return the mattes of a clip, (T, h, w) in [0, 1], without and with stabilization."""
    import numpy as np

    from mmnet_np.media.frames import Format, Frame
    from mmnet_np.media.matter import Matter
    from mmnet_np.picture import Style

    height, width, _ = frames[0].shape
    matter = Matter(model, Style("alpha"), Format(width, height), refine=True, stabilize=True)
    plain, steady = [], []
    for number, pixels in enumerate(frames):
        seen = matter.look(Frame(number, pixels))
        plain.append(matter.picture(seen).pixels[..., 0])
        steady.append(matter.picture(matter.steady(seen)).pixels[..., 0])
    return [np.stack(mattes) / 255 for mattes in (plain, steady)]


def _moved(truths: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where an edge has just moved, (T, h, w): there a lag would show."""
    import numpy as np

    changed = np.abs(np.diff(truths, axis=0)) > _MOVED
    moved = np.zeros(truths.shape, bool)
    for later in range(1, _MEMORY + 1):
        moved[later:] |= changed[: len(changed) - later + 1]
    return moved


def _mean_where(
    where: NDArray[np.bool_], alphas: NDArray[np.float64], truths: NDArray[np.float64]
) -> float:
    import numpy as np

    return float(np.abs(alphas - truths)[where].mean()) if where.any() else 0.0


def _run(args: argparse.Namespace) -> int:
    from mmnet_np.dataset import pairs, problems
    from mmnet_np.model import load
    from mmnet_np.quiet import quiet_decoders

    from .motions import FRAMES, MOTIONS

    with quiet_decoders():
        chosen = pairs(args.data, args.split)[: args.limit]
        if wrong := problems(chosen, smallest=_SMALLEST):
            for problem in wrong:
                complain(COMMAND, problem)
            return 1
        images = len(chosen) * len(MOTIONS) * FRAMES
        model = load(args.weights, backend=args.backend, size=args.size, images=images)
        figures = measure(model, chosen, quiet=False)
    if args.json:
        emit(json.dumps({"images": len(chosen), "size": model.size} | figures))
        return 0
    emit(f"{'':8}{'dtSSD':^21}{'MAD':^21}{'MAD where it moved':^21}")
    emit(f"{'motion':8}" + f"{'plain':>9}{'steady':>9}   " * 3)
    for motion, found in figures.items():
        row = "".join(f"{plain:9.5f}{steady:9.5f}   " for plain, steady in found.values())
        emit(f"{motion:8}{row}".rstrip())
    return 0


if __name__ == "__main__":
    sys.exit(main())
