"""Small clips, made by ffmpeg, and what ffprobe says of clips."""

import json
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None,
    reason="ffmpeg and ffprobe are not on the PATH",
)

LOSSLESS = ("-c:v", "libx264rgb", "-qp", "0", "-preset", "ultrafast")
H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast")


def ffmpeg(*arguments, **options):
    """Run ffmpeg; return its stdout."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    if "input" in options:
        command.remove("-nostdin")
    done = subprocess.run(command, capture_output=True, check=False, timeout=120, **options)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def scenes(count, width=32, height=24, channels=3, seed=0):
    """Frames that all differ, smooth enough for any codec: (count, height, width, channels)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    frames = np.empty((count, height, width, channels), np.uint8)
    for number in range(count):
        for c in range(channels):
            a, b, phase = rng.uniform(0, 0.12, 3)
            frames[number, ..., c] = 127 + 100 * np.sin(a * x + b * y + 9 * phase + number)
    return frames


def clip(
    path, frames=6, *codec, size=(32, 24), rate=25, times=None, sound=None, seconds=None, more=()
):
    """Make a clip; return its frames.

    Parameters
    ----------
    path : Path
    frames : int, or (T, H, W, 3) array
    *codec : str
        Options of the video; by default H.264.
    times : list of int, optional
        The frames' times in thousandths of a second, instead of the rate.
    sound : str, optional
        A codec for a tone.
    seconds : float, optional
        The tone's length; by default the clip's.
    more : sequence of str
        Further options of the output.
    """
    pixels = scenes(frames, *size) if isinstance(frames, int) else frames
    count, height, width, _ = pixels.shape
    arguments = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    arguments += ["-r", rate, "-i", "pipe:0"]
    if sound:
        length = seconds or float(count / Fraction(rate))
        arguments += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={length}", "-c:a", sound]
    if times:
        chosen = "+".join(f"eq(N,{number})*{time}" for number, time in enumerate(times))
        arguments += ["-vf", f"settb=1/1000,setpts='{chosen}'", "-fps_mode", "passthrough"]
        arguments += ["-enc_time_base", "1/1000"]
    ffmpeg(*arguments, *(codec or H264), *more, path, input=pixels.tobytes())
    return pixels


def probed(path, *entries, stream=None):
    """Return what ffprobe says: ``probed(path, "stream=width,height")``."""
    select = ["-select_streams", stream] if stream else []
    done = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            *select,
            "-of",
            "json",
            "-show_entries",
            ":".join(entries),
            path,
        ],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def times(path, stream="V:0"):
    """Return the exact times of a clip's frames, in seconds."""
    found = probed(path, "frame=best_effort_timestamp:stream=time_base", stream=stream)
    base = Fraction(found["streams"][0]["time_base"])
    return [frame["best_effort_timestamp"] * base for frame in found["frames"]]


def decoded(path, pixels="rgb24", channels=3, codec=()):
    """Return all frames of a clip, (T, H, W, channels)."""
    found = probed(path, "stream=width,height", stream="V:0")["streams"][0]
    data = ffmpeg(
        *codec, "-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "rawvideo",
        "-pix_fmt", pixels, "pipe:1",
    )  # fmt: skip
    shape = (-1, found["height"], found["width"], channels)
    return np.frombuffer(data, np.uint8).reshape(shape)


def sound(path):
    """Return size and check sum of each packet of a clip's sound."""
    lines = ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "framemd5", "pipe:1").decode()
    return [line.split(",")[4:6] for line in lines.splitlines() if not line.startswith("#")]
