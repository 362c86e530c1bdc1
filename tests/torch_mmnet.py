"""MMNet once more, as a PyTorch module written from the paper's tables: the oracle of the network.

Nothing is imported from the package, so an error in its table or graph shows here. Its state dict
has the checkpoint scopes with dots (``enc_block0.branch0.pointwise_conv.conv.weight``), which is
what the converter reads.
"""

import torch
from torch import nn
from torch.nn import functional


def round_channels(count, width):
    return max(8, (round(count * width) + 4) // 8 * 8)


class ConvNorm(nn.Module):
    """Convolution with TensorFlow SAME padding, batch norm or bias, ReLU6 or nothing."""

    def __init__(
        self, depth, channels, size, stride=1, dilation=1, groups=1, relu6=True, norm=True
    ):
        super().__init__()
        self.conv = nn.Conv2d(
            depth, channels, size, stride, 0, dilation, groups=groups, bias=not norm
        )
        # TensorFlow's decay 0.999 is PyTorch's momentum 0.001.
        self.bn = nn.BatchNorm2d(channels, eps=1e-3, momentum=1e-3) if norm else None
        self.relu6 = relu6
        self.geometry = (size - 1) * dilation + 1, stride

    def forward(self, x):
        effective, stride = self.geometry
        sides = []
        for length in (x.shape[3], x.shape[2]):  # functional.pad wants the last axis first
            out = -(-length // stride)
            total = max((out - 1) * stride + effective - length, 0)
            sides += [total // 2, total - total // 2]
        x = self.conv(functional.pad(x, sides))
        if self.bn is not None:
            x = self.bn(x)
        return functional.relu6(x) if self.relu6 else x


def pointwise(depth, channels, **options):
    return ConvNorm(depth, channels, 1, **options)


def depthwise(channels, stride=1, dilation=1):
    return ConvNorm(channels, channels, 3, stride, dilation, groups=channels)


def upsample(x):
    """TensorFlow 1's x2: even samples are copied, odd ones the mean with the next."""
    for axis in (2, 3):
        following = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), x.narrow(axis, -1, 1)], axis)
        x = torch.stack([x, (x + following) / 2], axis + 1).flatten(axis, axis + 1)
    return x


class Encoder(nn.Module):
    def __init__(self, depth, expand, project, dilations, stride=1, relu6=False):
        super().__init__()
        for k, dilation in enumerate(dilations):
            branch = nn.Module()
            branch.pointwise_conv = pointwise(depth, expand)
            if stride == 2:
                branch.depthwise_conv_stride = depthwise(expand, stride=2)
            branch.depthwise_conv_dilation = depthwise(expand, dilation=dilation)
            self.add_module(f"branch{k}", branch)
        self.merge = nn.Module()
        self.merge.pointwise_conv = pointwise(expand * len(dilations), project, relu6=relu6)

    def forward(self, x):
        outputs = []
        for name, branch in self.named_children():
            if name.startswith("branch"):
                value = x
                for layer in branch.children():
                    value = layer(value)
                outputs.append(value)
        return self.merge.pointwise_conv(torch.cat(outputs, 1))


class Decoder(nn.Module):
    def __init__(self, depth, channels, upsamplings=1, skip=0):
        super().__init__()
        self.pointwise_conv = pointwise(depth, channels)
        self.upsamplings = upsamplings
        if skip:
            self.shortcut = nn.Module()
            self.shortcut.depthwise_conv = depthwise(skip)
            self.shortcut.pointwise_conv = pointwise(skip, channels)

    def forward(self, x, skip=None):
        x = self.pointwise_conv(x)
        for _ in range(self.upsamplings):
            x = upsample(x)
        if skip is None:
            return x
        refined = self.shortcut.pointwise_conv(self.shortcut.depthwise_conv(skip))
        return torch.cat([x, refined], 1)


def logits_head(depth):
    head = nn.Module()
    head.pointwise_conv = pointwise(depth, 2, relu6=False, norm=False)
    return head


class TorchMMNet(nn.Module):
    """(N, 3, H, W) in [0, 1] -> logits (N, 2, H, W) and auxiliary logits (N, 2, H/16, W/16)."""

    def __init__(self, width=1.0):
        super().__init__()

        def c(count):
            return round_channels(count, width)

        self.init_block = nn.Module()
        self.init_block.conv = ConvNorm(3, c(32), 3, stride=2)
        self.enc_block0 = Encoder(c(32), c(16), c(16), (1, 2, 4, 8), stride=2)
        self.enc_block1 = Encoder(c(16), c(16), c(24), (1, 2, 4, 8))
        self.enc_block2 = Encoder(c(24), c(24), c(24), (1, 2, 4, 8))
        self.enc_block3 = Encoder(c(24), c(24), c(24), (1, 2, 4, 8))
        self.enc_block4 = Encoder(c(24), c(32), c(40), (1, 2, 4), stride=2)
        self.enc_block5 = Encoder(c(40), c(64), c(40), (1, 2, 4))
        self.enc_block6 = Encoder(c(40), c(64), c(40), (1, 2, 4))
        self.enc_block7 = Encoder(c(40), c(64), c(40), (1, 2, 4))
        self.enc_block8 = Encoder(c(40), c(80), c(80), (1, 2), stride=2)
        self.enc_block9 = Encoder(c(80), c(120), c(80), (1, 2), relu6=True)
        self.dec_block0 = Decoder(c(80), c(64), skip=c(40))
        self.dec_block1 = Decoder(2 * c(64), c(40), skip=c(16))
        self.dec_block2 = Encoder(2 * c(40), c(40), c(40), (1, 2, 4))
        self.dec_block3 = Encoder(c(40), c(40), c(40), (1, 2, 4))
        self.dec_block4 = Decoder(c(40), c(16), upsamplings=2)
        self.final_block = logits_head(c(16))
        self.aux_block = logits_head(c(80))

    def forward(self, x):
        x = self.init_block.conv(x)
        x = first = self.enc_block0(x)
        x = self.enc_block3(self.enc_block2(self.enc_block1(x)))
        x = fifth = self.enc_block4(x)
        x = self.enc_block7(self.enc_block6(self.enc_block5(x)))
        x = last = self.enc_block9(self.enc_block8(x))
        x = self.dec_block1(self.dec_block0(x, fifth), first)
        x = self.dec_block4(self.dec_block3(self.dec_block2(x)))
        return self.final_block.pointwise_conv(x), self.aux_block.pointwise_conv(last)

    def load_canonical(self, tensors):
        """Load weights that have the package's names and layouts."""
        state = self.state_dict()
        for key in state:
            name, axes = canonical(key)
            if name is not None:
                value = torch.tensor(tensors[name])
                state[key] = value.permute(*axes).contiguous() if axes else value
        self.load_state_dict(state)
        return self

    def canonical_gradients(self):
        """Return the parameters' gradients under the package's names, in its layouts."""
        found = {}
        for key, parameter in self.named_parameters():
            name, axes = canonical(key)
            gradient = parameter.grad
            if axes:
                gradient = gradient.permute(*[axes.index(axis) for axis in range(4)])
            found[name] = gradient.numpy()
        return found


def canonical(key):
    """Return the package's name for a state dict's key, and the axes to permute its array by."""
    scope, leaf = key.rsplit(".", 1)
    scope, kind = scope.rsplit(".", 1)
    base = "MMNet/" + scope.replace(".", "/")
    if kind == "bn":
        names = {
            "weight": "gamma",
            "bias": "beta",
            "running_mean": "moving_mean",
            "running_var": "moving_variance",
        }
        return (f"{base}/BatchNorm/{names[leaf]}" if leaf in names else None), None
    if leaf == "bias":
        return f"{base}/biases", None
    if "depthwise" in scope:
        return f"{base}/depthwise_weights", (2, 3, 0, 1)  # (3, 3, C, 1) -> (C, 1, 3, 3)
    return f"{base}/weights", (3, 2, 0, 1)  # (k, k, I, O) -> (O, I, k, k)
