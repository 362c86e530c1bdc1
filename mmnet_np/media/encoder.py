"""A video file as a sink of frames: ffmpeg encodes what comes through a pipe, and copies sound."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from ..errors import VideoError
from . import codecs
from .codecs import Container
from .ffmpeg import Child, encoders, find, passthrough
from .frames import Format, Frame
from .nut_writer import NutWriter
from .probe import Colour, VideoFile

__all__ = ["Encoder", "check_encoder"]

BT709 = Colour("bt709", "bt709", "bt709")
"""How RGB of unknown origin is coded."""

_MATRICES = {
    "bt709": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "smpte240m": "smpte240m",
    "fcc": "fcc",
    "bt2020nc": "bt2020",
}
"""Colour spaces that can be kept, and what the filter that converts from RGB calls them."""

_PRIMARIES = frozenset({"bt709", "bt470bg", "smpte170m", "smpte240m", "bt2020", "smpte432"})
_TRANSFERS = frozenset(
    {"bt709", "smpte170m", "smpte240m", "iec61966-2-1", "bt2020-10", "bt2020-12"}
    | {"smpte2084", "arib-std-b67"}
)
"""Those that all encoders here can be told."""


def check_encoder(name: str, kind: Container, *, transparent: bool) -> codecs.Encoder:
    """Return the encoder for the file of a name.

    Raises
    ------
    VideoError
        The kind of file cannot hold transparency, or this ffmpeg has no such encoder.
    """
    chosen = kind.transparent if transparent else kind.opaque
    if chosen is None:
        raise VideoError(f"{name}: cannot hold transparency, use .mov or .webm")
    if chosen.name not in encoders():
        raise VideoError(f"{name}: this ffmpeg has no encoder {chosen.name} for it")
    return chosen


class Encoder:
    """A file that is being written. Use as a context manager: leaving it ends ffmpeg.

    Parameters
    ----------
    path : Path
        What is written; must exist and may be replaced.
    name : str
        The file's name in complaints.
    form : Format
        Of the frames to come.
    kind : Container
    source : VideoFile or None
        Where sound and the coding of colours come from.

    Raises
    ------
    VideoError
        There is no ffmpeg, or it lacks the encoder.
    """

    def __init__(
        self, path: Path, name: str, form: Format, kind: Container, source: VideoFile | None
    ) -> None:
        self._name = name
        chosen = check_encoder(name, kind, transparent=form.channels == 4)
        self._pad = (form.height % 2, form.width % 2) if chosen.even else (0, 0)
        base = source.time_base if source else form.time_base
        colour = source.colour if source else BT709
        arguments = [
            *(find("ffmpeg"), "-hide_banner", "-v", "error", "-xerror", "-y"),
            *("-copyts", "-f", "nut", "-i", "pipe:0", *_sound_input(source), "-map", "0:v:0"),
            *("-map_metadata", "-1", *passthrough()),
            *("-enc_time_base", f"{base.numerator}/{base.denominator}"),
            *("-vf", _conversion(chosen.pixels, colour), "-color_range", "tv"),
            # Some encoders look at the frames' tags, which the filters set, and some at these.
            *(word for key, tag in _tags(colour).items() for word in (f"-{key}", tag)),
            *("-c:v", chosen.name, *chosen.options, *_sound(kind, source), *kind.options),
            *_from_zero(source),
            *("-max_muxing_queue_size", "9999"),
            *("-f", kind.name, f"file:{path}"),
        ]
        self._child = Child(arguments, str(path), writes=False)
        padded = replace(form, height=form.height + self._pad[0], width=form.width + self._pad[1])
        try:
            rate = source.rate if source else 1 / form.time_base
            self._writer = NutWriter(self._child.pipe, padded, rate)
        except BaseException as error:
            self._child.kill()
            if isinstance(error, OSError):
                raise self._failure() from None
            raise

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End ffmpeg, whatever it has written."""
        self._child.kill()

    def write(self, frame: Frame) -> None:
        """Encode a frame.

        Raises
        ------
        VideoError
            ffmpeg gave up: the disk is full, say.
        """
        if any(self._pad):
            pixels = np.pad(frame.pixels, [(0, extra) for extra in (*self._pad, 0)], "edge")
            frame = Frame(frame.time, pixels)
        try:
            self._writer.write(frame)
        except OSError:
            raise self._failure() from None

    def finish(self) -> None:
        """Complete the file.

        Raises
        ------
        VideoError
            ffmpeg failed, or found the sound's file cut off.
        """
        with suppress(OSError):
            self._child.pipe.close()
        if self._child.failure() is not None:
            raise self._failure()
        if self._child.missed_the_end:
            raise VideoError(f"{self._name}: cannot be written (the sound is cut off)")

    def _failure(self) -> VideoError:
        with suppress(OSError):
            self._child.pipe.close()
        why = self._child.failure() or "ffmpeg ended too early"
        return VideoError(f"{self._name}: cannot be written ({why})")


def _conversion(pixels: str, colour: Colour) -> str:
    """Return the filters from RGB to a pixel format."""
    scale = "scale=flags=bicubic+accurate_rnd+full_chroma_int:out_range=tv"
    if colour.space in _MATRICES:
        scale += f":out_color_matrix={_MATRICES[colour.space]}"
    tags = ":".join(f"{key}={value}" for key, value in _tags(colour).items())
    return f"{scale},format={pixels},setparams=range=tv:{tags}".rstrip(":")


def _tags(colour: Colour) -> dict[str, str]:
    """Return what is said of the colours' coding: nothing where the source says nothing."""
    tags = {}
    if colour.space in _MATRICES:
        tags["colorspace"] = colour.space
    if colour.primaries in _PRIMARIES:
        tags["color_primaries"] = colour.primaries
    if colour.transfer in _TRANSFERS:
        tags["color_trc"] = colour.transfer
    return tags


def _sound_input(source: VideoFile | None) -> list[str]:
    """Return the options that open the source once more, for its sound."""
    if source is None or not source.audio:
        return []
    return ["-vn", "-sn", "-dn", "-i", f"file:{source.path}"]


def _from_zero(source: VideoFile | None) -> list[str]:
    """Return the options that move picture and sound, both on the source's clock, to time 0.

    A transport stream may have started days ago.
    """
    if source is None or not source.start:
        return []
    return ["-output_ts_offset", f"{-float(source.start):.6f}"]


def _sound(kind: Container, source: VideoFile | None) -> list[str]:
    """Return the options for each sound track: copied, or encoded anew where that cannot be."""
    if source is None or not source.audio:
        return []
    options = ["-map", "1:a"]
    for track, codec in enumerate(source.audio):
        options += [f"-c:a:{track}", kind.sound if kind.encoded_anew([codec]) else "copy"]
    return options
