"""Whole int8 networks: NumPy and Numba give the same bits, whatever the threads."""

import numpy as np
import pytest
from random_weights import random_int8_tensors, random_int8_weights

from mmnet_np.backends_int8 import NumbaInt8Backend, NumpyInt8Backend
from mmnet_np.engine import Engine
from mmnet_np.graph import Concat, build
from mmnet_np.kernels import jit
from mmnet_np.quantized import QuantizedNetwork
from mmnet_np.spec import VARIANTS, Spec
from mmnet_np.tflite_export import export
from mmnet_np.threads import Bands

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


def engine_of(spec, backend, rounding="double", seed=0):
    graph = build(spec)
    network = QuantizedNetwork(graph, random_int8_tensors(spec, seed), rounding=rounding)
    return Engine(graph, network.integers, backend)


def run(engine, x):
    """Every layer's output for one image."""
    found = {"input": x[np.newaxis]}
    with engine.workspace(*x.shape[:2]) as workspace:
        workspace.input[0] = x
        workspace.run(lambda name, value: found.setdefault(name, value.copy()))
    return found


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(-128, 128, (height, width, 3)).astype(np.int8)


def mismatches(a, b):
    assert a.keys() == b.keys()
    counts = {name: int((a[name] != b[name]).sum()) for name in a}
    return {name: count for name, count in counts.items() if count}


@needs_numba
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("width", [0.5, 1.0, 1.4])
@pytest.mark.parametrize(("height", "breadth"), [(16, 16), (48, 80), (128, 112)])
def test_numpy_and_numba_with_any_threads_agree_to_the_bit(variant, width, height, breadth):
    spec = Spec(width, variant=variant)
    x = noise(height, breadth)
    expected = run(engine_of(spec, NumpyInt8Backend()), x)
    assert all(value.dtype == np.int8 for value in expected.values())
    for threads in (1, 2, 3):
        assert not mismatches(run(engine_of(spec, NumbaInt8Backend(Bands(threads))), x), expected)


@pytest.mark.parametrize("name", ["numpy", pytest.param("numba", marks=needs_numba)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("width", "height", "breadth"), [(0.75, 80, 48), (1.4, 32, 32)])
def test_every_layer_against_tensorflow_lite(name, variant, width, height, breadth):
    litert = pytest.importorskip("litert", reason="ai-edge-litert is not installed")
    spec = Spec(width, variant=variant)
    x = noise(height, breadth)
    model = export(random_int8_weights(spec), (height, breadth))
    theirs = litert.intermediates(model, x[np.newaxis])
    expected = {layer.name: theirs[layer.name] for layer in build(spec)}
    backend = NumpyInt8Backend() if name == "numpy" else NumbaInt8Backend(Bands(1))
    assert not mismatches(run(engine_of(spec, backend), x), expected)


@needs_numba
@pytest.mark.parametrize("value", [-128, 127])
def test_all_inputs_at_one_end(value):
    spec = Spec(0.75)
    x = np.full((64, 64, 3), value, np.int8)
    backends = NumpyInt8Backend(), NumbaInt8Backend(Bands(1))
    first, second = (run(engine_of(spec, backend), x) for backend in backends)
    assert not mismatches(first, second)


@needs_numba
def test_single_rounding_agrees_too_and_is_another_dialect():
    spec, x = Spec(0.5), noise(64, 64)
    backends = NumpyInt8Backend(), NumbaInt8Backend(Bands(2))
    first, second = (run(engine_of(spec, backend, "single"), x) for backend in backends)
    assert not mismatches(first, second)
    double = run(engine_of(spec, NumpyInt8Backend()), x)
    different = mismatches(first, double)
    assert different
    once = next(iter(different))  # before any other difference could have grown
    apart = np.abs(first[once].astype(int) - double[once])
    assert apart.max() == 1
    assert (apart > 0).mean() < 0.05


def test_activations_of_the_random_network_are_alive():
    """Else the tests above would compare constants."""
    spec = Spec(1.0)
    for name, value in run(engine_of(spec, NumpyInt8Backend()), noise(64, 64)).items():
        if name != build(spec).output:
            assert value.std() > 10, name
            assert ((value == -128) | (value == 127)).mean() < 0.7, name


@pytest.mark.parametrize("name", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_a_second_run_gives_the_same_bits(name):
    """Nothing is left over in the arena, not even in a concat that requantizes in place."""
    backend = NumpyInt8Backend() if name == "numpy" else NumbaInt8Backend(Bands(2))
    engine = engine_of(Spec(0.5, variant="no-refinement"), backend)
    results = []
    with engine.workspace(64, 64) as workspace:
        for seed in (1, 2, 1):
            workspace.input[0] = noise(64, 64, seed)
            workspace.run()
            results.append(workspace.output.tobytes())
    assert results[0] == results[2] != results[1]


@pytest.mark.parametrize("name", ["numpy", pytest.param("numba", marks=needs_numba)])
def test_a_concat_requantizes_inputs_of_another_scale_also_in_place(name):
    """Every input of every concat but the first is given a scale and zero point of its own."""
    spec = Spec(0.5)
    graph, tensors = build(spec), random_int8_tensors(spec)
    rng = np.random.default_rng(3)
    for layer in graph:
        for source in layer.inputs[1:] if isinstance(layer, Concat) else ():
            prefix = f"MMNet/{source}/output_"
            tensors[prefix + "scale"] = rng.uniform(0.02, 0.04, 1).astype(np.float32)
            tensors[prefix + "zero_point"] = rng.integers(-128, 0, 1).astype(np.int32)
    network = QuantizedNetwork(graph, tensors)
    backend = NumpyInt8Backend() if name == "numpy" else NumbaInt8Backend(Bands(2))
    found = run(Engine(graph, network.integers, backend), noise(32, 48))
    for layer in graph:
        if isinstance(layer, Concat):
            to = network.quantizations[layer.name]
            parts = []
            for source in layer.inputs:
                scale, zero_point = network.quantizations[source]
                real = (found[source].astype(np.float64) - zero_point) * float(scale)
                parts.append(real / float(to.scale) + to.zero_point)
            exact = np.clip(np.concatenate(parts, axis=-1), -128, 127)
            assert np.abs(found[layer.name] - exact).max() < 0.5001


def test_all_buffers_are_int8():
    engine = engine_of(Spec(0.5), NumpyInt8Backend())
    with engine.workspace(64, 64) as workspace:
        assert workspace.input.dtype == workspace.output.dtype == np.int8
        assert workspace.value("init_block/conv").dtype == np.int8
