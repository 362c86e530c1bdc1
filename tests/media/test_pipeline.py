"""The threads between source and sink: order, what is dropped, and that every failure ends all."""

import threading

import numpy as np
import pytest

from mmnet_np.media.frames import Frame
from mmnet_np.media.pipeline import run

SECONDS = 30  # to wait for what must happen; a test that waits that long has failed


def frame(number):
    return Frame(number, np.full((2, 3, 3), number % 256, np.uint8))


class Doubling:
    """A matter whose pictures can be checked, and that can be made to fail at a frame."""

    def __init__(self, fails=None, at=None):
        self.fails, self.at = fails, at
        self.steadied = []
        self.most = self.now = 0
        self.lock = threading.Lock()

    def meet(self, step, number):
        if (step, number) == (self.fails, self.at):
            raise ZeroDivisionError(step)

    def look(self, given):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.meet("look", given.time)
        with self.lock:
            self.now -= 1
        return given

    def steady(self, seen):
        self.meet("steady", seen.time)
        self.steadied.append(seen.time)
        return seen

    def picture(self, seen):
        self.meet("picture", seen.time)
        return Frame(seen.time, seen.pixels * 2)


class Collecting:
    """A sink that keeps all, and can be made to fail at a picture."""

    def __init__(self, at=None):
        self.frames, self.at = [], at

    def write(self, given):
        if given.time == self.at:
            raise ZeroDivisionError("write")
        self.frames.append(given)


def source(count, at=None):
    for number in range(count):
        if number == at:
            raise ZeroDivisionError("read")
        yield frame(number)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(SECONDS)
    assert not [thread for thread in left if thread.is_alive()]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_all_frames_in_order(threads, count):
    matter, sink, steps = Doubling(), Collecting(), []
    assert run(source(count), matter, sink, threads=threads, step=lambda: steps.append(1)) == 0
    assert [f.time for f in sink.frames] == matter.steadied == list(range(count))
    assert all((f.pixels == 2 * f.time).all() for f in sink.frames)
    assert len(steps) == count


def test_so_many_frames_at_once_as_asked_for():
    """Four looks that wait for each other are only done if four run at a time."""
    meeting = threading.Barrier(4, timeout=SECONDS)

    class Meeting(Doubling):
        def look(self, given):
            if given.time < 4:
                meeting.wait()
            return super().look(given)

    sink = Collecting()
    run(source(8), Meeting(), sink, threads=4)
    assert len(sink.frames) == 8


@pytest.mark.parametrize("step", ["read", "look", "steady", "picture", "write"])
@pytest.mark.parametrize("at", [0, 7, 39])
def test_a_failure_anywhere_is_raised(step, at):
    matter = Doubling(step, at)
    sink = Collecting(at if step == "write" else None)
    aborted = []
    with pytest.raises(ZeroDivisionError, match=step):
        run(
            source(40, at if step == "read" else None), matter, sink,
            threads=2, abort=lambda: aborted.append(1),
        )  # fmt: skip
    assert aborted == [1]
    times = [f.time for f in sink.frames]
    assert times == list(range(len(times)))
    assert len(times) <= at


def test_a_slow_sink_makes_the_source_wait():
    """Frames in hand are bounded, however long the source."""
    read, written = [], []
    most = 0

    def counted():
        for number in range(300):
            read.append(number)
            yield frame(number)

    class Slow(Collecting):
        def write(self, given):
            nonlocal most
            written.append(given.time)
            most = max(most, len(read) - len(written))

    run(counted(), Doubling(), Slow(), threads=2)
    assert len(written) == 300
    assert most <= 2 + 2 * 2 + 2 * 2 + 4  # waiting, done ahead, at work, and in hands


def test_an_abort_wakes_a_source_that_waits():
    """As killing ffmpeg ends a read from its pipe."""
    ended = threading.Event()

    def waiting():
        yield frame(0)
        assert ended.wait(SECONDS)

    with pytest.raises(ZeroDivisionError, match="write"):
        run(waiting(), Doubling(), Collecting(at=0), abort=ended.set)


def test_live_frames_are_dropped_while_the_network_is_busy():
    """The network takes frame 0 and is not done before the camera has given all others."""
    given_all, taken = threading.Event(), threading.Event()

    def camera():
        yield frame(0)
        assert taken.wait(SECONDS)
        for number in range(1, 100):
            yield frame(number)
        given_all.set()

    class Busy(Doubling):
        def look(self, given):
            if given.time == 0:
                taken.set()
                assert given_all.wait(SECONDS)
            return super().look(given)

    sink = Collecting()
    dropped = run(camera(), Busy(), sink, live=True)
    times = [f.time for f in sink.frames]
    assert times[0] == 0
    assert times[-1] == 99  # the newest is what a viewer wants to see
    assert times == sorted(set(times))
    assert len(times) + dropped == 100
    assert dropped > 80


def test_files_are_never_dropped_however_busy_the_network():
    """The same camera as a file: it has to wait, and so it is not asked for more than fits."""
    taken = threading.Event()
    asked = []

    def file():
        for number in range(100):
            asked.append(number)
            if number == 20:
                taken.set()  # only reached when the network goes on
            yield frame(number)

    class Busy(Doubling):
        def look(self, given):
            if given.time == 0:
                assert not taken.wait(0.2)
            return super().look(given)

    sink = Collecting()
    assert run(file(), Busy(), sink, live=False) == 0
    assert [f.time for f in sink.frames] == list(range(100))


def test_ctrl_c_while_it_waits(monkeypatch):
    """What a signal raises in the caller's thread ends everything."""
    ended = threading.Event()

    def waiting():
        for number in range(3):
            yield frame(number)
        assert ended.wait(SECONDS)

    class Interrupted(Doubling):
        def steady(self, seen):
            if seen.time == 2:
                raise KeyboardInterrupt
            return super().steady(seen)

    with pytest.raises(KeyboardInterrupt):
        run(waiting(), Interrupted(), Collecting(), abort=ended.set)
    assert ended.is_set()
