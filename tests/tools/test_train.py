"""The train command on a folder of drawn portraits: resume, kill, bad data, what it leaves."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from portrait_folder import write_pairs

import mmnet_np
from mmnet_np.dataset import pairs
from mmnet_np.kernels import jit
from mmnet_np.tools import train
from mmnet_np.tools.evaluate import evaluate
from mmnet_np.training import run
from mmnet_np.training.run import Run
from mmnet_np.weights import store

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not jit.has_numba(), reason="Numba is not installed: training needs it"
)

SMALL = ["--width", "0.25", "--size", "32", "--batch", "4", "--epochs", "3", "--quiet"]


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    write_pairs(folder / "train", 24)
    write_pairs(folder / "val", 3)
    return folder


def command(portraits, out, *options):
    return ["--data", str(portraits), "--out", str(out), *SMALL, *options]


@pytest.fixture(scope="module")
def finished(portraits, tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train.main(command(portraits, out)) == 0
    return out


def test_leaves_weights_log_and_pictures(finished):
    left = {path.name for path in finished.iterdir()}
    assert left == {
        "best.h5", "last.h5", "log.csv", "curves.png", "mattes.png", "run.json", "state.npz",
    }  # fmt: skip
    with (finished / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["loss"]) > 0 for row in rows)
    model = mmnet_np.load(finished / "best.h5", backend="numpy")
    assert (model.name, model.width, model.size) == ("mmnet-0.25-32", 0.25, 32)
    stored = store.load(finished / "last.h5")
    # 24 photos are shown three times an epoch, for 16 batches of 4 at least.
    assert stored.provenance["steps"] == 3 * (24 * 3 // 4)
    assert stored.provenance["settings"]["seed"] == 0
    assert len(stored.provenance["epochs"]["mad"]) == 3
    assert stored.provenance["epochs"]["mad"][-1] == pytest.approx(float(rows[-1]["mad"]), rel=1e-3)


def test_another_run_gives_the_same_bits_whatever_the_threads(portraits, finished, tmp_path):
    assert train.main(command(portraits, tmp_path / "again", "--threads", "1")) == 0
    first, second = (store.load(folder / "last.h5") for folder in (finished, tmp_path / "again"))
    assert all(
        first.tensors[name].tobytes() == second.tensors[name].tobytes() for name in first.tensors
    )


def test_killed_in_the_middle_and_resumed_gives_the_same_bits(portraits, finished, tmp_path):
    out = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "mmnet_np.tools.train", *command(portraits, out)], cwd=ROOT
    )
    deadline = time.monotonic() + 120
    while not (out / "state.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # somewhere in the second epoch
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "state.npz").exists()
    assert train.main(command(portraits, out, "--resume")) == 0
    first, second = (store.load(folder / "last.h5") for folder in (finished, out))
    assert all(
        first.tensors[name].tobytes() == second.tensors[name].tobytes() for name in first.tensors
    )
    logs = [(folder / "log.csv").read_text().splitlines() for folder in (finished, out)]
    without_seconds = [[line.rsplit(",", 1)[0] for line in log] for log in logs]
    assert without_seconds[0] == without_seconds[1]


def test_a_finished_run_resumed_does_nothing(portraits, finished):
    before = (finished / "state.npz").stat().st_mtime_ns
    assert train.main(command(portraits, finished, "--resume")) == 0
    assert (finished / "state.npz").stat().st_mtime_ns == before


def test_a_run_is_not_begun_over(portraits, finished, capsys):
    assert train.main(command(portraits, finished)) == 2
    assert capsys.readouterr().err == (
        f"train: {finished} holds a run already: give --resume to go on with it\n"
    )


@pytest.mark.parametrize(
    ("option", "value"), [("--rate", "0"), ("--rate", "nan"), ("--dropout", "1"), ("--seed", "-1")]
)
def test_settings_out_of_range_are_refused(portraits, tmp_path, capsys, option, value):
    assert train.main(command(portraits, tmp_path / "run", option, value)) == 2
    assert "it must be" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_rate_dropout_and_augmentation_are_kept_for_resuming(portraits, finished, tmp_path):
    out = tmp_path / "run"
    options = ("--rate", "0.002", "--dropout", "0.1", "--augment", "paper")
    assert train.main(command(portraits, out, *options)) == 0
    settings = Run(out).settings()
    assert (settings.rate, settings.dropout) == (0.002, 0.1)
    assert settings.the_recipe().rate(0, 1) == 0.002
    assert settings.the_recipe().augment == "paper"
    others = store.load(finished / "last.h5").tensors
    mine = store.load(out / "last.h5").tensors
    assert any((mine[name] != others[name]).any() for name in mine)


def test_nothing_to_resume(portraits, tmp_path, capsys):
    assert train.main(command(portraits, tmp_path / "none", "--resume")) == 2
    assert capsys.readouterr().err == f"train: {tmp_path / 'none'} holds no run to resume\n"


@pytest.mark.parametrize("damage", [b"", b"rubbish", "half"])
def test_a_damaged_state_is_one_sentence(portraits, finished, tmp_path, capsys, damage):
    out = tmp_path / "damaged"
    out.mkdir()
    for name in ("run.json", "state.npz"):
        (out / name).write_bytes((finished / name).read_bytes())
    whole = (out / "state.npz").read_bytes()
    (out / "state.npz").write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    assert train.main(command(portraits, out, "--resume")) == 1
    assert capsys.readouterr().err == f"train: {out / 'state.npz'} is damaged\n"


def test_bad_data_are_listed_before_training(tmp_path, capsys):
    write_pairs(tmp_path / "train", 6)
    images, masks = tmp_path / "train" / "image", tmp_path / "train" / "mask"
    names = sorted(path.stem for path in images.iterdir())
    (masks / f"{names[0]}.png").unlink()
    photo = next(images.glob(f"{names[1]}.*"))
    photo.write_bytes(b"no photo")
    assert train.main(command(tmp_path, tmp_path / "run")) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "is missing" in errors[0] + errors[1]
    assert not (tmp_path / "run").exists()


def test_fine_tuning_from_weights_without_a_validation_split(finished, tmp_path):
    write_pairs(tmp_path / "train", 12)
    out = tmp_path / "tuned"
    assert train.main(
        ["--data", str(tmp_path), "--out", str(out), "--init", str(finished / "best.h5"),
         "--width", "0.25", "--size", "32", "--batch", "4", "--epochs", "1", "--quiet"]
    ) == 0  # fmt: skip
    tuned, origin = store.load(out / "best.h5"), store.load(finished / "best.h5")
    assert tuned.provenance["settings"]["recipe"] == "finetune"
    # Where the weights come from is kept, but no folder of whoever trained them.
    assert tuned.provenance["settings"]["init"] == "best.h5"
    assert tuned.provenance["started_from"] == {
        "name": "mmnet-0.25-32",
        "digest": store.digest(origin.tensors, origin.spec),
        "provenance": origin.provenance,
    }


def test_a_long_history_fits_into_the_file():
    history = [
        {"epoch": k + 1, "loss": 1 / 3, "mad": 2 / 3, "gradient_error": 1 / 300}
        for k in range(4000)
    ]
    columns = run._columns(history)
    assert len(json.dumps(columns)) < run._LONG_PROVENANCE["float32"] / 2
    assert columns["epoch"][-1] == 4000
    assert run._columns(history[:3])["epoch"] == [1, 2, 3]
    assert run._columns([]) == {"epoch": [], "loss": [], "mad": [], "gradient_error": []}


def test_init_of_another_width_is_refused(portraits, finished, tmp_path, capsys):
    code = train.main(
        ["--data", str(portraits), "--out", str(tmp_path / "r"), "--init",
         str(finished / "best.h5"), "--width", "0.5", "--size", "32", "--batch", "4"]
    )  # fmt: skip
    assert code == 1
    assert "shape" in capsys.readouterr().err


QUANTIZE = ["--width", "0.25", "--size", "32", "--batch", "4", "--epochs", "2", "--quiet",
            "--recipe", "quantize", "--init"]  # fmt: skip


def quantizing(portraits, out, init, *options):
    return ["--data", str(portraits), "--out", str(out), *QUANTIZE, str(init), *options]


@pytest.fixture(scope="module")
def quantized(portraits, finished, tmp_path_factory):
    """A run of quantization-aware training from the weights of the finished one."""
    out = tmp_path_factory.mktemp("runs") / "quantized"
    assert train.main(quantizing(portraits, out, finished / "best.h5")) == 0
    return out


def test_quantizing_leaves_int8_weights_and_the_figures_of_the_int8_network(
    portraits, finished, quantized
):
    stored, origin = store.load(quantized / "best.h5"), store.load(finished / "best.h5")
    told = stored.provenance["started_from"]
    assert told["digest"] == store.digest(origin.tensors, origin.spec)
    assert len(json.dumps(told)) < 1_200  # an int8 file is to stay small
    assert (stored.name, stored.dtype) == ("mmnet-0.25-32-int8", "int8")
    assert stored.provenance["settings"]["recipe"] == "quantize"
    with (quantized / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    model = mmnet_np.load(quantized / "last.h5", dtype="int8", backend="numpy")
    figures = evaluate(model, pairs(portraits, "val"), metrics=["mad"], refine=False)
    assert float(rows[-1]["mad"]) == np.mean(figures["mad"])  # both backends give the same bits


def test_quantizing_interrupted_and_resumed_gives_the_same_bits(
    portraits, finished, quantized, tmp_path, monkeypatch
):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    out = tmp_path / "interrupted"
    with monkeypatch.context() as patched:
        patched.setattr(train, "_pictures", interrupt)  # after the first epoch is saved
        assert train.main(quantizing(portraits, out, finished / "best.h5")) == 130
    assert len((out / "log.csv").read_text().splitlines()) == 2
    assert train.main(quantizing(portraits, out, finished / "best.h5", "--resume")) == 0
    first, second = (store.load(folder / "last.h5") for folder in (quantized, out))
    assert first.tensors.keys() == second.tensors.keys()
    assert all(
        first.tensors[name].tobytes() == second.tensors[name].tobytes() for name in first.tensors
    )


def test_what_quantizing_cannot_start_from(portraits, finished, quantized, tmp_path, capsys):
    out = tmp_path / "run"
    assert train.main(command(portraits, out, "--recipe", "quantize")) == 2
    assert train.main(quantizing(portraits, out, quantized / "best.h5")) == 1
    options = "--dropout", "0.1"
    assert train.main(quantizing(portraits, out, finished / "best.h5", *options)) == 2
    assert train.main(quantizing(portraits, out, finished / "best.h5", "--width", "3")) == 2
    assert train.main(command(portraits, out, "--init", str(quantized / "best.h5"))) == 1
    assert not out.exists()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "train: the recipe quantize starts from trained weights: give --init"
    refused = (
        f"train: {quantized / 'best.h5'} holds int8 weights; training starts from float32 ones"
    )
    assert lines[1] == lines[4] == refused
    assert lines[2] == "train: dropout is 0.1; the recipe quantize has none"
    assert "below 2**24" in lines[3]
    assert len(lines) == 5


def test_learning_happens(portraits, tmp_path):
    """On four times the epochs the loss goes well down."""
    out = tmp_path / "learns"
    options = [o if o != "3" else "12" for o in SMALL]
    assert train.main(["--data", str(portraits), "--out", str(out), *options]) == 0
    with (out / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-2:]) < 0.6 * losses[0]


def test_ctrl_c_ends_quietly(portraits, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "mmnet_np.tools.train", "--data", str(portraits), "--out",
         str(tmp_path / "run"), "--width", "0.25", "--size", "32", "--batch", "4", "--epochs",
         "500"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "state.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
