"""What the documentation says is so: examples run, commands parse, links lead somewhere."""

import argparse
import doctest
import importlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:python -m mmnet_np[\w.]*|mmnet-np)(?= |$)")
END = re.compile(r"\s(?:&&|\||<|>|2>|#)|;|$")  # of a command, for the shell
INDENTED = re.compile(r"^ {4}(.+)$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"--[a-z][a-z-]*|(?<![\w-])-[a-z]\b")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:mmnet_np|kernels|weights|tools|tests|docs|examples)/[\w./*-]*)`")


def modules():
    """Names of all the package's modules, as they are imported."""
    for folder in ("mmnet_np", "kernels", "weights", "tools"):
        prefix = "mmnet_np" if folder == "mmnet_np" else f"mmnet_np.{folder}"
        for source in sorted((ROOT / folder).rglob("*.py")):
            parts = source.relative_to(ROOT / folder).with_suffix("").parts
            if parts[-1] != "__main__":
                yield ".".join((prefix, *(part for part in parts if part != "__init__")))


@pytest.mark.parametrize("name", list(modules()))
def test_doctests(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def commands(text):
    """Give our commands in the code of a page: (module, arguments)."""
    fenced, prose = [block for _, block in FENCE.findall(text)], FENCE.sub("", text)
    code = [*fenced, *INDENTED.findall(prose), *SPAN.findall(prose)]
    for line in re.sub(r"\\\n\s*", "", "\n".join(code)).splitlines():
        for match in COMMAND.finditer(line):
            rest = line[match.end() :]
            words = shlex.split(rest[: END.search(rest).start()])
            module = match.group().removeprefix("python -m ")
            yield ("mmnet_np.infer" if module in ("mmnet-np", "mmnet_np") else module), words


class AcceptedError(Exception):
    """The arguments were parsed; the command itself is not to run."""


@pytest.fixture
def only_parsing(monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def stop(self, arguments=None, namespace=None):
        parse(self, arguments, namespace)
        raise AcceptedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_parse(page, only_parsing, capsys):
    for module, arguments in commands(page.read_text(encoding="utf-8")):
        if not arguments and module != "mmnet_np.tools.warmup":
            importlib.import_module(module)  # named in a sentence
            continue
        try:
            importlib.import_module(module).main(arguments)
        except AcceptedError:
            continue
        except SystemExit as exit_:  # --help and --version
            assert exit_.code == 0, (module, arguments, capsys.readouterr().err)


def test_commands_are_found():
    page = "Run `mmnet-np a.jpg`, not mmnet-np:\n```bash\n$ mmnet-np 'b c' \\\n  -o d/ && x\n```\n"
    assert list(commands(page)) == [
        ("mmnet_np.infer", ["b c", "-o", "d/"]),
        ("mmnet_np.infer", ["a.jpg"]),
    ]
    readme = list(commands((ROOT / "README.md").read_text(encoding="utf-8")))
    assert len(readme) > 3


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_and_paths_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), target
    for path in PLACE.findall(text):
        assert list(ROOT.glob(path.rstrip("/"))), path


def anchors(text):
    """Give the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_python_examples_run(page, weights_file, int8_weights_file, example, tmp_path, monkeypatch):
    """All ```python blocks of a page in order, beside a photo and weights named as in the docs."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(weights_file, "mmnet.h5")
    shutil.copy(int8_weights_file, "mmnet-int8.h5")
    Path("examples").mkdir()
    shutil.copy(example, "examples")
    scope = {"__name__": "example"}
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            exec(compile(block, str(page), "exec"), scope)


def test_every_option_is_documented(capsys):
    """Each command that has a section in docs/command.md has all its options in it."""
    page = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (\w+): [^\n]*\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert len(sections) >= 5
    for name, section in sections:
        module = "mmnet_np.infer" if name == "infer" else f"mmnet_np.tools.{name}"
        with pytest.raises(SystemExit):
            importlib.import_module(module).main(["--help"])
        options, told = (set(OPTION.findall(text)) for text in (capsys.readouterr().out, section))
        assert options - {"-h", "--help"} <= told, (name, options - told)
        assert told - {"-m"} <= options, (name, told - options)
