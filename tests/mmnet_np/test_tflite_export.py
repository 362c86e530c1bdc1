"""The exported network in TensorFlow Lite's reference kernels, layer by layer."""

import litert
import numpy as np
import pytest
from compare import assert_same
from random_weights import random_int8_weights, random_weights

from mmnet_np.errors import OptionError
from mmnet_np.graph import build, shapes
from mmnet_np.model import Matting
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.tflite_export import export


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("width", "size"), [(0.5, 64), (1.0, 32), (1.4, 16)])
def test_float32_layers_are_ours(variant, width, size):
    weights = random_weights(Spec(width, 128, variant))
    x = np.random.default_rng(0).random((1, size, size, 3), dtype=np.float32)
    theirs = litert.intermediates(export(weights, size), x)
    ours = Matting(weights, backend="numpy").intermediates(x)
    for name, expected in ours.items():
        assert_same(theirs[name], expected, np.float32)


def test_int8_tensors_have_the_stored_scales_and_our_shapes():
    weights = random_int8_weights(Spec(0.5, 32))
    x = np.zeros((1, 32, 32, 3), np.int8)
    theirs = litert.intermediates(export(weights), x)
    for name, shape in shapes(build(Spec(0.5)), 32, 32).items():
        assert theirs[name].shape == (1, *shape)
        assert theirs[name].dtype == np.int8
    quantization = {
        detail["name"]: detail["quantization"] for detail in litert.details(export(weights))
    }
    assert quantization["input"] == (np.float32(1 / 255), -128)
    assert quantization["final_block/softmax"] == (1 / 256, -128)
    linear = "MMNet/enc_block0/merge/pointwise_conv"
    assert quantization["enc_block0/merge/pointwise_conv"] == (
        weights.tensors[f"{linear}/output_scale"][0],
        weights.tensors[f"{linear}/output_zero_point"][0],
    )


@pytest.mark.parametrize("make", [random_weights, random_int8_weights])
def test_the_same_weights_give_the_same_bytes(make):
    assert export(make(), 32) == export(make(), 32) != export(make(), 48)


@pytest.mark.parametrize("make", [random_weights, random_int8_weights])
def test_the_default_resolver_takes_it_too(make):
    """What a user runs; in int8 it is allowed to differ a little."""
    weights = make(Spec(0.5))
    random = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3))
    x = (random / 255).astype(np.float32) if make is random_weights else (random - 128).astype("i1")
    model = export(weights, 64)
    (fast,), (exact,) = (litert.run(model, [x], reference=flag) for flag in (False, True))
    unit = 1 / 255 if make is random_weights else 1
    assert np.abs(fast.astype(float) - exact).max() < 12 * unit


def test_an_impossible_size():
    with pytest.raises(OptionError, match="height is 40"):
        export(random_weights(), 40)
