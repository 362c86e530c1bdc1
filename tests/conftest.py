"""Fixtures that all tests share, and what is said about data that is not here."""

import signal
from pathlib import Path

import pytest
from hypothesis import settings
from random_weights import random_int8_weights, random_weights

from mmnet_np.spec import Spec
from mmnet_np.weights import store

# A first call compiles and a busy machine is slow: time limits belong to the tests that measure.
settings.register_profile("mmnet", deadline=None)
settings.load_profile("mmnet")

# A shell lets what it runs in the background ignore Ctrl-C, and every child would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared():
    """The folder of real portraits and checkpoints, which is not part of the project."""
    if not SHARED.is_dir():
        pytest.skip(f"no real portraits and checkpoints at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory):
    """A weights file of width 0.5 with random values."""
    path = tmp_path_factory.mktemp("weights") / "random-0.50.h5"
    store.save(path, random_weights(Spec(0.5)))
    return path


@pytest.fixture(scope="session")
def int8_weights_file(tmp_path_factory):
    """An int8 weights file of width 0.5 with random values."""
    path = tmp_path_factory.mktemp("weights") / "random-0.50-int8.h5"
    store.save(path, random_int8_weights(Spec(0.5)))
    return path


@pytest.fixture(scope="session")
def example():
    """The example photo."""
    return ROOT / "examples" / "portrait.jpg"
