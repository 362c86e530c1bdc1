"""Cut people out of photos: ``python -m mmnet_np.infer IMG...``, also ``mmnet-np IMG...``.

What can be said without looking at a photo is said first, the options (exit code 2), the photos
and the names of the outputs; then the model is loaded, once, and the photos are done. A photo that
fails costs one sentence and exit code 1, not the others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from .command import guarded, printable
from .errors import OptionError
from .media.ending import ended_as_by_ctrl_c
from .options import COMMAND, SUFFIXES, parse
from .report import Report
from .threads import spread

if TYPE_CHECKING:
    from .background import Background
    from .jobs import Job

__all__ = ["main"]


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
        used, 130 after Ctrl-C or another signal to end.

    Raises
    ------
    SystemExit
        From argparse: code 2 for wrong options, 0 for ``--help`` and ``--version``.
    """
    args = parse(argv)
    with ended_as_by_ctrl_c():
        return guarded(COMMAND, lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    report = Report(COMMAND, quiet=args.quiet)
    jobs = _jobs(args, report)
    if not jobs:
        report.end()
        return 1 if report.failures else 0
    threads = spread(args.threads, len(jobs))

    # Heavy imports wait until all that can be wrong without them is right.
    from .model import load
    from .picture import Style
    from .progress import Progress
    from .quiet import quiet_decoders
    from .work import Worker

    with quiet_decoders():
        style = Style(args.output, _background(args), own_colours=not args.keep_colours)
        model = load(
            args.model or args.weights,
            dtype=args.dtype,
            backend=args.backend,
            threads=None if args.threads is None else args.threads // threads,
            images=len(jobs),
        )
        worker = Worker(
            model,
            style,
            suffix=SUFFIXES[args.format or "png"],
            overwrite=args.overwrite,
            refine=not args.no_refine,
            refocus=args.refocus,
            metadata=args.keep_metadata,
        )
        with (
            Progress(len(jobs), quiet=args.quiet or len(jobs) == 1) as progress,
            closing(worker.run(jobs, threads)) as outcomes,
        ):
            report.progress = progress
            for outcome in outcomes:
                report.add(outcome.job, outcome.failure)
    report.end()
    return 1 if report.failures else 0


def _jobs(args: argparse.Namespace, report: Report) -> list[Job]:
    """Find the photos and name their outputs."""
    from .jobs import STDOUT, Naming, is_folder, plan
    from .sources import ENDINGS, find

    sources = find(
        args.images,
        args.files_from,
        report.fail,
        without=None if args.out == STDOUT else args.out,
        endings=(*ENDINGS, args.suffix),
    )
    folder = is_folder(args.out, sources)
    if args.out == STDOUT and len(sources) > 1:
        raise OptionError("standard output (-o -) takes one picture, but there are several photos")
    suffix = SUFFIXES[args.format or "png"]
    if folder and Path(args.out).is_file():
        raise OptionError(f"-o {printable(args.out)} is a file, but there are several photos")
    if args.format is not None and args.out not in (None, STDOUT) and not folder:
        _check_format(args.out, args.format)
    naming = Naming(
        args.out,
        folder,
        args.suffix,
        suffix,
        transparent=args.transparent,
        overwrite=args.overwrite,
        skip_existing=args.skip_existing,
    )
    jobs, report.skipped = plan(sources, naming, report.fail)
    if any(job.target is None for job in jobs) and sys.stdout is not None and sys.stdout.isatty():
        raise OptionError("standard output is a terminal: give -o FILE")
    if jobs and folder:  # not after minutes of work
        Path(args.out).mkdir(parents=True, exist_ok=True)
    return jobs


def _check_format(out: str, name: str) -> None:
    """Raise unless the file's name is one of the format's."""
    from .formats import FORMATS

    if FORMATS.get(Path(out).suffix.lower()) != FORMATS[SUFFIXES[name]]:
        raise OptionError(f"-o {printable(out)} does not end as --format {name} does")


def _background(args: argparse.Namespace) -> Background | None:
    from .background import parse_background

    if args.transparent:
        return None
    return parse_background("white" if args.background is None else args.background)


if __name__ == "__main__":
    sys.exit(main())
