import dataclasses
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from random_weights import random_tensors, random_weights

import mmnet_np
from mmnet_np import choice
from mmnet_np.errors import ImageError, OptionError, WeightsError
from mmnet_np.graph import build
from mmnet_np.kernels import cache, jit
from mmnet_np.model import find_weights
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.weights import store

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


@pytest.fixture(scope="module")
def model(weights_file):
    return mmnet_np.load(weights_file, backend="numpy")


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_says_what_was_loaded(model):
    assert (model.name, model.size, model.width) == ("random-0.50-256", 256, 0.5)
    assert (model.dtype, model.variant, model.backend) == ("float32", "full", "numpy")
    assert repr(model) == "<Matting random-0.50-256: width 0.5, size 256, float32, numpy>"


@pytest.mark.parametrize("size", [(1, 1), (37, 300), (700, 5)])
def test_predict_gives_the_photos_own_size(model, size):
    alpha = model.predict(photo(*size))
    assert alpha.shape == size
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_predict_takes_images_and_arrays(model):
    array = photo(60, 40)
    by_array = model.predict(array)
    by_image = model.predict(Image.fromarray(array))
    assert by_array.tobytes() == by_image.tobytes()
    assert by_image.shape == (60, 40)


def test_predict_uint8_is_predict_rounded(model):
    array = photo(300, 200)
    rounded = np.rint(model.predict(array) * np.float32(255)).astype(np.uint8)
    assert (model.predict_uint8(array) == rounded).all()


def test_predict_is_forward_on_the_prepared_photo(model):
    from mmnet_np.preprocess import network_input

    array = photo(256, 256)
    alpha = model.forward(network_input(array, 256, 256)[None])
    assert model.predict(array, refine=False).tobytes() == alpha[0].tobytes()


def test_forward_takes_batches_and_any_multiple_of_16(model):
    x = np.random.default_rng(0).random((3, 32, 48, 3), dtype=np.float32)
    alpha = model.forward(x)
    assert alpha.shape == (3, 32, 48)
    assert alpha.dtype == np.float32
    for one, row in zip(x, alpha, strict=True):
        assert model.forward(one[None])[0].tobytes() == row.tobytes()


@pytest.mark.parametrize("size", [(128, 128), (256, 256), (256, 384), (512, 512)])
def test_sizes_of_the_contract(model, size):
    assert model.forward(np.zeros((1, *size, 3), np.float32)).shape == (1, *size)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_load_and_run(tmp_path, variant):
    spec = Spec(0.5, 32, variant)
    store.save(tmp_path / "w.h5", random_weights(spec))
    model = mmnet_np.load(tmp_path / "w.h5", backend="numpy")
    assert model.variant == variant
    assert model.predict(photo(10, 20)).shape == (10, 20)


def test_intermediates_are_all_layers_in_graph_order(model):
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    every = model.intermediates(x)
    assert list(every) == [layer.name for layer in build(Spec(0.5))]
    assert (every["input"] == x).all()
    assert every["init_block/conv"].shape == (2, 16, 16, 16)
    assert every["final_block/softmax"][..., 1].tobytes() == model.forward(x).tobytes()
    merged = np.concatenate(
        [every[f"enc_block0/branch{k}/depthwise_conv_dilation"] for k in range(4)], axis=-1
    )
    assert merged.tobytes() == every["enc_block0/concat"].tobytes()


@pytest.mark.parametrize(
    ("bad", "error", "sentence"),
    [
        (np.zeros((1, 32, 32, 3)), ImageError, "the input is a float64 array of shape "
         "(1, 32, 32, 3); it must be (N, height, width, 3) float32"),
        (np.zeros((32, 32, 3), np.float32), ImageError, "the input is a float32 array of shape "
         "(32, 32, 3); it must be (N, height, width, 3) float32"),
        ([1], ImageError, "the input is a list; it must be (N, height, width, 3) float32"),
        (np.zeros((0, 32, 32, 3), np.float32), ImageError, "the input holds no image"),
        (np.full((1, 32, 32, 3), np.nan, np.float32), ImageError,
         "the input has NaN or infinite values"),
        (np.zeros((1, 40, 32, 3), np.float32), OptionError,
         "the input's height is 40; it must be a multiple of 16 up to 16384"),
    ],
)  # fmt: skip
def test_forward_names_bad_input(model, bad, error, sentence):
    with pytest.raises(error) as caught:
        model.forward(bad)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dtype": "float16"}, "dtype is 'float16'; it must be one of float32, int8"),
        ({"rounding": "up"}, "rounding is 'up'; it must be one of double, single"),
        ({"backend": "cuda"}, "backend is 'cuda'; it must be one of auto, numpy, numba"),
        ({"threads": 0}, "threads is 0; it must be from 1 to 1024"),
        ({"size": 200}, "the input's height is 200; it must be a multiple of 16 up to 16384"),
    ],
)
def test_load_names_bad_options(weights_file, options, sentence):
    with pytest.raises(OptionError) as caught:
        mmnet_np.load(weights_file, **options)
    assert str(caught.value) == sentence


def test_weights_of_another_shape_are_refused(tmp_path):
    weights = random_weights(Spec(0.5))
    wrong = store.Weights(weights.name, weights.dtype, Spec(1.0).as_dict(), weights.tensors, {}, "")
    store.save(tmp_path / "w.h5", wrong)
    with pytest.raises(WeightsError, match="shape"):
        mmnet_np.load(tmp_path / "w.h5")


def test_a_checkpoint_is_pointed_to_the_converter(tmp_path):
    (tmp_path / "model.index").write_bytes(b"not HDF5 at all")
    with pytest.raises(WeightsError, match=r"if it is a checkpoint, .*tools\.convert"):
        mmnet_np.load(tmp_path / "model.index")


def test_weights_without_auxiliary_head_are_welcome(tmp_path):
    weights = random_weights(Spec(0.5))
    inference = {n: t for n, t in weights.tensors.items() if "aux_block" not in n}
    store.save(tmp_path / "w.h5", store.Weights("slim", "float32", weights.spec, inference, {}, ""))
    assert mmnet_np.load(tmp_path / "w.h5", backend="numpy").predict(photo(9, 9)).shape == (9, 9)


def test_another_size_than_trained(weights_file):
    model = mmnet_np.load(weights_file, size=64, backend="numpy")
    assert model.size == 64
    assert model.predict(photo(30, 20)).shape == (30, 20)


def test_auto_takes_numpy_first_and_numba_once_it_pays(weights_file, monkeypatch):
    monkeypatch.setattr(cache, "is_warm", lambda group: False)
    model = mmnet_np.load(weights_file, size=16)
    assert model.backend == "numpy"
    if not jit.has_numba():
        return
    model.predict(photo(4, 4))
    assert model.backend == "numpy"
    monkeypatch.setattr(choice, "_COMPILE_SECONDS", 0.0)
    monkeypatch.setattr(choice, "_LOAD_SECONDS", 0.0)
    model.predict(photo(4, 4))
    assert model.backend == "numba"


@needs_numba
def test_auto_takes_numba_when_warm_or_when_many_images_come(weights_file, monkeypatch):
    monkeypatch.setattr(cache, "is_warm", lambda group: True)
    assert mmnet_np.load(weights_file).backend == "numba"
    monkeypatch.setattr(cache, "is_warm", lambda group: False)
    assert mmnet_np.load(weights_file, images=10_000).backend == "numba"


@needs_numba
def test_auto_does_not_even_load_numba_for_few_images(weights_file, monkeypatch):
    monkeypatch.setattr(cache, "is_warm", lambda group: True)
    assert mmnet_np.load(weights_file, images=1).backend == "numpy"
    assert mmnet_np.load(weights_file, images=100).backend == "numba"


def test_without_numba(weights_file, monkeypatch):
    monkeypatch.setattr(jit, "has_numba", lambda: False)
    assert mmnet_np.load(weights_file, images=10_000).backend == "numpy"
    with pytest.raises(OptionError, match="Numba is not installed"):
        mmnet_np.load(weights_file, backend="numba")


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_predict_from_several_threads(weights_file, backend):
    model = mmnet_np.load(weights_file, backend=backend, size=64, threads=2)
    photos = [photo(40, 30, seed) for seed in range(8)]
    expected = [model.predict(one).tobytes() for one in photos]
    wrong = []

    def work(offset):
        for k in range(16):
            at = (k + offset) % 8
            if model.predict(photos[at]).tobytes() != expected[at]:
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@needs_numba
def test_a_warm_forward_allocates_its_result_only(weights_file):
    model = mmnet_np.load(weights_file, backend="numba", threads=1)
    x = np.zeros((1, 128, 128, 3), np.float32)
    model.forward(x)
    tracemalloc.start()
    model.forward(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * 4 * 128 * 128 + 64 * 1024  # alpha, the finite check's flags, small objects


def test_load_of_random_tensors_matches_graph():
    assert random_tensors(Spec(0.5)).keys() == random_weights(Spec(0.5)).tensors.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"spec": {"size": "abc"}}, {"spec": {"width": "x"}}, {"spec": {"width": [1]}},
        {"spec": {"width": 10**400}}, {"spec": {"size": 10**3000}}, {"spec": {"variant": {}}},
        {"spec": {"architecture": "x" * 2000}}, {"name": "evil\n\x1b[31mred", "spec": {"size": 17}},
        {"dtype": "int8"},
    ],
)  # fmt: skip
def test_hostile_descriptions_are_one_short_line(tmp_path, changes):
    weights = random_weights(Spec(0.5))
    if "spec" in changes:
        changes = {**changes, "spec": {**weights.spec, **changes["spec"]}}
    store.save(tmp_path / "w.h5", dataclasses.replace(weights, **changes))
    with pytest.raises(WeightsError) as caught:
        mmnet_np.load(tmp_path / "w.h5", backend="numpy")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("leaf", "value", "sentence"),
    [("moving_variance", -1.0, "is impossible"), ("weights", 3e38, "overflow|impossible")],
)
@pytest.mark.filterwarnings("error")
def test_weights_that_make_no_numbers_make_no_matte(tmp_path, leaf, value, sentence):
    weights = random_weights(Spec(0.5))
    changed = {
        name: np.full_like(tensor, value) if name.endswith(leaf) else tensor
        for name, tensor in weights.tensors.items()
    }
    store.save(tmp_path / "w.h5", dataclasses.replace(weights, tensors=changed))
    with pytest.raises(WeightsError, match=sentence):
        mmnet_np.load(tmp_path / "w.h5", backend="numpy", size=16).predict(photo(8, 8))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": "256"}, "size is '256'; it must be a whole number"),
        ({"size": 256.0}, "size is 256.0; it must be a whole number"),
        ({"threads": "2"}, "threads is '2'; it must be a whole number"),
        ({"images": True}, "images is True; it must be a whole number"),
    ],
)
def test_wrong_types_are_named(weights_file, options, sentence):
    with pytest.raises(OptionError) as caught:
        mmnet_np.load(weights_file, **options)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("weights", "dtype", "name"),
    [
        (None, None, "mmnet-1.00-256"),
        (None, "int8", "mmnet-1.00-256-int8"),
        ("mmnet-1.00-128", None, "mmnet-1.00-128"),
        ("mmnet-1.00-128", "int8", "mmnet-1.00-128-int8"),
        ("mmnet-1.00-128-int8", "int8", "mmnet-1.00-128-int8"),
    ],
)
def test_a_dtype_chooses_among_the_packages_models(weights, dtype, name):
    assert find_weights(weights, dtype).name == f"{name}.h5"


@pytest.mark.parametrize("weights", [3, b"/tmp/w.h5", ["a"]])
def test_weights_of_a_wrong_type(weights):
    with pytest.raises(WeightsError, match="it must be a path or a name"):
        mmnet_np.load(weights)
