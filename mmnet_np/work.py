"""The command's work: photo after photo, several at a time where there are several processors.

A photo is decoded, matted and written by one thread, start to end: decoders, kernels and encoders
release the GIL, so photos overlap, whichever step takes longest. How much is in memory at a time
is bounded by the photos' pixels, not by their number. Outcomes come in the order of the jobs.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from .command import sentence
from .errors import ImageError, MMNetError
from .images import MAX_BYTES, open_photo, photo_size
from .jobs import Job
from .memory import available_memory
from .model import Matting
from .ordered import in_order
from .output import save_image, write_image
from .picture import Style
from .sources import STDIN

__all__ = ["Outcome", "Worker"]

_PIXELS = 25_000_000
"""Pixels of all photos in the work at a time that are allowed everywhere: two of 12 megapixels."""

_BYTES = 20
"""About what a pixel takes, from the decoded photo to the encoded picture."""

_SHARE = 1 / 4
"""Of the machine's memory that the photos in the work may take, if that is more than `_PIXELS`."""

_CHUNK = 2**20


class Outcome(NamedTuple):
    """How a job ended."""

    job: Job
    failure: str | None
    """A sentence, or None where all went well."""


class _StoppedError(Exception):
    """Nobody waits for this photo any more."""


class Worker:
    """Makes outputs of photos.

    Parameters
    ----------
    model : Matting
    style : Style
        What to make.
    suffix : str
        The format on standard output, such as ``".png"``.
    overwrite, refine, refocus, metadata : bool
        As the command's options: whether files may be replaced, how the matte is made, whether
        the photo's EXIF goes into the output.
    """

    def __init__(
        self,
        model: Matting,
        style: Style,
        *,
        suffix: str = ".png",
        overwrite: bool = False,
        refine: bool = True,
        refocus: bool = False,
        metadata: bool = False,
    ) -> None:
        self._model, self._style, self._suffix = model, style, suffix
        self._overwrite, self._metadata = overwrite, metadata
        self._options = {"refine": refine, "refocus": refocus}
        self._stopped = threading.Event()
        memory = available_memory()
        self._most = None if memory is None else memory // _BYTES
        self._room = _Room(max(_PIXELS, int((self._most or 0) * _SHARE)))

    def run(self, jobs: list[Job], threads: int) -> Generator[Outcome, None, None]:
        """Do the jobs on so many threads, and give their outcomes in order.

        Ctrl-C, and closing the iterator, end it as soon as what is being written is whole or gone.
        """
        if threads == 1:
            for job in jobs:
                yield self._outcome(job)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="photo") as pool:
            try:
                for future in in_order(pool, self._outcome, jobs, ahead=4 * threads):
                    yield future.result()
            except BaseException:
                self._stopped.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _outcome(self, job: Job) -> Outcome:
        try:
            pixels = _pixels(job)
            if self._most is not None and pixels > self._most:  # the system would kill us all
                raise ImageError(
                    f"{job.source_name()}: has {pixels:,} pixels, but there is memory for no more"
                    f" than {self._most:,}"
                )
            with self._room.of(pixels):
                self._do(job)
        except (MMNetError, OSError, MemoryError) as error:
            if isinstance(error, BrokenPipeError):
                raise  # whoever reads our output has seen enough
            return Outcome(job, sentence(error, job.source_name()))
        return Outcome(job, None)

    def _do(self, job: Job) -> None:
        """Do one photo. In a function of its own, so that nothing of it is held beside the next."""
        self._go_on()
        with _readable(job.source) as file:
            photo = open_photo(file, metadata=self._metadata, name=job.source_name())
        exif = photo.info.pop("exif", None)
        self._go_on()
        alpha = self._model.predict_uint8(photo, **self._options)
        self._go_on()
        background = self._style.behind(photo, alpha)
        photo = self._style.colours(photo, alpha, numba=self._model.backend == "numba")
        picture = self._style.compose(photo, alpha, background)
        del photo, alpha, background
        self._go_on()
        if job.target is None:
            write_image(picture, self._suffix, exif=exif)
        else:
            job.target.parent.mkdir(parents=True, exist_ok=True)
            save_image(picture, job.target, overwrite=self._overwrite, exif=exif)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError


class _Room:
    """Lets in as many photos as fit, or one that alone does not."""

    def __init__(self, size: int) -> None:
        self._size, self._used, self._photos = size, 0, 0
        self._changed = threading.Condition()

    @contextmanager
    def of(self, pixels: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._photos or self._used + pixels <= self._size)
            self._used += pixels
            self._photos += 1
        try:
            yield
        finally:
            with self._changed:
                self._used -= pixels
                self._photos -= 1
                self._changed.notify_all()


def _pixels(job: Job) -> int:
    """Read the size of a photo; what cannot be read will take no memory."""
    if job.source != STDIN:
        with suppress(ImageError):
            width, height = photo_size(job.source)
            return width * height
    return 0


@contextmanager
def _readable(source: str) -> Iterator[str | BinaryIO]:
    """Give what `open_photo` takes: it must seek, so standard input is copied into a file."""
    if source != STDIN:
        yield source
        return
    with tempfile.TemporaryFile() as file:
        length = 0
        while sys.stdin is not None and (chunk := sys.stdin.buffer.read(_CHUNK)):
            length += len(chunk)
            if length > MAX_BYTES:
                raise ImageError(f"standard input: has more than {MAX_BYTES:,} bytes")
            file.write(chunk)
        if not length:
            raise ImageError("standard input: is empty")
        file.seek(0)
        yield file
