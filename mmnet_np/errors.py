"""The exceptions of the package: one family, `MMNetError`, for everything a caller can cause."""

from mmnet_np.weights.errors import MMNetError, WeightsError

__all__ = ["ImageError", "MMNetError", "OptionError", "VideoError", "WeightsError"]


class ImageError(MMNetError):
    """A photo, mask or output image cannot be read, used or written."""


class OptionError(MMNetError):
    """An argument or command-line option has a value outside what is allowed."""


class VideoError(MMNetError):
    """A video cannot be read or written."""
