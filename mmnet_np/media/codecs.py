"""Which encoder makes what a file name asks for, and which sound a container can hold.

The settings are near what the eye cannot tell from the original: a matte or a composite is mostly
worked on further.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..command import printable
from ..errors import VideoError

__all__ = ["CONTAINERS", "Container", "Encoder", "container"]


@dataclass(frozen=True)
class Encoder:
    """A video encoder of ffmpeg.

    Attributes
    ----------
    name : str
    pixels : str
        The pixel format that it is given.
    options : tuple of str
    even : bool
        Whether width and height must be even.
    """

    name: str
    pixels: str
    options: tuple[str, ...] = ()
    even: bool = False


@dataclass(frozen=True)
class Container:
    """A kind of file.

    Attributes
    ----------
    name : str
        What ffmpeg calls it.
    opaque : Encoder
    transparent : Encoder or None
        The encoder that keeps alpha.
    holds : frozenset of str or None
        Codecs of sound that it can hold; None for all.
    sound : str
        The encoder for other sound.
    options : tuple of str
    """

    name: str
    opaque: Encoder
    transparent: Encoder | None
    holds: frozenset[str] | None
    sound: str
    options: tuple[str, ...] = ()

    def encoded_anew(self, sound: Iterable[str]) -> list[str]:
        """Return those codecs of sound that it cannot hold."""
        return [] if self.holds is None else [codec for codec in sound if codec not in self.holds]


_H264 = Encoder("libx264", "yuv420p", ("-preset", "veryfast", "-crf", "18"), even=True)
# The first decoder of 4444 that comes along should find alpha: 16 bits are what all write.
_PRORES = Encoder("prores_ks", "yuva444p10le", ("-profile:v", "4444", "-alpha_bits", "16"))
_VP9_OPTIONS = ("-crf", "24", "-b:v", "0", "-cpu-used", "4", "-row-mt", "1")
_VP9 = Encoder("libvpx-vp9", "yuv420p", _VP9_OPTIONS)
# A frame that is never shown has no alpha beside it.
_VP9_ALPHA = Encoder("libvpx-vp9", "yuva420p", (*_VP9_OPTIONS, "-auto-alt-ref", "0"))

# The table of contents before the frames, so that a player on the web can start at once.
_FAST = ("-movflags", "+faststart")
_MP4_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus"})
_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_f32le"})
_MOV_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac"}) | _PCM

CONTAINERS = {
    ".mp4": Container("mp4", _H264, None, _MP4_SOUND, "aac", _FAST),
    ".mov": Container("mov", _H264, _PRORES, _MOV_SOUND, "aac", _FAST),
    ".mkv": Container("matroska", _H264, None, None, "aac"),
    ".webm": Container("webm", _VP9, _VP9_ALPHA, frozenset({"opus", "vorbis"}), "libopus"),
}


def container(path: Path) -> Container:
    """Return the kind of file that a name asks for.

    Raises
    ------
    VideoError
        Another suffix.
    """
    found = CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise VideoError(f"{printable(path)}: the name must end in {', '.join(CONTAINERS)}")
    return found
