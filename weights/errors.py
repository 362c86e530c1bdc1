"""The one family of exceptions this package raises for bad input.

Every message is one sentence that names the bad value and what was expected, so that a command
can print it as it is. The class stands here, not in `mmnet_np`, because imports run
tools -> mmnet_np -> weights -> kernels and the weight store raises it too.
"""

__all__ = ["MMNetError", "WeightsError"]


class MMNetError(ValueError):
    """Base of every error a caller can cause: bad image, bad weights, bad option."""


class WeightsError(MMNetError):
    """A weights file or checkpoint is missing, damaged, hostile or not MMNet's."""
