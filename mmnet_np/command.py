"""What every command shares: one sentence for a failure, an exit code, names fit to print.

Nothing heavy is imported here, so that ``--help`` and ``--version`` answer at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .errors import MMNetError, OptionError

__all__ = ["complain", "emit", "guarded", "positive", "printable", "reason", "sentence", "spare"]

FAILED = 1  # something asked for was not done
MISUSED = 2  # as argparse
INTERRUPTED = 130  # 128 + SIGINT, as shells count


def printable(name: str | os.PathLike[str]) -> str:
    r"""Make a file name or message fit for one line: control characters and the like escaped.

    >>> printable("a\nb.jpg")
    'a\\nb.jpg'
    >>> printable("")
    "''"
    """
    text = os.fsdecode(name)
    return "".join(_shown(c) for c in text) or "''"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def reason(error: BaseException) -> str:
    """Give what an exception says, fit to stand inside a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(text[:200]).rstrip(".")


def positive(text: str) -> int:
    """Parse an option that counts something, for argparse."""
    with suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, not {printable(text)}")


def spare(target: Path, overwrite: bool) -> None:
    """Raise `MMNetError` if a file to write exists, or a link of its name, unless ``overwrite``."""
    if os.path.lexists(target) and not overwrite:
        raise MMNetError(f"{printable(target)} exists; give --overwrite to replace it")


def complain(command: str, message: object) -> None:
    """Print one line of complaint on stderr, if there is one."""
    with suppress(OSError, ValueError):
        print(f"{command}: {message}", file=sys.stderr, flush=True)


def emit(text: str) -> None:
    """Print a line of data on stdout at once, file names of undecodable bytes included.

    Raises
    ------
    OSError
        The line could not be written, e.g. `BrokenPipeError` when the reader is gone.
    """
    try:
        print(text, flush=True)
    except UnicodeEncodeError:  # a name with bytes that are no text: give those bytes back
        sys.stdout.buffer.write(os.fsencode(text) + b"\n")
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def guarded(command: str, body: Callable[[], int]) -> int:
    """Run the body of a command; failures become one sentence and an exit code.

    Parameters
    ----------
    command : str
        The name that stands before the sentence.
    body : callable
        Does the work and gives the exit code.

    Returns
    -------
    int
        What ``body`` returned; 2 after an `OptionError`; 1 after another `MMNetError`, an
        `OSError` or lack of memory; 130 after Ctrl-C. Other exceptions are bugs and keep their
        traceback.
    """
    try:
        code = body()
        if sys.stdout is not None:
            sys.stdout.flush()  # here a full disk can be told, at exit it could not
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _forget_stdout()
        return FAILED
    except OptionError as error:
        complain(command, error)
        return MISUSED
    except (MMNetError, OSError, MemoryError) as error:
        _forget_stdout()
        complain(command, sentence(error))
    return FAILED


def _forget_stdout() -> None:
    """If stdout takes nothing any more, let what it still holds go nowhere when Python exits."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)


def sentence(error: Exception, name: str | None = None) -> str:
    """Put an error into words: our own speak for themselves, others need the name of a file."""
    if isinstance(error, MMNetError):
        return str(error)
    if isinstance(error, MemoryError):
        text = "there is not enough memory"
    else:
        name, text = getattr(error, "filename", None) or name, reason(error)
    return text if name is None else f"{printable(str(name))}: {text}"
