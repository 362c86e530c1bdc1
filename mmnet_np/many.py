"""Many photos at once, on threads of our own or on any executor: processes, a cluster.

A model goes to other processes as its weights and options, less than a megabyte, and is prepared
there once, however often it is sent.
"""

from __future__ import annotations

import functools
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.typing import NDArray

from .errors import MMNetError, OptionError
from .ordered import in_order
from .spec import whole
from .threads import available_threads

if TYPE_CHECKING:
    from .model import Matting
    from .preprocess import Photo

__all__ = ["How", "mapped", "packed", "unpacked"]

_AHEAD = 16
"""Photos in hand at a time where an executor does not tell how many it works on."""

_lock = threading.Lock()


class How(NamedTuple):
    """How each photo is done."""

    refine: bool = True
    refocus: bool = False
    rounded: bool = False
    """Give uint8 mattes."""
    kept: bool = False
    """Give an error instead of the matte, do not raise it."""


def mapped(
    model: Matting,
    images: Iterable[Photo],
    how: How,
    executor: Executor | None = None,
    ahead: int | None = None,
) -> Iterator[NDArray | MMNetError]:
    """Predict every image, several at a time; results come in the order of the images.

    Parameters
    ----------
    model : Matting
    images : iterable of path, PIL.Image.Image or (H, W, 3) uint8 array
        Drawn from as they are needed.
    how : How
    executor : concurrent.futures.Executor, optional
        Threads of our own by default, as many as there are processors.
    ahead : int, optional
        Images in hand at a time.

    Raises
    ------
    OptionError
        The executor is none, or ``ahead`` is less than 1.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        kind = type(executor).__name__
        raise OptionError(f"executor is a {kind}; it must be a concurrent.futures.Executor")
    if ahead is not None and (ahead := whole("ahead", ahead)) < 1:
        raise OptionError(f"ahead is {ahead}; it must be 1 or more")
    return _results(model, images, how, executor, ahead)


def _results(
    model: Matting,
    images: Iterable[Photo],
    how: How,
    executor: Executor | None,
    ahead: int | None,
) -> Iterator[NDArray | MMNetError]:
    threads = max(1, available_threads() // model.threads)
    own = ThreadPoolExecutor(threads, "photo") if executor is None else nullcontext(executor)
    with own as used:
        if ahead is None:
            workers = getattr(used, "_max_workers", None)
            ahead = 2 * workers if isinstance(workers, int) else _AHEAD
        for future in in_order(used, _predict, images, model, how, ahead=ahead):
            yield future.result()


def _predict(image: Photo, model: Matting, how: How) -> NDArray | MMNetError:
    """Do one image, wherever this is called."""
    predict = model.predict_uint8 if how.rounded else model.predict
    try:
        return predict(image, refine=how.refine, refocus=how.refocus)
    except MMNetError as error:
        if how.kept:
            return error.with_traceback(None)
        raise


def packed(make: Callable[..., Matting], *arguments: Any) -> tuple[Callable[..., Any], tuple]:
    """Return what `object.__reduce__` does, for a model that ``make(*arguments)`` makes again."""
    return unpacked, (pickle.dumps((make, arguments)),)


def unpacked(data: bytes) -> Matting:
    """Make a model from another process, or give the one that was made of the same bytes before."""
    with _lock:  # two threads that begin at once need one model
        return _made(data)


@functools.lru_cache(maxsize=4)
def _made(data: bytes) -> Matting:
    make, arguments = pickle.loads(data)
    return make(*arguments)
