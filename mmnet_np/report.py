"""What the command says: paths on standard output, failures and their number on stderr."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .command import complain, emit
from .progress import Progress, duration, is_terminal

if TYPE_CHECKING:
    from .jobs import Job

__all__ = ["Report"]

_REPEATED = 20
"""Failures that the summary repeats."""


class Report:
    """Tells of a run as it goes and sums it up.

    Parameters
    ----------
    command : str
        The name that stands before each sentence.
    quiet : bool
        Only failures are told.

    Attributes
    ----------
    progress : Progress or None
        The bar that must be out of the way when something is printed.
    done, skipped : int
    failures : list of str
        The sentences.
    """

    def __init__(self, command: str, *, quiet: bool) -> None:
        self.progress: Progress | None = None
        self.done = self.skipped = 0
        self.failures: list[str] = []
        self._command, self._quiet = command, quiet
        self._began = time.monotonic()

    def fail(self, failure: str) -> None:
        """Tell a failure."""
        self.failures.append(failure)
        self._make_room()
        complain(self._command, failure)

    def add(self, job: Job, failure: str | None) -> None:
        """Tell how a job ended."""
        if failure is not None:
            self.fail(failure)
        else:
            self.done += 1
            if job.target is not None and not self._quiet:
                self._make_room()
                emit(str(job.target))
        if self.progress is not None:
            self.progress.step()

    def end(self) -> None:
        """Sum up, where several photos were asked for and all was not silently well.

        On a terminal, where what was said has scrolled away, the failures are said again.
        """
        live = is_terminal(sys.stderr)
        counts = [(self.done, "done"), (self.skipped, "skipped"), (len(self.failures), "failed")]
        several = sum(count for count, _ in counts) > 1
        if self._quiet or not several or not (live or self.skipped or self.failures):
            return
        summary = ", ".join(f"{count} {what}" for count, what in counts if count)
        if not live:
            complain(self._command, summary)
            return
        summary += f" in {duration(time.monotonic() - self._began)}"
        lines = [f"  {failure}" for failure in self.failures[:_REPEATED]]
        if len(self.failures) > _REPEATED:
            lines.append(f"  and {len(self.failures) - _REPEATED} more")
        complain(self._command, "\n".join([summary, *lines]))

    def _make_room(self) -> None:
        if self.progress is not None:
            self.progress.pause()
