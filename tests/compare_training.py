"""Time one training step beside PyTorch's, in one run: ``python tests/compare_training.py``.

The same network, batch and gradients of the logits on both sides, forward and backward, without
loss, optimizer and data. PyTorch runs in NCHW, its faster format on CPUs. The two alternate, so
that a busy machine slows both; what counts is the ratio.
"""

import argparse
import resource
import statistics
import time

import numpy as np
from random_weights import random_tensors

from mmnet_np.graph import Filtered, build, parameters
from mmnet_np.quantization.observers import of_range
from mmnet_np.spec import Spec
from mmnet_np.threads import Bands
from mmnet_np.training.network import TrainingNetwork
from mmnet_np.training.parameters import Parameters
from mmnet_np.training.quantized import QuantizedArithmetic


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", action="store_true", help="ours only, for its peak memory")
    parser.add_argument("--int8", action="store_true", help="quantization-aware, beside float32")
    options = parser.parse_args()
    spec = Spec(1.0, options.size)
    graph = build(spec, auxiliary=True)
    variables, gradients = (Parameters(parameters(graph)) for _ in range(2))
    variables.load(random_tensors(spec))
    network = TrainingNetwork(
        graph, variables.views, gradients.views, options.batch, options.size,
        Bands(options.threads),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    images = rng.random((options.batch, options.size, options.size, 3), np.float32)
    heads = [
        rng.standard_normal((options.batch, side, side, 2), np.float32) / options.batch
        for side in (options.size, options.size // 16)
    ]

    def ours():
        network.forward(images)
        network.backward(*heads)

    contenders = {"mmnet_np": ours}
    if options.int8:
        contenders["int8"] = quantizing_step(spec, variables, gradients, images, heads, options)
    elif not options.alone:
        contenders["pytorch"] = pytorch_step(spec, variables, images, heads, options.threads)
    times = {name: [] for name in contenders}
    for step in contenders.values():
        step()  # compiles, allocates
    for _ in range(options.rounds):
        for name, step in contenders.items():
            began = time.perf_counter()
            step()
            times[name].append((time.perf_counter() - began) / options.batch * 1e3)
    for name, found in times.items():
        print(f"{name}: median {statistics.median(found):.1f} ms an image, least {min(found):.1f}")
    if len(times) == 2:
        ratios = [b / a for a, b in zip(*times.values(), strict=True)]
        middle = statistics.median(ratios)
        print(f"ratio pair by pair: median {middle:.2f}, least {min(ratios):.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process: {peak:.2f} GiB")


def quantizing_step(spec, variables, gradients, images, heads, options):
    graph, bands = build(spec, auxiliary=True), Bands(options.threads)
    outputs = {
        layer.name: of_range(0, 6) if layer.relu6 else of_range(-4, 4)
        for layer in graph
        if isinstance(layer, Filtered)
    }
    both = variables.views, gradients.views
    network = TrainingNetwork(
        graph, *both, options.batch, options.size, bands,
        QuantizedArithmetic(graph, *both, outputs, bands),
    )  # fmt: skip

    def step():
        network.forward(images)
        network.backward(*heads)

    return step


def pytorch_step(spec, variables, images, heads, threads):
    import torch
    from torch_mmnet import TorchMMNet

    torch.set_num_threads(threads)
    module = TorchMMNet(spec.width).load_canonical(variables.tensors()).train()
    x, *gradients = (
        torch.from_numpy(array).permute(0, 3, 1, 2).contiguous() for array in (images, *heads)
    )

    def step():
        module.zero_grad()
        outputs = module(x)
        sum((out * d).sum() for out, d in zip(outputs, gradients, strict=True)).backward()

    return step


if __name__ == "__main__":
    main()
