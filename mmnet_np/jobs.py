"""Where each photo's output goes, and what of that is known to be impossible before any is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from .command import printable, sentence
from .errors import ImageError, MMNetError
from .formats import check_target, output_format
from .sources import STDIN, Source

__all__ = ["STDOUT", "Job", "Naming", "is_folder", "plan"]

STDOUT = "-"


class Job(NamedTuple):
    """A photo and its output."""

    source: str
    """Path of the photo, or `STDIN`."""
    target: Path | None
    """File to write; None is standard output."""

    def source_name(self) -> str:
        """Name the photo in a sentence."""
        return "standard input" if self.source == STDIN else printable(self.source)


class Naming(NamedTuple):
    """How outputs are named, and which files may be replaced."""

    out: str | None
    """What ``-o`` says: a file, a folder, `STDOUT`, or None: beside the photo."""
    folder: bool
    """Whether ``out`` is a folder."""
    ending: str
    """Between the photo's name and the suffix, such as ``"-cutout"``."""
    suffix: str
    """Of outputs whose name is not given, such as ``".png"``."""
    transparent: bool
    """Whether outputs have transparency."""
    overwrite: bool = False
    skip_existing: bool = False

    def target(self, source: Source) -> Path | None:
        """Return the output of a photo; None is standard output."""
        if self.out == STDOUT or (self.out is None and source.path == STDIN):
            return None
        if self.out is not None and not self.folder:
            return Path(self.out)
        stem = "stdin" if source.path == STDIN else Path(source.path).stem
        name = stem + self.ending + self.suffix
        if self.out is None:
            return Path(source.path).parent / name
        return Path(self.out, source.below or "", name)


def is_folder(out: str | None, sources: Iterable[Source]) -> bool:
    """Say whether ``-o`` names a folder: it is one, ends in /, or more than a photo is to go there.

    A folder of photos is more than a photo, whatever it holds.
    """
    if out is None or out == STDOUT:
        return False
    known = list(sources)
    several = len(known) > 1 or any(source.below is not None for source in known)
    return several or out.endswith(("/", os.sep)) or Path(out).is_dir()


def plan(
    sources: Iterable[Source], naming: Naming, complain: Callable[[str], None]
) -> tuple[list[Job], int]:
    """Pair photos with their outputs.

    Parameters
    ----------
    sources : iterable of Source
    naming : Naming
    complain : callable
        Told, in a sentence, of each photo that can have no output; such photos are left out.

    Returns
    -------
    jobs : list of Job
    skipped : int
        Photos whose output exists and need not be made again.
    """
    known = list(sources)
    photos = {_absolute(source.path): source.path for source in known if source.path != STDIN}
    taken: dict[str, str] = {}
    jobs: list[Job] = []
    skipped = 0
    for source in known:
        job = Job(source.path, naming.target(source))
        try:
            if naming.skip_existing and job.target is not None and os.path.lexists(job.target):
                skipped += 1
                continue
            _check(job, naming, photos, taken)
        except (MMNetError, OSError) as error:
            complain(sentence(error, job.source_name()))
        else:
            jobs.append(job)
    return jobs, skipped


def _check(job: Job, naming: Naming, photos: dict[str, str], taken: dict[str, str]) -> None:
    """Raise unless the output can be made as far as is known; remember it in ``taken``."""
    target = job.target
    if target is None:
        output_format(f"output{naming.suffix}", alpha=naming.transparent)
        return
    shown, where = printable(target), _absolute(target)
    if naming.out is not None and not naming.folder and not target.suffix:
        raise ImageError(f"{shown}: is no folder; a new one's name must end in /, a file's in .png")
    output_format(target, alpha=naming.transparent)
    if where in photos or _same(target, job.source):
        other = photos.get(where, job.source)
        which = "the photo itself" if other == job.source else "another of the photos"
        raise ImageError(f"{shown}: is {which}")
    check_target(target, overwrite=naming.overwrite)
    if naming.out is not None and not naming.folder and not target.parent.is_dir():
        raise ImageError(f"{shown}: there is no such folder")
    if where in taken:
        first = printable(taken[where])
        raise ImageError(f"{job.source_name()}: its output {shown} is that of {first}")
    taken[where] = job.source


def _same(target: Path, source: str) -> bool:
    """Say whether two names are one file, by links perhaps."""
    return source != STDIN and Path(source).exists() and target.exists() and target.samefile(source)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100  (resolve() would follow a link)
