"""The command: its modes, its tables, its exit codes."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from random_weights import random_int8_weights, random_weights

from mmnet_np import model
from mmnet_np.graph import build
from mmnet_np.kernels import jit
from mmnet_np.spec import Spec
from mmnet_np.tools import export_tflite, verify
from mmnet_np.verification import digests, subject
from mmnet_np.verification.subject import Subject
from mmnet_np.weights import store

SPEC = Spec(0.5, 32)
SOFTMAX = "final_block/softmax"


@pytest.fixture(autouse=True)
def litert(request, monkeypatch):
    """Only one test waits for TensorFlow Lite."""
    if request.function is not test_all_is_well:
        monkeypatch.setattr(subject, "has_litert", lambda: False)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.h5"
    store.save(path, random_int8_weights(SPEC))
    return str(path)


@pytest.fixture
def broken(monkeypatch):
    """The last backend holds a wrong entry of the softmax table."""
    make = Subject.__init__

    def init(self, *arguments):
        make(self, *arguments)
        prepared = self.backends[-1].engine.prepared
        (table,) = prepared[SOFTMAX]
        prepared[SOFTMAX] = (table.copy(),)
        prepared[SOFTMAX][0][7, 9] -= 5

    monkeypatch.setattr(Subject, "__init__", init)


def test_all_is_well(weights, capsys):
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    assert verify.main([weights]) == 0
    out = capsys.readouterr().out
    assert out.startswith("random-0.50-32-int8: int8, double rounding\n")
    verdicts = re.findall(r"^no mismatch in ([\d,]+) values$", out, re.MULTILINE)
    tables = re.findall(r"^(numpy|the file's integers) with .*$", out, re.MULTILINE)
    assert len(verdicts) == len(tables) == 2 + jit.has_numba()
    assert "numpy with TensorFlow Lite's reference kernels" in out
    assert all(int(count.replace(",", "")) > 100_000 for count in verdicts)
    assert re.search(r"^enc_block3 +[\d,]+ +0 +0$", out, re.MULTILINE)
    assert "enc_block3/merge" not in out


@pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
def test_a_line_for_each_layer(weights, capsys):
    assert verify.main([weights, "--layers"]) == 0
    tables = capsys.readouterr().out.split("\n\n")
    (table,) = [text for text in tables if text.startswith("numpy with numba\n")]
    for layer in build(SPEC):
        assert re.search(rf"^{layer.name} +[\d,]+ +0 +0$", table, re.MULTILINE)


def test_a_fault(weights, broken, capsys):
    assert verify.main([weights]) == 1
    out = capsys.readouterr().out
    row = re.search(rf"^{SOFTMAX} +[\d,]+ +1 +5  (.*)$", out, re.MULTILINE)
    assert re.fullmatch(r"table \[7, 9\]: -?\d+ for -?\d+", row[1])
    assert re.search(rf"^1 mismatches in [\d,]+ values; at fault: {SOFTMAX}$", out, re.MULTILINE)


def test_a_fault_as_json(weights, broken, capsys):
    assert verify.main([weights, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["weights"], found["dtype"]) == ("random-0.50-32-int8", "int8")
    held, *others = found["comparisons"]
    assert held["culprits"] == [SOFTMAX] and held["mismatches"] == 1
    row = next(row for row in held["layers"] if row["name"] == SOFTMAX)
    assert row["largest"] == 5 and row["culprit"]
    assert row["first"]["where"] == "table" and row["first"]["position"] == [7, 9]
    assert others and [layer["name"] for layer in others[0]["layers"]] == [
        layer.name for layer in build(SPEC)
    ]


def test_float32_and_single_rounding(weights, tmp_path, capsys):
    assert verify.main([weights]) == 0
    assert (
        "not compared: TensorFlow Lite: pip install 'mmnet-np[tflite]'" in capsys.readouterr().out
    )
    assert verify.main([weights, "--rounding", "single"]) == 0
    assert "not compared: TensorFlow Lite: it rounds twice" in capsys.readouterr().out
    store.save(tmp_path / "f.h5", random_weights(SPEC))
    assert verify.main([str(tmp_path / "f.h5"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["dtype"] == "float32" and found["comparisons"]
    assert verify.main([str(tmp_path / "f.h5"), "--digest"]) == 2
    assert verify.main([str(tmp_path / "f.h5"), "--rounding", "single"]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_photos_of_ones_own(weights, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    assert verify.main([weights, "--images", str(folder)]) == 1
    assert verify.main([weights, "--images", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.count("\n") == 2
    random = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(random).save(folder / "me.png")
    (folder / "notes.txt").write_text("no photo")
    values = []
    for options in ([], ["--images", str(folder)]):
        assert verify.main([weights, "--json", *options]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        values.append(found["comparisons"][-1]["layers"][0]["values"])
    assert values[1] - values[0] in (0, 32 * 32 * 3)
    (folder / "bad.jpg").write_text("no photo either")
    assert verify.main([weights, "--images", str(folder)]) == 1
    assert "bad.jpg" in capsys.readouterr().err


def test_against_a_model_a_dump_and_digests(weights, tmp_path, capsys):
    dump, table, tflite = tmp_path / "d.h5", tmp_path / "d.json", tmp_path / "d.tflite"
    assert verify.main([weights, "--dump", str(dump)]) == 0
    size = dump.stat().st_size
    assert capsys.readouterr().out == f"{dump}: random-0.50-32-int8, {size:,} bytes\n"
    assert verify.main([weights, "--digest", "--json"]) == 0
    table.write_text(capsys.readouterr().out)
    assert export_tflite.main([weights, str(tflite)]) == 0
    for path in (dump, table, tflite):
        assert verify.main([weights, "--against", str(path)]) == 0
        assert "no mismatch in" in capsys.readouterr().out
    other = random_int8_weights(SPEC, seed=1)
    store.save(tmp_path / "other.h5", other)
    for path, code in ((dump, 1), (table, 1), (tflite, 1), (tmp_path / "nowhere", 1)):
        assert verify.main([str(tmp_path / "other.h5"), "--against", str(path)]) == code
    assert verify.main([weights, "--against", __file__]) == 1
    assert "it is no JSON" in capsys.readouterr().err


def test_a_dump_is_not_overwritten(weights, tmp_path, capsys):
    (tmp_path / "d.h5").write_text("precious")
    assert verify.main([weights, "--dump", str(tmp_path / "d.h5")]) == 1
    assert (tmp_path / "d.h5").read_text() == "precious"
    assert verify.main([weights, "--dump", str(tmp_path / "d.h5"), "--overwrite"]) == 0
    assert verify.main([weights, "--dump", str(tmp_path / "no" / "d.h5")]) == 1


def test_digests_as_sha256sum_prints_them(weights, tmp_path, capsys):
    assert verify.main([weights, "--digest"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "# random-0.50-32-int8, 32 x 32, double"
    assert all(re.fullmatch(r"[0-9a-f]{64}  [\w/]+( \(integers\))?", line) for line in lines)
    assert lines[0].endswith("  input") and lines[-2].endswith(f"  {SOFTMAX}")


def test_digests_of_backends_that_differ(weights, broken, capsys):
    assert verify.main([weights, "--digest"]) == 1
    assert "differ" in capsys.readouterr().err


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A package with one int8 model and no golden digests yet."""
    spec = Spec(0.5, 32)
    stored = random_int8_weights(spec)
    folder = tmp_path / "package"
    (folder / "pretrained").mkdir(parents=True)
    monkeypatch.setattr(model, "SHIPPED", ("a-float32", stored.name))
    monkeypatch.setattr(store, "__file__", str(folder / "store.py"))
    monkeypatch.setattr(digests, "GOLDEN", folder / "golden.json")
    store.save(folder / "pretrained" / f"{stored.name}.h5", stored)
    return folder


def test_golden(shipped, capsys):
    assert verify.main(["--golden"]) == 1
    assert capsys.readouterr().err == (
        "verify: this version has no golden digests of random-0.50-32-int8\n"
    )
    assert verify.main(["--digest", "--json"]) == 0
    (shipped / "golden.json").write_text(capsys.readouterr().out)
    assert verify.main(["--golden"]) == 0
    out = capsys.readouterr().out
    assert out.count("no mismatch in 233 values") == len(
        Subject(random_int8_weights(SPEC)).backends
    )
    assert verify.main(["random-0.50-32-int8", "--golden"]) == 0
    # Without a name and an option, what the package has is verified.
    capsys.readouterr()
    assert verify.main([]) == 0
    assert capsys.readouterr().out.startswith("random-0.50-32-int8: int8")


def test_golden_finds_a_fault(shipped, broken, capsys):
    stored = random_int8_weights(SPEC)
    good = Subject.digests(Subject(stored))[0]
    (shipped / "golden.json").write_text(digests.digests({stored.name: good}))
    assert verify.main(["--golden"]) == 1
    assert f"at fault: {SOFTMAX}" in capsys.readouterr().out


def test_nothing_ships(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(store, "__file__", str(tmp_path / "store.py"))
    for options in ([], ["--golden"], ["--digest"]):
        assert verify.main(options) == 1
        assert "not in this copy of the package" in capsys.readouterr().err


def test_options_that_do_not_go_together(weights):
    for options in (["--digest", "--golden"], ["--dump", "x", "--against", "y"]):
        with pytest.raises(SystemExit) as stopped:
            verify.main([weights, *options])
        assert stopped.value.code == 2
