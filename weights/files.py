"""What every reader of this folder shares: bounded reading, and how a sentence names a thing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from .errors import WeightsError

__all__ = ["LIMIT", "beginning", "listed", "naming", "open_regular", "read_regular", "shown"]

LIMIT = 64 * 1024 * 1024
"""Bytes of tensors, and bytes of one file read whole, that any reader accepts.

The widest MMNet of the paper, 1.4, is 1.5 MB; with two Adam slots a weight, 4.5 MB.
"""


def shown(text: object) -> str:
    """Return ``text`` fit for one line of an error: short, and escaped if it would not print.

    Names come from files, so they may hold newlines, terminal escapes or a megabyte.
    """
    text = str(text)
    if len(text) > 200:
        text = f"{text[:120]}...{text[-60:]}"
    return text if text.isprintable() else repr(text)


def listed(names: list[str], most: int = 3) -> str:
    """Return the first few of ``names`` in brackets, with dots when there are more."""
    return f"({', '.join(map(shown, names[:most]))}{', ...' if len(names) > most else ''})"


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Put ``source`` before any WeightsError raised inside.

    The parsers below know bytes, not files; the public readers know which file it was.
    """
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{shown(source)}: {error}") from error


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    file : binary file
        Open at its beginning.
    size : int
        Its size in bytes.

    Raises
    ------
    WeightsError
        It is missing, a folder, a pipe or a device, or cannot be read. Also for any OSError
        inside the block, so that a failing disk is the same error.
    """
    try:
        with _opened(path) as file:
            yield file, os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise WeightsError(f"{shown(path)} does not exist") from None
    except OSError as error:
        raise WeightsError(f"cannot read {shown(path)}: {error.strerror or error}") from error


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open ``path``; nothing but a regular file, and never wait."""
    # Opening a FIFO waits for a writer, perhaps for ever; O_NONBLOCK makes it return, and then
    # the file's kind can be asked of the open file itself.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a NUL byte in the path
        raise WeightsError(f"cannot read {shown(path)}: {error}") from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
    raise WeightsError(f"{shown(path)} is {kind}; expected a weights file")


def beginning(path: str | os.PathLike[str], count: int) -> bytes:
    """Return the first bytes of a regular file, none where it cannot be read."""
    try:
        with open_regular(path) as (file, _):
            return file.read(count)
    except WeightsError:
        return b""


def read_regular(path: str | os.PathLike[str], limit: int = LIMIT) -> bytes:
    """Return the whole of a regular file of at most ``limit`` bytes.

    Raises
    ------
    WeightsError
        As `open_regular`, or the file is empty or larger than ``limit``.
    """
    with open_regular(path) as (file, size):
        if size == 0:
            raise WeightsError(f"{shown(path)} is empty; expected a weights file")
        if size > limit:
            raise WeightsError(f"{shown(path)} is {size} bytes; a weights file has at most {limit}")
        return file.read(size)
