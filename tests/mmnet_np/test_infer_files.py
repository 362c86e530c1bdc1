"""The command over many files: folders, globs, lists, standard streams, formats, skipping."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_model import install
from hostile_images import encoded, scene
from PIL import Image

from mmnet_np import infer
from mmnet_np.blur import blurred
from mmnet_np.compose import composite

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "mmnet_np.infer"]


@pytest.fixture
def fake(monkeypatch):
    return install(monkeypatch)[0]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Photos in a folder and in folders in it, with the current folder beside."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/b.png", "in/sub/a.jpg", "in/sub/deep/c.tif"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF"}[path.suffix]
        path.write_bytes(encoded(kind))
    Path("in/readme.txt").write_text("no photo")
    return tmp_path


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*.*"))


CUTOUTS = ["a-cutout.png", "b-cutout.png", "sub/a-cutout.png", "sub/deep/c-cutout.png"]


def test_a_folder_keeps_its_tree(tree, fake, capsys):
    assert infer.main(["in", "-o", "out"]) == 0
    assert files("out") == CUTOUTS
    assert capsys.readouterr() == ("".join(f"out/{name}\n" for name in CUTOUTS), "")


def test_a_folder_without_o_gets_its_outputs_beside_the_photos_once(tree, fake, capsys):
    for _ in range(2):
        assert infer.main(["in", "--overwrite"]) == 0
        assert capsys.readouterr().out.split() == [f"in/{name}" for name in CUTOUTS]
    assert [name for name in files("in") if "cutout" in name] == CUTOUTS


def test_outputs_in_a_folder_within_are_not_taken_for_photos(tree, fake):
    for _ in range(2):
        assert infer.main(["in", "-o", "in/out", "--overwrite"]) == 0
    assert files("in/out") == CUTOUTS


def test_globs_and_lists(tree, fake, capsys):
    Path("list.txt").write_text("in/b.png\nin/sub\n")
    assert infer.main(["in/*.jpg", "@list.txt", "-o", "out"]) == 1  # two of them are a.jpg
    assert files("out") == ["a-cutout.png", "b-cutout.png", "deep/c-cutout.png"]
    assert "its output out/a-cutout.png is that of in/a.jpg" in capsys.readouterr().err
    assert infer.main(["--files-from", "list.txt", "-o", "other"]) == 0
    assert files("other") == ["a-cutout.png", "b-cutout.png", "deep/c-cutout.png"]


def test_nothing_to_do(tree, fake, capsys):
    Path("empty").mkdir()
    assert infer.main(["empty", "*.gif", "-o", "out"]) == 1
    assert capsys.readouterr().err == (
        "mmnet-np: empty: there is no photo in it\n"
        "mmnet-np: *.gif: there is no such file, nor any that it matches\n"
        "mmnet-np: 2 failed\n"
    )
    assert not Path("out").exists()


def test_what_exists_can_be_skipped(tree, fake, capsys):
    Path("out/sub").mkdir(parents=True)
    Path("out/sub/a-cutout.png").write_bytes(b"precious")
    assert infer.main(["in", "-o", "out", "--skip-existing"]) == 0
    assert Path("out/sub/a-cutout.png").read_bytes() == b"precious"
    assert capsys.readouterr().err == "mmnet-np: 3 done, 1 skipped\n"
    assert infer.main(["in", "-o", "out", "--skip-existing"]) == 0
    assert capsys.readouterr() == ("", "mmnet-np: 4 skipped\n")


@pytest.mark.parametrize("name", ["png", "webp", "jpg", "tiff"])
def test_format_and_suffix(tree, fake, name):
    options = ["--format", name, "--suffix", "_m", "--output", "alpha"]
    assert infer.main(["in/b.png", *options]) == 0
    suffix = ".tif" if name == "tiff" else f".{name}"
    with Image.open(f"in/b_m{suffix}") as image:
        assert image.format == {"jpg": "JPEG"}.get(name, name.upper())
    assert infer.main(["in/b.png", *options, "-o", f"other{suffix}"]) == 0
    assert infer.main(["in/b.png", "--format", "png", "--suffix", "", "-o", "bare/"]) == 0
    assert files("bare") == ["b.png"]


def test_a_name_that_is_not_the_formats(tree, fake, capsys):
    assert infer.main(["in/b.png", "--format", "png", "-o", "b.webp"]) == 2
    assert capsys.readouterr().err == "mmnet-np: -o b.webp does not end as --format png does\n"


@pytest.mark.parametrize("arguments", [["in"], ["in/*"], ["in/a.jpg", "in/b.png"]])
def test_many_photos_do_not_fit_in_a_file(tree, fake, capsys, arguments):
    Path("out.png").write_bytes(b"precious")
    try:
        code = infer.main([*arguments, "-o", "out.png", "--overwrite"])
    except SystemExit as exit_:
        code = exit_.code
    assert code == 2
    assert "-o out.png is a file, but there are several" in capsys.readouterr().err
    assert infer.main(["in", "-o", "-"]) == 2
    assert "takes one picture, but there are several photos" in capsys.readouterr().err


def test_threads_out_of_all_proportion(tree, fake, capsys):
    assert infer.main(["in", "-o", "out", "--threads", "100000"]) == 2
    assert capsys.readouterr().err == "mmnet-np: threads is 100000; it must be from 1 to 1024\n"


def test_metadata_is_kept_on_request(tmp_path, fake):
    path = tmp_path / "a.jpg"
    described = Image.Exif()
    described[0x0110], described[0x0112] = "Lucida", 6
    path.write_bytes(encoded("JPEG", exif=described.tobytes()))
    for options, camera in ([], None), (["--keep-metadata", "--overwrite"], "Lucida"):
        assert infer.main([str(path), *options]) == 0
        with Image.open(tmp_path / "a-cutout.png") as image:
            assert dict(image.getexif()) == ({0x0110: camera} if camera else {})
            assert image.size == (32, 48)


def test_blurred_background(tree, fake):
    assert infer.main(["in/b.png", "--background", "blur:4", "--keep-colours"]) == 0
    alpha = np.asarray(scene("L"))
    expected = composite(scene(), blurred(scene(), alpha, 4), alpha)
    with Image.open("in/b-composite.png") as image:
        assert (np.asarray(image) == np.asarray(expected)).all()


@pytest.mark.parametrize("output", [[], ["--output", "cutout"], ["--output", "composite"]])
def test_transparent_background(tree, fake, output):
    assert infer.main(["in/b.png", "--background", "transparent", *output]) == 0
    name = "composite" if "composite" in output else "cutout"
    with Image.open(f"in/b-{name}.png") as image:
        assert image.mode == "RGBA"


# Standard streams, as a user has them


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, timeout=120, check=False, cwd=ROOT, **options
    )


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_photo_through_a_pipe(weights_file, suffix):
    done = run("-", "--weights", weights_file, "--format", suffix, input=encoded("JPEG"))
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert (image.format, image.mode, image.size) == (suffix.upper(), "RGBA", (48, 32))


def test_from_and_to_files_by_name(weights_file, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    to_stdout = run(path, "-o", "-", "--weights", weights_file)
    assert Image.open(io.BytesIO(to_stdout.stdout)).mode == "RGBA"
    with path.open("rb") as file:
        done = run("-", "-o", tmp_path / "out.png", "--weights", weights_file, stdin=file)
    assert done.stdout == os.fsencode(tmp_path / "out.png") + b"\n"
    assert (tmp_path / "out.png").read_bytes() == to_stdout.stdout


def test_a_reader_that_does_not_want_the_picture(weights_file, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded("PNG"))
    process = subprocess.Popen(
        [*COMMAND, path, "-o", "-", "--weights", weights_file],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    process.stdout.close()
    assert (process.stderr.read(), process.wait(timeout=60)) == (b"", 1)
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_standard_output_that_is_full(weights_file, example):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, example, "-o", "-", "--weights", weights_file],
            stdout=full, stderr=subprocess.PIPE, timeout=60, check=False, cwd=ROOT,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == b"mmnet-np: standard output: No space left on device\n"


def on_a_terminal(*arguments):
    """Run with stdout and stderr on a terminal; give the exit code and what it showed."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdin=subprocess.DEVNULL, stdout=follower, stderr=follower,
        cwd=ROOT, env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            shown += (more := os.read(leader, 10_000))
        except OSError:  # the other end is closed
            break
        if not more:
            break
    os.close(leader)
    return process.wait(timeout=60), shown.decode().replace("\r\n", "\n")


def test_a_picture_is_not_thrown_at_a_terminal(weights_file, example):
    code, shown = on_a_terminal(example, "-o", "-", "--weights", weights_file)
    assert (code, shown) == (2, "mmnet-np: standard output is a terminal: give -o FILE\n")


def test_a_terminal_shows_paths_progress_and_a_summary(weights_file, tree):
    code, shown = on_a_terminal(
        tree / "in", "missing.jpg", "-o", tree / "out", "--weights", weights_file
    )
    assert code == 1
    states = shown.split("\r\x1b[K")
    assert "0/5" in states
    assert any(state.startswith("4/5  ") and "images/s" in state for state in states)
    for name in CUTOUTS:
        assert f"{tree}/out/{name}\n" in states
    last = states[-1].splitlines()
    assert last[0].startswith("mmnet-np: 4 done, 1 failed in ")
    assert last[1:] == ["  missing.jpg: cannot be read (No such file or directory)"]


def test_blas_is_told_to_leave_the_processors_to_us(weights_file, tree):
    program = (
        "import os, sys\n"
        "os.sched_getaffinity = lambda _: {0, 1, 2}\n"
        "from mmnet_np.infer import main\n"
        "code = main(sys.argv[1:])\n"
        "print(code, os.environ.get('OPENBLAS_NUM_THREADS'), file=sys.stderr)\n"
    )
    for photos, expected in ([tree / "in"], b"0 1\n"), ([tree / "in" / "a.jpg"], b"0 None\n"):
        done = subprocess.run(
            [sys.executable, "-c", program, *photos, "-o", f"{tree}/{len(expected)}/",
             "--weights", weights_file],
            capture_output=True, timeout=60, check=False, cwd=ROOT,
            env={key: os.environ[key] for key in os.environ if not key.endswith("NUM_THREADS")},
        )  # fmt: skip
        assert done.stderr == expected
