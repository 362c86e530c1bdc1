"""The memory of a machine, and of a container on it."""

import os

import pytest

from mmnet_np import memory
from mmnet_np.memory import available_memory

MACHINE = 2**33


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": MACHINE // 4096, "SC_PAGE_SIZE": 4096}.get)


@pytest.mark.parametrize(
    ("limit", "size"), [("1073741824\n", 2**30), ("max\n", MACHINE), (str(2**63), MACHINE)]
)
def test_a_containers_limit_counts(tmp_path, monkeypatch, limit, size):
    (tmp_path / "limit").write_text(limit)
    monkeypatch.setattr(memory, "_LIMITS", (str(tmp_path / "none"), str(tmp_path / "limit")))
    assert available_memory() == size


def test_a_system_that_tells_nothing(monkeypatch):
    monkeypatch.setattr(memory, "_LIMITS", ())
    monkeypatch.delattr(os, "sysconf")
    assert available_memory() is None
