"""A video file as a source of frames: ffmpeg decodes it into a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType

from ..command import printable
from ..errors import VideoError
from .ffmpeg import Child, find, passthrough
from .frames import Frame
from .nut_reader import EndedError, NutReader
from .probe import VideoFile

__all__ = ["Decoder"]

# Chroma is interpolated as finely for RGB as it was meant; the default is quick and off by some.
_TO_RGB = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"


class Decoder:
    """The frames of a file's first video stream: upright RGB, each with its own time.

    All frames are given, no matter how near to each other or far apart, of the first one's size.
    Use as a context manager: leaving it ends ffmpeg.

    Parameters
    ----------
    file : VideoFile

    Attributes
    ----------
    file : VideoFile
    form : Format
    expected : int or None
        About how many frames come.
    count : int
        Frames given so far.

    Raises
    ------
    VideoError
        There is no ffmpeg, or nothing can be decoded.
    """

    def __init__(self, file: VideoFile) -> None:
        self.file, self.expected, self.count = file, file.frames, 0
        self._name = printable(file.path)
        base = f"{file.time_base.numerator}/{file.time_base.denominator}"
        arguments = [
            *(find("ffmpeg"), "-hide_banner", "-nostdin", "-v", "error"),
            *(
                "-copyts",
                "-i",
                f"file:{file.path}",
                "-map",
                "0:V:0",
                "-vf",
                _TO_RGB,
                *passthrough(),
                "-enc_time_base",
                base,
            ),
            *("-c:v", "rawvideo", "-map_metadata", "-1", "-f", "nut", "pipe:1"),
        ]
        self._child = Child(arguments, str(file.path), writes=True)
        try:
            self._reader = NutReader(self._child.pipe)
        except BaseException as error:
            if isinstance(error, VideoError):
                error = self._explained(error)
            self.close()
            raise error from None
        self.form = self._reader.form

    def _explained(self, error: VideoError) -> VideoError:
        """Return an error with the file's name and, if ffmpeg gave up, with what it said."""
        why = str(error)
        if isinstance(error, EndedError):  # then ffmpeg ends too, and can be waited for
            said = self._child.failure() or self._child.first
            why = f"cannot be decoded ({said})" if said else "has no frames"
        return VideoError(f"{self._name}: {why}")

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End ffmpeg; whoever waits for a frame is told that there are no more."""
        self._child.kill()

    def __iter__(self) -> Iterator[Frame]:
        """Give the frames.

        Raises
        ------
        VideoError
            The file is damaged beyond decoding, or cut off.
        """
        try:
            for frame in self._reader:
                self.count += 1
                yield frame
        except VideoError as error:
            raise self._explained(error) from None
        failure = self._child.failure()
        if failure is not None:
            raise VideoError(f"{self._name}: cannot be decoded ({failure})")
        if self._child.missed_the_end:
            raise VideoError(f"{self._name}: is cut off after {self.count} frames")
        if not self.count:
            raise VideoError(f"{self._name}: has no frames")

    @property
    def damage(self) -> str:
        """What ffmpeg found wrong with the file, and got over; mostly empty."""
        return self._child.first
