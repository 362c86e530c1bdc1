"""Whole files or none: write beside the target, then rename over it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["replacing"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it becomes ``path``, else it vanishes.

    The temporary file lives in the same folder, hence on the same file system, so the rename is
    atomic: a reader sees the old file or the new one, and a crash leaves at worst a hidden
    ``.NAME.*.part`` file, never half of ``path``.

    Parameters
    ----------
    path : path-like
        The file to create or replace.

    Yields
    ------
    pathlib.Path
        An existing empty file to write to. It keeps the suffix of ``path``, because writers
        such as Pillow choose the format by it.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full.
    """
    target = Path(path)
    # A name near the limit of 255 bytes must still leave room for the random part. O_EXCL gives a
    # file nobody else has, with the permissions the user's umask asks for (mkstemp's are private).
    name = f".{target.stem[:32]}.{secrets.token_hex(4)}.part{target.suffix[-16:]}"
    temporary = target.parent / name
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
