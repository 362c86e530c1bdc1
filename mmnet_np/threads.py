"""Threads that share a kernel's rows: our own pool over kernels that release the GIL.

Numba's threading layers abort on concurrent use or hang after a fork; a pool of plain threads does
neither. Rows are independent in every kernel, so the split changes no bit of the result.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .errors import OptionError

__all__ = ["Bands", "available_threads", "spread"]

_SMALLEST_BAND = 8192
"""Output values below which a second thread costs more than it brings."""


def available_threads() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spread(asked: int | None, tasks: int) -> int:
    """Return over how many threads to spread tasks: as many as asked for, or one a processor.

    To be called before NumPy is imported. Raises OptionError as `Bands`.
    """
    threads = min(_number(asked), tasks)
    if threads > 1 and "numpy" not in sys.modules:
        # BLAS would add its own threads to each of ours; it reads this when it is loaded.
        for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    return threads


def _number(asked: int | None) -> int:
    if asked is not None and not 1 <= asked <= 1024:
        raise OptionError(f"threads is {asked}; it must be from 1 to 1024")
    return asked or available_threads()


class Bands:
    """Runs a kernel over bands of rows on ``threads`` threads, the caller's being one of them."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = _number(threads)
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, kernel: Callable[..., None], arguments: tuple[Any, ...], rows: int,
            values: int) -> None:  # fmt: skip
        """Call ``kernel(*arguments, start, stop)`` so that [0, rows) is covered exactly once.

        Parameters
        ----------
        kernel : callable
            Releases the GIL; takes the first row and the row after the last at the end.
        arguments : tuple
        rows : int
        values : int
            Output values in all the rows: what there is to share.
        """
        bands = min(self.threads, rows, max(1, values // _SMALLEST_BAND))
        if bands == 1:
            kernel(*arguments, 0, rows)
            return
        edges = [rows * band // bands for band in range(bands + 1)]
        pool = self._workers()
        others = [
            pool.submit(kernel, *arguments, edges[band], edges[band + 1])
            for band in range(1, bands)
        ]
        kernel(*arguments, 0, edges[1])
        for other in others:
            other.result()

    def _workers(self) -> ThreadPoolExecutor:
        # A forked child has the pool object but none of its threads: it makes its own.
        if self._pool is None or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(self.threads - 1, thread_name_prefix="mmnet")
            self._process = os.getpid()
        return self._pool
