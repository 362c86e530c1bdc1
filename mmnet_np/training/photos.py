"""Photos and their mattes, decoded once and kept in memory as far as it reaches."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmnet_np.command import printable
from mmnet_np.dataset import Pair
from mmnet_np.errors import ImageError
from mmnet_np.images import open_mask, open_photo

from .views import portrait

__all__ = ["Photos"]


class Photos:
    """A sequence of portraits, each read when first asked for; safe to share among threads.

    Parameters
    ----------
    pairs : sequence of Pair
        From `mmnet_np.dataset.pairs`.
    limit : int
        Bytes to keep decoded. Photos beyond them are decoded anew each time, which is slower but
        gives the same pixels. 2,443 photos of about 336 x 448 take 1.1 GB.
    """

    def __init__(self, pairs: Sequence[Pair], limit: int = 2 * 2**30) -> None:
        self.pairs = list(pairs)
        self.limit = limit
        self.kept = 0
        """Bytes kept now."""
        self._kept: dict[int, NDArray[np.uint8]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Give a portrait, not to be written to.

        Returns
        -------
        (H, W, 4) uint8 array
            As `mmnet_np.training.views.portrait` joins it: at most 1,199 pixels a side.

        Raises
        ------
        ImageError
            The photo or its mask cannot be read, or their sizes differ.
        """
        found = self._kept.get(index)
        if found is not None:
            return found
        pair = self.pairs[index]  # decoded outside the lock: two threads may both do it, once
        photo, matte = np.asarray(open_photo(pair.image)), open_mask(pair.mask)
        if photo.shape[:2] != matte.shape:
            raise ImageError(
                f"{printable(pair.image)}: is {photo.shape[1]} x {photo.shape[0]}, but its mask "
                f"{matte.shape[1]} x {matte.shape[0]}"
            )
        made = portrait(photo, matte)
        with self._lock:
            if index not in self._kept and self.kept + made.nbytes <= self.limit:
                self._kept[index] = made
                self.kept += made.nbytes
        return made
