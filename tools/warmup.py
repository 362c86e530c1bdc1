"""Compile the Numba kernels ahead, so that no photo has to wait for them.

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
    parser.add_argument(
        "--training", action="store_true", help="the kernels of tools.train as well"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(argv)
    return guarded("warmup", lambda: _warm(options.training, options.quiet))


def _warm(training: bool, quiet: bool) -> int:
    from mmnet_np import backends, backends_int8  # noqa: F401  (importing them defines them)
    from mmnet_np.errors import OptionError
    from mmnet_np.kernels import cache, foreground, guided, jit  # noqa: F401  (as above)
    from mmnet_np.progress import Progress

    if not jit.has_numba():
        raise OptionError(
            "Numba is not installed: there is nothing to compile, the NumPy backend needs nothing"
        )
    folder = cache.cache_folder()
    if folder is None:
        return 1  # cache_folder has said why: compiling would be lost at exit
    groups = ["inference", "int8", "photo"]
    if training:
        from mmnet_np.training import augment, trainer  # noqa: F401  (importing it defines the rest)

        groups.append("training")
    total = sum(len(jit.KERNELS[group]) for group in groups)
    with Progress(total, "compiling", unit="kernels", quiet=quiet) as bar:
        for group in groups:
            jit.compile_all(group, bar.step)
    emit(str(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
