"""What a video file says of itself, by ffprobe."""

from __future__ import annotations

import json
import stat
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..command import printable, reason
from ..errors import VideoError
from .ffmpeg import complaints, find

__all__ = ["Colour", "VideoFile", "probe"]

_ENTRIES = (
    "format=format_name,start_time,duration"
    ":stream=codec_type,codec_name,time_base,avg_frame_rate,duration,nb_frames"
    ",color_space,color_primaries,color_transfer:stream_disposition=attached_pic"
)
_UNSAID = ("unknown", "unspecified", "reserved", None)


@dataclass(frozen=True)
class Colour:
    """How RGB is coded, as ffmpeg names it; None where a video does not say."""

    space: str | None = None
    primaries: str | None = None
    transfer: str | None = None


@dataclass(frozen=True)
class VideoFile:
    """A file with video.

    Attributes
    ----------
    path : Path
    time_base : Fraction
        Seconds a unit of the frames' times lasts.
    start : Fraction
        Seconds at which the file's first picture or sound is.
    rate : Fraction or None
        Frames a second, on the average.
    frames : int or None
        About how many frames there are, if that is known without reading them.
    colour : Colour
    audio : tuple of str
        The codec of each sound track.
    """

    path: Path
    time_base: Fraction
    start: Fraction = Fraction(0)
    rate: Fraction | None = None
    frames: int | None = None
    colour: Colour = field(default_factory=Colour)
    audio: tuple[str, ...] = ()


def probe(path: Path) -> VideoFile:
    """Read a video file's headers.

    Raises
    ------
    VideoError
        Missing, no regular file, empty, no video, or damaged. One sentence with the name.
    """
    name = printable(path)
    _check_file(path, name)
    done = subprocess.run(
        [find("ffprobe"), "-v", "error", "-of", "json", "-show_entries", _ENTRIES, f"file:{path}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode:
        said = complaints(done.stderr.decode("utf-8", "replace"), str(path))
        raise VideoError(f"{name}: is no video, or damaged ({said[0] if said else 'no reason'})")
    found = json.loads(done.stdout)
    kind = found.get("format", {}).get("format_name", "")
    if kind == "image2" or kind.endswith("_pipe"):
        raise VideoError(f"{name}: is a photo, not a video")
    streams = found.get("streams", [])
    video = next((each for each in streams if _is_video(each)), None)
    if video is None:
        raise VideoError(f"{name}: has no video stream")
    return VideoFile(
        path,
        Fraction(video["time_base"]),
        max(Fraction(0), _fraction(found["format"].get("start_time")) or Fraction(0)),
        _fraction(video.get("avg_frame_rate")) or None,
        _frames(video, found["format"]),
        Colour(*(_said(video.get(f"color_{key}")) for key in ("space", "primaries", "transfer"))),
        tuple(
            each.get("codec_name", "unknown")
            for each in streams
            if each.get("codec_type") == "audio"
        ),
    )


def _check_file(path: Path, name: str) -> None:
    """Refuse what ffprobe would wait for, or speak of in words that help nobody."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise VideoError(f"{name}: is a folder, not a video")
        if not stat.S_ISREG(status.st_mode):
            raise VideoError(f"{name}: is not a regular file")
        if status.st_size == 0:
            raise VideoError(f"{name}: is empty")
        path.open("rb").close()
    except OSError as error:
        raise VideoError(f"{name}: cannot be read ({reason(error)})") from None


def _is_video(stream: dict[str, Any]) -> bool:
    """Say whether a stream is a video, and not a song's cover."""
    cover = stream.get("disposition", {}).get("attached_pic")
    return stream.get("codec_type") == "video" and not cover


def _frames(video: dict[str, Any], whole: dict[str, Any]) -> int | None:
    if (count := _fraction(video.get("nb_frames"))) is not None:
        return int(count)
    seconds = _fraction(video.get("duration")) or _fraction(whole.get("duration"))
    rate = _fraction(video.get("avg_frame_rate"))
    return round(seconds * rate) if seconds and rate else None


def _said(value: str | None) -> str | None:
    return None if value in _UNSAID else value


def _fraction(text: str | None) -> Fraction | None:
    """Read ``"30000/1001"``, ``"2.002000"`` or what stands for no value."""
    try:
        return Fraction(text)  # type: ignore[arg-type]
    except (ValueError, ZeroDivisionError, TypeError):
        return None
