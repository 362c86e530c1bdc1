"""TensorFlow's SAME padding: output size and the zeros before the first sample."""

from __future__ import annotations

from .jit import Inline

__all__ = ["same_output", "same_padding"]


def same_output(size: int, stride: int) -> int:
    """Return the output length of a SAME convolution: ceil(size / stride)."""
    return -(-size // stride)


@Inline
def same_padding(size, out, kernel_size, stride, dilation):
    """Return how many zeros SAME padding puts before the first sample (the rest go after).

    ``total = max((out - 1) * stride + (kernel_size - 1) * dilation + 1 - size, 0)``, of which the
    smaller half goes before. For stride 2 on an even size that is 0 before and 1 after.
    """
    total = (out - 1) * stride + (kernel_size - 1) * dilation + 1 - size
    return max(total, 0) // 2
