"""The trainer of quantization-aware training: what it learns, keeps, and gives to inference."""

import numpy as np
import pytest
from portrait_folder import portrait
from random_weights import random_tensors

from mmnet_np.dataset import pairs
from mmnet_np.errors import WeightsError
from mmnet_np.graph import build
from mmnet_np.images import open_photo
from mmnet_np.kernels import jit
from mmnet_np.kernels.quantization import quantize_reference
from mmnet_np.model import Matting
from mmnet_np.preprocess import network_input
from mmnet_np.quantized import Quantization
from mmnet_np.spec import Spec
from mmnet_np.tools import convert
from mmnet_np.training.quantizing_trainer import QuantizingTrainer
from mmnet_np.training.recipes import RECIPES
from mmnet_np.training.trainer import Trainer
from mmnet_np.weights import store

pytestmark = pytest.mark.skipif(
    not jit.has_numba(), reason="Numba is not installed: training needs it"
)

LOGITS = "final_block/pointwise_conv"


def batch(count, size):
    """Drawn portraits: (N, size, size, 3) in [0, 1] and their mattes."""
    drawn = [portrait(seed, (size, size)) for seed in range(count)]
    images = np.stack([network_input(photo, size, size) for photo, _ in drawn])
    return images, np.stack([matte for _, matte in drawn]) / np.float32(255)


def trainer(spec, count=4, seed=0):
    made = QuantizingTrainer(spec, RECIPES["quantize"], batch=count, steps=40, threads=2)
    made.start_from(random_tensors(spec, seed))
    return made


def weights(spec, tensors):
    return store.Weights("trained", "int8", spec.as_dict(), tensors, {}, "")


def alpha_of(model, logits):
    """What the int8 network's softmax makes of the logits that training saw."""
    scale, zero_point = model.quantization(LOGITS)
    q = np.rint(logits / scale).astype(np.int64) + zero_point
    table = model.integers(build(model.spec).output)["table"]
    return table[q[..., 0] + 128, q[..., 1] + 128]


@pytest.mark.parametrize("width", [0.5, 1.0, 1.4])
def test_inference_gives_the_bits_that_training_saw(width):
    """Also after steps: what is learned, exported and run is what the loss was computed of."""
    spec = Spec(width, 48)
    ours, (images, mattes) = trainer(spec, 2), batch(2, 48)
    ours.prepare([images])
    for _ in range(2):
        ours.step(images, mattes)
    logits, _ = ours._network.forward(images)
    ours._average.average[...] = ours.variables.flat  # instead of the average of both steps
    model = Matting(weights(spec, ours.tensors()), backend="numpy")
    x = np.rint(images * 255 - 128).astype(np.int8)
    alpha = alpha_of(model, logits)
    assert np.array_equal(alpha, model.forward(x))
    assert len(np.unique(alpha)) > 20


def test_a_trained_network_on_real_portraits_gives_the_same_bits(shared, tmp_path):
    source = str(shared / "checkpoints" / "MMNetModel-1898000.index")
    assert convert.main([source, str(tmp_path / "float.h5")]) == 0
    floats = store.load(tmp_path / "float.h5")
    photos = [open_photo(pair.image) for pair in pairs(shared / "portraits", "val")[:2]]
    images = np.stack([network_input(photo, 256, 256) for photo in photos])
    ours = QuantizingTrainer(Spec(1.0, 256), RECIPES["quantize"], batch=2, steps=1, threads=2)
    ours.start_from(floats.tensors)
    ours.prepare([images])
    logits, _ = ours._network.forward(images)
    weights = store.Weights("int8", "int8", floats.spec, ours.tensors(), {}, "")
    model = Matting(weights, backend="numpy")
    x = np.empty(images.shape, np.int8)
    quantize_reference(images, *model.quantization("input"), x)
    assert np.array_equal(alpha_of(model, logits), model.forward(x))
    exact = Matting(floats, backend="numpy").forward(images)
    assert np.abs((model.forward(x) + 128.0) / 255 - exact).mean() < 0.01


def test_training_lowers_the_loss_of_a_quantized_network():
    spec, (images, mattes) = Spec(0.5, 32), batch(4, 32)
    floats = Trainer(spec, RECIPES["fast"], batch=4, steps=40)
    for _ in range(40):
        floats.step(images, mattes)
    ours = QuantizingTrainer(spec, RECIPES["quantize"], batch=4, steps=40)
    ours.start_from(floats.variables.tensors())
    ours.prepare([images])
    losses = [ours.step(images, mattes)["total"] for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.9 * losses[0]


def test_a_restored_trainer_goes_on_to_the_same_bits():
    spec, (images, mattes) = Spec(0.5, 32), batch(4, 32)
    whole, resumed = trainer(spec), trainer(spec, seed=1)
    whole.prepare([images])
    whole.step(images, mattes)
    resumed.restore(whole.state())
    for one in (whole, resumed):
        one.step(images[::-1].copy(), mattes[::-1].copy())
    assert whole.variables.flat.tobytes() == resumed.variables.flat.tobytes()
    first, second = whole.tensors(), resumed.tensors()
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_the_state_of_another_network_is_refused():
    spec = Spec(0.5, 32)
    ours, (images, _) = trainer(spec), batch(4, 32)
    ours.prepare([images])
    state = ours.state()
    state["outputs/name"] = np.array([f"{name}x" for name in state["outputs/name"]])
    with pytest.raises(WeightsError, match="another network"):
        trainer(spec).restore(state)


def test_statistics_stay_and_outputs_stay():
    spec, (images, mattes) = Spec(0.5, 32), batch(4, 32)
    ours = trainer(spec)
    ours.prepare([images])
    before, outputs = ours.variables.tensors(), dict(ours._outputs)
    for _ in range(3):
        ours.step(images, mattes)
    assert ours._outputs == outputs
    assert isinstance(outputs[LOGITS], Quantization)
    after = ours.variables.tensors()
    same = {name for name in before if np.array_equal(before[name], after[name])}
    assert same == {name for name in before if "/moving_" in name}
