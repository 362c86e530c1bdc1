"""How a command ends: whatever the signal, as after Ctrl-C, and only once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["ended_as_by_ctrl_c", "undisturbed"]

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class _Wish:
    """Whether the end was asked for, and whether that has to wait. The main thread's alone."""

    pending = False
    postponed = 0


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing."""


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Raise `KeyboardInterrupt` at the first of SIGINT, SIGTERM and SIGHUP, and ignore the others.

    So `finally` and `with` have their turn: children are killed, files half written are removed,
    and a second Ctrl-C does not cut that short. A signal that is ignored stays so (nohup).
    Only the main thread can do this; elsewhere nothing is changed.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [n for n, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def end(number: int, frame: FrameType | None) -> None:
        for each in heard:  # not SIG_IGN: Python complains of one that has arrived already
            signal.signal(each, _ignore)
        if _Wish.postponed:
            _Wish.pending = True
        else:
            raise KeyboardInterrupt

    try:
        for number in heard:
            signal.signal(number, end)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let `ended_as_by_ctrl_c` raise when this block is left, not in the midst of it.

    For the short moments in which something exists already and nobody knows yet that it must be
    undone: a child that was started, a file that was made.
    """
    _Wish.postponed += 1
    try:
        yield
    finally:
        _Wish.postponed -= 1
        if _Wish.pending and not _Wish.postponed:
            _Wish.pending = False
            raise KeyboardInterrupt
