"""What a stored int8 network must be, and the integers derived from it."""

import naive_int8 as naive
import numpy as np
import pytest
from random_weights import random_int8_tensors

from mmnet_np.errors import WeightsError
from mmnet_np.graph import Concat, Filtered, Resize, build
from mmnet_np.quantized import ALPHA, INPUT, QuantizedNetwork, stored_tensors
from mmnet_np.spec import VARIANTS, Spec

GRAPH = build(Spec(0.5))
CONV = "MMNet/init_block/conv"


def with_changed(name, change):
    tensors = random_int8_tensors(Spec(0.5))
    tensors[name] = change(tensors[name].copy())
    return tensors


def test_the_stored_tensors_are_those_of_the_contract():
    expected = stored_tensors(GRAPH)
    assert expected["MMNet/init_block/conv/weights"] == (np.int8, (3, 3, 3, 16))
    dilated = "MMNet/enc_block0/branch0/depthwise_conv_dilation/"
    assert expected[dilated + "depthwise_weights"] == (np.int8, (3, 3, 8, 1))
    assert expected[dilated + "weights_scale"] == (np.float32, (8,))
    assert expected[dilated + "biases"] == (np.int32, (8,))
    assert expected[dilated + "output_scale"] == (np.float32, (1,))
    assert expected[dilated + "output_zero_point"] == (np.int32, (1,))
    assert len(expected) == 5 * sum(isinstance(layer, Filtered) for layer in GRAPH)


@pytest.mark.parametrize("variant", VARIANTS)
def test_scales_and_zero_points_follow_the_graph(variant):
    spec = Spec(0.5, variant=variant)
    graph, tensors = build(spec), random_int8_tensors(spec)
    found = QuantizedNetwork(graph, tensors).quantizations
    assert list(found) == [layer.name for layer in graph]
    assert found["input"] == INPUT == (np.float32(1 / 255), -128)
    assert found[graph.output] == ALPHA == (np.float32(1 / 256), -128)
    for layer in graph:
        if isinstance(layer, Resize | Concat):
            assert found[layer.name] == found[layer.inputs[0]]
        if isinstance(layer, Filtered):
            scale = tensors[layer.quantized_name("output_scale")]
            assert found[layer.name] == (scale, tensors[layer.quantized_name("output_zero_point")])


def test_integers_are_derived_in_the_contracts_order():
    tensors = random_int8_tensors(Spec(0.5))
    network = QuantizedNetwork(GRAPH, tensors)
    for layer in GRAPH:
        if not isinstance(layer, Filtered):
            continue
        source, output = network.quantizations[layer.inputs[0]], network.quantizations[layer.name]
        real = [
            float(source.scale) * float(scale) / float(output.scale)
            for scale in tensors[layer.quantized_name("weights_scale")]
        ]
        multiplier, shift = zip(*map(naive.quantize_multiplier, real), strict=True)
        plain = network.plain(layer.name)
        assert plain["multiplier"].tolist() == list(multiplier)
        assert plain["shift"].tolist() == list(shift)
        assert plain["bias"].tolist() == tensors[layer.bias_name].tolist()
        assert plain["weights"].tolist() == tensors[layer.weights_name].tolist()
        assert (plain["input_scale"], plain["input_zero_point"]) == source
        assert (plain["output_scale"], plain["output_zero_point"]) == output
        lower = naive.quantize(0.0, output.scale, output.zero_point) if layer.relu6 else -128
        upper = naive.quantize(6.0, output.scale, output.zero_point) if layer.relu6 else 127
        assert (plain["lower"], plain["upper"]) == (lower, upper)


@pytest.mark.parametrize(
    ("weights_scale", "output_scale", "multiplier"),
    [
        (0.012400537729263306, 0.04507893696427345, 1186114250),  # s_in * (s_w / s_out): 1 more
        (0.01879269629716873, 0.02405059151351452, 1684585311),  # s_in / s_out * s_w: 1 less
    ],
)
def test_scales_whose_order_of_multiplication_can_be_told(weights_scale, output_scale, multiplier):
    tensors = random_int8_tensors(Spec(0.5))
    tensors[f"{CONV}/weights_scale"][:] = weights_scale
    tensors[f"{CONV}/output_scale"][:] = output_scale
    layer = QuantizedNetwork(GRAPH, tensors).plain("init_block/conv")
    assert set(layer["multiplier"]) == {multiplier}


def test_a_concat_requantizes_only_what_differs():
    spec = Spec(0.5, variant="no-refinement")
    network = QuantizedNetwork(build(spec), random_int8_tensors(spec))
    copied = network.plain("enc_block0/concat")
    assert copied["multiplier"].tolist() == [0, 0, 0, 0]
    skipped = network.plain("dec_block1/concat")
    skip = network.quantizations["enc_block0/merge/pointwise_conv"]
    real = float(skip.scale) / float(np.float32(6 / 255))
    expected = naive.quantize_multiplier(real)
    assert (skipped["multiplier"][1], skipped["shift"][1]) == expected
    assert skipped["multiplier"][0] == 0
    assert skipped["input_zero_point"].tolist() == [-128, skip.zero_point]


@pytest.mark.parametrize(
    ("leaf", "change", "sentence"),
    [
        ("weights", lambda a: a.astype(np.float32), "weights is float32; expected int8"),
        ("biases", lambda a: a.astype(np.float32), "biases is float32; expected int32"),
        ("output_scale", lambda a: a.astype(np.int32), "output_scale is int32; expected float32"),
        ("output_zero_point", lambda a: a.astype(np.int8), "zero_point is int8; expected int32"),
        ("weights", lambda a: a[..., :-1], "tensors of another shape"),
        ("weights", lambda a: np.full_like(a, -128), "a weight is -128; they go from -127 to 127"),
        ("weights_scale", lambda a: a * 0, "weights_scale is 0.0 somewhere; expected above 0"),
        ("output_scale", lambda a: -a, "output_scale is -0.0"),
        ("output_scale", lambda a: a * np.nan, "NaN or infinity"),
        ("output_zero_point", lambda a: a + 400, "output_zero_point is 272; expected -128 to 127"),
        ("biases", lambda a: np.full_like(a, 2**31 - 1), "its sums may reach"),
        ("biases", lambda a: np.full_like(a, -(2**31)), "its sums may reach"),
        ("weights_scale", lambda a: a * 0 + 3e38, "ask for a multiplier of .*; expected below"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(leaf, change, sentence):
    tensors = with_changed(f"{CONV}/{leaf}", change)
    with pytest.raises(WeightsError, match=sentence) as caught:
        QuantizedNetwork(GRAPH, tensors, "some.h5")
    assert str(caught.value).startswith("some.h5")
    assert str(caught.value).isprintable()


def test_missing_and_unexpected_tensors():
    tensors = random_int8_tensors(Spec(0.5))
    del tensors[f"{CONV}/biases"]
    with pytest.raises(WeightsError, match="lacks 1 of"):
        QuantizedNetwork(GRAPH, tensors)
    tensors = random_int8_tensors(Spec(0.5))
    tensors["MMNet/aux_block/pointwise_conv/weights"] = np.zeros((1, 1, 40, 2), np.int8)
    with pytest.raises(WeightsError, match="holds 1 unexpected"):
        QuantizedNetwork(GRAPH, tensors)


def test_a_logit_scale_too_small_for_the_softmax():
    tensors = with_changed("MMNet/final_block/pointwise_conv/output_scale", lambda a: a * 0 + 1e-9)
    with pytest.raises(WeightsError, match="the logits' scale is"):
        QuantizedNetwork(GRAPH, tensors)


def test_the_smallest_and_largest_sums_are_told_apart():
    """At the very bound: one more would leave int32."""
    weights = np.zeros((3, 3, 3, 16), np.int8)
    weights[0, 0, 0] = 127
    largest = 127 * 255  # the input's zero point is -128
    for bias, fits in ((2**31 - 1 - largest, True), (2**31 - largest, False)):
        tensors = with_changed(f"{CONV}/biases", lambda a, bias=bias: np.full_like(a, bias))
        tensors[f"{CONV}/weights"] = weights
        if fits:
            QuantizedNetwork(GRAPH, tensors)
        else:
            with pytest.raises(WeightsError, match=str(2**31)):
                QuantizedNetwork(GRAPH, tensors)
