"""What a file says of itself, and what is no video."""

import os
from fractions import Fraction

import pytest
from clips import H264, clip, ffmpeg, needs_ffmpeg
from PIL import Image

from mmnet_np.errors import VideoError
from mmnet_np.media.probe import Colour, probe

pytestmark = needs_ffmpeg


def test_what_is_read(tmp_path):
    path = tmp_path / "a\nb.mp4"
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    clip(path, 6, *H264, *tags, rate="30000/1001", sound="aac")
    file = probe(path)
    assert file.path == path
    assert (file.time_base, file.start, file.frames) == (Fraction(1, 30000), 0, 6)
    assert file.colour == Colour("bt709", "bt709", "bt709")
    assert file.audio == ("aac",)


def test_what_is_not_said_is_guessed_or_left_open(tmp_path):
    path = tmp_path / "a.mkv"
    clip(path, 50)
    file = probe(path)
    assert file.frames == 50  # from length and rate
    assert file.colour == Colour(None, None, None)
    assert file.audio == ()
    raw = tmp_path / "a.h264"
    clip(raw, 5)
    assert probe(raw).frames is None


def test_several_sounds(tmp_path):
    path = tmp_path / "a.mkv"
    clip(tmp_path / "one.mkv", 6, sound="aac")
    streams = ("-map", "0:v", "-map", "0:a", "-map", "0:a")
    ffmpeg(
        "-i",
        tmp_path / "one.mkv",
        *streams,
        "-c:v",
        "copy",
        "-c:a:0",
        "copy",
        "-c:a:1",
        "libopus",
        path,
    )
    assert probe(path).audio == ("aac", "opus")


def cover(path):
    """Make a song with a picture of its cover, which is a video stream to ffmpeg."""
    Image.new("RGB", (20, 20), "red").save(path.with_suffix(".png"))
    streams = ("-map", "0:a", "-map", "1:v", "-disposition:v", "attached_pic")
    tone = ("-f", "lavfi", "-i", "sine=duration=1", "-i", path.with_suffix(".png"))
    ffmpeg(*tone, *streams, "-c:a", "aac", "-c:v", "png", path)


def make(kind, path):
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("a script that tells a story\n" * 50)
    elif kind == "photo":
        Image.new("RGB", (20, 20), "red").save(path, "JPEG")
    elif kind == "sound":
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)
    elif kind == "song":
        cover(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "cannot be read (No such file or directory)"),
        ("folder", "is a folder, not a video"),
        ("pipe", "is not a regular file"),
        ("empty", "is empty"),
        ("text", "is no video, or damaged ("),
        ("photo", "is a photo, not a video"),
        ("sound", "has no video stream"),
        ("song", "has no video stream"),
    ],
)
def test_what_is_no_video(tmp_path, kind, words):
    path = tmp_path / ("a.jpg" if kind == "photo" else "a.m4a" if kind == "song" else "a.wav")
    make(kind, path)
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "a.mkv"
    clip(path, 2)
    path.chmod(0)
    with pytest.raises(VideoError, match=r"cannot be read \(Permission denied"):
        probe(path)


def test_names_are_no_options_and_no_protocols(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-i", "concat:a|b", "http:", "file:x"):
        clip(tmp_path / "a.mkv", 2)
        (tmp_path / "a.mkv").rename(name)
        assert probe(type(tmp_path)(name)).frames == 2
