"""Portrait matting on a CPU: MMNet in NumPy and Numba, exact to the bit in int8.

>>> import mmnet_np
>>> sorted(mmnet_np.__all__)[:3]
['MMNetError', 'Matting', '__version__']

Everything is imported on first use: ``import mmnet_np`` alone loads neither NumPy nor Numba, so
``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .colours import foreground
    from .compose import composite, cutout
    from .errors import MMNetError
    from .model import Matting, load

__all__ = ["MMNetError", "Matting", "__version__", "composite", "cutout", "foreground", "load"]

_HOME = {
    "MMNetError": "errors",
    "Matting": "model",
    "composite": "compose",
    "cutout": "compose",
    "foreground": "colours",
    "load": "model",
}

# In a checkout the sub-packages stand beside this folder, not in it (pyproject.toml maps them
# for installs). With the root on the search path `python -m mmnet_np.infer` works from there
# even when the installed copy is another one.
_ROOT = Path(__file__).resolve().parent.parent
if (_ROOT / "pyproject.toml").is_file() and (_ROOT / "kernels" / "__init__.py").is_file():
    __path__.append(str(_ROOT))


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
