"""Compiling ahead: what it prints, and what it says where there is nothing to do."""

from pathlib import Path

import pytest

from mmnet_np.kernels import cache, jit
from mmnet_np.tools import warmup


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_prints_the_folder_and_leaves_it_warm(capsys):
    assert warmup.main(["--quiet"]) == 0
    captured = capsys.readouterr()
    assert Path(captured.out.strip()) == cache.cache_folder()
    assert captured.err == ""
    assert cache.is_warm()
    assert cache.is_warm("int8")
    assert cache.is_warm("photo")


def test_without_numba_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(jit, "has_numba", lambda: False)
    assert warmup.main([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "warmup: Numba is not installed: there is nothing to compile, the NumPy backend needs "
        "nothing\n"
    )


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_nowhere_to_keep_it(monkeypatch, capsys):
    monkeypatch.setattr(cache, "cache_folder", lambda: None)
    assert warmup.main([]) == 1
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_training_kernels_when_asked_for(capsys):
    assert warmup.main(["--quiet", "--training"]) == 0
    assert cache.is_warm("training")
    names = {one.__name__ for one in jit.KERNELS["training"]}
    assert {"pointwise_backward", "depthwise_backward", "pixelwise"} <= names
    capsys.readouterr()
