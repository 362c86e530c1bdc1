"""The options of the command for video, and which of them go together.

Nothing heavy is imported here, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__
from ..command import positive, printable
from ..errors import OptionError
from ..options import TRANSPARENT, add_model
from ..sources import STDIN

__all__ = ["COMMAND", "PIPE", "parse"]

COMMAND = "mmnet_np.video"
PIPE = STDIN
"""What standard input and output are called."""

_CLEAR = (".mov", ".webm")
"""Files that hold transparency."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the arguments, those of the process by default, and fill in what follows from others.

    Raises
    ------
    SystemExit
        Code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    raw = args.raw is not None
    if args.source == PIPE and not raw:
        parser.error("standard input takes raw frames: say of which size, --raw WIDTHxHEIGHT")
    if args.live and not raw:
        parser.error("--live goes with --raw: of a file no frame is dropped")
    if args.rate is not None and not (raw and args.target != PIPE):
        parser.error("--rate goes with --raw and a file to write")
    clear = args.background == TRANSPARENT
    if args.output is None:
        holds = args.target != PIPE and Path(args.target).suffix.lower() in _CLEAR
        plain = args.background is None and holds
        args.output = "cutout" if clear or plain else "composite"
    if args.output == "matte":
        args.output = "alpha"
    if args.background is not None and args.output != "composite" and not clear:
        parser.error("--background goes with --output composite")
    if clear and args.output == "composite":
        args.output = "cutout"
    if clear and args.output != "cutout":
        parser.error("--background transparent goes with --output cutout")
    if args.keep_colours and args.output in ("alpha", "foreground"):
        parser.error("--keep-colours goes with --output cutout or composite")
    if args.raw is not None:
        from .raw import parse_raw

        try:
            args.raw = parse_raw(args.raw)
        except OptionError as error:
            parser.error(str(error))
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {COMMAND}",
        description="Cut people out of a video. Needs the programs ffmpeg and ffprobe, but for raw"
        " frames. The path of the file written is printed.",
    )
    _add_files(parser)
    _add_picture(parser)
    add_model(parser, "frames done at a time; with --live, threads that share one. Default: one a"
              " processor, with --live 1")  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--version", action="version", version=f"mmnet-np {__version__}")
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is read and written").add_argument
    add("source", metavar="IN", help="a video; with --raw frames, where - is standard input")
    add(
        "target",
        metavar="OUT",
        help="a file ending in .mp4, .mov, .mkv or .webm, or - for raw frames on standard output",
    )
    add(
        "--raw",
        metavar="WxH[:STRIDE]",
        help="IN is raw frames of this size, rgb24; STRIDE is the bytes from row to row",
    )
    add("--live", action="store_true", help="drop raw frames rather than fall behind")
    add(
        "--rate",
        metavar="FPS",
        type=_rate,
        help="raw frames a second, for the file's clock, such as 25 or 30000/1001; default: 30",
    )
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def _add_picture(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is made of a frame").add_argument
    add(
        "--output",
        choices=("cutout", "alpha", "matte", "foreground", "composite"),
        help="cutout: transparency, .mov or .webm (their default); alpha or matte: the matte in"
        " grey; foreground: the person's own colours; composite: before another background",
    )
    add(
        "--background",
        metavar="COLOR|IMAGE|blur[:RADIUS]|transparent",
        help="as for photos; implies --output composite, where it is blur by default",
    )
    add("--no-stabilize", action="store_true", help="leave the flicker in still edges")
    add("--no-refine", action="store_true", help="do not follow the frame's edges at full size")
    add(
        "--keep-colours",
        action="store_true",
        help="leave the old background's colours in the person's edge (always done before blur)",
    )
    add("--size", metavar="S", type=positive, help="input size of the network, a multiple of 16")


def _rate(text: str) -> object:
    from fractions import Fraction

    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"is frames a second, up to 1000, not {printable(text)}")
    return rate.limit_denominator(1001)
