"""The weights that ship: what they say of themselves, and that they cut a person out."""

import numpy as np
import pytest
from PIL import Image

import mmnet_np
from mmnet_np.images import open_photo
from mmnet_np.model import DEFAULT, SHIPPED, find_weights
from mmnet_np.weights import store

LARGEST = {"float32": 1_000_000, "int8": 400_000}  # bytes


@pytest.mark.parametrize("name", SHIPPED)
def test_says_what_it_is(name):
    path = find_weights(name)
    stored = store.load(path)
    assert stored.name == name
    assert path.stat().st_size < LARGEST[stored.dtype]
    assert name.endswith("int8") == (stored.dtype == "int8")
    assert f"-{stored.spec['size']}" in name
    assert "research and non-commercial use" in stored.licence
    provenance = stored.provenance
    while provenance:  # back to the first run, which started from nothing
        settings = provenance["settings"]
        assert {"seed", "recipe", "size", "batch", "rate"} <= settings.keys()
        assert "/" not in (settings["init"] or "")
        assert len(provenance["epochs"]["mad"]) > 0
        assert provenance["epochs"]["mad"][-1] < 0.2
        provenance = provenance.get("started_from", {}).get("provenance")
    assert settings["init"] is None


@pytest.mark.parametrize("name", SHIPPED)
def test_cuts_the_example_out(name, example):
    photo = open_photo(example)
    alpha = mmnet_np.load(name, backend="numpy").predict(photo)
    height, width = alpha.shape
    person = alpha[height // 3 : height // 2, width // 3 : width // 2]  # the face
    assert person.mean() > 0.98
    corners = alpha[: height // 8, : width // 6], alpha[: height // 8, -width // 6 :]
    assert max(corner.mean() for corner in corners) < 0.03
    assert alpha[-height // 8 :, width // 4 : -width // 4].mean() > 0.95


def test_all_agree_on_the_example(example):
    photo = open_photo(example)
    mattes = [mmnet_np.load(name, backend="numpy").predict(photo) for name in SHIPPED]
    assert all(np.abs(matte - mattes[0]).mean() < 0.03 for matte in mattes)


@pytest.mark.parametrize("dtype", DEFAULT)
def test_is_there_by_default(dtype):
    assert mmnet_np.load(dtype=dtype, backend="numpy").name == DEFAULT[dtype]


def test_nobody_is_cut_out_of_nothing():
    """Plain grey has no person in it."""
    photo = Image.new("RGB", (320, 400), (128, 128, 128))
    assert mmnet_np.load(backend="numpy").predict(photo).mean() < 0.2
