"""A progress bar: one line on a terminal, nothing in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TextIO

__all__ = ["Progress", "duration", "is_terminal"]

_REDRAW = 0.1  # seconds between two states of the line: more often nobody can read it
_ERASE = "\r\x1b[K"  # to the left edge, clear to the right one


class Progress:
    """Count work on stderr: done of all, speed, time left.

    On a terminal one line is redrawn at most ten times a second and erased at the end, so that
    only results stay. Where stderr is no terminal, nothing is written.

    Parameters
    ----------
    total : int or None
        How many steps there are; None if nobody knows: then no time left is told.
    label : str
        What is being done, before the numbers.
    unit : str
        What a step is, in the plural.
    quiet : bool
        Write nothing.
    stream : text file, optional
        Instead of stderr.
    clock : callable
        Seconds that only go forward.

    Examples
    --------
    >>> with Progress(2, "working") as progress:
    ...     for _ in range(2):
    ...         progress.step()
    """

    def __init__(
        self,
        total: int | None,
        label: str = "",
        *,
        unit: str = "images",
        quiet: bool = False,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total, self.label, self.unit = total, label, unit
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._live = not quiet and is_terminal(self._stream)
        self._clock = clock
        self._start = self._drawn = clock()

    def __enter__(self) -> Progress:
        self._draw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._put(_ERASE)
        self._live = False

    def step(self, count: int = 1) -> None:
        """Say that ``count`` more steps are done."""
        self.done += count
        if self._clock() - self._drawn >= _REDRAW or self.done == self.total:
            self._draw()

    def pause(self) -> None:
        """Erase the line, so that something else can be printed; the next step redraws it."""
        self._put(_ERASE)
        self._drawn = float("-inf")

    def line(self) -> str:
        """Give the line as it would be drawn now."""
        parts = [self.label] if self.label else []
        parts.append(str(self.done) if self.total is None else f"{self.done}/{self.total}")
        passed = self._clock() - self._start
        if self.done and passed > 0:
            speed = self.done / passed
            parts.append(f"{speed:.3g} {self.unit}/s")
            if self.total is not None:
                parts.append(f"{duration(max(0, self.total - self.done) / speed)} left")
        return "  ".join(parts)

    def _draw(self) -> None:
        if self._live:
            self._drawn = self._clock()
            # A line that fills the last column wraps on some terminals, and \r finds only half.
            self._put(_ERASE + self.line()[: _columns(self._stream) - 1])

    def _put(self, text: str) -> None:
        if self._live:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # the terminal is gone; the work goes on
                self._live = False


def is_terminal(stream: TextIO | None) -> bool:
    """Say whether a line can be redrawn there."""
    with suppress(AttributeError, ValueError):  # stderr may be None, or closed
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def _columns(stream: TextIO) -> int:
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def duration(seconds: float) -> str:
    """Write seconds as 0:05, 12:34 or 1:02:03.

    >>> duration(3723.4)
    '1:02:03'
    """
    whole = int(seconds + 0.5)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}"
