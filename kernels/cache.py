"""Where compiled kernels are kept between runs: one folder per user, version and processor.

Numba keys its cache on one source file and the processor, not on the files that one inlines, so
the folder's name carries a digest of every kernel source. It never lies in site-packages.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

__all__ = ["cache_folder", "is_warm", "mark_warm"]


@functools.lru_cache(maxsize=1)
def _key() -> str:
    """Digest of all that compiled code depends on: sources, where they lie, Python, Numba, CPU."""
    from importlib.metadata import PackageNotFoundError, version

    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    # Numba finds compiled code by the path of its source, so another copy is another folder:
    # else its "warm" would be this one's.
    home = str(Path(__file__).resolve().parent)
    parts = [home, sys.implementation.cache_tag or "", platform.machine(), _processor()]
    for package in ("numba", "llvmlite"):
        try:
            parts.append(version(package))
        except PackageNotFoundError:
            parts.append("none")
    digest.update("\0".join(parts).encode())
    return digest.hexdigest()[:16]


def _processor() -> str:
    """Return what tells one processor model from another: its name and feature flags."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU part", "CPU implementer")
        return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
    return platform.processor()


def _user_folder() -> Path:
    """Return the per-user cache folder by the platform's custom; MMNET_NP_CACHE overrides it."""
    override = os.environ.get("MMNET_NP_CACHE")
    if override:
        return Path(override)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mmnet_np"


def _candidates() -> list[Path]:
    """Return where compiled kernels may be kept, best first: per user, then temporary."""
    found = []
    with suppress(RuntimeError):  # no home folder
        found.append(_user_folder())
    user = os.getuid() if hasattr(os, "getuid") else "user"
    with suppress(FileNotFoundError):  # no temporary folder that can be written to
        found.append(Path(tempfile.gettempdir()) / f"mmnet_np-{user}")
    return found


def _trusted(folder: Path) -> bool:
    """Say whether a folder is ours and nobody else may write to it."""
    if not hasattr(os, "getuid"):
        return folder.is_dir()
    status = folder.stat()
    return folder.is_dir() and status.st_uid == os.getuid() and not status.st_mode & 0o022


def _usable(folder: Path) -> bool:
    """Create ``folder`` and say whether it may be trusted and written to.

    Numba's cache files are pickles, so a folder that somebody else owns or may write to would let
    them run code as us.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _trusted(folder):
            return False
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@functools.lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return the folder for this version's compiled kernels, or None when nothing is writable.

    The per-user folder is tried first, then a private one in the temporary folder. When neither
    can be written, one line on stderr says so: everything still runs, compiling each time.
    """
    for parent in _candidates():
        folder = parent / _key()
        if _usable(parent) and _usable(folder):
            return folder
    print(
        "mmnet-np: no folder for compiled kernels is writable; set MMNET_NP_CACHE to one "
        "(running on, compiling anew each time)",
        file=sys.stderr,
    )
    return None


def is_warm(group: str = "inference") -> bool:
    """Say whether this machine holds a group's kernels compiled, without importing Numba."""
    for parent in _candidates():
        if _promising(parent) and _promising(parent / _key()):
            return (parent / _key() / f"warm-{group}").is_file()
    return False


def _promising(folder: Path) -> bool:
    """Say whether `_usable` would take a folder, without creating or writing anything."""
    try:
        if folder.exists():
            return _trusted(folder) and os.access(folder, os.W_OK)
        above = next(parent for parent in folder.parents if parent.exists())
        return above.is_dir() and os.access(above, os.W_OK)
    except (OSError, StopIteration):
        return False


def mark_warm(group: str) -> None:
    """Record that a group's kernels are compiled and cached, for `is_warm` in later processes."""
    folder = cache_folder()
    if folder is not None:
        with suppress(OSError):
            (folder / f"warm-{group}").touch()
