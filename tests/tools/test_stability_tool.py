"""Clips of known matte, and what is measured on them."""

import json

import numpy as np
import pytest
from fake_model import FakeModel, install
from PIL import Image
from portrait_folder import portrait, write_pairs

from mmnet_np._version import __version__
from mmnet_np.tools import stability
from mmnet_np.tools.motions import FRAMES, MOTIONS, filmed


@pytest.fixture
def data(tmp_path):
    write_pairs(tmp_path / "data" / "test", 3)
    return tmp_path / "data"


def clip(motion, size=(100, 80)):
    photo, matte = portrait(0, size)
    return list(filmed(photo, matte, motion, seed=1))


@pytest.mark.parametrize("motion", MOTIONS)
def test_clips_have_noise_and_a_matte_that_fits(motion):
    shots = clip(motion)
    assert len(shots) == FRAMES
    for shot in shots:
        assert shot.pixels.shape == (64, 80, 3)
        assert shot.truth.shape == (64, 80)
        # The disc is bright, what is behind it dark: the frame itself shows where it is.
        inside, outside = shot.truth > 250, shot.truth < 5
        assert shot.pixels[inside].mean() > 150
        assert shot.pixels[outside].mean() < 60
    assert np.abs(shots[0].pixels.astype(int) - shots[1].pixels).mean() > 1
    again = clip(motion)
    assert all((a.pixels == b.pixels).all() for a, b in zip(shots, again, strict=True))


def test_how_far_things_move():
    def middle(shot):
        return (shot.truth.sum(0) * np.arange(80)).sum() / shot.truth.sum()

    far = {}
    for motion in MOTIONS:
        places = np.array([middle(shot) for shot in clip(motion)])
        far[motion] = np.abs(np.diff(places)).max()
    assert far["still"] == 0
    assert far["drift"] == pytest.approx(0.001 * 100, abs=0.05)
    assert far["pan"] == pytest.approx(0.006 * 100, abs=0.1)
    assert far["sway"] == pytest.approx(0.012 * 100, abs=0.15)


def test_the_background_stands_still_behind_the_person():
    shots = clip("sway")
    alone = np.all([shot.truth == 0 for shot in shots], axis=0)
    assert alone.sum() > 1000
    values = np.mean([shot.pixels[alone] for shot in shots], axis=2)
    assert values.std(axis=0).mean() < 3  # the noise is 3 a channel


def test_a_perfect_model_has_no_error_and_a_trembling_one_is_steadied(data, monkeypatch, capsys):
    """Brightness is alpha: what noise does to it is flicker, and averages out where all stands."""
    install(monkeypatch, FakeModel())
    assert stability.main(["--data", str(data), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["images"], report["size"]) == (3, 256)
    plain, steady = report["still"]["dtssd"]
    assert 0 < steady < 0.8 * plain
    assert report["still"]["mad_moved"] == [0, 0]
    for motion in MOTIONS[2:]:
        plain, steady = report[motion]["mad_moved"]
        assert steady < 1.1 * plain


def test_the_table(data, monkeypatch, capsys):
    install(monkeypatch)
    assert stability.main(["--data", str(data), "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(MOTIONS)
    assert all(len(line.split()) == 7 for line in lines[2:])


def test_the_model_hears_how_many_frames_come(data, monkeypatch):
    _, calls = install(monkeypatch)
    options = ["--weights", "w.h5", "--backend", "numpy", "--size", "128", "--limit", "1"]
    assert stability.main(["--data", str(data), *options]) == 0
    images = len(MOTIONS) * FRAMES
    assert calls == [("w.h5", {"backend": "numpy", "size": 128, "images": images})]


def test_bad_data_costs_a_sentence(tmp_path, data, capsys):
    assert stability.main(["--data", str(tmp_path / "none")]) == 1
    assert "there is no such folder" in capsys.readouterr().err
    (data / "test" / "mask" / "p000.png").unlink()
    Image.new("RGB", (9, 9)).save(data / "test" / "image" / "p001.jpg")
    assert stability.main(["--data", str(data)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        stability.main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"mmnet-np {__version__}\n"
