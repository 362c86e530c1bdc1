"""Quantization-aware training: forward the int8 network to the bit, backward straight through."""

import numpy as np
import pytest
import reference_quantized
from random_weights import random_tensors, random_weights
from reference_training import inputs, relative

from mmnet_np.errors import OptionError
from mmnet_np.graph import Concat, Filtered, Softmax, build, parameters
from mmnet_np.kernels import jit, normalize, pointwise, training
from mmnet_np.model import Matting
from mmnet_np.quantization.calibrate import calibrate
from mmnet_np.quantization.observers import of_range
from mmnet_np.quantization.quantizer import quantize
from mmnet_np.quantized import QuantizedNetwork
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.threads import Bands
from mmnet_np.training.network import TrainingNetwork
from mmnet_np.training.parameters import Parameters
from mmnet_np.training.quantized import QuantizedArithmetic

pytestmark = pytest.mark.skipif(
    not jit.has_numba(), reason="Numba is not installed: training needs it"
)

HEADS = ("final_block/pointwise_conv", "aux_block/pointwise_conv")


class Setting:
    """A network in quantization-aware training, calibrated, and what a test needs beside it."""

    def __init__(self, spec, batch, threads=1, seed=0):
        self.graph = build(spec, auxiliary=True)
        self.images, self.d_logits = inputs(batch, spec.size, seed)
        self.outputs = calibrate(
            Matting(random_weights(spec, seed), backend="numpy"), [self.images]
        )
        self.outputs[HEADS[1]] = of_range(-3.0, 3.0)
        self.variables, self.gradients = (Parameters(parameters(self.graph)) for _ in range(2))
        self.variables.load(random_tensors(spec, seed))
        views, bands = (self.variables.views, self.gradients.views), Bands(threads)
        arithmetic = QuantizedArithmetic(self.graph, *views, self.outputs, bands)
        self.network = TrainingNetwork(self.graph, *views, batch, spec.size, bands, arithmetic)

    def integers(self):
        """The int8 network that the variables make, worked out once more."""
        layers = tuple(layer for layer in self.graph if not isinstance(layer, Softmax))
        graph = type(self.graph)(layers, self.graph.output, self.graph.block)
        return QuantizedNetwork(graph, quantize(graph, self.variables.views, self.outputs))

    def gates(self, q):
        """Where the fused kernels let gradients through, after a check of the clamped layers."""
        found, integers = {}, self.integers()
        for layer in self.graph:
            if isinstance(layer, Filtered):
                found[layer.name] = self._gate(layer, integers.integers[layer.name])
            elif isinstance(layer, Concat):
                moved = [stage is not None for stage in integers.integers[layer.name].stages]
                widths = [self.graph[name].channels for name in layer.inputs]
                inside = (q[layer.name] > -128) & (q[layer.name] < 127)
                found[layer.name] = inside | ~np.repeat(moved, widths)
        return found

    def _gate(self, layer, integers):
        buffer, at = self.network.layout.home[layer.name]
        norms = self.network.norms[buffer][:, at : at + layer.channels]
        z = self.network.part(self.network.z, layer.name)
        at = at if z.shape[3] > layer.channels and not layer.name.endswith(HEADS) else 0
        z = z[..., at : at + layer.channels]
        scale, shift, lower, upper = norms[:4]
        # As the kernels' fused multiply-add: the sums are whole numbers, and may cancel the bias.
        u = (z.astype(np.float64) * scale + shift).astype(np.float32)
        stage, real = integers.stage, float(integers.input.scale) * integers.weights_scale * 1.0
        exact = (z.astype(np.float64) + stage.bias) * (real / float(integers.output.scale))
        bounds = [bound - stage.zero_point for bound in (stage.lower, stage.upper)]
        assert [lower[0], upper[0]] == bounds
        gate = (u > lower) & (u < upper)
        assert (gate != ((exact > bounds[0]) & (exact < bounds[1]))).mean() < 2e-3
        return gate


CASES = [
    *((variant, 0.5, 32, 3) for variant in VARIANTS),
    ("full", 1.0, 48, 2), ("full", 1.4, 32, 2), ("full", 0.5, 16, 9),
]  # fmt: skip


@pytest.mark.parametrize(("variant", "width", "size", "batch"), CASES)
def test_forward_is_the_int8_network(variant, width, size, batch):
    setting = Setting(Spec(width, size, variant), batch, threads=2)
    logits = setting.network.forward(setting.images)
    integers = setting.integers()
    q = reference_quantized.forward(setting.graph, integers, setting.images)
    for name, ours in zip(HEADS, logits, strict=True):
        theirs = reference_quantized.real(integers, name, q[name]).astype(np.float32)
        assert np.array_equal(ours, theirs)
    assert len(np.unique(q[HEADS[0]])) > 100


@pytest.mark.parametrize(("variant", "width", "size", "batch"), CASES)
def test_backward_is_straight_through(variant, width, size, batch):
    setting = Setting(Spec(width, size, variant), batch)
    setting.network.forward(setting.images)
    setting.network.backward(*setting.d_logits)
    integers, variables = setting.integers(), setting.variables.views
    q = reference_quantized.forward(setting.graph, integers, setting.images)
    heads = {n: d.astype(np.float64) for n, d in zip(HEADS, setting.d_logits, strict=True)}
    expected = reference_quantized.backward(
        setting.graph, integers, variables, q, heads, setting.gates(q)
    )
    assert expected.keys() == {n for n in variables if "moving_" not in n}
    for name, theirs in expected.items():
        assert relative(setting.gradients.views[name], theirs) < 2e-4, name
    assert all(not g.any() for n, g in setting.gradients.views.items() if "moving_" in n)


def test_thread_count_changes_no_bit():
    results = []
    for threads in (1, 3, 8):
        setting = Setting(Spec(0.5, 32), 5, threads)
        setting.network.forward(setting.images)
        setting.network.backward(*setting.d_logits)
        results.append((setting.variables.flat.tobytes(), setting.gradients.flat.tobytes()))
    assert len(set(results)) == 1


def test_a_second_step_sees_the_variables_anew():
    setting, found = Setting(Spec(0.5, 32), 2), []
    name = "MMNet/enc_block3/merge/pointwise_conv/weights"
    for factor in (1, 0.5, 2):
        setting.variables.views[name][...] *= factor
        found.append(setting.network.forward(setting.images)[0])
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_statistics_stay():
    setting = Setting(Spec(0.5, 32), 2)
    before = setting.variables.flat.copy()
    setting.network.forward(setting.images)
    assert np.array_equal(setting.variables.flat, before)


def test_a_network_too_wide_to_be_exact_is_refused():
    graph = build(Spec(3.0, 32), auxiliary=True)
    variables = Parameters(parameters(graph))
    with pytest.raises(OptionError, match=r"below 2\*\*24"):
        QuantizedArithmetic(graph, variables.views, variables.views, {}, Bands(1))


def test_the_largest_sums_are_exact():
    """All of width 1.4's widest layer at its ends: where float32 is nearest to its limit."""
    depth = Spec(1.4).channels(120) * 2
    assert depth * 127 * 255 < 2**24
    z = np.full((8, 1, 1, depth), 255, np.float32)
    z[:, :, :, 0] = 254  # an odd sum
    norms = np.zeros((normalize.QUANTIZED_ROWS, depth), np.float32)
    norms[normalize.LOWER], norms[normalize.UPPER] = -np.inf, np.inf
    norms.view(np.int32)[[normalize.MULTIPLIER, normalize.EXPONENT]] = [[2**30], [1]]
    packed = pointwise.pack(np.full((depth, 8), 127, np.float32))[np.newaxis]
    out, sums = np.zeros((8, 1, 1, 8), np.float32), np.zeros((8, 2, 8))
    training.pointwise_forward(
        z, norms, packed, 8, out, 0, sums, np.zeros((8, 2 * 96 * 1024), np.float32), 0, 8
    )
    assert (out == 127 * (255 * depth - 1)).all()
