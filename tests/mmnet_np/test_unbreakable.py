"""Whatever comes in and wherever it is to go: a sentence or a result, never half a file or a hang.

The files are made by `hostile_images`. They go through the command, as a user runs it and in this
process, and through the Python interface; then come outputs that cannot be written, weights that
are none, and a day of requests.
"""

import os
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
from random_weights import random_weights

import mmnet_np
from mmnet_np import infer, work
from mmnet_np.errors import ImageError, MMNetError, WeightsError
from mmnet_np.kernels import jit
from mmnet_np.spec import Spec
from mmnet_np.weights import store

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "mmnet_np.infer"]
WARNINGS = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF


def run(*arguments, command=COMMAND, **options):
    return subprocess.run(
        [*command, *arguments], capture_output=True, timeout=180, check=False, cwd=ROOT, **options
    )


def parts(folder):
    """What would be left of a file that was not finished."""
    return [path for path in folder.rglob("*") if ".part" in path.name]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of hostile files, and what they are."""
    folder = tmp_path_factory.mktemp("hostile")
    return folder, hostile_images.corpus(folder)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model that takes about a millisecond."""
    path = tmp_path_factory.mktemp("weights") / "tiny.h5"
    store.save(path, random_weights(Spec(0.5, 16)))
    return mmnet_np.load(path, backend="numpy")


# Photos


def test_the_corpus_has_what_it_must(corpus):
    names = " ".join(case.name for case in corpus[1])
    for kind in (
        "jpg-cut-9", "png-flipped-0", "dot", "thread", "30000", "moving", "cmyk", "sixteen", "bomb",
        "palette-clear", "lying", "exif-garbage", "folder", "pipe", "loop", r"two\nlines", "udce9",
        "socket", "endless",
    ):  # fmt: skip
        assert kind in names


@pytest.mark.parametrize("options", [[], ["--keep-metadata", "--refocus", "--background", "blur"]])
def test_hostile_files_through_the_command(corpus, weights_file, tmp_path, options):
    """One run over everything: a sentence or a picture each, in bounded memory."""
    folder, cases = corpus
    program = (
        "import pathlib, re, sys\n"
        "from mmnet_np.infer import main\n"
        "code = main(sys.argv[1:])\n"
        # Not getrusage: a child's peak there begins with that of the process that started it.
        "status = pathlib.Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+) kB', status)[1]) // 1024)\n"
        "sys.exit(code)\n"
    )
    cases = [case for case in cases if case.path.name != "folder.jpg"]  # it would be searched
    paths = [bytes(case.path) for case in cases]
    done = run(
        "--weights", weights_file, "-o", tmp_path, "--quiet", *options, *paths,
        command=[sys.executable, "-c", program],
    )  # fmt: skip
    assert done.returncode == 1
    sentences = done.stderr.decode().splitlines()
    assert all(line.startswith(f"mmnet-np: {folder}") for line in sentences), sentences
    ending = "-composite.png" if options else "-cutout.png"
    written = {path.name.removesuffix(ending) for path in tmp_path.iterdir()}
    assert len(sentences) + len(written) == len(cases)
    assert not parts(tmp_path)
    for case in cases:
        if case.outcome != "either":
            assert (case.path.stem in written) == (case.outcome == "photo"), case
    assert int(done.stdout) < 250


def test_a_folder_of_hostile_files(corpus, weights_file, tmp_path):
    done = run(corpus[0], "-o", tmp_path, "--weights", weights_file, "--output", "alpha")
    *sentences, summary = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert all(line.startswith(f"mmnet-np: {corpus[0]}") for line in sentences), sentences
    made = len(list(tmp_path.iterdir()))
    assert summary == f"mmnet-np: {made} done, {len(sentences)} failed"
    assert not parts(tmp_path)


@WARNINGS
def test_hostile_files_through_the_interface(corpus, tiny):
    cases = corpus[1]
    results = tiny.map((case.path for case in cases), errors="return", rounded=True)
    for case, result in zip(cases, results, strict=True):
        failed = isinstance(result, ImageError)
        assert failed or result.dtype == np.uint8
        assert case.outcome in ("either", "error" if failed else "photo"), case
        if failed:
            assert str(result).isprintable()


@WARNINGS
@pytest.mark.parametrize("name", ["jpg-cut-5", "30000", "pipe", "text"])
def test_predict_refuses_with_a_sentence(corpus, tiny, name):
    path = next(case.path for case in corpus[1] if case.path.stem == name)
    for predict in (tiny.predict, tiny.predict_uint8, lambda bad: tiny.predict_batch([bad])):
        with pytest.raises(ImageError, match=path.name):
            predict(path)


@pytest.mark.parametrize(
    "bad",
    [None, 3, b"photo.jpg", [[1]], np.zeros((4, 4)), np.zeros((0, 4, 3), np.uint8),
     np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), "a\0b.jpg", ""],
)  # fmt: skip
def test_what_is_no_photo_at_all(tiny, bad):
    with pytest.raises(ImageError):
        tiny.predict(bad)


def test_a_photo_that_goes_away_meanwhile(tmp_path, monkeypatch, capsys):
    photos = [tmp_path / f"{index}.png" for index in range(3)]
    for photo in photos:
        photo.write_bytes(encoded("PNG"))

    class Removing(FakeModel):
        def predict_uint8(self, image, **options):
            photos[1].unlink(missing_ok=True)
            return super().predict_uint8(image)

    install(monkeypatch, Removing())
    assert infer.main([*map(str, photos), "--threads", "1"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"mmnet-np: {photos[1]}: cannot be read (No such file or directory)",
        "mmnet-np: 2 done, 1 failed",
    ]


def test_a_photo_that_shrinks_meanwhile(tmp_path, monkeypatch, capsys):
    photo = tmp_path / "a.png"
    photo.write_bytes(encoded("PNG", scene(size=(300, 300))))
    photo_size = work.photo_size

    def shrinking(path):
        size = photo_size(path)
        os.truncate(path, 1000)
        return size

    install(monkeypatch)
    monkeypatch.setattr(work, "photo_size", shrinking)
    assert infer.main([str(photo)]) == 1
    assert "a.png: is damaged or truncated" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [photo]


# Outputs


@pytest.fixture
def photos(tmp_path):
    """Two photos whose cutouts are large for their size."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        pixels = rng.integers(0, 256, (100, 100, 3), np.uint8)
        path.write_bytes(encoded("PNG", hostile_images.Image.fromarray(pixels)))
    return paths


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_a_full_disk_costs_a_sentence_a_photo_and_leaves_nothing(photos, weights_file, suffix):
    """A limit on file size stands in for the disk: write() fails half-way either way."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    out = photos[0].parent / "out"
    done = run(
        *photos, "-o", out, "--weights", weights_file, "--format", suffix, preexec_fn=limit
    )  # fmt: skip
    assert done.returncode == 1
    *sentences, summary = done.stderr.decode().splitlines()
    assert [line.split(": ")[2].split(" (")[0] for line in sentences] == ["cannot be written"] * 2
    assert summary == "mmnet-np: 2 failed"
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("place", ["/proc", "/proc/none", "/sys", "/dev/null"])
def test_a_place_where_nothing_can_be_written(photos, weights_file, place):
    """Not even by root, for whom a folder's permissions do not count."""
    if not Path(place).parent.exists():
        pytest.skip(f"no {place} on this system")
    done = run(*photos, "-o", f"{place}/", "--weights", weights_file)
    sentences = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert done.stdout == b""
    assert 1 <= len(sentences) <= 3
    assert all(line.startswith("mmnet-np: ") for line in sentences)
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_to(photos, weights_file):
    out = photos[0].parent / "out"
    out.mkdir(mode=0o555)
    done = run(*photos, "-o", out, "--weights", weights_file)
    assert done.returncode == 1
    assert done.stderr.count(b"cannot be written (Permission denied)") == 2


def test_an_output_folder_that_goes_away_meanwhile(photos, monkeypatch, capsys):
    """It is made anew; where a file has taken its place, that is said."""
    out = photos[0].parent / "out"

    class Removing(FakeModel):
        def predict_uint8(self, image, **options):
            if not out.is_file():
                for path in out.iterdir():
                    path.unlink()
                out.rmdir()
                if self.calls:
                    out.write_bytes(b"a file")
            self.calls += 1
            return super().predict_uint8(image)

        calls = 0

    install(monkeypatch, Removing())
    assert infer.main([*map(str, photos), "-o", str(out), "--threads", "1"]) == 1
    printed, said = capsys.readouterr()
    assert printed == f"{out / 'a-cutout.png'}\n"
    assert said.splitlines()[0].startswith(f"mmnet-np: {out}: ")
    assert out.read_bytes() == b"a file"


# Weights


def weights_that_are_none(folder, good):
    """Make files that are no weights; give their names."""
    data = good.read_bytes()
    for tenth in range(10):
        (folder / f"cut-{tenth}.h5").write_bytes(data[: len(data) * tenth // 10])
    rng = np.random.default_rng(0)
    for index in range(10):
        flipped = np.frombuffer(data, np.uint8).copy()
        flipped[rng.integers(0, len(data), 20)] ^= rng.integers(1, 256, 20).astype(np.uint8)
        (folder / f"flipped-{index}.h5").write_bytes(flipped.tobytes())
    (folder / "photo.h5").write_bytes(encoded("JPEG"))
    (folder / "folder.h5").mkdir()
    (folder / "loop.h5").symlink_to("loop.h5")
    (folder / "zero.h5").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.h5")
    with (folder / "sparse.h5").open("wb") as file:
        file.write(data[:100])
        file.truncate(2**40)
    return [*sorted(folder.iterdir()), folder / "missing.h5", folder / "two\nlines.h5"]


def test_weights_that_are_none_are_refused(weights_file, tmp_path):
    for path in weights_that_are_none(tmp_path, weights_file):
        with pytest.raises(WeightsError) as caught:
            mmnet_np.load(path, backend="numpy")
        assert str(caught.value).isprintable()
        assert path.stem[:3] in str(caught.value)


@pytest.mark.parametrize("name", ["cut-5", "pipe", "zero", "sparse", "missing"])
def test_weights_that_are_none_through_the_command(weights_file, tmp_path, example, name):
    weights_that_are_none(tmp_path, weights_file)
    done = run(example, "--weights", tmp_path / f"{name}.h5", "-o", tmp_path / "out.png")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"mmnet-np: ")
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "out.png").exists()


# Time


def resident():
    """Bytes of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system")
@pytest.mark.parametrize(
    "count", [300, pytest.param(20_000, marks=pytest.mark.slow)], ids=["hour", "day"]
)
def test_a_day_of_requests_takes_no_more_memory_than_its_beginning(tiny, tmp_path, count):
    """Photos of changing sizes and kinds, damaged ones among them."""
    data = [encoded(kind, scene(size=size)) for kind in ("JPEG", "PNG", "WEBP")
            for size in ((48, 32), (33, 61), (5, 90))]  # fmt: skip
    data += [data[0][:300], b"no image"]
    paths = [tmp_path / f"{index}" for index in range(len(data))]
    for path, content in zip(paths, data, strict=True):
        path.write_bytes(content)
    failed, levels = 0, []
    for index in range(count):
        if index % (count // 10) == 0:
            levels.append(resident())
        try:
            tiny.predict(paths[index % len(paths)], refocus=index % 2 == 0)
        except MMNetError:
            failed += 1
    levels.append(resident())
    assert failed == sum(index % len(paths) >= 9 for index in range(count))
    # What is allocated lazily is there after the first tenths.
    assert max(levels) - levels[3] < 4 * 2**20, levels


@pytest.mark.slow
@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_two_processes_share_a_cold_cache(weights_file, tmp_path, example):
    """Both begin to compile the same kernels at once; a third finds them compiled."""

    def start(name):
        return subprocess.Popen(
            [*COMMAND, example, "-o", tmp_path / name, "--weights", weights_file,
             "--backend", "numba"],
            env=os.environ | {"MMNET_NP_CACHE": str(tmp_path / "cache")},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip

    both = [start("0.png"), start("1.png")]
    for index, process in enumerate(both):
        printed, said = process.communicate(timeout=600)
        assert (process.returncode, said) == (0, b"")
        assert printed == bytes(tmp_path / f"{index}.png") + b"\n"
    assert start("2.png").wait(timeout=600) == 0
    pictures = {(tmp_path / f"{index}.png").read_bytes() for index in range(3)}
    assert len(pictures) == 1
