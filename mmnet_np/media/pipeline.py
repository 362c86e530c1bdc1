"""The threads between a source and a sink, and how they end.

    reader --frames--> dispatcher --looked--> the caller --made--> writer
                            |                     |
                            +--------pool---------+

The reader takes frames from the source and the writer gives pictures to the sink, each in a thread
of its own. The network and the composition run on a pool: what the channels behind it carry are
promises of results, so that several are computed at once and still come in order. The caller does
what needs that order.

All channels are bounded: when the sink is slow the source waits, or, if it is live, drops frames
that have waited too long. An error anywhere ends everything and is raised to the caller. So is
Ctrl-C, which reaches the caller's thread because that mostly waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from .channel import Channel
from .frames import Frame
from .matter import Matter, Seen

__all__ = ["Sink", "run"]

_PATIENCE = 2.0
"""Seconds to wait for a thread that was told to end: one that reads a camera may not hear of it."""


class Sink(Protocol):
    """What pictures are written to."""

    def write(self, frame: Frame) -> None:
        """Take a picture."""


def run(
    source: Iterable[Frame],
    matter: Matter,
    sink: Sink,
    *,
    threads: int = 1,
    live: bool = False,
    abort: Callable[[], None] = lambda: None,
    step: Callable[[], None] = lambda: None,
) -> int:
    """Matte all frames.

    Parameters
    ----------
    source : iterable of Frame
    matter : Matter
    sink : Sink
    threads : int
        How many frames are matted at once.
    live : bool
        Drop frames rather than fall behind.
    abort : callable
        Called after a failure, so that nobody goes on waiting for the source or the sink.
    step : callable
        Called after each picture that is written.

    Returns
    -------
    int
        How many frames were dropped.

    Raises
    ------
    BaseException
        The first that was raised in any of the threads.
    """
    frames: Channel[Frame] = Channel(1 if live else 2, newest=live)
    looked: Channel[Future[Seen]] = Channel(1 if live else threads)
    made: Channel[Future[Frame]] = Channel(1 if live else threads)

    def fail(error: BaseException) -> None:
        for channel in (made, looked, frames):
            channel.fail(error)

    def read() -> None:
        for frame in source:
            frames.put(frame)
        frames.end()

    def dispatch() -> None:
        for frame in frames:
            looked.put(pool.submit(matter.look, frame))
        looked.end()

    def write() -> None:
        for picture in made:
            sink.write(picture.result())
            step()

    # Two at least: one frame is composed while the network looks at the next.
    with ThreadPoolExecutor(max(2, threads), thread_name_prefix="matter") as pool:
        workers = [_start(body, fail) for body in (read, dispatch, write)]
        try:
            for seen in looked:
                made.put(pool.submit(matter.picture, matter.steady(seen.result())))
            made.end()
            for worker in workers:
                worker.join()
            made.check()
        except BaseException as error:
            fail(error)
            abort()
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.join(_PATIENCE)
            raise
    return frames.dropped


def _start(body: Callable[[], None], fail: Callable[[BaseException], None]) -> threading.Thread:
    """Run a body in a thread; give what it raises to ``fail``."""

    def guarded() -> None:
        try:
            body()
        except BaseException as error:
            fail(error)

    # A daemon, since a read from a camera cannot be interrupted.
    thread = threading.Thread(target=guarded, name=body.__name__, daemon=True)
    thread.start()
    return thread
