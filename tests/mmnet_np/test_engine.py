"""The whole network: NumPy against Numba, and both against PyTorch layer by layer."""

import numpy as np
import pytest
from PIL import Image
from random_weights import random_tensors

from mmnet_np.backends import NumbaBackend, NumpyBackend
from mmnet_np.engine import Engine
from mmnet_np.folding import folded_layers
from mmnet_np.graph import build
from mmnet_np.kernels import jit
from mmnet_np.preprocess import network_input
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.threads import Bands
from mmnet_np.weights import convert

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


def engine_of(spec, backend):
    graph = build(spec)
    return Engine(graph, folded_layers(graph, random_tensors(spec)), backend)


def run(graph, tensors, backend, x):
    """Every layer's output for one image."""
    found = {}
    engine = Engine(graph, folded_layers(graph, tensors), backend)
    with engine.workspace(*x.shape[:2]) as workspace:
        workspace.input[0] = x
        workspace.run(lambda name, value: found.setdefault(name, value.copy()))
    return found


def photo_like(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def largest_difference(a, b):
    return max(float(np.abs(a[name] - b[name]).max()) for name in a)


@needs_numba
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("width", "height", "breadth"), [(0.5, 128, 128), (1.0, 16, 16), (1.4, 48, 80), (0.75, 32, 96)]
)
def test_numpy_and_numba_agree_on_every_layer(variant, width, height, breadth):
    spec = Spec(width, variant=variant)
    graph, tensors = build(spec), random_tensors(spec)
    x = photo_like(height, breadth)
    by_numpy = run(graph, tensors, NumpyBackend(), x)
    by_numba = run(graph, tensors, NumbaBackend(Bands(1)), x)
    assert largest_difference(by_numpy, by_numba) < 2e-5
    alpha = graph.output
    assert np.abs(by_numpy[alpha] - by_numba[alpha]).max() < 1e-5


@needs_numba
def test_thread_count_changes_no_bit():
    spec = Spec(0.5)
    graph, tensors, x = build(spec), random_tensors(spec), photo_like(128, 144)
    one = run(graph, tensors, NumbaBackend(Bands(1)), x)
    for threads in (2, 3, 7):
        many = run(graph, tensors, NumbaBackend(Bands(threads)), x)
        assert all(one[name].tobytes() == many[name].tobytes() for name in one)


@pytest.mark.parametrize("name", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_a_second_run_gives_the_same_bits(name):
    """Nothing is left over in the arena."""
    spec = Spec(0.5)
    backend = NumpyBackend() if name == "numpy" else NumbaBackend(Bands(2))
    engine = engine_of(spec, backend)
    results = []
    with engine.workspace(64, 64) as workspace:
        for seed in (1, 2, 1):
            workspace.input[0] = photo_like(64, 64, seed)
            workspace.run()
            results.append(workspace.output.tobytes())
    assert results[0] == results[2] != results[1]


def test_workspaces_are_reused_and_bounded():
    spec = Spec(0.5)
    engine = engine_of(spec, NumpyBackend())
    with engine.workspace(16, 16) as first, engine.workspace(16, 16) as second:
        assert first is not second
    with engine.workspace(16, 16) as again:
        assert again in (first, second)
    for size in (32, 48, 64, 80, 96):
        with engine.workspace(size, size):
            pass
    assert len(engine._free) <= 4


def test_against_pytorch_layer_by_layer():
    """Random weights; prints the largest difference of each layer when one is too large."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no layer oracle")
    from torch_mmnet import TorchMMNet

    spec = Spec(0.75)
    tensors, x = random_tensors(spec), photo_like(96, 64)
    ours = run(build(spec, auxiliary=True), tensors, NumpyBackend(), x)
    module = TorchMMNet(spec.width).load_canonical(tensors).eval()
    theirs = {}
    for scope, part in module.named_modules():
        if type(part).__name__ == "ConvNorm":
            name = scope.replace(".", "/")
            part.register_forward_hook(lambda _m, _i, out, name=name: theirs.update({name: out}))
    with torch.no_grad():
        module(torch.from_numpy(x).permute(2, 0, 1)[None])
    assert len(theirs) == 107 == sum(name in theirs for name in ours)
    report = {
        name: float(np.abs(ours[name] - out.permute(0, 2, 3, 1).numpy()).max())
        for name, out in theirs.items()
    }
    assert max(report.values()) < 2e-5, report


def test_logits_of_the_real_network_on_real_photos_against_pytorch(shared, example):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no network oracle")
    from torch_mmnet import TorchMMNet

    tensors = convert.read(shared / "checkpoints" / "MMNetModel-1898000")
    module = TorchMMNet().load_canonical(tensors).eval()
    backends = [NumpyBackend()] + ([NumbaBackend(Bands(1))] if jit.has_numba() else [])
    photos = [example, *sorted((shared / "portraits" / "val" / "image").glob("*.jpg"))[:3]]
    for path in photos:
        with Image.open(path) as photo:
            x = network_input(photo, 256, 256)
        with torch.no_grad():
            logits = module(torch.from_numpy(x).permute(2, 0, 1)[None])[0]
        expected = logits.permute(0, 2, 3, 1).numpy()
        for backend in backends:
            ours = run(build(Spec()), tensors, backend, x)["final_block/pointwise_conv"]
            assert np.abs(ours - expected).max() < 1e-4
