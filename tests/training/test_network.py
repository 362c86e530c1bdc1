"""The fused network against the NumPy references, against PyTorch, and against itself."""

import numpy as np
import pytest
import reference_training
from random_weights import random_tensors
from reference_training import inputs, relative

from mmnet_np.graph import Dropout, build, parameters
from mmnet_np.kernels import jit, normalize
from mmnet_np.kernels.dropout import mask
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.threads import Bands
from mmnet_np.training.network import TrainingNetwork
from mmnet_np.training.parameters import Parameters

pytestmark = pytest.mark.skipif(
    not jit.has_numba(), reason="Numba is not installed: training needs it"
)

HEADS = ("final_block/pointwise_conv", "aux_block/pointwise_conv")


def make(spec, batch, threads=1, seed=0, dropout=0.0):
    graph = build(spec, auxiliary=True, dropout=dropout)
    variables, gradients = Parameters(parameters(graph)), Parameters(parameters(graph))
    variables.load(random_tensors(spec, seed))
    network = TrainingNetwork(
        graph, variables.views, gradients.views, batch, spec.size, Bands(threads)
    )
    return network, variables, gradients


def open_gates(network):
    """Where the fused kernels let gradients through each ReLU6."""
    gates = {}
    for layer in network.graph:
        if getattr(layer, "relu6", False):
            buffer, at = network.layout.home[layer.name]
            channels = slice(at, at + layer.channels)
            scale, shift = network.norms[buffer][[normalize.SCALE, normalize.SHIFT], channels]
            z = network.part(network.z, layer.name)
            at = at if z.shape[3] > layer.channels else 0  # a concat's channels, or all
            u = z[..., at : at + layer.channels] * scale + shift
            gates[layer.name] = (u > 0) & (u < 6)
    return gates


def dropout_masks(network):
    """What dropout multiplied each layer's values by in the last step."""
    found = {}
    for layer in network.graph:
        if isinstance(layer, Dropout):
            key = int(network._mask(layer)[2])
            found[layer.name] = mask(network.z[layer.name].shape, layer.rate, key)
    return found


# With batch statistics a constant added before a linear layer's batch norm has no effect, so these
# gradients are 0 but for rounding: their size is compared with that of the layer's gamma.
def vanishing(name):
    return name.endswith("merge/pointwise_conv/BatchNorm/beta") and "enc_block9" not in name


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("width", "size", "batch", "dropout"),
    [(0.5, 32, 3, 0.0), (1.0, 48, 2, 0.0), (0.75, 16, 9, 0.0), (0.5, 32, 3, 0.2)],
)
def test_against_the_references_in_float64(variant, width, size, batch, dropout):
    spec = Spec(width, size, variant)
    network, variables, gradients = make(spec, batch, dropout=dropout)
    images, heads = inputs(batch, size)
    exact = {name: view.astype(np.float64) for name, view in variables.views.items()}
    logits = network.forward(images, draw=(5, 17))
    masks = dropout_masks(network)
    assert len(masks) == (0 if not dropout else 10 if variant == "no-enhancement" else 12)
    z, y = reference_training.forward(network.graph, exact, images.astype(np.float64), masks)
    for name, ours in zip(HEADS, logits, strict=True):
        assert relative(ours, y[name]) < 1e-4
    # A value next to 0 or 6 may pass in float64 and not in float32, and alone move a gradient by
    # percents. The reference takes float32's gates, after a check that hardly any differ.
    gates = open_gates(network)
    differing = sum(((y[n] > 0) & (y[n] < 6) != gate).sum() for n, gate in gates.items())
    assert differing <= 1e-5 * sum(gate.size for gate in gates.values())
    heads_by_name = dict(zip(HEADS, heads, strict=True))
    expected = reference_training.backward(network.graph, exact, z, y, heads_by_name, gates, masks)
    network.backward(*heads)
    assert expected.keys() == {n for n in gradients.views if "moving_" not in n}
    for name, theirs in expected.items():
        scale = np.abs(theirs).max()
        if vanishing(name):
            scale = np.abs(expected[name.replace("beta", "gamma")]).max()
        assert np.abs(gradients.views[name] - theirs).max() < 2e-4 * scale, name


def test_the_references_against_numerical_differences():
    """The whole network in float64 along random directions."""
    spec = Spec(0.25, 16)
    graph = build(spec, auxiliary=True)
    rng = np.random.default_rng(0)
    variables = {n: t.astype(np.float64) for n, t in random_tensors(spec).items()}
    images = rng.random((3, 16, 16, 3))
    heads = {name: rng.standard_normal((3, side, side, 2)) for name, side in
             zip(HEADS, (16, 1), strict=True)}  # fmt: skip

    def total(values):
        _, y = reference_training.forward(graph, values, images)
        return sum((y[name] * d).sum() for name, d in heads.items())

    gradients = reference_training.backward(
        graph, variables, *reference_training.forward(graph, variables, images), heads
    )
    for _ in range(5):
        direction = {n: rng.standard_normal(g.shape) for n, g in gradients.items()}
        step = 1e-7  # small, so that few gates of ReLU6 open or close on the way

        def moved(sign, direction=direction, step=step):
            return {
                n: v + sign * step * direction[n] if n in direction else v
                for n, v in variables.items()
            }

        numerical = (total(moved(1)) - total(moved(-1))) / (2 * step)
        analytical = sum((gradients[n] * v).sum() for n, v in direction.items())
        assert abs(numerical - analytical) < 1e-4 * abs(analytical)


def test_thread_count_changes_no_bit():
    images, heads = inputs(5, 32)
    results = []
    for threads in (1, 2, 3, 8):
        network, variables, gradients = make(Spec(0.5, 32), 5, threads)
        network.forward(images)
        network.backward(*heads)
        results.append((variables.flat.tobytes(), gradients.flat.tobytes()))
    assert len(set(results)) == 1


def test_dropout_drops_other_values_in_each_step_and_layer():
    network, _, _ = make(Spec(0.5, 32), 2, dropout=0.3)
    images, _ = inputs(2, 32)
    kept = []
    for draw in ((1, 0), (1, 1), (2, 0), (1, 0)):
        network.forward(images, draw=draw)
        kept += [one != 0 for one in dropout_masks(network).values()]
    layers = len(kept) // 4
    assert all((a == b).all() for a, b in zip(kept[:layers], kept[-layers:], strict=True))
    assert len({one.tobytes() for one in kept}) == 3 * layers


def test_a_second_step_sees_nothing_of_the_first():
    network, _, gradients = make(Spec(0.5, 32), 2)
    found = []
    for seed in (1, 2, 1):
        images, heads = inputs(2, 32, seed)
        network.forward(images)
        network.backward(*heads)
        found.append(gradients.flat.tobytes())
    assert found[0] == found[2] != found[1]


def test_moving_statistics_move_by_the_decay():
    network, variables, _ = make(Spec(0.5, 32), 2)
    name = "MMNet/init_block/conv/BatchNorm/moving_mean"
    before = variables.views[name].copy()
    network.forward(inputs(2, 32)[0], decay=0.9)
    mean = network.z["init_block/conv"].mean(axis=(0, 1, 2))
    assert np.allclose(variables.views[name], 0.9 * before + 0.1 * mean, atol=1e-5)
    network.forward(inputs(2, 32)[0], decay=1.0)
    assert np.allclose(variables.views[name], 0.9 * before + 0.1 * mean, atol=1e-5)


def test_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no gradient oracle")
    from torch_mmnet import TorchMMNet

    spec = Spec(1.0, 64)
    network, variables, gradients = make(spec, 4, threads=2)
    images, heads = inputs(4, 64)
    module = TorchMMNet(1.0).load_canonical(variables.tensors()).train()
    theirs = module(torch.from_numpy(images).permute(0, 3, 1, 2))
    sum(
        (out * torch.from_numpy(d).permute(0, 3, 1, 2)).sum()
        for out, d in zip(theirs, heads, strict=True)
    ).backward()
    ours = network.forward(images)
    network.backward(*heads)
    for out, mine in zip(theirs, ours, strict=True):
        assert relative(mine, out.detach().permute(0, 2, 3, 1).numpy()) < 1e-4
    report = {}
    for name, expected in module.canonical_gradients().items():
        if not vanishing(name):
            report[name] = relative(gradients.views[name], expected)
    assert len(report) == 107 + 2 * 105 + 2 - 11
    assert np.median(list(report.values())) < 1e-4
    # Both are float32 with other orders of summation; a ReLU6 gate may fall the other way.
    assert max(report.values()) < 2e-2, max(report, key=report.get)
    statistics = module.state_dict()["enc_block4.merge.pointwise_conv.bn.running_var"].numpy()
    name = "MMNet/enc_block4/merge/pointwise_conv/BatchNorm/moving_variance"
    assert relative(variables.views[name], statistics) < 1e-5
