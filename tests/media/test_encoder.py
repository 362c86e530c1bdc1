"""Encoding by ffmpeg: pixels, alpha, times, colours and sound come through; failures are told."""

import os
import resource
import signal
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import H264, clip, decoded, ffmpeg, needs_ffmpeg, probed, scenes, sound, times

from mmnet_np.errors import VideoError
from mmnet_np.media import ffmpeg as programs
from mmnet_np.media.codecs import CONTAINERS, container
from mmnet_np.media.encoder import Encoder, check_encoder
from mmnet_np.media.frames import Format, Frame
from mmnet_np.media.probe import Colour, VideoFile, probe

pytestmark = needs_ffmpeg


def encode(path, pixels, source=None, at=None, base=Fraction(1, 25), finish=True):
    count, height, width, channels = pixels.shape
    form = Format(width, height, channels, base)
    with Encoder(path, path.name, form, container(path), source) as sink:
        for time, frame in zip(at or range(count), pixels, strict=True):
            sink.write(Frame(time, frame))
        if finish:
            sink.finish()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_opaque(tmp_path, suffix, channels):
    path = tmp_path / f"a{suffix}"
    pixels = scenes(6, 64, 48, channels)
    encode(path, pixels)
    assert times(path) == [Fraction(number, 25) for number in range(6)]
    assert probed(path, "stream=pix_fmt")["streams"][0]["pix_fmt"] == "yuv420p"
    assert np.abs(decoded(path).astype(int) - pixels).mean() < 6


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mov", ()), (".webm", ("-c:v", "libvpx-vp9"))]
)  # ffmpeg's own decoder of VP9 knows no alpha
@pytest.mark.parametrize("size", [(64, 48), (33, 25)])
def test_alpha_comes_back(tmp_path, suffix, codec, size):
    """Opaque and clear to a level of 255, soft edges nearly, colours too where they are seen."""
    path = tmp_path / f"a{suffix}"
    pixels = scenes(4, *size, 4)
    pixels[..., 3] = np.clip(pixels[..., 3].astype(int) * 3 - 255, 0, 255)
    encode(path, pixels)
    again = decoded(path, "rgba", 4, codec).astype(int)
    assert again.shape == pixels.shape
    alpha = pixels[..., 3].astype(int)
    assert np.abs(again[..., 3] - alpha).mean() < 1.5
    for level in (0, 255):
        assert (alpha == level).sum() > 500
        assert np.abs(again[..., 3][alpha == level] - level).mean() < 0.5
    assert np.abs(again - pixels)[..., :3][alpha > 128].mean() < 6


def test_alpha_is_told_in_a_webm(tmp_path):
    path = tmp_path / "a.webm"
    encode(path, scenes(2, 32, 24, 4))
    tags = probed(path, "stream_tags=alpha_mode")["streams"][0]["tags"]
    assert {name.lower(): value for name, value in tags.items()} == {"alpha_mode": "1"}


def test_mp4_and_mkv_refuse_alpha():
    for suffix in (".mp4", ".mkv"):
        with pytest.raises(VideoError, match=r"cannot hold transparency, use \.mov or"):
            check_encoder("a" + suffix, CONTAINERS[suffix], transparent=True)


def test_other_names_are_refused():
    with pytest.raises(VideoError, match=r"a\.gif: the name must end in \.mp4, \.mov, \.mkv"):
        container(Path("a.gif"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_odd_sizes(tmp_path, suffix):
    """H.264 wants even ones: the last row and column are repeated."""
    path = tmp_path / f"a{suffix}"
    pixels = scenes(3, 33, 25)
    encode(path, pixels)
    again = decoded(path).astype(int)
    even = (25, 33) if suffix == ".webm" else (26, 34)
    assert again.shape == (3, *even, 3)
    assert np.abs(again[:, :25, :33] - pixels).mean() < 6
    assert np.abs(again[:, even[0] - 1, :33] - pixels[:, -1]).mean() < 10


@pytest.mark.parametrize("size", [(32, 24), (1280, 720)])
def test_the_last_frame_is_shown_as_long_as_the_others(tmp_path, size):
    """Of large frames ffmpeg reads too few ahead to find the rate by itself."""
    path = tmp_path / "a.mp4"
    source = VideoFile(tmp_path, Fraction(1, 30000), rate=Fraction(30000, 1001))
    encode(
        path, np.zeros((4, *size[::-1], 3), np.uint8), source, [0, 1, 2, 3], Fraction(1001, 30000)
    )
    stream = probed(path, "stream=duration,avg_frame_rate,nb_frames")["streams"][0]
    assert stream == {"duration": "0.133467", "avg_frame_rate": "30000/1001", "nb_frames": "4"}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_uneven_times_are_kept(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    uneven = [0, 1, 40, 41, 1000, 60_000, 60_001]
    pixels = scenes(len(uneven))
    encode(path, pixels, at=uneven, base=Fraction(1, 1000))
    assert times(path) == [Fraction(time, 1000) for time in uneven]


def test_times_are_in_the_sources_units(tmp_path):
    """Of 1/30000 second, say; a container of milliseconds rounds to the nearest."""
    source = VideoFile(tmp_path, Fraction(1, 30000))
    uneven = [0, 1001, 2002, 50_050]
    encode(tmp_path / "a.mp4", scenes(4), source, [2 * t for t in uneven], Fraction(1, 60000))
    assert times(tmp_path / "a.mp4") == [Fraction(time, 30000) for time in uneven]
    encode(tmp_path / "a.mkv", scenes(4), source, [2 * t for t in uneven], Fraction(1, 60000))
    assert times(tmp_path / "a.mkv") == [Fraction(round(t / 30), 1000) for t in uneven]


def test_the_shape_of_pixels_is_kept(tmp_path):
    path = tmp_path / "a.mp4"
    form = Format(32, 24, 3, Fraction(1, 25), (4, 3))
    with Encoder(path, path.name, form, container(path), None) as sink:
        sink.write(Frame(0, scenes(1)[0]))
        sink.finish()
    assert probed(path, "stream=sample_aspect_ratio")["streams"][0] == {
        "sample_aspect_ratio": "4:3"
    }


@pytest.mark.parametrize(
    "colour",
    [
        Colour("bt709", "bt709", "bt709"),
        Colour("smpte170m", "smpte170m", "smpte170m"),
        Colour("bt2020nc", "bt2020", "smpte2084"),
        Colour(None, None, None),
    ],
)
def test_colours_are_coded_as_in_the_source(tmp_path, colour):
    """The tags, and what they promise: who decodes by them gets the pixels back."""
    path = tmp_path / "a.mp4"
    pixels = scenes(3, 64, 48)
    encode(path, pixels, VideoFile(tmp_path, Fraction(1, 25), colour=colour))
    entries = "stream=color_space,color_primaries,color_transfer,color_range"
    said = probed(path, entries)["streams"][0]
    assert said.get("color_space") == colour.space
    assert said.get("color_primaries") == colour.primaries
    assert said.get("color_transfer") == colour.transfer
    assert said.get("color_range") in ("tv", None if colour.space is None else "tv")
    assert np.abs(decoded(path).astype(int) - pixels).mean() < 6


def test_frames_of_unknown_origin_are_coded_as_bt709(tmp_path):
    path = tmp_path / "a.mp4"
    encode(path, scenes(2))
    assert probe(path).colour == Colour("bt709", "bt709", "bt709")


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("aac", ".mp4"),
        ("aac", ".mkv"),
        ("aac", ".mov"),
        ("pcm_s16le", ".mov"),
        ("pcm_s16le", ".mkv"),
        ("libopus", ".webm"),
        ("mp3", ".mp4"),
    ],
)
def test_sound_is_copied_bit_for_bit(tmp_path, codec, suffix):
    original, path = tmp_path / "in.mkv", tmp_path / f"a{suffix}"
    clip(original, 25, sound=codec)
    encode(path, scenes(25), probe(original))
    assert len(sound(path)) > 20
    assert sound(path) == sound(original)


def test_sound_that_a_container_cannot_hold_is_encoded_anew(tmp_path):
    original, path = tmp_path / "in.mp4", tmp_path / "a.webm"
    clip(original, 25, sound="aac")
    assert container(path).encoded_anew(["aac", "opus"]) == ["aac"]
    encode(path, scenes(25), probe(original))
    assert probe(path).audio == ("opus",)
    assert float(probed(path, "format=duration")["format"]["duration"]) == pytest.approx(1, abs=0.1)


def test_several_sounds_are_kept(tmp_path):
    one, original, path = tmp_path / "1.mkv", tmp_path / "in.mkv", tmp_path / "a.mp4"
    clip(one, 25, sound="aac")
    streams = ("-map", "0:v", "-map", "0:a", "-map", "0:a")
    ffmpeg("-i", one, *streams, "-c", "copy", "-c:a:1", "flac", original)
    encode(path, scenes(25), probe(original))
    assert probe(path).audio == ("aac", "aac")


def test_picture_and_sound_start_together_at_zero(tmp_path):
    """A transport stream starts at 1.4 seconds; here its sound a little before its picture."""
    original, path = tmp_path / "in.ts", tmp_path / "a.mkv"
    clip(original, 25, sound="mp2")
    before = times(original)
    file = probe(original)
    encode(path, scenes(25), file, [int(t * 90000) for t in before], Fraction(1, 90000))
    offset = before[0] - times(original, "a:0")[0]
    assert offset > Fraction(5, 1000)
    assert float(times(path)[0] - times(path, "a:0")[0]) == pytest.approx(float(offset), abs=2e-3)
    assert min(times(path)[0], times(path, "a:0")[0]) == 0


def test_nothing_else_is_told_of_the_source(tmp_path):
    """Phones write the place where a video was taken."""
    original, path = tmp_path / "in.mp4", tmp_path / "a.mp4"
    place = ("-metadata", "location=+48.1+011.5/", "-metadata", "title=me")
    clip(original, 5, sound="aac", more=place)
    encode(path, scenes(5), probe(original))
    tags = probed(path, "format_tags")["format"]["tags"]
    assert not {"location", "title", "creation_time"} & set(tags)


def test_a_missing_encoder(monkeypatch):
    monkeypatch.setattr(programs, "encoders", frozenset)
    monkeypatch.setattr("mmnet_np.media.encoder.encoders", frozenset)
    with pytest.raises(VideoError, match=r"a\.mp4: this ffmpeg has no encoder libx264 for it"):
        check_encoder("a.mp4", CONTAINERS[".mp4"], transparent=False)


@contextmanager
def files_up_to(size):
    """Let no file grow beyond ``size``, like a full disk; children inherit it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm"])
def test_a_full_disk(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (12, 96, 128, 3), dtype=np.uint8)
    with (
        files_up_to(20_000),
        pytest.raises(VideoError, match=r"cannot be written \(.*(large|limit)"),
    ):
        encode(path, noise)


def test_an_encoder_that_is_killed(tmp_path):
    path = tmp_path / "a.mp4"
    frames = scenes(1, 640, 480)
    with Encoder(path, "a.mp4", Format(640, 480), container(path), None) as sink:
        sink.write(Frame(0, frames[0]))
        os.kill(sink._child._process.pid, signal.SIGKILL)
        with pytest.raises(VideoError, match=r"^a\.mp4: cannot be written \(ffmpeg .* killed"):
            for time in range(1, 100):
                sink.write(Frame(time, frames[0]))
    with Encoder(path, "a.mp4", Format(640, 480), container(path), None) as sink:
        sink.write(Frame(0, frames[0]))
        os.kill(sink._child._process.pid, signal.SIGKILL)
        with pytest.raises(VideoError, match=r"cannot be written \(ffmpeg .* killed"):
            sink.finish()


def test_leaving_early_leaves_no_process(tmp_path):
    path = tmp_path / "a.mp4"
    with Encoder(path, path.name, Format(32, 24), container(path), None) as sink:
        sink.write(Frame(0, scenes(1)[0]))
        child = sink._child._process
    assert child.returncode == -signal.SIGKILL
    assert not Path(f"/proc/{child.pid}").exists()


def test_sound_that_is_cut_off(tmp_path):
    original, path = tmp_path / "in.mkv", tmp_path / "a.mkv"
    clip(original, 25, *H264, sound="aac")
    file = probe(original)
    data = original.read_bytes()
    original.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(VideoError, match=r"a\.mkv: cannot be written \(the sound is cut off\)"):
        encode(path, scenes(25), file)
