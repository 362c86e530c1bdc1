"""An int8 model through the same API as a float32 one."""

import tracemalloc

import numpy as np
import pytest
from random_weights import random_weights

import mmnet_np
from mmnet_np.errors import ImageError, OptionError, WeightsError
from mmnet_np.graph import build
from mmnet_np.kernels import jit
from mmnet_np.preprocess import network_input
from mmnet_np.spec import Spec
from mmnet_np.weights import store

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")
BACKENDS = ["numpy", pytest.param("numba", marks=needs_numba)]


@pytest.fixture(scope="module")
def model(int8_weights_file):
    return mmnet_np.load(int8_weights_file, backend="numpy")


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_says_what_was_loaded(int8_weights_file, model):
    assert (model.name, model.dtype, model.rounding) == ("random-0.50-256-int8", "int8", "double")
    assert repr(model) == "<Matting random-0.50-256-int8: width 0.5, size 256, int8, numpy>"
    assert mmnet_np.load(int8_weights_file, dtype="int8").dtype == "int8"
    assert mmnet_np.load(int8_weights_file, rounding="single").rounding == "single"


@pytest.mark.parametrize("backend", BACKENDS)
def test_forward_takes_int8_and_gives_int8(int8_weights_file, model, backend):
    model = mmnet_np.load(int8_weights_file, backend=backend)
    x = np.random.default_rng(0).integers(-128, 128, (3, 32, 48, 3)).astype(np.int8)
    alpha = model.forward(x)
    assert alpha.shape == (3, 32, 48)
    assert alpha.dtype == np.int8
    for one, row in zip(x, alpha, strict=True):
        assert model.forward(one[None])[0].tobytes() == row.tobytes()


@needs_numba
@pytest.mark.parametrize("rounding", ["double", "single"])
def test_backends_and_threads_give_the_same_bits(int8_weights_file, rounding):
    x = np.random.default_rng(0).integers(-128, 128, (1, 96, 64, 3)).astype(np.int8)
    expected = mmnet_np.load(int8_weights_file, backend="numpy", rounding=rounding).forward(x)
    for threads in (1, 2, 3):
        model = mmnet_np.load(
            int8_weights_file, backend="numba", threads=threads, rounding=rounding
        )
        assert (model.forward(x) == expected).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_photo_of_the_networks_size_becomes_itself_minus_128(int8_weights_file, backend):
    """All 256 values of a channel, and what `predict` then makes of the network's alpha."""
    model = mmnet_np.load(int8_weights_file, backend=backend, size=256)
    pixels = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    seen = []
    forward = model.forward
    model.forward = lambda x: seen.append(x.copy()) or forward(x)
    alpha = model.predict(pixels, refine=False)
    (x,) = seen
    assert x.dtype == np.int8
    assert (x[0].astype(int) == pixels.astype(int) - 128).all()
    q = forward(x)[0].astype(int)
    assert np.abs(alpha - (q + 128) / 255).max() < 1e-6
    assert (model.predict_uint8(pixels, refine=False) == q + 128).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_other_photo_is_quantized_after_it_was_resized(int8_weights_file, backend):
    model = mmnet_np.load(int8_weights_file, backend=backend, size=64)
    array = photo(100, 130)
    real = network_input(array, 64, 64)
    steps = (real / np.float32(1 / 255)).astype(np.float64)
    x = (np.floor(steps + 0.5) - 128).astype(np.int8)[None]
    small = model.forward(x)[0]
    alpha = model.predict(array, refine=False)
    assert alpha.shape == (100, 130)
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1
    assert abs(alpha[0, 0] - (int(small[0, 0]) + 128) / 255) < 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_alpha_reaches_both_ends(int8_weights_file, backend):
    """And is the nearest float32 to q / 255 in between, give or take one unit."""
    model = mmnet_np.load(int8_weights_file, backend=backend)
    every = np.arange(-128, 128).astype(np.int8).reshape(16, 16)
    alpha = model._arithmetic.to_alpha(every, model._engine.backend)
    assert alpha.dtype == np.float32
    assert (alpha.min(), alpha.max()) == (0, 1)
    assert np.abs(alpha - (every.astype(float) + 128) / 255).max() < 1e-7
    assert (np.rint(alpha * np.float32(255)) == every.astype(int) + 128).all()


def test_intermediates_are_all_layers_in_int8(model):
    x = np.random.default_rng(0).integers(-128, 128, (2, 32, 32, 3)).astype(np.int8)
    every = model.intermediates(x)
    assert list(every) == [layer.name for layer in build(Spec(0.5))]
    assert all(value.dtype == np.int8 and len(value) == 2 for value in every.values())
    assert (every["input"] == x).all()
    assert every["final_block/softmax"][..., 1].tobytes() == model.forward(x).tobytes()


def test_quantization_and_integers_of_every_layer(model):
    for name in model.intermediates(np.zeros((1, 16, 16, 3), np.int8)):
        scale, zero_point = model.quantization(name)
        integers = model.integers(name)
        assert (integers["output_scale"], integers["output_zero_point"]) == (scale, zero_point)
        assert isinstance(scale, np.float32)
        assert isinstance(zero_point, int)
    assert model.quantization("input") == (np.float32(1 / 255), -128)
    assert model.integers("init_block/conv").keys() == {
        "weights", "weights_scale", "bias", "multiplier", "shift", "lower", "upper", "input_scale",
        "input_zero_point", "output_scale", "output_zero_point",
    }  # fmt: skip
    assert model.integers("final_block/softmax")["table"].shape == (256, 256)


def test_a_layer_can_be_worked_out_from_what_integers_says(model):
    """As somebody who checks another implementation would, in plain Python."""
    x = np.random.default_rng(0).integers(-128, 128, (1, 16, 16, 3)).astype(np.int8)
    every = model.intermediates(x)
    name, source = "enc_block0/branch1/pointwise_conv", "init_block/conv"
    layer = model.integers(name)
    for channel in range(len(layer["bias"])):
        total = int(layer["bias"][channel])
        for value, weight in zip(every[source][0, 2, 3], layer["weights"][0, 0], strict=True):
            total += (int(value) - layer["input_zero_point"]) * int(weight[channel])
        product = total * int(layer["multiplier"][channel])
        high = (product + 2**30) >> 31
        drop = -int(layer["shift"][channel])
        assert drop > 0  # so that the last rounding is this one, away from zero
        value = (abs(high) + 2 ** (drop - 1) >> drop) * (1 if high >= 0 else -1)
        value = min(max(value + layer["output_zero_point"], layer["lower"]), layer["upper"])
        assert every[name][0, 2, 3, channel] == value


@pytest.mark.parametrize("ask", ["quantization", "integers"])
def test_asking_for_what_is_not_there(model, weights_file, ask):
    with pytest.raises(OptionError, match=r"there is no layer 'nothing' in random-0\.50-256"):
        getattr(model, ask)("nothing")
    with pytest.raises(OptionError, match="is float32; only int8 is quantized"):
        getattr(mmnet_np.load(weights_file, backend="numpy"), ask)("input")


def test_dtype_and_file_must_agree(int8_weights_file, weights_file):
    assert mmnet_np.load(weights_file).dtype == "float32"
    assert mmnet_np.load(weights_file, dtype="float32").dtype == "float32"
    with pytest.raises(OptionError, match=r"dtype is 'int8', but .* holds float32 weights"):
        mmnet_np.load(weights_file, dtype="int8")
    with pytest.raises(OptionError, match=r"dtype is 'float32', but .* holds int8 weights"):
        mmnet_np.load(int8_weights_file, dtype="float32")
    with pytest.raises(OptionError, match=r"rounding is 'single'; .* is float32"):
        mmnet_np.load(weights_file, rounding="single")


@pytest.mark.parametrize("name", [None, "mmnet-1.00-256-int8", "mmnet-1.00-128-int8"])
def test_shipped_names(name):
    model = mmnet_np.load(name, dtype="int8", backend="numpy")
    assert model.dtype == "int8"
    assert model.name == (name or "mmnet-1.00-256-int8")


def test_a_copy_without_weights_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "__file__", str(tmp_path / "store.py"))
    with pytest.raises(WeightsError, match=r"mmnet-1\.00-256-int8 are not in this copy"):
        mmnet_np.load(dtype="int8")


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "the input is a float32 array of shape "
         "(1, 32, 32, 3); it must be (N, height, width, 3) int8"),
        (np.zeros((1, 32, 32, 3), np.uint8), "the input is a uint8 array of shape "
         "(1, 32, 32, 3); it must be (N, height, width, 3) int8"),
        ([1], "the input is a list; it must be (N, height, width, 3) int8"),
    ],
)  # fmt: skip
def test_forward_names_bad_input(model, bad, sentence):
    with pytest.raises(ImageError) as caught:
        model.forward(bad)
    assert str(caught.value) == sentence


def test_a_float_file_that_calls_itself_int8(tmp_path):
    weights = random_weights(Spec(0.5))
    store.save(
        tmp_path / "w.h5",
        store.Weights("liar", "int8", weights.spec, weights.tensors, {}, ""),
    )
    with pytest.raises(WeightsError, match=r"liar lacks \d+ of \d+ tensors"):
        mmnet_np.load(tmp_path / "w.h5")


@needs_numba
def test_a_warm_forward_allocates_its_result_only(int8_weights_file):
    model = mmnet_np.load(int8_weights_file, backend="numba", threads=1)
    x = np.zeros((1, 128, 128, 3), np.int8)
    model.forward(x)
    tracemalloc.start()
    model.forward(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 128 * 128 + 64 * 1024
