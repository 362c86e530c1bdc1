"""Many calls at once, their results one by one in the order of the calls, never too many ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

__all__ = ["in_order"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    executor: Executor, function: Callable[..., Result], items: Iterable[Item], *more: Any,
    ahead: int,
) -> Iterator[Future[Result]]:  # fmt: skip
    """Call ``function(item, *more)`` for every item on an executor.

    ``Executor.map`` would submit all at once, and their results would pile up while the first is
    waited for.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    function : callable
    items : iterable
        Drawn from as calls are made.
    *more
        Further arguments of every call.
    ahead : int
        How many calls may be waiting or running at a time, or be done without having been asked
        for.

    Yields
    ------
    Future
        In the order of ``items``. When the iterator is closed, calls that have not begun never do.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(executor.submit(function, item, *more))
            if len(waiting) >= ahead:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        for future in waiting:
            future.cancel()
