"""Cut people out of photos: ``python -m mmnet_np.infer IMG...``, also ``mmnet-np IMG...``.

What can be said without looking at a photo is said first, the options (exit code 2) and the
names of the outputs; then the model is loaded, once, and the photos are done one by one. A photo
that fails costs one sentence and exit code 1, not the others.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ._version import __version__
from .command import complain, emit, guarded, positive, printable, sentence
from .errors import ImageError, MMNetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from .background import Background
    from .model import Matting

__all__ = ["main"]

COMMAND = "mmnet-np"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 when every photo was done, 1 when something failed, 2 when an option cannot be
        used, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.output is None:
        args.output = "cutout" if args.background is None else "composite"
    if args.keep_colours and args.output in ("alpha", "foreground"):
        parser.error("--keep-colours goes with --output cutout or composite")
    if args.background is not None and args.output != "composite":
        parser.error("--background goes with --output composite")
    if len(args.images) > 1 and args.out is not None and Path(args.out).is_file():
        parser.error(f"-o {printable(args.out)} is a file, but there are several images")
    return guarded(COMMAND, lambda: _run(args))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Cut people out of photos. The path of each file written is printed.",
    )
    add = parser.add_argument
    add("images", metavar="IMG", nargs="+", help="a photo, of any kind Pillow reads")
    add(
        "-o",
        dest="out",
        metavar="OUT",
        help="file to write (.png, .tif, .webp, .jpg), or folder: if it is one, ends in / or"
        " there are several images; default IMG-cutout.png and so on beside the photo",
    )
    add(
        "--output",
        choices=("cutout", "alpha", "foreground", "composite"),
        help="cutout: the photo with transparency (default); alpha: the matte in grey; foreground:"
        " the photo with the person's own colours; composite: before another background",
    )
    add(
        "--background",
        metavar="COLOR|IMAGE",
        help="colour name, #rrggbb, or an image that is scaled to fill the photo; implies"
        " --output composite, where it is white by default",
    )
    add("--weights", metavar="FILE", help="weights file, or name of a model in the package")
    add("--backend", choices=("auto", "numpy", "numba"), default="auto", help="default: auto")
    add("--threads", metavar="N", type=positive, help="that share one photo; default: 1")
    add("--no-refine", action="store_true", help="do not follow the photo's edges at full size")
    add(
        "--keep-colours",
        action="store_true",
        help="leave the old background's colours in the person's edge",
    )
    add("--overwrite", action="store_true", help="replace output files that exist")
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _run(args: argparse.Namespace) -> int:
    # Heavy imports wait until the arguments are right.
    import warnings

    from .background import parse_background
    from .model import load

    jobs = _plan(args)
    if not jobs:
        return 1
    with warnings.catch_warnings():
        # Pillow warns of oddities in files; what matters becomes a sentence of our own.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        background = parse_background("white" if args.background is None else args.background)
        model = load(args.weights, backend=args.backend, threads=args.threads, images=len(jobs))
        folder = _folder(args)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        done = _work(model, jobs, background, args)
    return 0 if done == len(args.images) else 1


def _plan(args: argparse.Namespace) -> list[tuple[str, Path]]:
    """Pair photos with their outputs; complain of those that have none and leave them out."""
    from .output import check_target, output_format

    folder = _folder(args)
    jobs: list[tuple[str, Path]] = []
    taken: dict[str, str] = {}
    for source in args.images:
        name = f"{Path(source).stem}-{args.output}.png"
        if args.out is None:
            target = Path(source).parent / name
        else:
            target = Path(args.out) if folder is None else folder / name
        where = os.path.abspath(target)  # noqa: PTH100  (resolve() would follow a link)
        try:
            output_format(target, alpha=args.output == "cutout")
            check_target(target, overwrite=args.overwrite)
            if target.exists() and Path(source).exists() and target.samefile(source):
                raise ImageError(f"{printable(target)}: is the photo itself")
            if args.out is not None and folder is None and not target.parent.is_dir():
                raise ImageError(f"{printable(target)}: there is no such folder")
            if where in taken:
                output, first = printable(target), printable(taken[where])
                raise ImageError(f"{printable(source)}: its output {output} is that of {first}")
        except (MMNetError, OSError) as error:
            complain(COMMAND, sentence(error, source))
        else:
            taken[where] = source
            jobs.append((source, target))
    return jobs


def _folder(args: argparse.Namespace) -> Path | None:
    """Give the folder that ``-o`` asks for; None where it names a file or is not given."""
    if args.out is None:
        return None
    is_folder = len(args.images) > 1 or args.out.endswith(("/", os.sep)) or Path(args.out).is_dir()
    return Path(args.out) if is_folder else None


def _work(
    model: Matting,
    jobs: list[tuple[str, Path]],
    background: Background,
    args: argparse.Namespace,
) -> int:
    """Do the photos; return how many succeeded."""
    from .progress import Progress

    # Printed paths are progress enough, and they would cut through the line.
    quiet = args.quiet or len(jobs) == 1 or (sys.stdout is not None and sys.stdout.isatty())
    done = 0
    with Progress(len(jobs), quiet=quiet) as progress:
        for source, target in jobs:
            try:
                _do(model, source, target, background, args)
            except (MMNetError, OSError, MemoryError) as error:
                progress.pause()
                complain(COMMAND, sentence(error, source))
            else:
                done += 1
                if not args.quiet:
                    progress.pause()
                    emit(str(target))
            progress.step()
    return done


def _do(
    model: Matting, source: str, target: Path, background: Background, args: argparse.Namespace
) -> None:
    """Do one photo. In a function of its own, so that nothing of it is held beside the next."""
    from .colours import foreground
    from .images import open_photo
    from .output import save_image

    photo = open_photo(source)
    alpha = model.predict_uint8(photo, refine=not args.no_refine)
    if args.output != "alpha" and not args.keep_colours:
        photo = foreground(photo, alpha, numba=model.backend == "numba")
    picture = _picture(photo, alpha, args.output, background)
    del photo
    save_image(picture, target, overwrite=args.overwrite)


def _picture(
    photo: Image.Image, alpha: NDArray[np.uint8], output: str, background: Background
) -> Image.Image:
    """Make the output of one photo."""
    from PIL import Image

    from .compose import composite, cutout

    if output == "alpha":
        return Image.fromarray(alpha)
    if output == "composite":
        return composite(photo, background, alpha)
    return photo if output == "foreground" else cutout(photo, alpha)


if __name__ == "__main__":
    sys.exit(main())
