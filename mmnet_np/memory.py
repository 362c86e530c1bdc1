"""How much memory this process may use, as far as the system tells."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["available_memory"]

_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
"""Where a container's limit stands: control groups of version 2 and 1."""


def available_memory() -> int | None:
    """Return the machine's memory in bytes, or a container's limit; None where neither is told."""
    found = []
    with suppress(AttributeError, OSError, ValueError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):  # "max" where there is none
            found.append(int(Path(path).read_text()))
    return min((size for size in found if size > 0), default=None)
