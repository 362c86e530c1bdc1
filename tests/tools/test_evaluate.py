"""Evaluation on synthetic portraits: figures, formats, and data that cannot be used."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_model import FakeModel, install
from PIL import Image
from portrait_folder import write_pairs

from mmnet_np import metrics
from mmnet_np._version import __version__
from mmnet_np.dataset import pairs
from mmnet_np.images import open_mask, open_photo
from mmnet_np.model import load
from mmnet_np.tools import evaluate
from mmnet_np.training.stress import CONDITIONS

ROOT = Path(__file__).resolve().parents[2]
KEYS = [
    "mad",
    "mse",
    "sad",
    "gradient_error",
    "alphamatting_gradient",
    "connectivity_error",
    "images",
    "weights",
    "size",
    "refined",
    "refocused",
    "backend",
    "split",
    "seconds",
]


@pytest.fixture
def data(tmp_path):
    """A data set with a test split of 9 and a val split of 2."""
    write_pairs(tmp_path / "data" / "test", 9)
    write_pairs(tmp_path / "data" / "val", 2)
    return tmp_path / "data"


@pytest.fixture
def loads(monkeypatch):
    return install(monkeypatch)[1]


def report(capsys, *arguments):
    assert evaluate.main([*map(str, arguments), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1
    return json.loads(out)


def test_figures_are_means_over_photos(data, loads, capsys):
    found = report(capsys, "--data", data)
    assert list(found) == KEYS
    for name, metric in metrics.METRICS.items():
        each = [
            metric(FakeModel().predict(open_photo(pair.image)), open_mask(pair.mask) / 255)
            for pair in pairs(data, "test")
        ]
        assert found[name] == pytest.approx(np.mean(each), rel=1e-12)
        assert found[name] > 0
    assert (found["images"], found["split"], found["backend"]) == (9, "test", "numpy")
    assert (found["size"], found["weights"]) == (256, "fake")
    assert 0 < found["seconds"] < 60


def test_a_perfect_model_has_no_error(data, monkeypatch, capsys):
    truths = iter([open_mask(pair.mask) for pair in pairs(data, "test")])

    class Perfect(FakeModel):
        def predict(self, image, **options):
            return next(truths).astype(np.float32) / 255

    install(monkeypatch, Perfect())
    found = report(capsys, "--data", data)
    assert all(found[name] < 1e-7 for name in metrics.METRICS)


def test_options_reach_the_model(data, loads, capsys):
    found = report(
        capsys,
        *("--data", data, "--split", "val", "--weights", "w.h5", "--size", "128"),
        *("--backend", "numba", "--threads", "3"),
    )
    assert loads == [
        ("w.h5", {"backend": "numba", "threads": 3, "size": 128, "images": 2}),
    ]
    assert (found["images"], found["split"], found["weights"]) == (2, "val", "w.h5")


@pytest.mark.parametrize("stress", [(), ("--stress",)])
def test_how_the_matte_is_made_reaches_predict(tmp_path, monkeypatch, capsys, stress):
    write_pairs(tmp_path / "test", 1)
    asked = []

    class Remembering(FakeModel):
        def predict(self, image, *, refine=True, refocus=False):
            asked.append((refine, refocus))
            return np.zeros((image.height, image.width) if not stress else image.shape[:2])

    install(monkeypatch, Remembering())
    for options, expected in [([], (True, False)), (["--no-refine", "--refocus"], (False, True))]:
        found = report(capsys, "--data", tmp_path, *stress, *options)
        assert (found["refined"], found["refocused"]) == expected
        assert set(asked) == {expected}
        asked.clear()


def test_limit_takes_the_first(data, loads, capsys):
    assert report(capsys, "--data", data, "--limit", 4)["images"] == 4
    assert report(capsys, "--data", data, "--limit", 400)["images"] == 9


def test_a_folder_that_is_a_split_itself(data, loads, capsys):
    assert report(capsys, "--data", data / "val")["images"] == 2


def test_the_table_shows_the_same(data, loads, capsys):
    expected = report(capsys, "--data", data)
    assert evaluate.main(["--data", str(data)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == KEYS
    values = dict(rows)
    assert float(values["mad"]) == pytest.approx(expected["mad"], rel=1e-5)
    assert values["images"] == "9"


def test_the_columns_of_the_table_are_aligned(data, loads, capsys):
    assert evaluate.main(["--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    width = max(map(len, KEYS))
    assert all(line[width : width + 2] == "  " and line[width + 2] != " " for line in lines)


def test_all_problems_are_told_before_anything_is_computed(data, loads, capsys):
    root = data / "test"
    (root / "mask" / "p001.png").unlink()
    Image.new("L", (9, 9)).save(root / "mask" / "p003.png")
    (root / "image" / "p005.jpg").write_bytes(b"")
    assert evaluate.main(["--data", str(data)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 3
    for name, line in zip(("p001", "p003", "p005"), lines, strict=True):
        assert line.startswith(f"evaluate: {root / 'image' / name}.jpg: ")
    assert not loads


def test_photos_too_small_for_the_gradient_are_a_problem(data, loads, capsys):
    Image.new("RGB", (8, 60)).save(data / "val" / "image" / "p000.jpg")
    Image.new("L", (8, 60)).save(data / "val" / "mask" / "p000.png")
    assert evaluate.main(["--data", str(data), "--split", "val"]) == 1
    assert "p000.jpg: is 8 x 60, less than 9 pixels a side" in capsys.readouterr().err


def test_a_photo_that_breaks_off_stops_all(data, loads, capsys):
    path = data / "test" / "image" / "p004.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    assert evaluate.main(["--data", str(data)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"evaluate: {path}: is damaged or truncated")
    assert len(err.splitlines()) == 1


def test_data_that_is_not_there(tmp_path, loads, capsys):
    assert evaluate.main(["--data", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"evaluate: {tmp_path / 'none'}: there is no such folder\n"


@pytest.mark.parametrize(
    "arguments",
    [[], ["--data"], ["--data", "x", "--limit", "0"], ["--data", "x", "--backend", "cuda"]],
)
def test_wrong_options_are_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_sheet_shows_the_worst_and_the_median(tmp_path, monkeypatch, capsys):
    write_pairs(tmp_path / "test", 15)
    asked = []

    class Remembering(FakeModel):
        def predict(self, image, **options):
            asked.append(image.tobytes())
            return super().predict(image, **options)

    install(monkeypatch, Remembering())
    sheet = tmp_path / "sheet.png"
    report(capsys, "--data", tmp_path, "--sheet", sheet)
    mads = []
    for pair in pairs(tmp_path):
        photo = open_photo(pair.image)
        truth = open_mask(pair.mask) / 255
        mads.append((metrics.mad(FakeModel().predict(photo), truth), photo.tobytes()))
    mads.sort(reverse=True)
    # 15 in order of MAD: the 6 worst, and of the 6 in the middle those that are not among them.
    shown = [mads[index][1] for index in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert asked[15:] == shown
    with Image.open(sheet) as image:
        assert image.width > 3 * 240
        assert image.height > 10 * 240


def test_an_existing_sheet_is_kept_unless_asked(data, loads, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"precious")
    arguments = ["--data", str(data), "--sheet", str(sheet)]
    assert evaluate.main(arguments) == 1
    assert "sheet.png: exists" in capsys.readouterr().err
    assert sheet.read_bytes() == b"precious"
    assert not loads  # said before the work, not after it
    assert evaluate.main([*arguments, "--overwrite"]) == 0
    assert Image.open(sheet).format == "PNG"


def test_ctrl_c_is_no_traceback(data, monkeypatch, capsys):
    class Interrupted(FakeModel):
        def predict(self, image, **options):
            raise KeyboardInterrupt

    install(monkeypatch, Interrupted())
    assert evaluate.main(["--data", str(data)]) == 130
    assert capsys.readouterr() == ("", "")


def run(*arguments):
    command = [sys.executable, "-m", "mmnet_np.tools.evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=120, check=False, cwd=ROOT)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_answer_at_once(option):
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = run(option)
        seconds.append(time.monotonic() - start)
        assert done.returncode == 0
    assert (__version__ if option == "--version" else "--sheet").encode() in done.stdout
    assert min(seconds) < 0.3


def test_the_real_command(data, weights_file, tmp_path):
    done = run(
        *("--data", data, "--weights", weights_file, "--size", 128, "--backend", "numpy"),
        *("--limit", 3, "--sheet", tmp_path / "sheet.jpg", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    found = json.loads(done.stdout)
    assert (found["images"], found["size"], found["backend"]) == (3, 128, "numpy")
    assert found["weights"] == str(weights_file)
    assert 0 < found["mad"] < 1
    assert Image.open(tmp_path / "sheet.jpg").format == "JPEG"


def test_evaluate_is_predict_and_metric(data, weights_file):
    model = load(weights_file, backend="numpy")
    chosen = pairs(data)[:2]
    ours = evaluate.evaluate(model, chosen)
    for pair, value in zip(chosen, ours["mad"], strict=True):
        alpha = model.predict(open_photo(pair.image))
        assert value == metrics.mad(alpha, open_mask(pair.mask) / 255)


def test_stress_reports_mad_by_condition(tmp_path, weights_file, capsys):
    write_pairs(tmp_path / "test", 2)
    arguments = ["--data", str(tmp_path), "--weights", str(weights_file), "--backend", "numpy"]
    assert evaluate.main([*arguments, "--stress", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["stress"]) == set(CONDITIONS)
    assert report["stress"]["plain"] == pytest.approx(report["stress"]["scale 1.0"])
    assert evaluate.main([*arguments, "--json"]) == 0
    assert report["stress"]["plain"] == json.loads(capsys.readouterr().out)["mad"]
