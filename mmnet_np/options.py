"""The options of the command that cuts people out, and which of them go together.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ._version import __version__
from .command import positive, printable
from .shipped import DEFAULT, SHIPPED
from .sources import STDIN

__all__ = ["COMMAND", "SUFFIXES", "TRANSPARENT", "add_model", "parse"]

COMMAND = "mmnet-np"
SUFFIXES = {"png": ".png", "webp": ".webp", "jpg": ".jpg", "tiff": ".tif"}
TRANSPARENT = "transparent"


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments, those of the process by default, and fill in what follows from others.

    Raises
    ------
    SystemExit
        Code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if not args.images and not args.files_from:
        parser.error("give at least one photo, folder or list of photos")
    if [*args.images, *args.files_from].count(STDIN) > 1:
        parser.error("standard input (-) can be read only once")
    if args.output is None:
        plain = args.background in (None, TRANSPARENT)
        args.output = "cutout" if plain else "composite"
    clear = (args.output, args.background) == ("cutout", TRANSPARENT)
    if args.background is not None and args.output != "composite" and not clear:
        parser.error("--background goes with --output composite")
    if args.keep_colours and args.output in ("alpha", "foreground"):
        parser.error("--keep-colours goes with --output cutout or composite")
    args.transparent = args.output == "cutout" or args.background == TRANSPARENT
    if args.transparent and args.format == "jpg":
        parser.error("JPEG cannot hold transparency: choose another --format or a --background")
    if args.out == "":
        parser.error("-o is empty")
    if args.suffix is None:
        args.suffix = f"-{args.output}"
    elif "/" in args.suffix or os.sep in args.suffix:
        parser.error(f"--suffix is part of a file's name, not {printable(args.suffix)}")
    if len(args.images) > 1 and args.out not in (None, STDIN) and Path(args.out).is_file():
        parser.error(f"-o {printable(args.out)} is a file, but there are several images")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        usage="%(prog)s [options] IMG [IMG ...]",
        description="Cut people out of photos. The path of each file written is printed.",
    )
    _add_files(parser)
    _add_picture(parser)
    add_model(parser, "default: one a processor, each with a photo of its own")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("photos and their outputs")
    add = group.add_argument
    add(
        "images",
        metavar="IMG",
        nargs="*",
        help="a photo; a folder, searched with all folders in it; a glob; @FILE, a list of such"
        " names; or - for standard input",
    )
    add(
        "--files-from",
        metavar="FILE",
        action="append",
        default=[],
        help="list of photos, one a line or separated by zero bytes; - for standard input",
    )
    add(
        "-o",
        dest="out",
        metavar="OUT",
        help="file to write (.png, .tif, .webp, .jpg), - for standard output, or folder: if it is"
        " one, ends in / or there are several photos; default IMG-cutout.png and so on beside the"
        " photo",
    )
    add(
        "--format",
        choices=SUFFIXES,
        help="of outputs that -o does not name; default: png",
    )
    add(
        "--suffix",
        metavar="TEXT",
        help="what their names have after the photo's; default: -cutout and so on",
    )
    add("--keep-metadata", action="store_true", help="copy the photo's EXIF (place included)")
    existing = group.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    existing.add_argument("--skip-existing", action="store_true", help="leave photos out whose"
                          " output exists")  # fmt: skip


def _add_picture(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is made of a photo").add_argument
    add(
        "--output",
        choices=("cutout", "alpha", "foreground", "composite"),
        help="cutout: the photo with transparency (default); alpha: the matte in grey; foreground:"
        " the photo with the person's own colours; composite: before another background",
    )
    add(
        "--background",
        metavar="COLOR|IMAGE|blur[:RADIUS]|transparent",
        help="colour name, #rrggbb, an image that is scaled to fill the photo, or the photo's own"
        " background blurred, by a radius in pixels; implies --output composite, where it is white"
        " by default",
    )
    add("--no-refine", action="store_true", help="do not follow the photo's edges at full size")
    add("--refocus", action="store_true", help="look again, closer, where the person is small")
    add(
        "--keep-colours",
        action="store_true",
        help="leave the old background's colours in the person's edge",
    )


def add_model(parser: argparse.ArgumentParser, threads: str) -> None:
    """Add the options that say how mattes are computed; ``threads`` is the help of one of them."""
    group = parser.add_argument_group("how it is computed")
    add = group.add_argument
    which = group.add_mutually_exclusive_group()
    names = ", ".join(SHIPPED)
    which.add_argument(
        "--model", metavar="NAME", choices=SHIPPED, help=f"a model of the package: {names}"
    )
    which.add_argument("--weights", metavar="FILE", help="a weights file of your own")
    add("--dtype", choices=tuple(DEFAULT), help="arithmetic; default: that of the weights")
    add("--backend", choices=("auto", "numpy", "numba"), default="auto", help="default: auto")
    add("--threads", metavar="N", type=positive, help=threads)
