"""Results in order, never too many ahead, on executors of several kinds."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from mmnet_np.ordered import in_order


class Counting:
    """An executor that computes when asked to, and remembers what was submitted."""

    def __init__(self):
        self.submitted = []

    def submit(self, function, *arguments):
        future = Future()
        self.submitted.append((future, arguments))
        future.set_result(function(*arguments))
        return future


def test_results_come_in_order_though_later_ones_are_ready_first():
    release = [threading.Event() for _ in range(8)]

    def work(index, factor):
        if index:
            release[index - 1].set()  # the one before waits for this one
        assert index % 2 or release[index].wait(60)
        return index * factor

    with ThreadPoolExecutor(4) as pool:
        futures = in_order(pool, work, range(8), 10, ahead=4)
        assert [future.result() for future in futures] == [index * 10 for index in range(8)]


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_no_more_than_ahead_are_submitted(ahead):
    executor, drawn = Counting(), []

    def items():
        for index in range(10):
            drawn.append(index)
            yield index

    results = in_order(executor, str, items(), ahead=ahead)
    assert not drawn
    for index in range(10):
        assert next(results).result() == str(index)
        assert len(executor.submitted) == len(drawn) == min(10, index + ahead)


def test_closing_cancels_what_has_not_begun():
    begun, go = threading.Event(), threading.Event()

    def work(index):
        begun.set()
        assert go.wait(60)
        return index

    with ThreadPoolExecutor(1) as pool:
        submitted = []

        class Remembering:
            def submit(self, *arguments):
                submitted.append(pool.submit(*arguments))
                return submitted[-1]

        results = in_order(Remembering(), work, range(100), ahead=5)
        first = next(results)
        assert begun.wait(60)
        results.close()
        go.set()
        assert first.result() == 0
        assert [future.cancelled() for future in submitted] == [False, *[True] * 4]
