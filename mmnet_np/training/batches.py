"""Batches of training samples, decoded and augmented in threads while the network trains.

Pillow, NumPy and our kernels release the interpreter's lock where the time goes, so threads do;
processes would need every decoded photo, or every batch, a second time. A sample is a pure function
of (seed, epoch, index), so neither the number of threads nor their timing changes a bit of it, and
a run resumed at the beginning of an epoch meets the same samples.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mmnet_np.dataset import Pair
from mmnet_np.errors import OptionError

from .augment import Augmentation, robust
from .photos import Photos

__all__ = ["Batches"]

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


class Batches:
    """The batches of any epoch.

    Every epoch shows each photo ``repeat`` times in a random order, but for the last incomplete
    batch, which is dropped: batch norm wants batches of one size, and as the order is another one
    each time, no photo is left out for long.

    Parameters
    ----------
    pairs : sequence of Pair or Photos
        What to train on. Two sources may share one `Photos`.
    size : int
        Side of the network's input.
    batch : int
        Samples in a batch.
    seed : int
        Not negative.
    augment : callable
        One of `mmnet_np.training.augment.AUGMENTATIONS`.
    workers : int
        Threads; 0 makes each batch when it is asked for, in the caller's thread.
    ahead : int
        Batches made in advance: at most this many wait, beside the one in use.
    repeat : int
        How often an epoch shows each photo: more than 1 where photos are few.
    limit : int
        Bytes of decoded photos to keep; see `Photos`.

    Raises
    ------
    OptionError
        A number out of range, or fewer samples in an epoch than in a batch.

    Examples
    --------
    ::

        with Batches(pairs("portraits", "train"), size=128, batch=32, seed=1) as batches:
            for epoch in range(first, last):
                for image, truth in batches.epoch(epoch):
                    ...
    """

    def __init__(
        self,
        pairs: Sequence[Pair] | Photos,
        size: int,
        batch: int,
        *,
        seed: int = 0,
        augment: Augmentation = robust,
        workers: int = 2,
        ahead: int = 2,
        repeat: int = 1,
        limit: int = 2 * 2**30,
    ) -> None:
        for name, value, least in (
            ("size", size, 2),
            ("batch", batch, 1),
            ("seed", seed, 0),
            ("workers", workers, 0),
            ("ahead", ahead, 0),
            ("repeat", repeat, 1),
        ):
            if value < least:
                raise OptionError(f"{name} is {value}; it must be {least} or more")
        self.photos = pairs if isinstance(pairs, Photos) else Photos(pairs, limit)
        self.size, self.batch, self.seed, self.augment = size, batch, seed, augment
        self.ahead, self.repeat = ahead if workers else 0, repeat
        if len(self) == 0:
            raise OptionError(
                f"an epoch has {len(self.photos) * repeat} samples, less than a batch of {batch}"
            )
        self._pool = ThreadPoolExecutor(workers, "mmnet-batches") if workers else None

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self.photos) * self.repeat // self.batch

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads after the samples they are at; `epoch` cannot be used afterwards."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Go through one epoch.

        Parameters
        ----------
        number : int
            From 0. Any epoch can be asked for at any time.

        Yields
        ------
        image : (batch, size, size, 3) float32 array in [0, 1]
        truth : (batch, size, size) float32 array in [0, 1]
            Fresh arrays each time; the caller may keep or change them.

        Raises
        ------
        ImageError
            A photo or mask cannot be read. The samples made in advance are lost.
        """
        order = self.order(number)
        waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
        try:
            for first in range(0, len(order), self.batch):
                waiting.append(self._begin(number, first, order))
                if len(waiting) > self.ahead:
                    yield self._finish(*waiting.popleft())
            while waiting:
                yield self._finish(*waiting.popleft())
        finally:
            # After an error, Ctrl-C or a break in the caller's loop: nobody wants the rest.
            for _, parts in waiting:
                for part in parts:
                    part.cancel()

    def order(self, number: int) -> NDArray[np.intp]:
        """Return which photo each sample of an epoch shows, without those of the dropped batch."""
        rng = np.random.default_rng([self.seed, number])
        photos = np.tile(np.arange(len(self.photos)), self.repeat)
        return rng.permutation(photos)[: len(self) * self.batch]

    def _begin(
        self, number: int, first: int, order: NDArray[np.intp]
    ) -> tuple[Batch, list[Future[None]]]:
        """Set the threads to work on one batch."""
        side = self.size
        made = (
            np.empty((self.batch, side, side, 3), np.float32),
            np.empty((self.batch, side, side), np.float32),
        )
        parts = []
        for slot in range(self.batch):
            arguments = made, slot, number, first + slot, int(order[first + slot])
            if self._pool is None:
                self._make(*arguments)
            else:
                parts.append(self._pool.submit(self._make, *arguments))
        return made, parts

    @staticmethod
    def _finish(made: Batch, parts: list[Future[None]]) -> Batch:
        for part in parts:
            part.result()
        return made

    def _make(self, made: Batch, slot: int, number: int, index: int, photo: int) -> None:
        """Make sample ``index`` of an epoch in a batch's slot."""
        rng = np.random.default_rng([self.seed, number, index])

        def other() -> NDArray[np.uint8]:
            return self.photos[int(rng.integers(len(self.photos)))]

        image, truth = self.augment(rng, self.photos[photo], None, self.size, other)
        made[0][slot], made[1][slot] = image, truth
