"""The quantize command: what it writes, what it prints, and what it says of bad input."""

import json

import numpy as np
import pytest
from portrait_folder import write_pairs
from random_weights import random_int8_weights, random_weights

import mmnet_np
from mmnet_np.graph import Filtered, build
from mmnet_np.images import open_photo
from mmnet_np.spec import Spec
from mmnet_np.tools import quantize
from mmnet_np.weights import store

SPEC = Spec(0.5, 32)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "float.h5"
    store.save(path, random_weights(SPEC))
    return path


@pytest.fixture
def photos(tmp_path):
    write_pairs(tmp_path / "photos" / "train", 6)
    return tmp_path / "photos"


def run(source, photos, target, *options):
    return quantize.main(
        [str(source), "--calibrate", str(photos), "-o", str(target), "--quiet", *options]
    )


def test_a_weights_file_that_runs_and_says_where_it_comes_from(source, photos, tmp_path, capsys):
    target = tmp_path / "int8.h5"
    assert run(source, photos, target) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{target}: int8, from 6 photos"
    given, stored = store.load(source), store.load(target)
    assert (stored.name, stored.dtype) == ("random-0.50-32-int8", "int8")
    assert (stored.spec, stored.licence) == (given.spec, given.licence)
    kept = stored.provenance
    assert kept["made_by"] == "tests"
    assert kept["quantized_from"] == "random-0.50-32"
    assert kept["quantized_digest"] == store.digest(given.tensors, given.spec)
    assert (kept["observer"], kept["calibration_photos"]) == ("mse", 6)
    model = mmnet_np.load(target, dtype="int8", backend="numpy")
    photo = open_photo(photos / "train" / "image" / "p000.jpg")
    exact = mmnet_np.load(source, backend="numpy").predict(photo)
    assert np.abs(model.predict(photo) - exact).mean() < 0.05


@pytest.mark.parametrize("observer", quantize.OBSERVER_NAMES)
def test_json_tells_every_layer(source, photos, tmp_path, capsys, observer):
    target = tmp_path / "int8.h5"
    assert run(source, photos, target, "--json", "--observer", observer, "--limit", "2") == 0
    report = json.loads(capsys.readouterr().out)
    layers = [layer for layer in build(SPEC) if isinstance(layer, Filtered)]
    assert [row["name"] for row in report["layers"]] == [layer.name for layer in layers]
    stored = store.load(target)
    for layer, row in zip(layers, report["layers"], strict=True):
        scale = stored.tensors[layer.quantized_name("output_scale")][0]
        assert row["scale"] == float(scale)
        assert row["zero_point"] == stored.tensors[layer.quantized_name("output_zero_point")][0]
        assert not layer.relu6 or (scale, row["zero_point"]) == (np.float32(6 / 255), -128)
        assert row["sqnr"] > 10
    assert 0 < report["alpha_difference"] < 0.05
    assert (report["observer"], report["photos"]) == (observer, 2)
    assert stored.provenance["observer"] == observer


def test_observers_differ(photos, tmp_path):
    source = tmp_path / "large.h5"
    store.save(source, random_weights(Spec(0.5, 128)))  # more values, so that some are outliers
    found = set()
    for observer in quantize.OBSERVER_NAMES:
        assert run(source, photos, tmp_path / f"{observer}.h5", "--observer", observer) == 0
        tensors = store.load(tmp_path / f"{observer}.h5").tensors
        found.add(tuple(float(tensors[n][0]) for n in sorted(tensors) if n.endswith("put_scale")))
    assert len(found) == 3


def test_the_table_has_a_line_a_layer(source, photos, tmp_path, capsys):
    assert run(source, photos, tmp_path / "a.h5", "--name", "mine") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + sum(isinstance(layer, Filtered) for layer in build(SPEC)) + 2
    assert lines[1].split()[:3] == ["init_block/conv", "0.023529", "-128"]
    assert float(lines[1].split()[3]) > 30
    assert store.load(tmp_path / "a.h5").name == "mine"


def test_an_existing_file_is_kept(source, photos, tmp_path, capsys):
    target = tmp_path / "int8.h5"
    target.write_text("precious")
    assert run(source, photos, target) == 1
    assert target.read_text() == "precious"
    assert capsys.readouterr().err == (
        f"quantize: {target} exists; give --overwrite to replace it\n"
    )
    assert run(source, photos, target, "--overwrite") == 0
    assert store.load(target).dtype == "int8"


def spoil_empty(tmp_path, source, photos):
    (tmp_path / "empty").mkdir()
    return source, tmp_path / "empty", f"{tmp_path / 'empty'}: there is no photo in it"


def spoil_missing(tmp_path, source, photos):
    return source, tmp_path / "none", f"{tmp_path / 'none'}: there is no such folder"


def spoil_photo(tmp_path, source, photos):
    bad = photos / "train" / "image" / "p001.jpg"
    bad.write_bytes(b"no photo")
    return source, photos, str(bad)


def spoil_truncated(tmp_path, source, photos):
    bad = photos / "train" / "image" / "p001.jpg"
    bad.write_bytes(bad.read_bytes()[:400])
    return source, photos, str(bad)


def spoil_int8(tmp_path, source, photos):
    store.save(tmp_path / "int8.h5", random_int8_weights(SPEC))
    return tmp_path / "int8.h5", photos, "holds int8 weights; only float32 ones can be quantized"


def spoil_overflow(tmp_path, source, photos):
    weights = random_weights(SPEC)
    weights.tensors["MMNet/enc_block0/merge/pointwise_conv/BatchNorm/gamma"][...] = 1e38
    store.save(source, weights)
    return source, photos, "overflow"


def spoil_norm(tmp_path, source, photos):
    weights = random_weights(SPEC)
    weights.tensors["MMNet/init_block/conv/BatchNorm/moving_variance"][0] = -1
    store.save(source, weights)
    return source, photos, "batch norm of init_block/conv is impossible"


def spoil_width(tmp_path, source, photos):
    weights = random_weights(SPEC)
    store.save(source, store.Weights(**{**vars(weights), "spec": Spec(1.0, 32).as_dict()}))
    return source, photos, "of another shape"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_empty, spoil_missing, spoil_photo, spoil_truncated, spoil_int8, spoil_overflow,
        spoil_norm, spoil_width,
    ],
)  # fmt: skip
def test_one_sentence_and_no_file(tmp_path, source, photos, capsys, spoil):
    *arguments, words = spoil(tmp_path, source, photos)
    assert run(*arguments, tmp_path / "out.h5") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("quantize: ")
    assert output.err.count("\n") == 1
    assert words in output.err
    assert not (tmp_path / "out.h5").exists()


def test_calibration_data_are_required(source, tmp_path, capsys):
    with pytest.raises(SystemExit):
        quantize.main([str(source), "-o", str(tmp_path / "out.h5")])
    assert "--calibrate" in capsys.readouterr().err
