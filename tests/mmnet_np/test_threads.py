import multiprocessing
import sys

import numpy as np
import pytest

from mmnet_np.errors import OptionError
from mmnet_np.threads import Bands, available_threads


def add_one(counts, start, stop):
    counts[start:stop] += 1


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("rows", [1, 2, 5, 64, 1000])
def test_every_row_exactly_once(threads, rows):
    counts = np.zeros(rows, int)
    Bands(threads).run(add_one, (counts,), rows, 10**9)
    assert (counts == 1).all()


def test_little_work_is_not_shared():
    calls = []
    Bands(4).run(lambda start, stop: calls.append((start, stop)), (), 64, 100)
    assert calls == [(0, 64)]


def test_an_error_in_a_band_arrives():
    def fail(start, stop):
        if start:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Bands(2).run(fail, (), 10, 10**9)


def test_default_is_what_the_process_may_use():
    assert Bands().threads == available_threads() >= 1


@pytest.mark.parametrize("threads", [0, -1, 5000])
def test_bad_thread_counts(threads):
    with pytest.raises(OptionError, match=f"threads is {threads}; it must be from 1 to 1024"):
        Bands(threads)


BANDS = Bands(2)


def in_child(queue):
    counts = np.zeros(10, int)
    BANDS.run(add_one, (counts,), 10, 10**9)
    queue.put(counts.tolist())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_makes_threads_of_its_own():
    counts = np.zeros(10, int)
    BANDS.run(add_one, (counts,), 10, 10**9)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=30) == [1] * 10
    child.join()
