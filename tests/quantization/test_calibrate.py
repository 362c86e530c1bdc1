"""Calibration and fidelity: which layers are observed, and what is said of the int8 network."""

import dataclasses

import numpy as np
import pytest
from random_weights import random_weights

from mmnet_np.errors import ImageError, WeightsError
from mmnet_np.graph import Filtered, build
from mmnet_np.model import Matting
from mmnet_np.quantization.calibrate import calibrate
from mmnet_np.quantization.fidelity import compare
from mmnet_np.quantization.observers import OBSERVERS, minmax, of_range
from mmnet_np.quantization.quantizer import quantize
from mmnet_np.spec import Spec


def images(count, size=32):
    rng = np.random.default_rng(0)
    return [rng.random((1, size, size, 3), dtype=np.float32) for _ in range(count)]


def made(variant="full", observer=minmax):
    """A float32 model, how its outputs are quantized, and its int8 weights."""
    weights = random_weights(Spec(0.5, 32, variant))
    model = Matting(weights, backend="numpy")
    outputs = calibrate(model, images(3), observer)
    tensors = quantize(build(model.spec), weights.tensors, outputs)
    return model, outputs, dataclasses.replace(weights, dtype="int8", tensors=tensors)


def test_linear_layers_are_observed_and_relu6_is_known():
    model, outputs, _ = made()
    graph = build(model.spec)
    everything = model.intermediates(np.concatenate(images(3)))
    for layer in graph:
        if isinstance(layer, Filtered):
            values = everything[layer.name]
            expected = (0, 6) if layer.relu6 else (float(values.min()), float(values.max()))
            assert outputs[layer.name] == of_range(*expected), layer.name


def test_batches_and_single_images_are_the_same():
    model = Matting(random_weights(Spec(0.5, 32)), backend="numpy")
    assert calibrate(model, [np.concatenate(images(3))]) == calibrate(model, images(3))


def test_without_refinement_a_concat_holds_the_linear_skip_too():
    model, outputs, weights = made("no-refinement")
    graph = build(model.spec)
    everything = model.intermediates(np.concatenate(images(3)))
    skip = graph["dec_block0/concat"].inputs[1]
    low, high = everything[skip].min(), everything[skip].max()
    assert low < -1  # or this tests nothing
    assert outputs["dec_block0/pointwise_conv"] == of_range(min(low, 0), max(high, 6))
    assert (
        compare(model, Matting(weights, backend="numpy"), images(2)).noise[
            "dec_block1/pointwise_conv"
        ]
        > 10
    )


def test_no_image():
    with pytest.raises(ImageError, match="one photo at least"):
        calibrate(Matting(random_weights(Spec(0.5, 32)), backend="numpy"), [])


def test_a_network_that_overflows():
    weights = random_weights(Spec(0.5, 32))
    weights.tensors["MMNet/enc_block0/merge/pointwise_conv/BatchNorm/gamma"][...] = 1e38
    with pytest.raises(WeightsError, match="overflow"), np.errstate(all="ignore"):
        calibrate(Matting(weights, backend="numpy"), images(1))


@pytest.mark.parametrize("observer", OBSERVERS.values(), ids=OBSERVERS)
def test_int8_is_near_float32(observer):
    model, _, weights = made(observer=observer)
    fidelity = compare(model, Matting(weights, backend="numpy"), images(3))
    names = [layer.name for layer in build(model.spec) if isinstance(layer, Filtered)]
    assert list(fidelity.noise) == names
    # A random network lets errors grow from layer to layer, as a trained one does not.
    assert fidelity.noise["init_block/conv"] > 30
    assert min(fidelity.noise.values()) > 10
    assert 0 < fidelity.alpha < 0.05


def test_noise_is_ten_times_the_logarithm_of_the_ratio_of_squares():
    model, _, weights = made()
    quantized, (image,) = Matting(weights, backend="numpy"), images(1)
    fidelity = compare(model, quantized, [image])
    name = "enc_block4/merge/pointwise_conv"
    y = model.intermediates(image)[name].astype(np.float64)
    q = quantized.intermediates(np.rint(image * 255 - 128).astype(np.int8))[name]
    scale, zero_point = quantized.quantization(name)
    y8 = (q.astype(np.float64) - zero_point) * float(scale)
    expected = 10 * np.log10((y**2).sum() / ((y - y8) ** 2).sum())
    assert np.isclose(fidelity.noise[name], expected, atol=1e-3)


def test_a_spoilt_layer_shows_from_itself_on():
    model, _, weights = made()
    good = compare(model, Matting(weights, backend="numpy"), images(2)).noise
    spoilt = dict(weights.tensors)
    name = "MMNet/enc_block3/branch1/depthwise_conv_dilation/depthwise_weights"
    spoilt[name] = -spoilt[name]
    bad = compare(
        model, Matting(dataclasses.replace(weights, tensors=spoilt), backend="numpy"), images(2)
    ).noise
    before = list(good).index("enc_block3/branch1/depthwise_conv_dilation")
    names = list(good)
    assert all(bad[name] == good[name] for name in names[:before])
    assert bad[names[before]] < good[names[before]] - 10
