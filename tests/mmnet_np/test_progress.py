"""The progress bar on a terminal, in a log, with a clock of our own."""

import io
import os
from contextlib import suppress

import pytest

from mmnet_np.progress import Progress


class Terminal(io.StringIO):
    """A terminal of 80 columns, as far as the bar can tell."""

    def isatty(self):
        return not super().isatty()  # raises where the file is closed, as files do

    def lines(self):
        """What was on the line, state by state."""
        return [state for state in self.getvalue().split("\r\x1b[K") if state]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture(autouse=True)
def capable_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")


def test_counts_speed_and_time_left():
    terminal, clock = Terminal(), Clock()
    with Progress(200, "evaluate", stream=terminal, clock=clock) as progress:
        clock.now += 10
        progress.step(40)
        clock.now += 10
        progress.step(60)
    assert terminal.lines() == [
        "evaluate  0/200",
        "evaluate  40/200  4 images/s  0:40 left",
        "evaluate  100/200  5 images/s  0:20 left",
    ]
    assert terminal.getvalue().endswith("\r\x1b[K")  # only results stay on the screen


def test_hours_left():
    clock = Clock()
    progress = Progress(10_000, stream=Terminal(), clock=clock)
    clock.now += 10
    progress.step()
    assert progress.line() == "1/10000  0.1 images/s  27:46:30 left"


def test_where_nobody_knows_how_many_come():
    terminal, clock = Terminal(), Clock()
    with Progress(None, unit="frames", stream=terminal, clock=clock) as progress:
        clock.now += 10
        progress.step(250)
    assert terminal.lines() == ["0", "250  25 frames/s"]


def test_redraws_no_more_than_ten_times_a_second():
    terminal, clock = Terminal(), Clock()
    with Progress(1000, stream=terminal, clock=clock) as progress:
        for _ in range(1000):
            clock.now += 0.001
            progress.step()
    assert 9 <= len(terminal.lines()) <= 12
    assert terminal.lines()[-1].startswith("1000/1000")


def test_a_pause_erases_and_the_next_step_redraws():
    terminal, clock = Terminal(), Clock()
    with Progress(5, stream=terminal, clock=clock) as progress:
        progress.pause()
        terminal.write("a message\n")
        progress.step()
    assert terminal.getvalue() == (
        "\r\x1b[K0/5" + "\r\x1b[K" + "a message\n" + "\r\x1b[K1/5" + "\r\x1b[K"
    )


def test_a_long_line_does_not_wrap():
    terminal = Terminal()
    with Progress(5, "x" * 200, stream=terminal) as progress:
        progress.step(5)
    assert max(len(line) for line in terminal.lines()) == 79


def test_is_erased_when_the_work_fails():
    terminal = Terminal()
    with pytest.raises(KeyError), Progress(5, stream=terminal):
        raise KeyError
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("case", ["log", "quiet", "dumb", "closed"])
def test_elsewhere_nothing_is_written(case, monkeypatch):
    stream = io.StringIO() if case == "log" else Terminal()
    if case == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    written = []
    monkeypatch.setattr(stream, "write", written.append)
    if case == "closed":
        stream.close()
    with Progress(2, "work", quiet=case == "quiet", stream=stream) as progress:
        progress.step()
        progress.pause()
        progress.step()
    assert progress.done == 2
    assert not written


def test_stderr_may_be_missing(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with Progress(1) as progress:
        progress.step()
    assert progress.done == 1


def test_a_terminal_that_goes_away_does_not_stop_the_work():
    leader, follower = os.openpty()
    stream = os.fdopen(follower, "w")
    with Progress(3, stream=stream) as progress:
        progress.step()
        os.close(leader)
        progress.step(2)
    assert progress.done == 3
    with suppress(OSError):  # what could not be written is still in its buffer
        stream.close()


def test_works_on_a_real_terminal():
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as stream, Progress(3, "work", stream=stream) as progress:
        progress.step(3)
        shown = os.read(leader, 1000).decode()
    os.close(leader)
    assert "work  0/3" in shown
    assert "work  3/3" in shown
