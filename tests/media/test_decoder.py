"""Decoding by ffmpeg: every frame, at its own time, upright; and files that cannot be decoded."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import H264, LOSSLESS, clip, ffmpeg, needs_ffmpeg, probed, scenes, times

from mmnet_np.errors import VideoError
from mmnet_np.media.decoder import Decoder
from mmnet_np.media.probe import probe

pytestmark = needs_ffmpeg


def frames_of(path):
    """Return the frames' times in seconds and their pixels."""
    with Decoder(probe(path)) as source:
        frames = list(source)
    assert source.count == len(frames)
    return [f.time * source.form.time_base for f in frames], np.stack([f.pixels for f in frames])


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi", ".webm"])
@pytest.mark.parametrize("rate", ["25", "30000/1001"])
def test_all_frames_with_their_times(tmp_path, suffix, rate):
    path = tmp_path / f"a{suffix}"
    codec = ("-c:v", "libvpx-vp9", "-lossless", "1") if suffix == ".webm" else H264
    original = clip(path, 7, *codec, rate=rate)
    seconds, pixels = frames_of(path)
    assert seconds == times(path)
    assert len(pixels) == 7
    if suffix in (".mp4", ".mov"):
        assert seconds == [number / Fraction(rate) for number in range(7)]
    assert np.abs(pixels.astype(int) - original).mean() < 6


def test_pixels_are_those_of_the_file(tmp_path):
    pixels = clip(tmp_path / "a.mkv", 4, *LOSSLESS)
    assert (frames_of(tmp_path / "a.mkv")[1] == pixels).all()


def test_a_varying_rate_is_kept(tmp_path):
    """Gaps of minutes, and frames closer than a rate would allow."""
    uneven = [0, 1, 40, 41, 1000, 300_000, 300_001]
    for name in ("a.mkv", "a.mp4"):
        clip(tmp_path / name, len(uneven), times=uneven)
        seconds, _ = frames_of(tmp_path / name)
        assert seconds == [Fraction(t, 1000) for t in uneven]
        assert seconds == times(tmp_path / name)


def test_times_are_those_of_the_file_wherever_they_start(tmp_path):
    path = tmp_path / "a.ts"
    clip(path, 5, sound="mp2")
    seconds, _ = frames_of(path)
    assert seconds == times(path)
    assert seconds[0] > probe(path).start == Fraction("1.4")


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_phone_gives_upright_frames(tmp_path, turn):
    flat, turned = tmp_path / "flat.mp4", tmp_path / "turned.mp4"
    pixels = clip(flat, 3, size=(40, 24))
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", f"rotate={turn}", turned)
    _, upright = frames_of(turned)
    (side,) = probed(turned, "stream_side_data=rotation")["streams"][0]["side_data_list"]
    expected = np.rot90(pixels, side["rotation"] // 90, axes=(1, 2))  # counterclockwise
    assert upright.shape == expected.shape
    assert np.abs(upright.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("size", [(31, 24), (32, 23), (1, 1), (3, 35)])
def test_odd_sizes(tmp_path, size):
    path = tmp_path / "a.mkv"
    pixels = clip(path, scenes(3, *size), "-c:v", "ffv1", "-pix_fmt", "gbrp")
    assert (frames_of(path)[1] == pixels).all()


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuva420p", "gray", "yuvj420p", "pal8"])
def test_pixels_of_other_kinds(tmp_path, pixels):
    path = tmp_path / "a.mkv"
    codec = ("-c:v", "png") if pixels == "pal8" else ("-c:v", "ffv1", "-pix_fmt", pixels)
    codec = ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p") if pixels == "yuvj420p" else codec
    original = clip(path, 3, *codec)
    found = frames_of(path)[1].astype(int)
    if pixels == "gray":
        original = original.mean(axis=3, keepdims=True)
    assert np.abs(found - original).mean() < 25


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_file_that_is_cut_off(tmp_path, suffix):
    """With the table of contents in front, as phones do not write it but the web has it."""
    path = tmp_path / f"a{suffix}"
    more = ("-movflags", "+faststart") if suffix == ".mp4" else ()
    clip(path, scenes(40, 64, 48), *H264, "-g", "5", more=more)
    data = path.read_bytes()
    for tenth in range(1, 10):
        path.write_bytes(data[: len(data) * tenth // 10])
        with pytest.raises(VideoError, match=f"^{path}: ") as caught:
            frames_of(path)
        assert "\n" not in str(caught.value)


def test_damage_in_the_middle_is_got_over_and_told(tmp_path):
    path = tmp_path / "a.mkv"
    clip(path, scenes(30, 64, 48), *H264, "-g", "5")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(3)
    for place in rng.integers(len(data) // 4, 3 * len(data) // 4, 12):
        data[place] ^= 0xFF
    path.write_bytes(data)
    with Decoder(probe(path)) as source:
        count = sum(1 for _ in source)
    assert 10 < count <= 30
    assert source.damage


def test_a_frame_beyond_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.mkv"
    clip(path, 40)
    monkeypatch.setattr("mmnet_np.media.frames.MAX_PIXELS", 700)
    with pytest.raises(VideoError, match=r"a\.mkv: a frame is 32 x 24, more than 700 pixels"):
        Decoder(probe(path))


def test_frames_that_change_their_size(tmp_path):
    one, two, both = tmp_path / "1.ts", tmp_path / "2.ts", tmp_path / "both.ts"
    clip(one, 5)
    clip(two, 5, size=(48, 24))
    both.write_bytes(one.read_bytes() + two.read_bytes())
    assert frames_of(both)[1].shape == (10, 24, 32, 3)


def test_a_decoder_that_is_killed(tmp_path):
    path = tmp_path / "a.mkv"
    clip(path, scenes(60, 320, 240))
    source = Decoder(probe(path))
    frames = iter(source)
    next(frames)
    os.kill(source._child._process.pid, signal.SIGKILL)
    with pytest.raises(VideoError, match=r"cannot be decoded \(ffmpeg .* killed"):
        list(frames)


def test_leaving_early_leaves_no_process(tmp_path):
    path = tmp_path / "a.mkv"
    clip(path, scenes(60, 320, 240))
    with Decoder(probe(path)) as source:
        next(iter(source))
        assert source._child._process.poll() is None
    assert source._child._process.returncode == -signal.SIGKILL
    assert not Path(f"/proc/{source._child._process.pid}").exists()


def test_without_ffmpeg(tmp_path, monkeypatch):
    path = tmp_path / "a.mkv"
    clip(path, 2)
    file = probe(path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VideoError, match="ffmpeg is not on the PATH: install ffmpeg"):
        Decoder(file)
    with pytest.raises(VideoError, match="ffprobe is not on the PATH: install ffmpeg"):
        probe(path)
