"""What a user installs: the wheel's content, and the command and package away from the checkout."""

import importlib.metadata
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("mmnet_np", "kernels", "weights", "tools", "pyproject.toml", "README.md", "LICENSE")
HEAVY = {"numba", "llvmlite", "scipy", "h5py"}
QUICK = 0.3  # seconds in which --help and --version answer
INFER = ("-m", "mmnet_np.infer")


def python(*arguments, path=None, cwd=None):
    """Run Python with ``path`` in front of all that is installed; return what came of it."""
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def pip(*arguments, cwd):
    done = python("-m", "pip", "-q", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr


def builds_wheels_itself():
    """Say whether the Setuptools at hand needs nothing else: then no index has to be reached."""
    try:
        version = importlib.metadata.version("setuptools")
    except importlib.metadata.PackageNotFoundError:
        return False
    return tuple(map(int, re.findall(r"\d+", version)[:2])) >= (70, 1)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """A wheel, built from a copy because building leaves build/ and *.egg-info behind."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    isolation = ["--no-build-isolation"] if builds_wheels_itself() else []
    pip("wheel", "--no-deps", *isolation, "-w", out, copy, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A folder with nothing but the installed wheel."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--target", folder, wheel, cwd=folder)
    return folder


def test_the_wheel_holds_one_package_and_its_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"mmnet_np", next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_holds_every_module_and_the_type_marker(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {"mmnet_np/py.typed", "mmnet_np/verification/portrait.png"}
    for folder, prefix in (("mmnet_np", ""), *((f, f + "/") for f in SOURCES[1:4])):
        for source in (ROOT / folder).rglob("*.py"):
            expected.add(f"mmnet_np/{prefix}{source.relative_to(ROOT / folder).as_posix()}")
    assert expected - names == set()


def test_the_installed_command_mattes_a_photo(installed, weights_file, example, tmp_path):
    target = tmp_path / "out.png"
    done = python(
        *INFER, example, "--weights", weights_file, "-o", target, path=installed, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{target}\n", "")
    with Image.open(target) as cutout, Image.open(example) as photo:
        assert (cutout.mode, cutout.size) == ("RGBA", photo.size)


def test_the_installed_console_script_answers(installed, tmp_path):
    done = python(installed / "bin" / "mmnet-np", "--version", path=installed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mmnet-np ")


WHERE = """
import mmnet_np, mmnet_np.kernels.pointwise, mmnet_np.tools.convert, mmnet_np.weights.store
for part in (mmnet_np, mmnet_np.kernels.pointwise, mmnet_np.tools.convert, mmnet_np.weights.store):
    print(part.__file__)
"""


def test_subpackages_come_from_the_install(installed, tmp_path):
    done = python("-c", WHERE, path=installed, cwd=tmp_path)
    assert done.stderr == ""
    files = [Path(line).relative_to(installed).as_posix() for line in done.stdout.splitlines()]
    assert files == [
        "mmnet_np/__init__.py",
        "mmnet_np/kernels/pointwise.py",
        "mmnet_np/tools/convert.py",
        "mmnet_np/weights/store.py",
    ]


def test_in_a_checkout_its_own_files_win(installed, weights_file, example, tmp_path):
    done = python("-c", WHERE, path=installed, cwd=ROOT)
    assert done.stderr == ""
    files = [Path(line).relative_to(ROOT).as_posix() for line in done.stdout.splitlines()]
    assert files == [
        "mmnet_np/__init__.py",
        "kernels/pointwise.py",
        "tools/convert.py",
        "weights/store.py",
    ]
    target = tmp_path / "out.png"
    done = python(
        *INFER, example, "--weights", weights_file, "-o", target, path=installed, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert target.is_file()


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_answers_at_once(installed, tmp_path, option):
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = python(*INFER, option, path=installed, cwd=tmp_path)
        times.append(time.perf_counter() - start)
        assert (done.returncode, done.stderr) == (0, "")
    assert statistics.median(times) < QUICK, times


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_answers_import_nothing_heavy(installed, tmp_path, option):
    done = python("-X", "importtime", *INFER, option, path=installed, cwd=tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mmnet_np.command" in imported, "the format of importtime has changed"
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()
