"""The command for video: in this process with a fake model, and as a user runs it."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import LOSSLESS, clip, decoded, ffmpeg, needs_ffmpeg, probed, scenes, sound, times
from fake_model import FakeModel, install
from PIL import Image

from mmnet_np import video
from mmnet_np._version import __version__
from mmnet_np.errors import WeightsError
from mmnet_np.media import ending

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "mmnet_np.video"]
ENVIRONMENT = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}
PLAIN = ("--no-refine", "--no-stabilize", "--keep-colours")
SECONDS = 120


def run(*arguments, **options):
    """Run the command as a user does, from the root of a checkout."""
    options = {"env": ENVIRONMENT} | options
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, timeout=SECONDS, check=False,
        cwd=ROOT, **options,
    )  # fmt: skip


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def children():
    """Give the ids of this process's children, zombies too."""
    found = set()
    for thread in Path(f"/proc/{os.getpid()}/task").iterdir():
        with suppress(OSError):  # the thread is gone
            found |= set(map(int, (thread / "children").read_text().split()))
    return found


def brightness(pixels):
    """What the fake model takes for alpha."""
    return np.stack([np.asarray(Image.fromarray(frame).convert("L")) for frame in pixels])


@pytest.fixture
def fake(monkeypatch):
    return install(monkeypatch)[0]


@pytest.fixture
def film(tmp_path):
    """A clip of 8 frames with sound, and its frames; soft enough that nothing is lost."""
    path = tmp_path / "film.mkv"
    return path, clip(path, 8, *LOSSLESS, sound="aac")


@pytest.fixture
def no_child_is_left():
    before = children()
    yield
    assert children() == before


# What is written


@needs_ffmpeg
def test_default_is_the_person_before_a_blur(fake, tmp_path, capsys):
    """A white person; behind them fine dark stripes, which a blur makes even."""
    path, out = tmp_path / "film.mkv", tmp_path / "out.mp4"
    pixels = np.zeros((8, 40, 200, 3), np.uint8)
    pixels[:, :, ::4], pixels[:, :, 1::4] = 60, 60
    pixels[:, :, 80:120] = 255
    clip(path, pixels, *LOSSLESS, sound="aac")
    assert video.main([str(path), str(out), *PLAIN]) == 0
    assert capsys.readouterr() == (f"{out}\n", "")
    again = decoded(out).astype(int)
    assert again.shape == pixels.shape
    assert (np.abs(again[:, :, 84:116] - 255) < 5).all()
    assert again[:, :, :70].std() < 15 < pixels[:, :, :70].std()
    assert times(out) == times(path)
    assert sound(out) == sound(path)
    assert files(tmp_path) == ["film.mkv", "out.mp4"]


@needs_ffmpeg
@pytest.mark.parametrize(("suffix", "codec"), [(".mov", ()), (".webm", ("-c:v", "libvpx-vp9"))])
def test_default_is_a_cutout_where_the_file_holds_it(film, fake, tmp_path, suffix, codec):
    path, pixels = film
    out = tmp_path / f"out{suffix}"
    assert video.main([str(path), str(out), *PLAIN]) == 0
    again = decoded(out, "rgba", 4, codec).astype(int)
    assert np.abs(again[..., 3] - brightness(pixels)).mean() < 3
    assert np.abs(again[..., :3] - pixels).mean() < 8
    assert len(times(out)) == 8


@needs_ffmpeg
@pytest.mark.parametrize("word", ["alpha", "matte"])
def test_the_matte_in_grey(film, fake, tmp_path, word):
    path, pixels = film
    out = tmp_path / "out.mp4"
    assert video.main([str(path), str(out), *PLAIN[:2], "--output", word]) == 0
    again = decoded(out).astype(int)
    assert np.abs(again - brightness(pixels)[..., None]).mean() < 2
    assert np.abs(again - again.mean(axis=3, keepdims=True)).mean() < 1


@needs_ffmpeg
@pytest.mark.parametrize("keep", [True, False])
def test_before_a_colour(film, fake, tmp_path, keep):
    path, pixels = film
    out = tmp_path / "out.mp4"
    options = PLAIN if keep else PLAIN[:2]
    assert video.main([str(path), str(out), *options, "--background", "#00b140"]) == 0
    alpha = brightness(pixels)[..., None] / 255
    naive = alpha * pixels + (1 - alpha) * np.array([0, 177, 64])
    difference = np.abs(decoded(out) - naive).mean()
    assert (difference < 4) == keep


@needs_ffmpeg
def test_before_an_image(film, fake, tmp_path):
    path, pixels = film
    out, beach = tmp_path / "out.mp4", tmp_path / "beach.png"
    Image.new("RGB", (300, 20), (10, 200, 100)).save(beach)
    assert video.main([str(path), str(out), *PLAIN, "--background", str(beach)]) == 0
    alpha = brightness(pixels)[..., None] / 255
    expected = alpha * pixels + (1 - alpha) * np.array([10, 200, 100])
    assert np.abs(decoded(out) - expected).mean() < 4


@needs_ffmpeg
def test_foreground(film, fake, tmp_path):
    path, _ = film
    out = tmp_path / "out.mp4"
    assert video.main([str(path), str(out), "--output", "foreground"]) == 0
    assert probed(out, "stream=pix_fmt", stream="v")["streams"][0]["pix_fmt"] == "yuv420p"


@needs_ffmpeg
@pytest.mark.parametrize("seconds", [0.2, 1.0])
def test_frames_and_sound_keep_their_length(fake, tmp_path, seconds):
    """Sound shorter than the picture, and longer."""
    path, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    clip(path, 8, sound="aac", seconds=seconds)
    assert video.main([str(path), str(out), "--quiet"]) == 0
    entries = ("stream=codec_type,nb_frames,duration,start_time", "format=duration")
    assert probed(out, *entries) == probed(path, *entries)


@needs_ffmpeg
def test_a_varying_rate_is_kept(fake, tmp_path):
    path, out = tmp_path / "in.mkv", tmp_path / "out.mp4"
    uneven = [0, 33, 67, 400, 2000, 2001]
    clip(path, 6, times=uneven)
    assert video.main([str(path), str(out)]) == 0
    assert times(out) == [Fraction(time, 1000) for time in uneven]


@needs_ffmpeg
def test_a_turned_phone_gives_an_upright_video(fake, tmp_path):
    flat, path, out = (tmp_path / name for name in ("flat.mp4", "in.mp4", "out.mp4"))
    clip(flat, 3, size=(40, 24))
    ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v:0", "rotate=90", path)
    assert video.main([str(path), str(out)]) == 0
    said = probed(out, "stream=width,height:stream_side_data=rotation")["streams"][0]
    assert (said["width"], said["height"]) == (24, 40)
    assert "side_data_list" not in said


@needs_ffmpeg
@pytest.mark.parametrize("size", [(33, 25), (1, 1)])
def test_odd_sizes(fake, tmp_path, size):
    path = tmp_path / "in.mkv"
    clip(path, scenes(3, *size), "-c:v", "ffv1", "-pix_fmt", "gbrp")
    for name in ("out.mp4", "out.webm"):
        assert video.main([str(path), str(tmp_path / name)]) == 0
        assert len(times(tmp_path / name)) == 3


@needs_ffmpeg
def test_threads_change_no_bit(film, weights_file, tmp_path):
    path, _ = film
    made = []
    for threads in ("1", "3"):
        options = ["--weights", str(weights_file), "--backend", "numpy", "--threads", threads]
        out = tmp_path / f"{threads}.mkv"
        assert video.main([str(path), str(out), "--output", "alpha", *options]) == 0
        made.append(decoded(out))
    assert (made[0] == made[1]).all()
    assert made[0].std() > 0


# Options, and what is told


def test_the_model_hears_what_is_asked_and_how_many_frames_come(tmp_path, monkeypatch):
    _, calls = install(monkeypatch)
    options = ["--weights", "w.h5", "--size", "128", "--dtype", "int8", "--backend", "numba"]
    program = ["--raw", "4x4", os.devnull, "-", *options]
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert video.main(program) == 0
    assert video.main([*program, "--live", "--threads", "3"]) == 0
    assert video.main([*program, "--threads", "3"]) == 0
    asked = {"dtype": "int8", "backend": "numba", "size": 128, "images": 1000}
    shares = (1, 3, 1)  # several frames at a time share nothing; a live one is shared
    assert calls == [("w.h5", asked | {"threads": share}) for share in shares]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "arguments are required"),
        (["-", "out.mp4"], "say of which size, --raw"),
        (["in.mp4", "out.mp4", "--live"], "--live goes with --raw"),
        (["in.mp4", "out.mp4", "--rate", "25"], "--rate goes with --raw"),
        (["-", "-", "--raw", "4x4", "--rate", "25"], "--rate goes with --raw and a file"),
        (["-", "out.mp4", "--raw", "4x4", "--rate", "0"], "frames a second"),
        (["-", "out.mp4", "--raw", "4x4", "--rate", "x"], "frames a second"),
        (["-", "-", "--raw", "4x4:5"], "a row of 4 pixels has 12 bytes, the stride is 5"),
        (["-", "-", "--raw", "big"], "--raw is WIDTHxHEIGHT"),
        (["in.mp4", "out.mp4", "--output", "alpha", "--background", "red"], "--background goes"),
        (["in.mp4", "out.mp4", "--output", "alpha", "--keep-colours"], "--keep-colours goes"),
        (["in.mp4", "out.mp4", "--output", "alpha", "--background", "transparent"], "transparent"),
        (["in.mp4", "out.mp4", "--threads", "0"], "a whole number"),
    ],
)
def test_wrong_options(options, words, capsys):
    with pytest.raises(SystemExit) as exit_:
        video.main(options)
    assert exit_.value.code == 2
    assert words in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        video.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"mmnet-np {__version__}\n"


@needs_ffmpeg
def test_progress_is_shown_on_a_terminal(fake, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    path = tmp_path / "in.mp4"
    clip(path, 8)
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert video.main([str(path), str(tmp_path / "out.mp4")]) == 0
    shown = sys.stderr.getvalue()
    assert "\r\x1b[K0/8" in shown
    assert "8/8  " in shown
    assert " frames/s  0:00 left" in shown
    assert shown.endswith("\r\x1b[K")


@needs_ffmpeg
def test_quiet_says_nothing(fake, tmp_path, capsys):
    path = tmp_path / "in.mp4"
    clip(path, 8, sound="aac")
    assert video.main([str(path), str(tmp_path / "out.webm"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert video.main([str(path), str(tmp_path / "2.webm")]) == 0
    said = f"mmnet_np.video: {tmp_path}/2.webm: cannot hold aac sound, it is encoded anew\n"
    assert capsys.readouterr().err == said


# What fails: one sentence, nothing half written, no child


def fails(arguments, capsys, folder):
    """Run what must fail; return the sentence after the names of command and file."""
    before = files(folder)
    code = video.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("mmnet_np.video: ")
    assert err.count("\n") == 1
    assert files(folder) == before
    return err.removeprefix("mmnet_np.video: ").removeprefix(f"{folder}/").strip()


@needs_ffmpeg
@pytest.mark.usefixtures("no_child_is_left")
@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("film.mkv", "out.gif", "out.gif: the name must end in .mp4, .mov, .mkv, .webm"),
        ("film.mkv", "there.mp4", "there.mp4: exists, give --overwrite to replace it"),
        ("film.mkv", "no/out.mp4", "no/out.mp4: there is no such folder"),
        ("film.mkv", "film.mkv", "film.mkv: exists, give --overwrite"),
        ("missing.mp4", "out.mp4", "missing.mp4: cannot be read (No such file or directory)"),
        ("text.mp4", "out.mp4", "text.mp4: is no video, or damaged"),
        ("folder", "out.mp4", "folder: is a folder, not a video"),
        ("pipe", "out.mp4", "pipe: is not a regular file"),
        ("cut.mp4", "out.mp4", "cut.mp4: is no video, or damaged (moov atom not found)"),
        ("late.mkv", "out.mp4", "late.mkv: is cut off after "),
        ("tone.wav", "out.mp4", "tone.wav: has no video stream"),
    ],
)
def test_what_cannot_be_done(film, fake, tmp_path, capsys, source, target, words):
    path, _ = film
    (tmp_path / "there.mp4").write_bytes(b"precious")
    (tmp_path / "text.mp4").write_text("a story")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    if source == "cut.mp4":
        clip(tmp_path / source, 8)
        data = (tmp_path / source).read_bytes()
        (tmp_path / source).write_bytes(data[: len(data) // 2])
    elif source == "late.mkv":
        data = path.read_bytes()
        (tmp_path / source).write_bytes(data[: len(data) * 3 // 4])
    elif source == "tone.wav":
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", tmp_path / source)
    said = fails([tmp_path / source, tmp_path / target], capsys, tmp_path)
    assert said.startswith(words)
    assert (tmp_path / "there.mp4").read_bytes() == b"precious"


@needs_ffmpeg
def test_the_video_itself_is_never_replaced(film, fake, tmp_path, capsys):
    path, _ = film
    data = path.read_bytes()
    link = tmp_path / "link.mkv"
    link.symlink_to(path)
    for target in (path, link):
        said = fails([path, target, "--overwrite"], capsys, tmp_path)
        assert said.endswith("is the video itself")
    assert path.read_bytes() == data


@needs_ffmpeg
def test_overwrite(film, fake, tmp_path):
    path, _ = film
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    assert video.main([str(path), str(out), "--overwrite"]) == 0
    assert len(times(out)) == 8


@needs_ffmpeg
def test_a_file_that_comes_in_between_is_not_replaced(film, tmp_path, monkeypatch, capsys):
    path, _ = film
    out = tmp_path / "out.mp4"

    class Slow(FakeModel):
        def look(self, photo, shape=None):
            out.write_bytes(b"somebody else's")
            return super().look(photo)

    install(monkeypatch, Slow())
    assert video.main([str(path), str(out)]) == 1
    assert "exists, give --overwrite" in capsys.readouterr().err
    assert out.read_bytes() == b"somebody else's"
    assert files(tmp_path) == ["film.mkv", "out.mp4"]


@needs_ffmpeg
def test_without_ffmpeg(film, fake, tmp_path, monkeypatch, capsys):
    path, _ = film
    monkeypatch.setenv("PATH", str(tmp_path))
    said = fails([path, tmp_path / "out.mp4"], capsys, tmp_path)
    assert said == "ffprobe is not on the PATH: install ffmpeg (apt install ffmpeg)"


@needs_ffmpeg
def test_a_lacking_encoder_is_known_before_the_model_is_loaded(film, tmp_path, monkeypatch, capsys):
    path, _ = film
    _, calls = install(monkeypatch)
    monkeypatch.setattr("mmnet_np.media.encoder.encoders", frozenset)
    said = fails([path, tmp_path / "out.mp4"], capsys, tmp_path)
    assert said == "out.mp4: this ffmpeg has no encoder libx264 for it"
    assert not calls


@needs_ffmpeg
@pytest.mark.usefixtures("no_child_is_left")
@pytest.mark.parametrize("step", ["look", "save"])
@pytest.mark.parametrize("error", [MemoryError(), WeightsError("w.h5: its values overflow")])
def test_a_failing_model(film, tmp_path, monkeypatch, capsys, step, error):
    path, _ = film

    class Failing(FakeModel):
        calls = 0

        def look(self, photo, shape=None):
            self.calls += 1
            if self.calls == 5:
                raise error
            return super().look(photo)

    install(monkeypatch, Failing())
    said = fails([path, tmp_path / "out.mp4"], capsys, tmp_path)
    assert said in ("there is not enough memory", "w.h5: its values overflow")


@needs_ffmpeg
@pytest.mark.usefixtures("no_child_is_left")
@pytest.mark.parametrize("victim", ["decoder", "encoder"])
def test_a_killed_ffmpeg(fake, tmp_path, monkeypatch, capsys, victim):
    """Whichever it is, and whoever waits for it."""
    path = tmp_path / "in.mkv"
    clip(path, scenes(40, 320, 240))
    names = ("pipe:1",) if victim == "decoder" else ("pipe:0",)

    class Killing(FakeModel):
        killed = False

        def look(self, photo, shape=None):
            if not self.killed:
                for child in children():
                    words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                    if set(names) & set(words):
                        os.kill(child, signal.SIGKILL)
                        self.killed = True
            return super().look(photo)

    model, _ = install(monkeypatch, Killing())
    said = fails([path, tmp_path / "out.mp4", "--threads", "1"], capsys, tmp_path)
    assert model.killed
    assert said.endswith("(ffmpeg was ended: killed)")


@needs_ffmpeg
@pytest.mark.usefixtures("no_child_is_left")
def test_a_bug_keeps_its_traceback(film, tmp_path, monkeypatch):
    path, _ = film

    class Broken(FakeModel):
        def look(self, photo, shape=None):
            raise ZeroDivisionError("a bug")

    install(monkeypatch, Broken())
    with pytest.raises(ZeroDivisionError, match="a bug"):
        video.main([str(path), str(tmp_path / "out.mp4")])
    assert files(tmp_path) == ["film.mkv"]


@needs_ffmpeg
@pytest.mark.usefixtures("no_child_is_left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_in_this_process(film, tmp_path, monkeypatch, capsys, number):
    path, _ = film
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    class Interrupted(FakeModel):
        calls = 0

        def look(self, photo, shape=None):
            self.calls += 1
            if self.calls == 4:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), number)  # an impatient user
            return super().look(photo)

    install(monkeypatch, Interrupted())
    assert video.main([str(path), str(tmp_path / "out.mp4"), "--threads", "1"]) == 130
    assert capsys.readouterr() == ("", "")
    assert files(tmp_path) == ["film.mkv"]
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert after == handlers


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending.ended_as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_change_no_handlers():
    before, heard = signal.getsignal(signal.SIGINT), []

    def body():
        with ending.ended_as_by_ctrl_c():
            heard.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(SECONDS)
    assert heard == [before]


# As a user runs it


@needs_ffmpeg
def test_a_user_runs_it(weights_file, film, tmp_path):
    path, _ = film
    out = tmp_path / "a\nb.mov"
    done = run(path, out, "--weights", weights_file, "--backend", "numpy")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == os.fsencode(f"{out}\n")
    assert len(times(out)) == 8
    assert sound(out) == sound(path)


@needs_ffmpeg
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(weights_file, tmp_path, number):
    """To the whole group, as a terminal sends it."""
    path, folder = tmp_path / "in.mkv", tmp_path / "out"
    clip(path, scenes(300, 64, 48))
    folder.mkdir()
    process = subprocess.Popen(
        [*COMMAND, path, folder / "out.mp4", "--weights", weights_file, "--backend", "numpy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    deadline = time.monotonic() + SECONDS
    while not files(folder) and time.monotonic() < deadline:  # the file that is being written
        time.sleep(0.01)
    assert files(folder)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=SECONDS)
    assert (process.returncode, out, err) == (130, b"", b"")
    assert files(folder) == []
    for program in Path("/proc").glob("[1-9]*/cmdline"):
        with suppress(OSError):  # that one is gone
            assert os.fsencode(str(tmp_path)) not in program.read_bytes()


def test_raw_frames_through_pipes(weights_file):
    pixels = scenes(5, 40, 30)
    rows = np.zeros((5, 30, 128), np.uint8)
    rows[:, :, :120] = pixels.reshape(5, 30, 120)
    options = ["--weights", weights_file, "--backend", "numpy"]
    made = []
    for data, raw in ((pixels, "40x30"), (rows, "40x30:128")):
        done = run("-", "-", "--raw", raw, *options, input=data.tobytes())
        assert (done.returncode, done.stderr) == (0, b"")
        made.append(done.stdout)
    assert made[0] == made[1]
    assert len(made[0]) == pixels.size


def test_raw_frames_of_a_wrong_size(weights_file):
    options = ["--weights", weights_file, "--backend", "numpy", "--raw", "40x30"]
    done = run("-", "-", *options, input=bytes(40 * 30 * 3 * 2 + 1))
    assert done.returncode == 1
    assert done.stderr == b"mmnet_np.video: standard input: ends within frame 3\n"
    live = run("-", "-", *options, "--live", input=bytes(40 * 30 * 3 * 2 + 1))
    assert live.returncode == 0


@needs_ffmpeg
def test_raw_frames_into_a_file_and_a_file_into_raw_frames(film, fake, tmp_path, capfdbinary):
    path, pixels = film
    raw, out = tmp_path / "frames", tmp_path / "out.mkv"
    raw.write_bytes(pixels.tobytes())
    options = [*PLAIN[:2], "--output", "alpha"]
    program = [str(raw), str(out), "--raw", "32x24", "--rate", "30000/1001", *options]
    assert video.main(program) == 0
    assert times(out) == [Fraction(round(n * 1001 / 30), 1000) for n in range(8)]
    assert np.abs(decoded(out).astype(int) - brightness(pixels)[..., None]).mean() < 2
    capfdbinary.readouterr()
    assert video.main([str(path), "-", *options]) == 0
    assert capfdbinary.readouterr().out == brightness(pixels).tobytes()


def test_dropped_frames_are_counted(monkeypatch, tmp_path, capfd):
    """The camera is through before the network has seen its first frame."""
    through = threading.Event()

    class Busy(FakeModel):
        def look(self, photo, shape=None):
            assert through.wait(SECONDS)
            return super().look(photo)

    install(monkeypatch, Busy())
    read, write = os.pipe()

    def camera():
        with os.fdopen(write, "wb", buffering=0) as stream:
            for frame in scenes(20, 8, 6):
                stream.write(frame.tobytes())
        through.set()

    threading.Thread(target=camera, daemon=True).start()
    program = [f"/dev/fd/{read}", "-", "--raw", "8x6", "--live", "--output", "alpha"]
    assert video.main(program) == 0
    os.close(read)
    err = capfd.readouterr().err
    dropped = int(err.split()[1])
    assert err == f"mmnet_np.video: {dropped} frames were dropped\n"
    assert 0 < dropped < 20


def test_a_reader_that_has_seen_enough(weights_file):
    process = subprocess.Popen(
        [*COMMAND, "-", "-", "--raw", "160x120", "--weights", weights_file, "--backend", "numpy"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=ENVIRONMENT,
    )
    process.stdin.write(scenes(3, 160, 120).tobytes())
    process.stdin.flush()  # and stays open: the command ends although its input does not
    assert process.stdout.read(100)
    process.stdout.close()
    with suppress(BrokenPipeError):
        for _ in range(40):
            process.stdin.write(scenes(1, 160, 120).tobytes())
            process.stdin.flush()
    assert process.wait(SECONDS) == 1
    assert process.stderr.read() == b""
    process.stderr.close()
    with suppress(BrokenPipeError):
        process.stdin.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_standard_output_that_takes_nothing(weights_file):
    options = ["--raw", "4x4", "--weights", weights_file, "--backend", "numpy"]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "-", "-", *options], input=bytes(48), stdout=full, stderr=subprocess.PIPE,
            timeout=SECONDS, check=False, cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip
    said = b"mmnet_np.video: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_nothing_heavy_is_imported_before_it_is_needed():
    program = "import sys, mmnet_np.video; print({'numpy', 'PIL', 'numba'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT, timeout=SECONDS
    )
    assert done.stdout == b"set()\n"


def test_a_terminal_is_no_place_for_frames(monkeypatch, fake, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    assert video.main([os.devnull, "-", "--raw", "4x4"]) == 2
    assert "standard output is a terminal" in capsys.readouterr().err
