"""NUT: our reader and ffmpeg read what our writer writes, and our reader what ffmpeg writes."""

import io
from fractions import Fraction

import numpy as np
import pytest
from clips import ffmpeg, needs_ffmpeg, scenes
from hypothesis import given
from hypothesis import strategies as st

from mmnet_np.errors import VideoError
from mmnet_np.media.frames import Format, Frame
from mmnet_np.media.nut import FILE_ID, read_unsigned, unsigned
from mmnet_np.media.nut_reader import EndedError, NutReader
from mmnet_np.media.nut_writer import NutWriter

PIXELS = {1: "gray", 3: "rgb24", 4: "rgba"}


def written(form, frames):
    stream = io.BytesIO()
    writer = NutWriter(stream, form)
    for frame in frames:
        writer.write(frame)
    return stream.getvalue()


def read(data):
    reader = NutReader(io.BytesIO(data))
    return reader.form, list(reader)


def same(ours, theirs):
    return len(ours) == len(theirs) and all(
        a.time == b.time and (a.pixels == b.pixels).all() for a, b in zip(ours, theirs, strict=True)
    )


@given(st.integers(0, 2**70))
def test_numbers(value):
    data = io.BytesIO(unsigned(value))
    assert read_unsigned(lambda: data.read(1)[0]) == value
    assert not data.read()


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 4]),
    st.lists(st.integers(0, 2**50), max_size=4),
    st.fractions(min_value=Fraction(1, 10**6), max_value=10, max_denominator=10**6),
)
def test_what_is_written_is_read(height, width, channels, times, base):
    form = Format(width, height, channels, base, (4, 3))
    frames = [
        Frame(time, scenes(1, width, height, channels, seed=number)[0])
        for number, time in enumerate(times)
    ]
    assert read(written(form, frames))[0] == form
    assert same(read(written(form, frames))[1], frames)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_ffmpeg_reads_what_is_written(channels):
    """Its own report: time, length and check sum of each frame."""
    form = Format(33, 25, channels, Fraction(1001, 30000))
    frames = [
        Frame(time, pixels)
        for time, pixels in zip((0, 1, 5, 70000), scenes(4, 33, 25, channels), strict=True)
    ]
    options = ["-fps_mode", "passthrough", "-enc_time_base", "1001/30000"]
    report = ffmpeg(
        "-copyts", "-f", "nut", "-i", "pipe:0", *options, "-f", "framecrc", "pipe:1",
        input=written(form, frames),
    ).decode()  # fmt: skip
    lines = [line.split(",") for line in report.splitlines() if not line.startswith("#")]
    assert "#tb 0: 1001/30000" in report
    assert f"#dimensions 0: {form.width}x{form.height}" in report
    assert [int(line[2]) for line in lines] == [frame.time for frame in frames]
    again = ffmpeg(
        "-f", "nut", "-i", "pipe:0", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt",
        PIXELS[channels], "pipe:1", input=written(form, frames),
    )  # fmt: skip
    assert again == b"".join(frame.pixels.tobytes() for frame in frames)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (16, 12), (400, 300)])
def test_what_ffmpeg_writes_is_read(channels, size):
    """Small frames too, which may begin with bytes that ffmpeg leaves out."""
    pixels = scenes(5, *size, channels)
    pixels[1], pixels[2] = 0, 255
    pixels[3].reshape(-1)[: min(4, pixels[3].size)] = [0, 0, 1, 0xB6][: pixels[3].size]
    data = ffmpeg(
        "-f", "rawvideo", "-pix_fmt", PIXELS[channels], "-s", "{}x{}".format(*size), "-r",
        "24000/1001", "-i", "pipe:0", "-vf", "setpts='if(lt(N,3),N,N*1000)',setsar=3/2",
        "-fps_mode", "passthrough", "-c:v", "rawvideo", "-f", "nut", "pipe:1",
        input=pixels.tobytes(),
    )  # fmt: skip
    form, frames = read(data)
    assert (form.width, form.height, form.channels, form.aspect) == (*size, channels, (3, 2))
    assert [frame.time * form.time_base for frame in frames] == [
        number * Fraction(1001, 24000) for number in (0, 1, 2, 3000, 4000)
    ]
    assert all((a.pixels == b).all() for a, b in zip(frames, pixels, strict=True))


def test_every_early_end_is_found():
    form = Format(5, 3)
    data = written(form, [Frame(0, scenes(1, 5, 3)[0])])
    headers = len(written(form, []))
    for length in range(headers):
        with pytest.raises(EndedError):
            read(data[:length])
    assert read(data[:headers]) == (form, [])
    mark = 8 + 1 + 2 + 4  # its code, length, content and check sum stand before the frame
    assert read(data[: headers + mark]) == (form, [])
    for length in range(headers + 1, len(data)):
        if length != headers + mark:
            with pytest.raises(EndedError):
                read(data[:length])


def test_what_is_no_nut():
    with pytest.raises(VideoError, match="damaged"):
        read(b"RIFF" * 100)
    with pytest.raises(VideoError, match="damaged"):
        read(FILE_ID + b"X" * 100)


def test_a_frame_of_another_size():
    small, large = Format(5, 3), Format(5, 4)
    frames = [Frame(0, scenes(1, 5, 3)[0])], [Frame(1, scenes(1, 5, 4)[0])]
    tail = written(large, frames[1])[len(written(large, [])) :]
    with pytest.raises(VideoError, match="change their size"):
        read(written(small, frames[0]) + tail)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (100_000, 100_000)])
def test_sizes_are_checked_before_anything_is_allocated(size):
    with pytest.raises(VideoError, match="a frame is"):
        Format(*size)


def test_pixels_need_not_lie_together():
    form = Format(5, 3)
    pixels = np.asfortranarray(scenes(1, 5, 3)[0])
    assert same(read(written(form, [Frame(7, pixels)]))[1], [Frame(7, pixels)])
