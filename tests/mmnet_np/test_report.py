"""What the command says in the end: silent if all went well, unless somebody watches."""

import io
import re
import sys
from pathlib import Path

import pytest

from mmnet_np.jobs import Job
from mmnet_np.report import Report


class Terminal(io.StringIO):
    def isatty(self):
        return True


def told(done=0, skipped=0, failed=0, quiet=False):
    """Report so many photos."""
    report = Report("tool", quiet=quiet)
    report.skipped = skipped
    for index in range(done):
        report.add(Job(f"{index}.jpg", Path(f"{index}.png")), None)
    for index in range(failed):
        report.add(Job(f"bad{index}.jpg", Path("x.png")), f"bad{index}.jpg: is empty")
    report.end()
    return report


def test_paths_go_to_stdout_and_failures_with_their_number_to_stderr(capsys):
    report = told(done=2, skipped=3, failed=1)
    assert (report.done, report.skipped, report.failures) == (2, 3, ["bad0.jpg: is empty"])
    assert capsys.readouterr() == (
        "0.png\n1.png\n", "tool: bad0.jpg: is empty\ntool: 2 done, 3 skipped, 1 failed\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"done": 3}, ""),
        ({"done": 1}, ""),
        ({"skipped": 1}, ""),
        ({"failed": 1}, "tool: bad0.jpg: is empty\n"),
        ({"done": 1, "skipped": 1}, "tool: 1 done, 1 skipped\n"),
        ({"skipped": 2}, "tool: 2 skipped\n"),
    ],
)
def test_in_a_log_there_is_no_summary_of_what_went_well(counts, said, capsys):
    told(**counts)
    assert capsys.readouterr().err == said


def test_quiet_tells_failures_only(capsys):
    told(done=2, skipped=2, failed=1, quiet=True)
    assert capsys.readouterr() == ("", "tool: bad0.jpg: is empty\n")


def test_on_a_terminal_failures_are_said_again_at_the_end(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    told(done=3)
    assert re.fullmatch(r"tool: 3 done in \d+:\d\d\n", sys.stderr.getvalue())
    sys.stderr.truncate(0)
    sys.stderr.seek(0)
    told(done=1, failed=23)
    lines = sys.stderr.getvalue().splitlines()[23:]
    assert re.fullmatch(r"tool: 1 done, 23 failed in \d+:\d\d", lines[0])
    assert lines[1:21] == [f"  bad{index}.jpg: is empty" for index in range(20)]
    assert lines[21:] == ["  and 3 more"]


def test_a_picture_on_standard_output_is_not_named_there(capsys):
    report = Report("tool", quiet=False)
    report.add(Job("a.jpg", None), None)
    assert capsys.readouterr().out == ""
