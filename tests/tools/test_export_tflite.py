"""The command that writes TensorFlow Lite models, and the one that reads them back."""

import numpy as np
import pytest
from random_weights import random_int8_weights, random_weights

from mmnet_np.model import Matting
from mmnet_np.spec import Spec
from mmnet_np.tools import convert, export_tflite
from mmnet_np.weights import store


@pytest.fixture(params=[random_weights, random_int8_weights], ids=["float32", "int8"])
def weights(request, tmp_path):
    """A weights file, and what is in it."""
    given = request.param(Spec(0.5, 128))
    store.save(tmp_path / "a.h5", given)
    return tmp_path / "a.h5", given


def test_there_and_back(weights, tmp_path, capsys):
    source, given = weights
    model, back = tmp_path / "a.tflite", tmp_path / "b.h5"
    assert export_tflite.main([str(source), str(model)]) == 0
    size = model.stat().st_size
    assert capsys.readouterr().out == (
        f"{model}: {given.name}, {given.dtype}, input 128 x 128, {size:,} bytes\n"
    )
    assert convert.main([str(model), str(back)]) == 0
    found = store.load(back)
    assert (found.name, found.dtype, found.spec) == (given.name, given.dtype, given.spec)
    assert found.licence == given.licence
    assert found.provenance == {**given.provenance, "converted_from": "a.tflite"}
    if given.dtype == "int8":
        assert store.digest(found.tensors, found.spec) == store.digest(given.tensors, given.spec)
    else:
        x = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)
        alphas = [Matting(each, backend="numpy").forward(x) for each in (given, found)]
        assert alphas[0].tobytes() == alphas[1].tobytes()


def test_size_and_options_of_convert(weights, tmp_path):
    source, _ = weights
    model, back = tmp_path / "a.tflite", tmp_path / "b.h5"
    assert export_tflite.main([str(source), str(model), "--size", "48"]) == 0
    options = ["--name", "mine", "--size", "64", "--licence", "CC0", "--width", "0.5"]
    assert convert.main([str(model), str(back), *options]) == 0
    found = store.load(back)
    assert (found.name, found.spec["size"], found.licence) == ("mine", 64, "CC0")
    assert convert.main([str(model), str(back), "--width", "1.0", "--overwrite"]) == 1
    assert convert.main([str(model), str(back), "--variant", "no-dilation", "--overwrite"]) == 1
    assert store.load(back).name == "mine"


def test_existing_target_is_kept(weights, tmp_path, capsys):
    target = tmp_path / "a.tflite"
    target.write_text("precious")
    assert export_tflite.main([str(weights[0]), str(target)]) == 1
    assert target.read_text() == "precious"
    assert capsys.readouterr().err == (
        f"export_tflite: {target} exists; give --overwrite to replace it\n"
    )
    assert export_tflite.main([str(weights[0]), str(target), "--overwrite"]) == 0
    assert target.read_bytes()[4:8] == b"TFL3"


def test_failure_leaves_nothing(tmp_path, capsys):
    for name, code in (("missing.h5", 1), ("a.h5", 2)):
        store.save(tmp_path / "a.h5", random_weights())
        arguments = [str(tmp_path / name), str(tmp_path / "m.tflite"), "--size", "50"]
        assert export_tflite.main(arguments) == code
        assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
        assert capsys.readouterr().err.count("\n") == 1
