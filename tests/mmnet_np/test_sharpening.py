import numpy as np
import pytest

import mmnet_np
from mmnet_np.errors import OptionError
from mmnet_np.model import Matting
from mmnet_np.sharpening import sharpened
from mmnet_np.weights import store

LOGITS = "final_block/pointwise_conv"


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.8])
def test_float_logits_are_multiplied(weights_file, factor):
    before = store.load(weights_file)
    after = sharpened(before, factor)
    x = np.random.default_rng(0).random((1, 32, 48, 3), dtype=np.float32)
    old, new = (Matting(one, backend="numpy").intermediates(x)[LOGITS] for one in (before, after))
    assert np.abs(new - np.float32(factor) * old).max() < 1e-5 * (1 + np.abs(new).max())
    changed = {n for n in before.tensors if (before.tensors[n] != after.tensors[n]).any()}
    assert changed == ({f"MMNet/{LOGITS}/weights"} if factor != 1 else set()) | {
        n for n in (f"MMNet/{LOGITS}/biases",) if factor != 1 and before.tensors[n].any()
    }
    assert after.provenance["sharpened"] == factor
    assert before.provenance.get("sharpened") is None


def test_int8_integers_stay_and_mean_more(int8_weights_file):
    before = store.load(int8_weights_file)
    after = sharpened(before, 1.5)
    x = np.random.default_rng(0).integers(-128, 128, (1, 32, 48, 3), dtype=np.int8)
    old, new = (Matting(one, backend="numpy") for one in (before, after))
    logits = [model.intermediates(x)[LOGITS].astype(int) for model in (old, new)]
    # The multiplier is the same ratio of scales, rounded anew.
    assert np.abs(logits[0] - logits[1]).max() <= 1
    assert (logits[0] == logits[1]).mean() > 0.99
    ratio = new.quantization(LOGITS).scale / old.quantization(LOGITS).scale
    assert ratio == pytest.approx(1.5, rel=1e-6)


def test_twice_is_the_product(weights_file):
    weights = sharpened(sharpened(store.load(weights_file), 2.0), 1.5)
    assert weights.provenance["sharpened"] == 3.0


@pytest.mark.parametrize("factor", [0.0, -1.0, 11.0, float("nan")])
def test_senseless_factors_are_refused(weights_file, factor):
    with pytest.raises(OptionError, match=r"it must be from 0\.1 to 10"):
        sharpened(store.load(weights_file), factor)


def test_alpha_moves_away_from_the_middle(weights_file, tmp_path):
    store.save(tmp_path / "s.h5", sharpened(store.load(weights_file), 3.0))
    x = np.random.default_rng(0).random((1, 32, 32, 3), dtype=np.float32)
    old, new = (
        mmnet_np.load(path, backend="numpy").forward(x)
        for path in (weights_file, tmp_path / "s.h5")
    )
    assert (np.abs(new - 0.5) >= np.abs(old - 0.5) - 1e-6).all()
