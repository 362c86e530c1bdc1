"""Numba, put off until a kernel is first called.

`import numba` costs half a second and compiling costs more, so a kernel is an ordinary Python
function wrapped in `Kernel`: importing it is free, and the first call compiles it (or loads it from
the cache). A machine without Numba can import every module and use the NumPy references.
"""

from __future__ import annotations

import importlib.util
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from . import cache

__all__ = ["KERNELS", "Inline", "Intrinsic", "Kernel", "compile_all", "has_numba", "kernel"]

KERNELS: dict[str, list[Kernel]] = {"inference": [], "int8": [], "photo": [], "training": []}
"""The kernels called from Python, by what needs them, in order of definition."""

_lock = threading.RLock()

# "contract" allows a*b+c to become one fused multiply-add; "nsz" that -0.0 be 0.0. Neither lets
# the compiler reorder a sum, so a result is the same in every run and for every thread count.
_FASTMATH = {"contract", "nsz"}


def has_numba() -> bool:
    """Say whether Numba is installed, without importing it."""
    return importlib.util.find_spec("numba") is not None


class Intrinsic:
    """A Numba intrinsic (a Python function that emits LLVM IR), built when first needed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._built: Any = None

    def build(self) -> Any:
        """Return the object that Numba knows how to inline into a kernel."""
        if self._built is None:
            from numba.extending import intrinsic

            self._built = intrinsic(self.function)
        return self._built


class Inline:
    """A helper that kernels call: compiled into them, never called from Python by itself."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._built: Any = None

    def build(self) -> Any:
        """Return Numba's dispatcher of the helper."""
        if self._built is None:
            import numba

            self._built = numba.njit(_bound(self.function), nogil=True, fastmath=_FASTMATH)
        return self._built

    def __call__(self, *arguments: Any) -> Any:
        """Run the plain Python function (tests use this)."""
        return self.function(*arguments)


class Kernel:
    """A function over arrays that Numba compiles for one signature when it is first called."""

    def __init__(self, function: Callable[..., None], signature: str) -> None:
        self.function = function
        self.signature = signature
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.cached = False
        self._compiled: Any = None

    def compiled(self) -> Callable[..., None]:
        """Return the machine code's dispatcher, compiling or loading it if need be."""
        if self._compiled is None:
            with _lock:
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled

    def _compile(self) -> Callable[..., None]:
        import numba

        function = _bound(self.function)
        options = {"nogil": True, "fastmath": _FASTMATH}
        folder = cache.cache_folder()
        if folder is None:
            return numba.njit(self.signature, **options)(function)
        # Numba reads its process-wide CACHE_DIR when the dispatcher is made; other users of Numba
        # in this process keep theirs.
        previous = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(folder)
        try:
            for attempt in range(2):
                # Reading a damaged cache file can raise anything: remove what there is and compile.
                # A full disk raises again; what is wrong with the kernel itself does below.
                with suppress(Exception):
                    made = numba.njit(self.signature, cache=True, **options)(function)
                    self.cached = True
                    return made
                if attempt == 0:
                    for file in folder.rglob(f"*.{self.__name__}-*.nb?"):
                        with suppress(OSError):
                            file.unlink()
            return numba.njit(self.signature, **options)(function)
        finally:
            numba.config.CACHE_DIR = previous

    def __call__(self, *arguments: Any) -> None:
        """Call the compiled kernel."""
        self.compiled()(*arguments)


def _bound(function: Callable[..., Any]) -> Callable[..., Any]:
    """Copy a function with the lazy helpers among its globals replaced by built ones."""
    names = set(function.__code__.co_names)
    scope = dict(function.__globals__)
    for name in names & scope.keys():
        if isinstance(scope[name], Inline | Intrinsic):
            scope[name] = scope[name].build()
    return types.FunctionType(
        function.__code__, scope, function.__name__, function.__defaults__, function.__closure__
    )


def kernel(signature: str, group: str = "inference") -> Callable[[Callable[..., None]], Kernel]:
    """Decorate a plain-loop function as a `Kernel` with one explicit Numba signature.

    One signature means one compilation: no surprise specialisation for a read-only or strided
    array, and all kernels of a group ("inference", "int8" or "training") can be compiled ahead
    without calling them.
    """

    def decorate(function: Callable[..., None]) -> Kernel:
        made = Kernel(function, signature)
        KERNELS[group].append(made)
        return made

    return decorate


def compile_all(group: str = "inference", progress: Callable[[], None] = lambda: None) -> None:
    """Compile (or load) every kernel of a group and record that the cache is warm.

    Parameters
    ----------
    group : {"inference", "int8", "photo", "training"}
        The modules that define its kernels must have been imported.
    progress : callable, optional
        Called after each kernel.
    """
    for one in KERNELS[group]:
        one.compiled()
        progress()
    if all(one.cached for one in KERNELS[group]):
        cache.mark_warm(group)
