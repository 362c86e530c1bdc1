"""The programs ffmpeg and ffprobe: found on PATH, run as children, ended on every way out."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import BinaryIO

from ..command import printable
from ..errors import VideoError
from .ending import undisturbed

__all__ = ["Child", "complaints", "encoders", "end_children", "find", "passthrough"]

_KEPT = 10
"""Lines of complaint that are kept of each child beside the first: a damaged film has thousands."""

_ORIGIN = re.compile(r"^(\[[^\]]* @ 0x[0-9a-f]+\] ?)+")
"""What ffmpeg puts before a message: ``[mov,mp4 @ 0x55ae14669900]``."""

_CUT_OFF = re.compile(r"partial file|ended prematurely", re.IGNORECASE)
_TELLING = re.compile(r"No space left|quota|Input/output error|File too large", re.IGNORECASE)
"""What stands behind the many complaints that follow from it."""


def find(name: str) -> str:
    """Return the path of ffmpeg or ffprobe.

    Raises
    ------
    VideoError
        It is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise VideoError(f"{name} is not on the PATH: install ffmpeg (apt install ffmpeg)")
    return path


@cache
def encoders() -> frozenset[str]:
    """Return the names of this ffmpeg's encoders."""
    text = _said("-encoders")
    return frozenset(re.findall(r"^ [VAS][.\w]{5} (\S+)", text, re.MULTILINE))


@cache
def passthrough() -> tuple[str, str]:
    """Return the option that keeps every frame and its time, as this ffmpeg calls it."""
    version = re.match(r"ffmpeg version n?(\d+)\.(\d+)", _said("-version"))
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ("-vsync" if old else "-fps_mode"), "passthrough"


def _said(option: str) -> str:
    done = subprocess.run(
        [find("ffmpeg"), "-hide_banner", option],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    return done.stdout.decode("utf-8", "replace")


def complaints(text: str, name: str = "") -> list[str]:
    """Return the lines of a child's stderr, fit for a sentence about the file ``name``."""
    lines = (_ORIGIN.sub("", line).strip() for line in text.splitlines())
    found = (line.removeprefix(f"file:{name}: ") for line in lines)
    return [printable(line[:200]).rstrip(".") for line in found if line]


_running: list[subprocess.Popen[bytes]] = []
"""Children that were started and not yet waited for."""


class Child:
    """A running program with its output or input in a pipe; killed when its block is left.

    Parameters
    ----------
    arguments : sequence of str
    name : str
        The file that it works on, which its complaints need not name again.
    writes : bool
        Its stdout is read as `pipe`; otherwise its stdin is written as `pipe`.

    Attributes
    ----------
    pipe : binary file
    first : str
        The first line of its stderr; empty if there is none.
    last : deque of str
        The last lines of its stderr.
    """

    def __init__(self, arguments: Sequence[str], name: str, *, writes: bool) -> None:
        self.first = ""
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._name = name
        with undisturbed():
            # In a session of its own Ctrl-C does not reach it: it would end as if all were done.
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL if writes else subprocess.PIPE,
                stdout=subprocess.PIPE if writes else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            _running.append(self._process)
        pipe = self._process.stdout if writes else self._process.stdin
        assert pipe is not None
        self.pipe: BinaryIO = pipe  # type: ignore[assignment]
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()
        with suppress(OSError):
            self.pipe.close()

    def _listen(self) -> None:
        stream = self._process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                for said in complaints(line.decode("utf-8", "replace"), self._name):
                    self.first = self.first or said
                    self.last.append(said)

    def wait(self) -> int:
        """Wait for its end; return 0, its exit code, or minus the signal that killed it."""
        code = self._process.wait()
        self._listener.join()
        with suppress(ValueError):
            _running.remove(self._process)
        return code

    def failure(self) -> str | None:
        """Wait for its end; return None if it succeeded, else why not, fit to stand in brackets."""
        code = self.wait()
        if not code:
            return None
        told = next((line for line in self.last if _TELLING.search(line)), self.first)
        if code < 0:
            return f"ffmpeg was ended: {signal.strsignal(-code)}".lower()
        return told or f"ffmpeg gave exit code {code}"

    @property
    def missed_the_end(self) -> bool:
        """Whether it found that a file it read is cut off."""
        return any(_CUT_OFF.search(line) for line in self.last)

    def kill(self) -> None:
        """End it now, if it runs, and leave no zombie."""
        self._process.kill()
        self.wait()


def end_children() -> None:
    """End all that still run: an interruption may come where no block knows of its child yet."""
    while _running:
        process = _running[-1]
        process.kill()
        process.wait()
        _running.pop()
