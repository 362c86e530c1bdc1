"""The queue between threads: order, room, what is dropped, and failures heard on both sides."""

import threading

import pytest

from mmnet_np.media.channel import Channel


def thread(body):
    started = threading.Thread(target=body, daemon=True)
    started.start()
    return started


def test_items_come_in_order_and_never_too_many():
    channel, waiting, most = Channel(3), 0, 0
    lock = threading.Lock()

    def fill():
        nonlocal waiting, most
        for item in range(200):
            channel.put(item)
            with lock:
                waiting += 1
                most = max(most, waiting)
        channel.end()

    filler = thread(fill)
    got = []
    for item in channel:
        with lock:
            waiting -= 1
        got.append(item)
    filler.join(30)
    assert got == list(range(200))
    assert most <= 4  # one may be counted as given before it is counted as taken
    assert channel.dropped == 0


def test_a_full_channel_makes_the_giver_wait():
    channel, done = Channel(1), threading.Event()
    channel.put("a")
    giver = thread(lambda: (channel.put("b"), done.set()))
    assert not done.wait(0.05)
    taken = iter(channel)
    assert next(taken) == "a"
    assert done.wait(30)
    giver.join(30)
    assert next(taken) == "b"


def test_the_newest_stay():
    channel = Channel(2, newest=True)
    for item in range(10):
        channel.put(item)
    channel.end()
    assert list(channel) == [8, 9]
    assert channel.dropped == 8


def test_what_waits_is_given_before_the_end():
    channel = Channel(2)
    channel.put(1)
    channel.end()
    assert list(channel) == [1]
    assert list(channel) == []


@pytest.mark.parametrize("side", ["giver", "taker"])
def test_a_failure_wakes_who_waits(side):
    channel, heard = Channel(1), []

    def wait():
        try:
            if side == "giver":
                channel.put(1)
                channel.put(2)
            else:
                next(iter(channel))
        except ZeroDivisionError as error:
            heard.append(error)

    waiter = thread(wait)
    waiter.join(0.05)
    error = ZeroDivisionError("first")
    channel.fail(error)
    channel.fail(ZeroDivisionError("second"))
    waiter.join(30)
    assert heard == [error]
    for call in (channel.check, lambda: channel.put(3), lambda: list(channel)):
        with pytest.raises(ZeroDivisionError, match="first"):
            call()
