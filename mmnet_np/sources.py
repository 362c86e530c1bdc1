"""Which photos a command is asked for: files, folders, globs, lists of names, standard input."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .command import printable, reason, sentence
from .errors import ImageError

__all__ = ["ENDINGS", "STDIN", "SUFFIXES", "Source", "find", "listed"]

STDIN = "-"

SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif",
    ".heic", ".heif", ".jp2",
})  # fmt: skip
"""Suffixes that make a file in a folder a photo. A kind that Pillow cannot read is among them, so
that a folder from a phone is not passed over in silence."""

ENDINGS = ("-cutout", "-alpha", "-foreground", "-composite")
"""What the commands add to a photo's name by default."""

_LARGEST_LIST = 2**26  # bytes: half a million names


class Source(NamedTuple):
    """A photo."""

    path: str
    """`STDIN` is standard input."""
    below: str | None = None
    """Of a photo found in a folder: where in that folder its own folder is, ``""`` at its top."""


def find(
    arguments: Iterable[str],
    lists: Iterable[str],
    complain: Callable[[str], None],
    *,
    without: str | None = None,
    endings: Sequence[str] = ENDINGS,
) -> list[Source]:
    """Find all photos that arguments name, each once, in their order.

    Parameters
    ----------
    arguments : iterable of str
        Each is a file, whether it exists or not; a folder, which is searched with all folders in
        it, in order of name; a glob that the shell has left alone; ``@FILE``, a list; or ``-``.
        A name that exists is never a glob or a list.
    lists : iterable of str
        Files that list further ones: see `listed`.
    complain : callable
        Told, in a sentence, of everything that gives no photo.
    without : str, optional
        A folder that is not searched, since outputs go there.
    endings : sequence of str
        A file in a folder that has the name of a photo beside it and one of these is left out:
        it was made of that photo.

    Returns
    -------
    list of Source
    """
    found: dict[str, Source] = {}
    for name in _names(arguments, lists, complain):
        for source in _expanded(name, complain, without, endings):
            where = STDIN if source.path == STDIN else os.path.abspath(source.path)  # noqa: PTH100
            found.setdefault(where, source)
    return list(found.values())


def listed(path: str) -> list[str]:
    """Read names from a file, one a line, or separated by zero bytes as ``find -print0`` does.

    Parameters
    ----------
    path : str
        A regular file or pipe; `STDIN` is standard input.

    Raises
    ------
    ImageError
        It cannot be read, has more than 64 MiB, or holds no name.
    """
    name = "standard input" if path == STDIN else printable(path)
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read(_LARGEST_LIST + 1) if sys.stdin is not None else b""
        else:
            with _opened(path) as file:
                data = file.read(_LARGEST_LIST + 1)
    except OSError as error:
        raise ImageError(f"{name}: cannot be read ({reason(error)})") from None
    if len(data) > _LARGEST_LIST:
        raise ImageError(f"{name}: is no list of names: it has more than {_LARGEST_LIST:,} bytes")
    data = data.removeprefix(b"\xef\xbb\xbf")  # how Windows marks UTF-8
    lines = data.split(b"\0") if b"\0" in data else data.replace(b"\r\n", b"\n").split(b"\n")
    names = [os.fsdecode(line) for line in lines if line]
    if not names:
        raise ImageError(f"{name}: holds no name of a photo")
    return names


def _names(
    arguments: Iterable[str], lists: Iterable[str], complain: Callable[[str], None]
) -> Iterator[str]:
    """Give the arguments with lists replaced by what they hold."""
    for argument in arguments:
        if argument.startswith("@") and not os.path.lexists(argument):
            yield from _from_list(argument[1:], complain)
        else:
            yield argument
    for path in lists:
        yield from _from_list(path, complain)


def _from_list(path: str, complain: Callable[[str], None]) -> Iterator[str]:
    try:
        for name in listed(path):
            yield f"./{name}" if name == STDIN else name
    except ImageError as error:
        complain(str(error))


def _expanded(
    name: str, complain: Callable[[str], None], without: str | None, endings: Sequence[str]
) -> Iterator[Source]:
    """Give the photos behind one name."""
    if name == STDIN:
        yield Source(STDIN)
    elif os.path.isdir(name):  # noqa: PTH112
        yield from _searched(name, complain, without, endings)
    elif os.path.lexists(name) or not glob.has_magic(name):
        yield Source(name)
    else:
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  (keeps "./")
        if not matches:
            complain(f"{printable(name)}: there is no such file, nor any that it matches")
        for match in matches:
            yield from _expanded(match, complain, without, endings)


def _searched(
    root: str, complain: Callable[[str], None], without: str | None, endings: Sequence[str]
) -> Iterator[Source]:
    """Give the photos in a folder and all folders in it, but not behind links to folders."""
    avoided = None if without is None else os.path.realpath(without)
    empty = True

    def failed(error: OSError) -> None:
        nonlocal empty
        empty = False
        complain(sentence(error))

    for folder, folders, names in os.walk(root, onerror=failed):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if os.path.realpath(here / name) != avoided]
        below = here.relative_to(root)
        for name in _photos(names, endings):
            empty = False
            yield Source(str(here / name), "" if below == Path() else str(below))
    if empty:
        complain(f"{printable(root)}: there is no photo in it")


def _photos(names: Iterable[str], endings: Sequence[str]) -> list[str]:
    """Choose the photos among a folder's files: not the hidden, not what was made of others."""
    photos = [name for name in sorted(names)
              if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES]  # fmt: skip
    stems = {Path(name).stem for name in photos}
    return [name for name in photos if not _made(Path(name).stem, stems, endings)]


def _made(stem: str, stems: Container[str], endings: Sequence[str]) -> bool:
    return any(end and stem.endswith(end) and stem.removesuffix(end) in stems for end in endings)


def _opened(path: str) -> BinaryIO:
    """Open a list; a named pipe that nobody writes to is empty, not waited for."""
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        kind = os.fstat(number).st_mode
        if stat.S_ISDIR(kind):
            raise ImageError(f"{printable(path)}: is a folder, not a list of names")
        os.set_blocking(number, True)
        return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
