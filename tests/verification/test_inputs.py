import hashlib

import numpy as np
import pytest

from mmnet_np.images import open_photo
from mmnet_np.preprocess import network_input
from mmnet_np.verification.inputs import network_inputs, noise, photo


def test_the_packaged_photo_is_the_example_as_the_network_sees_it(example):
    expected = np.rint(network_input(open_photo(example), 256, 256) * 255) - 128
    difference = np.abs(photo(256)[0] - expected)
    assert difference.max() <= 2  # decoders of JPEG may differ by a step or two
    assert difference.mean() < 0.05


def test_other_sizes_are_pixels_of_it():
    full = photo(256)
    assert (photo(128) == full[:, ::2, ::2]).all()
    assert (photo(512)[:, ::2, ::2] == full).all()


def test_the_inputs_are_the_same_everywhere():
    digests = {
        name: hashlib.sha256(np.ascontiguousarray(x)).hexdigest()[:12]
        for name, x in network_inputs(32).items()
    }
    assert digests == {
        "photo": "00e7de1c0830",
        "lowest": "753412db29fc",
        "highest": "036f359b2853",
        "checkers": "5b565326ded7",
        "noise": "46e2fdffa401",
    }


@pytest.mark.parametrize("size", [16, 48, 128])
def test_shapes_and_ranges(size):
    for name, x in network_inputs(size).items():
        assert x.shape == (1, size, size, 3) and x.dtype == np.int8
        if name in ("checkers", "noise"):
            assert (x.min(), x.max()) == (-128, 127)


def test_noise_depends_on_its_seed_alone():
    assert (noise((5, 7), "a") == noise((7, 5), "a").reshape(5, 7)).all()
    assert (noise((5, 7), "a") != noise((5, 7), "b")).any()
