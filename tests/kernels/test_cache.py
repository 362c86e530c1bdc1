"""Where compiled kernels are kept, in fresh processes with folders of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmnet_np.kernels import jit

ROOT = Path(__file__).resolve().parents[2]

CALL = """
import numpy as np
from mmnet_np.kernels import cache, jit, softmax
out = np.empty((1, 1, 1, 2), np.float32)
softmax.softmax(np.zeros((1, 1, 1, 2), np.float32), out, 0, 1)
assert out.tolist() == [[[[0.5, 0.5]]]]
print(cache.cache_folder())
"""

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


def run(code, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("MMNET_NP_CACHE", "XDG_CACHE_HOME")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@needs_numba
def test_compiled_code_lands_in_the_folder_asked_for_and_is_found_again(tmp_path):
    first = run(CALL, MMNET_NP_CACHE=str(tmp_path))
    folder = Path(first.stdout.strip())
    assert folder.parent == tmp_path
    written = {p: p.stat().st_mtime_ns for p in folder.rglob("*.nbc")}
    assert written
    assert (folder.stat().st_mode & 0o777) == 0o700
    second = run(CALL, MMNET_NP_CACHE=str(tmp_path))
    assert second.stdout == first.stdout
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*.nbc")} == written


@needs_numba
def test_nothing_writable_is_one_line_and_no_failure(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    here = str(blocked / "folder")  # below a file: not even root can make it
    code = f"import tempfile; tempfile.tempdir = {here!r}\n" + CALL
    done = run(code, MMNET_NP_CACHE=here)
    assert done.returncode == 0
    assert done.stdout.strip() == "None"
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mmnet-np: no folder for compiled kernels is writable")


@needs_numba
def test_temporary_folder_is_second_best(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(CALL, MMNET_NP_CACHE=str(tmp_path / "file"), TMPDIR=str(tmp_path))
    assert Path(done.stdout.strip()).parent.parent == tmp_path
    assert done.stderr == ""


@needs_numba
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_folder_others_may_write_to_is_not_trusted(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    done = run(CALL, MMNET_NP_CACHE=str(shared), TMPDIR=str(tmp_path))
    assert not list(shared.iterdir())
    assert done.returncode == 0


@needs_numba
@pytest.mark.parametrize("damage", [b"", b"rubbish", None])
def test_damaged_cache_files_are_compiled_over(tmp_path, damage):
    folder = Path(run(CALL, MMNET_NP_CACHE=str(tmp_path)).stdout.strip())
    for file in folder.rglob("*.nb*"):
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    again = run(CALL, MMNET_NP_CACHE=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stderr == ""
    # And mended: what a third process finds is whole, and stays as it is.
    mended = {file: file.stat().st_mtime_ns for file in folder.rglob("*.nb*")}
    assert all(file.stat().st_size > 100 for file in mended)
    run(CALL, MMNET_NP_CACHE=str(tmp_path))
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.nb*")} == mended


@needs_numba
def test_two_processes_share_a_cold_cache(tmp_path):
    command = [sys.executable, "-c", CALL]
    environment = {**os.environ, "MMNET_NP_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True,
                         stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]  # fmt: skip
    for process in both:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr


def test_importing_kernels_imports_no_numba():
    code = (
        "import sys, mmnet_np.backends\n"
        "assert not {'numba', 'scipy', 'h5py', 'llvmlite'} & set(sys.modules)"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


@needs_numba
def test_warm_is_known_without_numba(tmp_path):
    ask = (
        "import sys; from mmnet_np.kernels import cache; print(cache.is_warm());"
        "assert 'numba' not in sys.modules"
    )
    assert run(ask, MMNET_NP_CACHE=str(tmp_path)).stdout.strip() == "False"
    done = run(
        "from mmnet_np.tools import warmup; raise SystemExit(warmup.main([]))",
        MMNET_NP_CACHE=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).parent == tmp_path
    assert run(ask, MMNET_NP_CACHE=str(tmp_path)).stdout.strip() == "True"


def test_a_changed_source_changes_the_key(tmp_path, monkeypatch):
    from mmnet_np.kernels import cache

    copy = tmp_path / "kernels"
    copy.mkdir()
    for source in (ROOT / "kernels").glob("*.py"):
        (copy / source.name).write_bytes(source.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(copy / "cache.py"))
    keys = []
    for _ in range(2):
        cache._key.cache_clear()
        keys.append(cache._key())
        (copy / "tile.py").write_text("# changed\n")
    cache._key.cache_clear()
    assert keys[0] != keys[1]


@needs_numba
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_warm_folder_that_cannot_be_used_does_not_count(tmp_path):
    warm = "from mmnet_np.tools import warmup; raise SystemExit(warmup.main([]))"
    assert run(warm, MMNET_NP_CACHE=str(tmp_path / "c"), TMPDIR=str(tmp_path)).returncode == 0
    (tmp_path / "c").chmod(0o777)
    ask = "from mmnet_np.kernels import cache; print(cache.is_warm())"
    answer = run(ask, MMNET_NP_CACHE=str(tmp_path / "c"), TMPDIR=str(tmp_path))
    assert answer.stdout.strip() == "False"
