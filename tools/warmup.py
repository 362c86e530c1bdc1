"""Compile every Numba kernel ahead, so that no photo has to wait for it.

``python -m mmnet_np.tools.warmup`` prints the folder that holds the compiled code.
"""

from __future__ import annotations

import argparse

from mmnet_np.command import emit, guarded

__all__ = ["main"]


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m mmnet_np.tools.warmup",
        description="Compile all kernels for this machine and print where they are kept.",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(argv)
    return guarded("warmup", lambda: _warm(options.quiet))


def _warm(quiet: bool) -> int:
    from mmnet_np.backends import NumbaBackend  # noqa: F401  (importing it defines every kernel)
    from mmnet_np.errors import OptionError
    from mmnet_np.kernels import cache, jit
    from mmnet_np.progress import Progress

    if not jit.has_numba():
        raise OptionError(
            "Numba is not installed: there is nothing to compile, the NumPy backend needs nothing"
        )
    folder = cache.cache_folder()
    if folder is None:
        return 1  # cache_folder has said why: compiling would be lost at exit
    with Progress(len(jit.KERNELS["inference"]), "compiling", unit="kernels", quiet=quiet) as bar:
        jit.compile_all(progress=bar.step)
    emit(str(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
