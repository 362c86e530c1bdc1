"""Bare frames through pipes: sizes, strides, ends in the middle."""

import os
import threading
from fractions import Fraction

import numpy as np
import pytest
from clips import scenes

from mmnet_np.errors import OptionError, VideoError
from mmnet_np.media.frames import Frame
from mmnet_np.media.raw import RawSink, RawSource, parse_raw


@pytest.fixture
def pipe():
    """Both ends of a pipe, as descriptors."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def fed(pipe, data):
    """Let a thread write into the pipe, and close it; return the end to read."""
    out, into = pipe

    def feed():
        with os.fdopen(into, "wb", buffering=0) as stream:
            stream.write(data)

    threading.Thread(target=feed, daemon=True).start()
    return out


@pytest.mark.parametrize(
    ("text", "size"),
    [("640x480", (640, 480, 1920)), ("3X2:16", (3, 2, 16)), ("1x1:3", (1, 1, 3))],
)
def test_sizes(text, size):
    assert parse_raw(text) == size


@pytest.mark.parametrize(
    "text", ["", "640", "640x", "0x5", "-1x5", "5x5:", "5x5:14", "5x5:x", "1e3x4", "100000x1"]
)
def test_what_is_no_size(text):
    with pytest.raises(OptionError):
        parse_raw(text)


@pytest.mark.parametrize("padding", [0, 7])
def test_frames_and_their_times(pipe, padding):
    pixels = scenes(3, 100, 70)
    rows = np.zeros((3, 70, 300 + padding), np.uint8)
    rows[:, :, :300] = pixels.reshape(3, 70, 300)
    rows[:, :, 300:] = 99
    size = (100, 70, 300 + padding)
    source = RawSource(fed(pipe, rows.tobytes()), "camera", size, rate=Fraction(25))
    frames = list(source)
    assert (source.form.width, source.form.height, source.form.time_base) == (
        100, 70, Fraction(1, 25),
    )  # fmt: skip
    assert [frame.time for frame in frames] == [0, 1, 2]
    assert all((frame.pixels == want).all() for frame, want in zip(frames, pixels, strict=True))
    assert all(frame.pixels.flags.c_contiguous for frame in frames)


@pytest.mark.parametrize("length", [1, 29, 31])
def test_an_end_within_a_frame(pipe, length):
    size = (5, 2, 15)
    source = RawSource(fed(pipe, bytes(length)), "camera", size)
    frame = length // 30 + 1
    with pytest.raises(VideoError, match=f"^camera: ends within frame {frame}$"):
        list(source)


def test_a_camera_may_stop_within_a_frame(pipe):
    source = RawSource(fed(pipe, bytes(45)), "camera", (5, 2, 15), live=True)
    assert len(list(source)) == 1


def test_nothing_at_all_is_no_frames(pipe):
    assert list(RawSource(fed(pipe, b""), "camera", (5, 2, 15))) == []


def test_a_descriptor_that_cannot_be_read(pipe):
    with pytest.raises(VideoError, match=r"^camera: cannot be read \(Bad file descriptor\)$"):
        list(RawSource(pipe[1], "camera", (5, 2, 15)))


def test_frames_too_large_are_refused_before_they_are_read(pipe):
    with pytest.raises(VideoError, match="more than 36,000,000 pixels"):
        RawSource(pipe[0], "camera", parse_raw("99999x99999"))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_are_written_without_gaps(pipe, channels):
    pixels = scenes(2, 300, 200, channels)  # more than a pipe holds
    got = []
    reader = threading.Thread(target=lambda: got.append(os.fdopen(os.dup(pipe[0]), "rb").read()))
    reader.start()
    sink = RawSink(pipe[1])
    sink.write(Frame(0, pixels[0]))
    sink.write(Frame(1, pixels[1][:, ::-1]))
    os.close(pipe[1])
    reader.join(30)
    assert got == [pixels[0].tobytes() + pixels[1][:, ::-1].tobytes()]


def test_a_reader_that_has_seen_enough(pipe):
    os.close(pipe[0])
    with pytest.raises(BrokenPipeError):
        RawSink(pipe[1]).write(Frame(0, scenes(1)[0]))
