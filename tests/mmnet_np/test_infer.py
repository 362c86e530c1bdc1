"""The command, in this process with a fake model and as a user runs it with a real one."""

import io
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import hostile_images
import numpy as np
import pytest
from fake_model import FakeModel, install
from hostile_images import encoded, scene
from PIL import Image

import mmnet_np
from mmnet_np import infer
from mmnet_np._version import __version__

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "mmnet_np.infer"]
# With stdout buffered, as it is for users.
ENVIRONMENT = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}


def run(*arguments, command=COMMAND, **options):
    """Run the command as a user does, from the root of a checkout."""
    options = {"env": ENVIRONMENT} | options
    return subprocess.run(
        [*command, *arguments], capture_output=True, timeout=120, check=False, cwd=ROOT, **options
    )


def files(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def photos(tmp_path):
    """Three photos in a folder of their own."""
    folder = tmp_path / "photos"
    folder.mkdir()
    paths = []
    for index, name in enumerate(["a.jpg", "b.png", "c.tif"]):
        path = folder / name
        path.write_bytes(encoded({0: "JPEG", 1: "PNG", 2: "TIFF"}[index]))
        paths.append(str(path))
    return paths


@pytest.fixture
def fake(monkeypatch):
    return install(monkeypatch)[0]


# What is written, and where


def test_default_is_a_cutout_beside_the_photo(photos, fake, capsys):
    assert infer.main([photos[1]]) == 0
    target = Path(photos[1]).with_name("b-cutout.png")
    assert capsys.readouterr() == (f"{target}\n", "")
    result = Image.open(target)
    assert result.mode == "RGBA"
    pixels = np.asarray(result)
    own = mmnet_np.foreground(scene(), np.asarray(scene("L")), numba=False)
    assert (pixels[..., :3] == np.asarray(own)).all()
    assert (pixels[..., 3] == np.asarray(scene("L"))).all()
    assert files(target.parent) == ["a.jpg", "b-cutout.png", "b.png", "c.tif"]


def test_a_cutout_may_keep_the_photos_colours(photos, fake):
    assert infer.main([photos[1], "--keep-colours"]) == 0
    pixels = np.asarray(Image.open(Path(photos[1]).with_name("b-cutout.png")))
    assert (pixels[..., :3] == np.asarray(scene())).all()


def test_the_foreground_is_a_photo_of_the_persons_own_colours(photos, fake):
    assert infer.main([photos[1], "--output", "foreground"]) == 0
    result = Image.open(Path(photos[1]).with_name("b-foreground.png"))
    assert result.mode == "RGB"
    own = mmnet_np.foreground(scene(), np.asarray(scene("L")), numba=False)
    assert (np.asarray(result) == np.asarray(own)).all()


def test_alpha_is_a_grey_image(photos, fake):
    assert infer.main([photos[1], "--output", "alpha"]) == 0
    result = Image.open(Path(photos[1]).with_name("b-alpha.png"))
    assert result.mode == "L"
    assert (np.asarray(result) == np.asarray(scene("L"))).all()


@pytest.mark.parametrize(
    ("options", "colour"),
    [
        (["--output", "composite"], (255, 255, 255)),
        (["--output", "composite", "--background", "#00b140"], (0, 177, 64)),
        (["--background", "navy"], (0, 0, 128)),
    ],
)
def test_composite_before_a_colour(photos, fake, options, colour):
    alpha = np.asarray(scene("L"))
    own = mmnet_np.foreground(scene(), alpha, numba=False)
    for front, more in ((own, ()), (scene(), ("--keep-colours", "--overwrite"))):
        assert infer.main([photos[1], *options, *more]) == 0
        result = np.asarray(Image.open(Path(photos[1]).with_name("b-composite.png")))
        weight = alpha[:, :, None] / 255
        expected = weight * np.asarray(front) + (1 - weight) * np.array(colour)
        assert np.abs(result - expected).max() <= 0.5001


def test_composite_before_an_image(photos, fake, tmp_path):
    back = tmp_path / "beach.png"
    back.write_bytes(encoded("PNG", Image.new("RGB", (7, 9), (1, 2, 3))))
    assert infer.main([photos[1], "--background", str(back)]) == 0
    result = Image.open(Path(photos[1]).with_name("b-composite.png"))
    black = np.argwhere(np.asarray(scene("L")) == 0)
    assert len(black)
    assert all(result.getpixel((int(x), int(y))) == (1, 2, 3) for y, x in black)


@pytest.mark.parametrize("name", ["out.png", "out.tif", "out.webp"])
def test_o_names_a_file(photos, fake, tmp_path, name):
    assert infer.main([photos[0], "-o", str(tmp_path / name)]) == 0
    assert Image.open(tmp_path / name).mode == "RGBA"
    assert files(tmp_path) == sorted([name, "photos"])


@pytest.mark.parametrize("exists", [True, False])
def test_o_names_a_folder(photos, fake, tmp_path, exists, capsys):
    folder = tmp_path / "deep" / "out"
    if exists:
        folder.mkdir(parents=True)
    assert infer.main([photos[0], "-o", str(folder) + ("" if exists else "/")]) == 0
    assert files(folder) == ["a-cutout.png"]
    assert infer.main([*photos[1:], "-o", str(folder)]) == 0
    assert files(folder) == ["a-cutout.png", "b-cutout.png", "c-cutout.png"]
    printed = capsys.readouterr().out.split()
    assert printed == [str(folder / f"{name}-cutout.png") for name in "abc"]


def test_several_images_create_their_folder(photos, fake, tmp_path):
    assert infer.main([*photos, "-o", str(tmp_path / "new")]) == 0
    assert len(files(tmp_path / "new")) == 3


def test_a_turned_photo_gives_an_upright_cutout(tmp_path, fake):
    path = tmp_path / "phone.jpg"
    path.write_bytes(encoded("JPEG", exif=hostile_images.exif(6)))
    assert infer.main([str(path)]) == 0
    assert Image.open(tmp_path / "phone-cutout.png").size == (32, 48)


def test_quiet_prints_nothing(photos, fake, capsys):
    assert infer.main([*photos, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


# What goes wrong with one photo, and the others


def test_an_existing_output_is_kept_unless_asked(photos, fake, capsys):
    target = Path(photos[0]).with_name("a-cutout.png")
    target.write_bytes(b"precious")
    assert infer.main(photos) == 1
    assert target.read_bytes() == b"precious"
    out, err = capsys.readouterr()
    assert err.splitlines() == [
        f"mmnet-np: {target}: exists, give --overwrite to replace it",
        "mmnet-np: 2 done, 1 failed",
    ]
    assert len(out.splitlines()) == 2
    assert infer.main([photos[0], "--overwrite"]) == 0
    assert Image.open(target).mode == "RGBA"


def test_two_photos_with_the_same_output(photos, fake, tmp_path, capsys):
    twin = tmp_path / "a.png"
    twin.write_bytes(encoded("PNG"))
    assert infer.main([photos[0], str(twin), "-o", str(tmp_path / "out")]) == 1
    assert "its output" in capsys.readouterr().err
    assert files(tmp_path / "out") == ["a-cutout.png"]


def test_the_same_photo_twice_is_done_once(photos, fake, capsys):
    again = str(Path(photos[0]).parent / ".." / "photos" / "a.jpg")
    assert infer.main([photos[0], photos[0], again]) == 0
    out, err = capsys.readouterr()
    assert (len(out.splitlines()), err) == (1, "")


def test_the_photo_itself_is_never_replaced(photos, fake, capsys):
    before = Path(photos[1]).read_bytes()
    assert infer.main([photos[1], "-o", photos[1], "--overwrite"]) == 1
    assert "is the photo itself" in capsys.readouterr().err
    assert Path(photos[1]).read_bytes() == before


@pytest.mark.parametrize(
    ("out", "words"),
    [("out.jpg", "JPEG cannot hold"), ("out.xyz", "must end in"), ("no/out.png", "no such folder")],
)
def test_an_impossible_output_is_known_before_the_model_is_loaded(
    photos, monkeypatch, tmp_path, capsys, out, words
):
    _, calls = install(monkeypatch)
    assert infer.main([photos[0], "-o", str(tmp_path / out)]) == 1
    assert words in capsys.readouterr().err
    assert not calls


def test_the_model_hears_how_many_photos_come(photos, monkeypatch):
    _, calls = install(monkeypatch)
    options = ["--weights", "w.h5", "--backend", "numba", "--dtype", "int8", "--overwrite"]
    for more, threads in ([], None), (["--threads", "3"], 1), (["--threads", "7"], 2):
        assert infer.main([*photos, *options, *more]) == 0
        expected = {"backend": "numba", "dtype": "int8", "threads": threads, "images": 3}
        assert calls.pop() == ("w.h5", expected)
    assert infer.main([photos[0], "--model", "mmnet-1.00-128", "--threads", "4", *options[2:]]) == 0
    expected = {"backend": "numba", "dtype": "int8", "threads": 4, "images": 1}
    assert calls.pop() == ("mmnet-1.00-128", expected)


def test_bad_photos_cost_a_sentence_each_and_not_the_others(photos, fake, tmp_path, capsys):
    bad = [str(tmp_path / name) for name in ("missing.jpg", "text.jpg", "pipe.jpg")]
    Path(bad[1]).write_text("no image")
    os.mkfifo(bad[2])
    assert (
        infer.main([bad[0], photos[0], bad[1], photos[1], bad[2], "-o", str(tmp_path / "o")]) == 1
    )
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    *lines, summary = err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["mmnet-np", name] for name in bad]
    assert summary == "mmnet-np: 2 done, 3 failed"
    assert files(tmp_path / "o") == ["a-cutout.png", "b-cutout.png"]


def test_a_photo_in_a_folder_that_is_not_there(fake, tmp_path, capsys):
    path = tmp_path / "nowhere" / "a.jpg"
    assert infer.main([str(path)]) == 1
    said = f"mmnet-np: {path}: cannot be read (No such file or directory)\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"refine": True, "refocus": False}),
        (("--no-refine", "--refocus"), {"refine": False, "refocus": True}),
    ],
)
def test_how_the_matte_is_made_reaches_predict(photos, monkeypatch, options, expected):
    asked = []

    class Remembering(FakeModel):
        def predict_uint8(self, image, **options):
            asked.append(options)
            return super().predict_uint8(image)

    install(monkeypatch, Remembering())
    assert infer.main([*photos, *options]) == 0
    assert asked == [expected] * 3


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_a_failing_model_costs_one_photo(photos, monkeypatch, capsys, error):
    class Failing(FakeModel):
        calls = 0

        def predict_uint8(self, image, **options):
            self.calls += 1
            if self.calls == 2:
                raise error
            return super().predict_uint8(image, **options)

    install(monkeypatch, Failing())
    assert infer.main([*photos, "--threads", "1"]) == 1
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert err.startswith(f"mmnet-np: {photos[1]}: ")
    assert err.endswith("mmnet-np: 2 done, 1 failed\n")
    assert len(err.splitlines()) == 2


def test_messages_do_not_run_into_the_progress_bar(photos, fake, monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    missing = tmp_path / "missing.jpg"
    assert infer.main([photos[0], str(missing), photos[1]]) == 1
    shown = sys.stderr.getvalue()
    assert "\r\x1b[K1/3" in shown
    failure = f"{missing}: cannot be read (No such file or directory)"
    assert f"\r\x1b[Kmmnet-np: {failure}\n" in shown
    last = shown.rpartition("\r\x1b[K")[2].splitlines()
    assert re.fullmatch(r"mmnet-np: 2 done, 1 failed in \d+:\d\d", last[0])
    assert last[1:] == [f"  {failure}"]


def test_ctrl_c_is_no_traceback(photos, monkeypatch, capsys):
    class Interrupted(FakeModel):
        def predict_uint8(self, image, **options):
            raise KeyboardInterrupt

    install(monkeypatch, Interrupted())
    assert infer.main(photos) == 130
    assert capsys.readouterr() == ("", "")
    assert files(Path(photos[0]).parent) == ["a.jpg", "b.png", "c.tif"]


def test_a_bug_keeps_its_traceback(photos, monkeypatch):
    class Broken(FakeModel):
        def predict_uint8(self, image, **options):
            raise ZeroDivisionError

    install(monkeypatch, Broken())
    with pytest.raises(ZeroDivisionError):
        infer.main(photos)


# Options


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.jpg", "--output", "hologram"],
        ["a.jpg", "--threads", "0"],
        ["a.jpg", "--threads", "many"],
        ["a.jpg", "--backend", "cuda"],
        ["a.jpg", "--background", "red", "--output", "alpha"],
        ["a.jpg", "--bogus"],
        ["a.jpg", "b.jpg", "-o", str(Path(__file__))],
        ["a.jpg", "--format", "gif"],
        ["a.jpg", "--format", "jpg"],
        ["a.jpg", "--format", "jpg", "--output", "composite", "--background", "transparent"],
        ["a.jpg", "--background", "transparent", "--output", "alpha"],
        ["a.jpg", "--suffix", "x/y"],
        ["a.jpg", "-o", ""],
        ["a.jpg", "--overwrite", "--skip-existing"],
        ["a.jpg", "--model", "mmnet-9"],
        ["a.jpg", "--model", "mmnet-1.00-128", "--weights", "w.h5"],
        ["a.jpg", "--dtype", "int4"],
        ["-", "--files-from", "-"],
        ["a.jpg", "--output", "alpha", "--keep-colours"],
    ],
)
def test_wrong_options_are_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        infer.main(arguments)
    assert caught.value.code == 2
    assert "usage: mmnet-np" in capsys.readouterr().err


def test_a_background_that_is_none_is_a_usage_error(photos, fake, capsys):
    assert infer.main([photos[0], "--background", "rde"]) == 2
    assert capsys.readouterr().err == (
        "mmnet-np: rde: is neither a colour (a name, #rrggbb), nor blur, nor an image\n"
    )


def test_a_damaged_background_stops_all(photos, fake, tmp_path, capsys):
    back = tmp_path / "beach.jpg"
    back.write_bytes(b"sand")
    assert infer.main([photos[0], "--background", str(back)]) == 1
    assert "beach.jpg: is no image" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("module", ["mmnet_np.infer", "mmnet_np"])
def test_help_and_version_answer_at_once(module, option):
    def used():  # of the processor, by children: the clock on the wall counts others' work too
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    seconds = []
    for _ in range(3):
        start = used()
        done = run(option, command=[sys.executable, "-m", module])
        seconds.append(used() - start)
        assert done.returncode == 0
        assert done.stderr == b""
    assert (__version__ if option == "--version" else "--background").encode() in done.stdout
    assert min(seconds) < 0.3


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom mmnet_np.infer import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*{'numpy', 'PIL', 'numba', 'h5py', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = run(command=[sys.executable, "-c", program])
    assert done.stderr.strip() == b""


# As a user runs it


def test_the_example_photo(example, weights_file, tmp_path):
    done = run(example, "--weights", weights_file, "-o", tmp_path / "out.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == f"{tmp_path / 'out.png'}\n"
    assert done.stderr == b""
    with Image.open(tmp_path / "out.png") as cut, Image.open(example) as photo:
        assert cut.mode == "RGBA"
        assert cut.size == photo.size
        opacity = np.asarray(cut)[..., 3]
        whole = (opacity == 0) | (opacity == 255)
        assert (np.asarray(cut)[whole, :3] == np.asarray(photo)[whole]).all()
        low, high = cut.getchannel("A").getextrema()
        assert low < high


def test_weights_that_are_missing_or_damaged(example, tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    for name in ("missing.h5", "bad.h5"):
        done = run(example, "--weights", tmp_path / name, "-o", tmp_path / "out.png")
        assert done.returncode == 1
        assert done.stderr.startswith(b"mmnet-np: ")
        assert name.encode() in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert files(tmp_path) == ["bad.h5"]


def test_undecodable_names_are_printed_as_they_are(weights_file, tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(path)).write_bytes(encoded("JPEG"))
    done = run(path, "--weights", weights_file, env=ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    assert done.stdout == os.fsencode(tmp_path) + b"/caf\xe9-cutout.png\n"
    assert Path(os.fsdecode(done.stdout[:-1])).is_file()


@pytest.fixture
def many(tmp_path, example):
    """Enough copies of the example to be interrupted among them."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(200):
        (folder / f"{index:03}.jpg").symlink_to(example)
    return sorted(folder.iterdir())


def start(weights_file, many, out):
    return subprocess.Popen(
        [*COMMAND, *many, "--weights", weights_file, "--backend", "numpy", "-o", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_end_in_the_middle(weights_file, many, tmp_path, number):
    process = start(weights_file, many, tmp_path / "out")
    process.stdout.readline()
    process.send_signal(number)
    process.send_signal(signal.SIGINT)  # the impatient do not get half a file either
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"")
    written = files(tmp_path / "out")
    assert 0 < len(written) < len(many)
    assert not [name for name in written if name.startswith(".")]
    for name in written:
        Image.open(tmp_path / "out" / name).load()


def test_a_reader_that_has_seen_enough(weights_file, many, tmp_path):
    process = start(weights_file, many, tmp_path / "out")
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=30), err) == (1, b"")
    assert len(files(tmp_path / "out")) < len(many)


def test_stdout_may_be_closed(photos, fake, monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert infer.main([photos[0]]) == 0
    assert Path(photos[0]).with_name("a-cutout.png").is_file()


def test_stdout_may_be_a_plain_text_stream(photos, fake, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    assert infer.main([photos[0]]) == 0
    assert stream.getvalue().endswith("a-cutout.png\n")


def test_a_twelve_megapixel_photo_stays_within_its_memory(weights_file, tmp_path):
    """Four times the decoded photo is the bound; what the interpreter needs anyway is not in it."""
    size = (4000, 3000)
    big, small = tmp_path / "big.jpg", tmp_path / "small.jpg"
    Image.linear_gradient("L").resize(size).convert("RGB").save(big)
    small.write_bytes(encoded("JPEG"))
    program = (
        "import resource, sys\n"
        "from mmnet_np.infer import main\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "options = ['--weights', sys.argv[1], '--quiet', '--backend', 'numpy']\n"
        "assert main([sys.argv[2], *options]) == 0\n"
        "before = peak()\n"
        "assert main([sys.argv[3], *options]) == 0\n"
        "print(peak() - before)\n"
    )
    done = run(weights_file, small, big, command=[sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 4 * 3 * size[0] * size[1]
