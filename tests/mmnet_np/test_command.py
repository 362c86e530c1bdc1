"""What commands share: exit codes, sentences, names fit to print."""

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from mmnet_np.command import emit, guarded, positive, printable, sentence
from mmnet_np.errors import ImageError, OptionError, WeightsError

ROOT = Path(__file__).resolve().parents[2]


def raising(error):
    def body():
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OptionError("size is 3"), 2, "tool: size is 3\n"),
        (ImageError("a.jpg: is empty"), 1, "tool: a.jpg: is empty\n"),
        (WeightsError("w.h5 is damaged"), 1, "tool: w.h5 is damaged\n"),
        (FileNotFoundError(2, "No such file", "a\nb"), 1, "tool: a\\nb: No such file\n"),
        (OSError(5, "Input/output error"), 1, "tool: Input/output error\n"),
        (MemoryError(), 1, "tool: there is not enough memory\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
    ],
)
def test_failures_become_a_sentence_and_a_code(error, code, said, capsys):
    assert guarded("tool", raising(error)) == code
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize("code", [0, 1, 7])
def test_success_keeps_its_code(code, capsys):
    assert guarded("tool", lambda: code) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ZeroDivisionError(), TypeError("a bug")])
def test_bugs_are_not_hidden(error):
    with pytest.raises(type(error)):
        guarded("tool", raising(error))


PRINT = "lambda: print('data') or 0"
EMIT = "lambda: [emit('data') for _ in range(100_000)] and 0"


def run(body, stdout):
    """Run a command in a process of its own, with stdout buffered as it is for users."""
    program = f"import sys; from mmnet_np.command import *; sys.exit(guarded('tool', {body}))"
    environment = {key: os.environ[key] for key in os.environ if key != "PYTHONUNBUFFERED"}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=stdout,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(("body", "name"), [(PRINT, b""), (EMIT, b"standard output: ")])
def test_a_stdout_that_takes_nothing(body, name):
    with Path("/dev/full").open("w") as full, run(body, full) as process:
        said = process.stderr.read()
    assert (process.returncode, said) == (1, b"tool: " + name + b"No space left on device\n")


def test_a_reader_that_has_seen_enough():
    with run(EMIT, subprocess.PIPE) as process:
        assert process.stdout.readline() == b"data\n"
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (1, b"")


def test_stderr_may_be_missing(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert guarded("tool", raising(ImageError("a.jpg: is empty"))) == 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("日本.jpg", "日本.jpg"),
        (Path("a/b"), "a/b"),
        (b"caf\xe9", "caf\\udce9"),
        ("\x1b[31m\x7f\u202e", "\\x1b[31m\\x7f\\u202e"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("", "''"),
    ],
)
def test_names_are_made_printable(name, shown):
    assert printable(name) == shown
    assert printable(name).isprintable()


@pytest.mark.parametrize(("text", "value"), [("1", 1), (" 12 ", 12)])
def test_positive_numbers(text, value):
    assert positive(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "1" * 5000])
def test_other_numbers_are_refused(text):
    with pytest.raises(ArgumentTypeError, match="a whole number from 1 up"):
        positive(text)


def test_emit_prints_a_line(capsys):
    emit("result")
    assert capsys.readouterr() == ("result\n", "")


def test_sentence_names_the_file_once():
    assert sentence(ImageError("a.jpg: is empty"), "a.jpg") == "a.jpg: is empty"
    assert sentence(MemoryError(), "a.jpg") == "a.jpg: there is not enough memory"
    assert sentence(OSError(5, "Bad luck"), "a.jpg") == "a.jpg: Bad luck"
    assert sentence(OSError(5, "Bad luck", "b.jpg"), "a.jpg") == "b.jpg: Bad luck"
