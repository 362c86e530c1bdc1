"""The int8 bits on 64-bit ARM without a board: digests of this machine, checked in an emulated one.

    python tests/aarch64_proof.py [FOLDER] [--weights FILE.h5]

QEMU's user-mode emulation runs an arm64 Python with NumPy and Numba, and that runs
`python -m mmnet_np.tools.verify` with both backends. Without ``--weights`` it checks the package's
golden digests, or while there are none those that this machine makes of random weights. The exit
code is that of ``verify``: 0 only if every digest is equal.

FOLDER keeps what was fetched, about 700 MB, for the next time; by default it is temporary. Debian's
packages ``qemu-user-static`` and ``debootstrap`` are needed, and root or ``fakeroot``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUITE, PYTHON = "bookworm", "3.11"  # Debian's release, and the Python that it has
QEMU = "qemu-aarch64-static"
TOOLS = (QEMU, "debootstrap", "dpkg")
WHEELS = ("numpy", "numba", "pillow", "h5py")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
VERSIONS = (
    "import platform, numpy, numba; print(platform.machine(), 'Python', platform.python_version(), "
    "'NumPy', numpy.__version__, 'Numba', numba.__version__)"
)


def missing() -> str | None:
    """Say what keeps the proof from running here, if anything does."""
    absent = [name for name in TOOLS if shutil.which(name) is None]
    if os.geteuid() != 0 and shutil.which("fakeroot") is None:
        absent.append("root or fakeroot")
    return f"no {', '.join(absent)}: no emulated AArch64" if absent else None


def fetch(folder: Path) -> None:
    """Fill a folder with an arm64 root file system and the wheels, unless it has them."""
    done = folder / "complete"
    if done.is_file():
        return
    shutil.rmtree(folder / "rootfs", ignore_errors=True)
    root = [] if os.geteuid() == 0 else ["fakeroot"]
    # --foreign stops before anything of arm64 would have to run; the packages only need unpacking.
    first = ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase", "--include=python3"]
    _run([*root, *first, SUITE, str(folder / "rootfs")])
    for package in sorted((folder / "rootfs/var/cache/apt/archives").glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "rootfs")])
    pip = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--only-binary=:all:"]
    tags = ["--python-version", PYTHON, "--implementation", "cp"]
    tags += ["--abi", f"cp{PYTHON.replace('.', '')}"]
    for platform in PLATFORMS:
        tags += ["--platform", f"{platform}_aarch64"]
    _run([*pip, "--target", str(folder / "site"), *tags, *WHEELS])
    done.touch()


def _run(command: Sequence[str]) -> None:
    """Run a command quietly; if it fails, what it said is the error."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = (result.stdout + result.stderr)[-2000:]
        raise SystemExit(f"{' '.join(command[:4])} ... failed:\n{said}")


def emulated(folder: Path, *arguments: str) -> int:
    """Run the emulated Python on this checkout; return its exit code."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder / 'site'}{os.pathsep}{ROOT}",
        "MMNET_NP_CACHE": str(folder / "cache"),
    }
    root = folder / "rootfs"
    python = [QEMU, "-L", str(root), str(root / f"usr/bin/python{PYTHON}")]
    return subprocess.run(
        [*python, *arguments], env=environment, cwd=folder, check=False
    ).returncode


def here(folder: Path, weights: Path) -> Path:
    """Return a file with the digests that this machine makes of a weights file."""
    from mmnet_np.tools import verify

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = verify.main([str(weights), "--digest", "--json"])
    if code:
        raise SystemExit(code)
    (folder / "digests.json").write_text(text.getvalue())
    return folder / "digests.json"


def random_weights(folder: Path) -> Path:
    """Return a file of random int8 weights, width 1.0 at 256."""
    from random_weights import random_int8_weights

    from mmnet_np.spec import Spec
    from mmnet_np.weights import store

    store.save(folder / "random.h5", random_int8_weights(Spec()))
    return folder / "random.h5"


def prove(folder: Path, weights: Path | None) -> int:
    """Run the proof; return 0 if all digests are equal."""
    began = time.monotonic()
    fetch(folder)
    print(f"arm64 files in {time.monotonic() - began:.0f} s", flush=True)
    if emulated(folder, "-c", VERSIONS):
        raise SystemExit("the emulated Python does not start")
    if weights is None and not (ROOT / "mmnet_np/verification/golden.json").is_file():
        weights = random_weights(folder)
    command = ["-m", "mmnet_np.tools.verify"]
    if weights is None:
        command.append("--golden")
    else:
        command += [str(weights.resolve()), "--against", str(here(folder, weights))]
    code = emulated(folder, *command)
    print(f"exit code {code} after {time.monotonic() - began:.0f} s", flush=True)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Check the int8 bits on an emulated AArch64.")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path)
    parser.add_argument("--weights", metavar="FILE.h5", type=Path)
    args = parser.parse_args(argv)
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    if reason := missing():
        raise SystemExit(reason)
    if args.folder is not None:
        args.folder.mkdir(parents=True, exist_ok=True)
        return prove(args.folder.resolve(), args.weights)
    with tempfile.TemporaryDirectory() as temporary:
        return prove(Path(temporary), args.weights)


if __name__ == "__main__":
    raise SystemExit(main())
