"""The whole network's gradient on a real batch, tensor by tensor, beside PyTorch's.

``PYTHONPATH=. python tests/compare_gradients.py [--weights FILE] [--batch N] [--size S] [--all]``

The batch is made of the example photo by the trainer's own augmentation, and goes through the loss;
its gradient by the logits is then given to both. Differences are largest absolute ones, relative to
the tensor's largest value. In float64 PyTorch says which of the two float32 results is nearer to
the truth: where a value of a ReLU6 lies at a border, one gate more or less moves a gradient by
more than rounding does, here and there alike.
"""

import argparse

import numpy as np
import torch
from random_weights import random_tensors
from torch_mmnet import TorchMMNet

from mmnet_np.graph import build, parameters
from mmnet_np.images import open_photo
from mmnet_np.spec import Spec
from mmnet_np.threads import Bands
from mmnet_np.training.augment import paper
from mmnet_np.training.losses import Losses
from mmnet_np.training.network import TrainingNetwork
from mmnet_np.training.parameters import Parameters
from mmnet_np.weights import store


def real_batch(photo, count, size):
    """Views of a photo, with a matte of its brightness: what is wanted is a gradient, not sense."""
    pixels = np.asarray(open_photo(photo))
    matte = np.asarray(open_photo(photo).convert("L"))
    views = [paper(np.random.default_rng(k), pixels, matte, size) for k in range(count)]
    return np.stack([image for image, _ in views]), np.stack([alpha for _, alpha in views])


def torch_gradients(tensors, images, heads, dtype):
    """Return PyTorch's gradients by our names, in training mode."""
    module = TorchMMNet(1.0).load_canonical(tensors).train().to(dtype)
    outputs = module(torch.from_numpy(images).permute(0, 3, 1, 2).to(dtype))
    sum(
        (out * torch.from_numpy(d).permute(0, 3, 1, 2).to(dtype)).sum()
        for out, d in zip(outputs, heads, strict=True)
    ).backward()
    return module.canonical_gradients()


def relative(ours, expected):
    return float(np.abs(ours - expected).max() / (np.abs(expected).max() + 1e-30))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", metavar="FILE", help="trained weights; random by default")
    parser.add_argument("--photo", metavar="FILE", default="examples/portrait.jpg")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--all", action="store_true", help="print every tensor, not the worst ten")
    args = parser.parse_args()

    spec = Spec(1.0, args.size)
    graph = build(spec, auxiliary=True)
    variables, gradients = Parameters(parameters(graph)), Parameters(parameters(graph))
    given = store.load(args.weights).tensors if args.weights else {}
    variables.load({**random_tensors(spec), **given})
    tensors = variables.tensors()  # before `forward` moves the statistics
    network = TrainingNetwork(
        graph, variables.views, gradients.views, args.batch, args.size, Bands(2)
    )
    images, truth = real_batch(args.photo, args.batch, args.size)
    _, *heads = Losses()(*network.forward(images), images, truth)
    network.backward(*heads)
    single, double = (
        torch_gradients(tensors, images, heads, dtype) for dtype in (torch.float32, torch.float64)
    )
    rows = []
    for name, exact in double.items():
        # A constant before a linear layer's batch norm has no effect: its gradient is rounding.
        if name.endswith("merge/pointwise_conv/BatchNorm/beta") and "enc_block9" not in name:
            continue
        ours = gradients.views[name]
        rows.append((relative(ours, single[name]), relative(ours, exact),
                     relative(single[name], exact), name))  # fmt: skip
    rows.sort(reverse=True)
    print("ours-torch32  ours-torch64  torch32-torch64")
    for *figures, name in rows if args.all else rows[:10]:
        print("  ".join(f"{figure:13.2e}" for figure in figures), name)
    columns = np.array([row[:3] for row in rows])
    for label, figures in (("largest", columns.max(0)), ("median", np.median(columns, 0))):
        print("  ".join(f"{figure:13.2e}" for figure in figures), label, "of", len(rows))


if __name__ == "__main__":
    main()
