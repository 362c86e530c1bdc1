"""Random int8 layers: a quantized input, filters, scales, and what they become for each oracle."""

from typing import NamedTuple

import naive_int8
import numpy as np
from hypothesis import strategies as st

from mmnet_np.kernels.fixed_point import quantize_multiplier
from mmnet_np.kernels.output_stage import OutputStage
from mmnet_np.kernels.quantization import activation_range

SENTINEL = -77
"""What fills buffers beside the channels that a kernel is to write."""

roundings = st.sampled_from(["double", "single"])


class Integers(NamedTuple):
    """An output stage in Python integers, for `naive_int8`."""

    bias: list
    multiplier: list
    shift: list
    zero_point: int
    lower: int
    upper: int
    rounding: str


class Layer(NamedTuple):
    """A convolution of any kind with its input; ``weights`` have the output channel last."""

    x: np.ndarray
    scale: np.float32
    zero_point: int
    weights: np.ndarray
    weights_scale: np.ndarray
    bias: np.ndarray
    out_scale: np.float32
    out_zero_point: int
    relu6: bool

    @property
    def real(self):
        """The real multipliers, in the contract's order."""
        weights_scale = self.weights_scale.astype(np.float64)
        return np.float64(self.scale) * weights_scale / np.float64(self.out_scale)

    def stage(self, rounding="double"):
        """What the package's kernels take."""
        clamp = activation_range(self.out_scale, self.out_zero_point, self.relu6)
        multiplier, shift = quantize_multiplier(self.real)
        return OutputStage(
            self.bias, multiplier, shift, self.out_zero_point, *clamp, rounding=rounding
        )

    def integers(self, rounding="double"):
        """What the naive loops take, worked out apart from the package."""
        multiplier, shift = zip(*map(naive_int8.quantize_multiplier, self.real), strict=True)
        lower, upper = -128, 127
        if self.relu6:
            lower, upper = (
                naive_int8.quantize(v, self.out_scale, self.out_zero_point) for v in (0.0, 6.0)
            )
        return Integers(
            self.bias.tolist(), multiplier, shift, self.out_zero_point, lower, upper, rounding
        )


def random_layer(seed, shape, weights_shape, relu6=False, extreme=False):
    """Draw a layer whose outputs spread over the int8 range.

    With ``extreme``, scales and zero points may be anything: shifts of both signs, outputs that
    all saturate or all vanish, products that leave int32 when shifted to the left.
    """
    rng = np.random.default_rng(seed)
    count = weights_shape[-1]
    taps = int(np.prod(weights_shape[:-1]))
    scale = np.float32(2.0 ** rng.uniform(-9, -3))
    weights_scale = (2.0 ** rng.uniform(-11, -5, count)).astype(np.float32)
    typical = np.float64(scale) * weights_scale.mean() * 5000 * np.sqrt(taps) / 60
    spread = rng.uniform(-24, 4) if extreme else rng.uniform(-2, 2)
    return Layer(
        rng.integers(-128, 128, shape).astype(np.int8),
        scale,
        int(rng.choice([-128, 127, 0, rng.integers(-128, 128)])),
        rng.integers(-127, 128, weights_shape).astype(np.int8),
        weights_scale,
        rng.integers(-(2**13), 2**13, count).astype(np.int32),
        # LiteRT refuses a ReLU6 whose 6 is no int32 at the output's scale.
        np.float32(max(typical * 2.0**spread, 2.0**-28)),
        int(rng.choice([-128, 127, 0, rng.integers(-128, 128)])),
        relu6,
    )


def into_slice(implementation, arguments, shape, at):
    """Run a kernel that writes channels ``at`` and up of a wider buffer; return those.

    The channels before and after must be left alone.
    """
    *leading, count = shape
    out = np.full((*leading, at + count + 2), SENTINEL, np.int8)
    implementation(*arguments, out, at)
    assert (out[..., :at] == SENTINEL).all(), "channels before the slice were touched"
    assert (out[..., at + count :] == SENTINEL).all(), "channels after the slice were touched"
    return out[..., at : at + count]
