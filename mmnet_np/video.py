"""Cut people out of a video: ``python -m mmnet_np.video IN OUT``.

What can be said without decoding a frame is said first: the options (exit code 2), the names, what
ffmpeg lacks. Then the model is loaded and the frames flow, see `mmnet_np.media.pipeline`. A file is
written beside its place and moved there when it is whole.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from .command import complain, emit, guarded, printable, reason
from .errors import OptionError, VideoError
from .media.ending import ended_as_by_ctrl_c, undisturbed
from .media.ffmpeg import end_children
from .media.options import COMMAND, PIPE, parse
from .threads import spread

if TYPE_CHECKING:
    from .media.codecs import Container
    from .media.decoder import Decoder
    from .media.encoder import Encoder
    from .media.matter import Matter
    from .media.probe import VideoFile
    from .media.raw import RawSink, RawSource
    from .model import Matting
    from .picture import Style

__all__ = ["main"]

_MANY = 1000
"""Frames taken to come where nobody knows: enough to make compiled kernels worth their while."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 when the video was done, 1 when something failed, 2 when an option cannot be used, 130
        after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    args = parse(argv)

    def body() -> int:
        with ended_as_by_ctrl_c():
            try:
                return _run(args)
            finally:
                end_children()

    return guarded(COMMAND, body)


def _run(args: argparse.Namespace) -> int:
    # Of a live source one frame is done at a time, so that none grows old behind another.
    share, threads = (args.threads, 1) if args.live else (1, spread(args.threads, _MANY))

    from .media.matter import Matter
    from .media.probe import probe

    file = probe(Path(args.source)) if args.raw is None else None
    style = _style(args)
    kind = _check_target(args, file, transparent=style.mode == "RGBA")
    model = _load(args, file, share)
    with ExitStack() as stack:
        source = _open_source(args, file, stack)
        matter = Matter(
            model, style, source.form, refine=not args.no_refine, stabilize=not args.no_stabilize
        )
        if kind is None:
            _to_pipe(args, source, matter, threads)
        else:
            _to_file(args, source, matter, threads, kind)
    return 0


def _style(args: argparse.Namespace) -> Style:
    from .background import Blur, parse_background
    from .picture import Style

    background = None
    if args.output == "composite":
        background = parse_background("blur" if args.background is None else args.background)
    # A blurred background has the colours that are in the person's edge anyhow.
    own_colours = not args.keep_colours and not isinstance(background, Blur)
    return Style(args.output, background, own_colours)


def _check_target(
    args: argparse.Namespace, file: VideoFile | None, *, transparent: bool
) -> Container | None:
    """Return the kind of file to write, None for standard output; raise if it cannot be."""
    from .formats import check_target
    from .media.codecs import container
    from .media.encoder import check_encoder

    if args.target == PIPE:
        if sys.stdout is not None and sys.stdout.isatty():
            raise OptionError("standard output is a terminal: give a file, or a pipe that reads")
        return None
    target, name = Path(args.target), printable(args.target)
    kind = container(target)
    check_encoder(name, kind, transparent=transparent)
    check_target(target, overwrite=args.overwrite)
    if file is not None and target.exists() and file.path.samefile(target):
        raise VideoError(f"{name}: is the video itself")
    if not target.parent.is_dir():
        raise VideoError(f"{name}: there is no such folder")
    for codec in kind.encoded_anew(file.audio if file else ()):
        _note(args, f"{name}: cannot hold {codec} sound, it is encoded anew")
    return kind


def _load(args: argparse.Namespace, file: VideoFile | None, share: int | None) -> Matting:
    from .model import load

    return load(
        args.model or args.weights,
        dtype=args.dtype,
        backend=args.backend,
        threads=share,
        size=args.size,
        images=file.frames or _MANY if file else _MANY,
    )


def _open_source(
    args: argparse.Namespace, file: VideoFile | None, stack: ExitStack
) -> Decoder | RawSource:
    from .media.decoder import Decoder
    from .media.raw import RATE, RawSource

    if file is not None:
        return stack.enter_context(Decoder(file))
    descriptor, name = 0, "standard input"
    if args.source != PIPE:
        name = printable(args.source)
        try:
            descriptor = os.open(args.source, os.O_RDONLY)
            stack.callback(os.close, descriptor)
        except OSError as error:
            raise VideoError(f"{name}: cannot be read ({reason(error)})") from None
    return RawSource(descriptor, name, args.raw, rate=args.rate or RATE, live=args.live)


def _to_pipe(
    args: argparse.Namespace, source: Decoder | RawSource, matter: Matter, threads: int
) -> None:
    from .media.raw import RawSink

    _flow(args, source, matter, threads, RawSink(1))


def _to_file(
    args: argparse.Namespace,
    source: Decoder | RawSource,
    matter: Matter,
    threads: int,
    kind: Container,
) -> None:
    from mmnet_np.weights.atomic import replacing

    from .formats import check_target
    from .media.encoder import Encoder

    target, name = Path(args.target), printable(args.target)
    try:
        with ExitStack() as stack:
            with undisturbed():
                temporary = stack.enter_context(replacing(target))
            with Encoder(temporary, name, matter.form, kind, source.file) as sink:
                _flow(args, source, matter, threads, sink)
                sink.finish()
            check_target(target, overwrite=args.overwrite)  # someone else may have been faster
    except OSError as error:
        raise VideoError(f"{name}: cannot be written ({reason(error)})") from None
    if not args.quiet:
        emit(args.target)


def _flow(
    args: argparse.Namespace,
    source: Decoder | RawSource,
    matter: Matter,
    threads: int,
    sink: Encoder | RawSink,
) -> None:
    """Let the frames flow, show how far they are, and tell what was lost on the way."""
    from .media.pipeline import run
    from .progress import Progress

    def abort() -> None:
        source.close()
        sink.close()

    with Progress(source.expected, unit="frames", quiet=args.quiet) as progress:
        dropped = run(
            source, matter, sink,
            threads=threads, live=args.live, abort=abort, step=progress.step,
        )  # fmt: skip
    if dropped:
        _note(args, f"{dropped} frames were dropped")
    if source.damage:
        _note(args, f"{printable(args.source)}: is damaged in places ({source.damage})")


def _note(args: argparse.Namespace, text: str) -> None:
    """Tell what is no failure."""
    if not args.quiet:
        complain(COMMAND, text)


if __name__ == "__main__":
    sys.exit(main())
