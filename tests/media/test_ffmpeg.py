"""Children: what they said, how they ended, and that none is left."""

import signal
import sys
import time
from pathlib import Path

import pytest
from clips import needs_ffmpeg

from mmnet_np.errors import VideoError
from mmnet_np.media import ffmpeg
from mmnet_np.media.ffmpeg import Child, complaints, encoders, find, passthrough


def python(program, **options):
    return Child([sys.executable, "-c", program], "a.mp4", **options)


def test_what_a_child_writes_and_how_it_ends():
    with python("print('data')", writes=True) as child:
        assert child.pipe.read() == b"data\n"
        assert child.failure() is None
        assert child.first == ""


def test_what_a_child_is_given():
    program = "import sys; sys.exit(len(sys.stdin.buffer.read()))"
    with python(program, writes=False) as child:
        child.pipe.write(b"1234567")
        child.pipe.close()
        assert child.wait() == 7
        assert child.failure() == "ffmpeg gave exit code 7"


def test_the_first_complaint_is_the_reason_and_the_last_are_kept():
    program = (
        "import sys\n"
        "print('[mov @ 0x55ae] file:a.mp4: moov atom not found.', file=sys.stderr)\n"
        "[print('complaint', n, file=sys.stderr) for n in range(100_000)]\n"
        "sys.exit(1)"
    )
    with python(program, writes=True) as child:
        assert child.failure() == "moov atom not found"
        assert list(child.last) == [f"complaint {n}" for n in range(99_990, 100_000)]
        assert not child.missed_the_end


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("av_interleaved_write_frame(): No space left on device", True),
        ("Error writing trailer of x: Disk quota exceeded", True),
        ("Conversion failed!", False),
    ],
)
def test_what_tells_most_is_the_reason(said, told):
    program = f"import sys; print('first\\n{said}\\nlast', file=sys.stderr); sys.exit(1)"
    with python(program, writes=True) as child:
        assert child.failure() == (said if told else "first")


@pytest.mark.parametrize("said", ["[mov @ 0x1] stream 0: partial file", "File ended prematurely"])
def test_a_file_that_is_cut_off(said):
    with python(f"import sys; print({said!r}, file=sys.stderr)", writes=True) as child:
        child.wait()
        assert child.missed_the_end


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGXFSZ])
def test_a_child_that_a_signal_ended(number):
    ready = "" if number == signal.SIGKILL else f"signal.signal({number:d}, signal.SIG_DFL)"
    program = f"import os, signal; {ready}\nos.kill(os.getpid(), {number:d})"
    with python(program, writes=True) as child:
        assert child.wait() == -number
        assert child.failure() == f"ffmpeg was ended: {signal.strsignal(number).lower()}"


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ZeroDivisionError])
def test_leaving_kills(error):
    child = python("import time; time.sleep(1000)", writes=True)
    began = time.monotonic()
    try:
        with child:
            if error is not None:
                raise error
    except (KeyboardInterrupt, ZeroDivisionError) as raised:
        assert type(raised) is error
    assert time.monotonic() - began < 30
    assert child.wait() == -signal.SIGKILL
    assert not Path(f"/proc/{child._process.pid}").exists()
    child.kill()  # once more does no harm


def test_ctrl_c_does_not_reach_a_child():
    """It is in a session of its own: what a terminal sends to ours goes past it."""
    program = "import os; print(os.getsid(0) == os.getpid())"
    with python(program, writes=True) as child:
        assert child.pipe.read() == b"True\n"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n  \n", []),
        ("[h264 @ 0x5] [mov @ 0xab] Invalid data.\n", ["Invalid data"]),
        ("file:a.mp4: No such file\nsecond", ["No such file", "second"]),
        ("tab\there\x1b[31m", ["tab\\there\\x1b[31m"]),
        ("x" * 1000, ["x" * 200]),
    ],
)
def test_complaints_fit_a_sentence(text, lines):
    assert complaints(text, "a.mp4") == lines


@pytest.mark.parametrize("name", ["ffmpeg", "ffprobe"])
def test_programs_that_are_missing(name, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(VideoError, match=f"^{name} is not on the PATH: install ffmpeg"):
        find(name)


@needs_ffmpeg
def test_this_ffmpeg():
    assert {"rawvideo", "png"} <= encoders()
    assert passthrough()[1] == "passthrough"


@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright", "-vsync"),
        ("ffmpeg version 5.0.3 Copyright", "-vsync"),
        ("ffmpeg version 5.1.6-0+deb12u1 Copyright", "-fps_mode"),
        ("ffmpeg version n7.1 Copyright", "-fps_mode"),
        ("ffmpeg version N-112233-gabcdef Copyright", "-fps_mode"),
        ("ffmpeg version 2024-05-02-git Copyright", "-fps_mode"),
    ],
)
def test_the_option_that_keeps_every_frame(version, option, monkeypatch):
    monkeypatch.setattr(ffmpeg, "_said", lambda option: version)
    assert passthrough.__wrapped__() == (option, "passthrough")
