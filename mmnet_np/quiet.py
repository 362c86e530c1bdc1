"""What decoders say for themselves, kept from the terminal: we say it in a sentence."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

__all__ = ["quiet_decoders"]


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence Pillow's warnings of odd files, and what libtiff prints on stderr, past Python.

    For commands, whose stderr is theirs: both settings are the process's.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        before = {name: _handle(name, None) for name in ("Error", "Warning")}
        try:
            yield
        finally:
            for name, handler in before.items():
                _handle(name, handler)


def _handle(kind: str, handler: int | None) -> int | None:
    """Set the function that libtiff calls on errors or warnings; return the one before."""
    # The library that Pillow is linked to, wherever it lies; linked into it, it cannot be reached.
    with suppress(OSError, AttributeError):
        set_handler = getattr(ctypes.CDLL(Image.core.__file__), f"TIFFSet{kind}Handler")
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        return set_handler(handler)
    return None
