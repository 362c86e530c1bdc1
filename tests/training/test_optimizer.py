import math

import numpy as np
import pytest
from compare import assert_same

from mmnet_np import graph
from mmnet_np.errors import WeightsError
from mmnet_np.spec import Spec
from mmnet_np.training.optimizer import Adam, ExponentialMovingAverage, WeightDecay
from mmnet_np.training.parameters import Parameters


def vectors(seed, count, size=50):
    return list(np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32))


def naive_adam(weights, gradients, rates, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """One value at a time in Python floats, with TensorFlow's epsilon."""
    result = []
    for k, w in enumerate(map(float, weights)):
        m = v = 0.0
        for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
            g = float(gradient[k])
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g * g
            step = rate * math.sqrt(1 - beta2**t) / (1 - beta1**t)
            w -= step * m / (math.sqrt(v) + epsilon)
        result.append(w)
    return np.array(result)


def test_adam_against_plain_loops():
    weights, *gradients = vectors(1, 9)
    gradients[3][:] = 0
    rates = np.linspace(0.1, 0.01, len(gradients))
    expected = naive_adam(weights, gradients, rates)
    adam = Adam(weights.size)
    for gradient, rate in zip(gradients, rates, strict=True):
        adam.step(weights, gradient, float(rate))
    assert_same(weights, expected, np.float32)


def test_adam_against_torch():
    torch = pytest.importorskip("torch")
    weights, *gradients = vectors(2, 7)
    theirs = torch.from_numpy(weights.copy()).requires_grad_()
    optimizer = torch.optim.Adam([theirs], lr=0.05)
    adam = Adam(weights.size, epsilon=1e-3)
    for t, gradient in enumerate(gradients, 1):
        # PyTorch's epsilon stands beside the corrected sqrt(v), TensorFlow's beside sqrt(v).
        optimizer.param_groups[0]["eps"] = 1e-3 / math.sqrt(1 - 0.999**t)
        theirs.grad = torch.from_numpy(gradient)
        optimizer.step()
        adam.step(weights, gradient, 0.05)
    assert_same(weights, theirs.detach().numpy().astype(np.float64))


def test_epsilon_is_tensorflows():
    """Where gradients are as small as epsilon, the two forms differ: a first step by hand."""
    weights, gradient = np.zeros(1, np.float32), np.full(1, 1e-7, np.float32)
    Adam(1).step(weights, gradient, 1.0)
    root = math.sqrt(1 - 0.999)
    assert weights[0] == pytest.approx(-root * 1e-7 / (root * 1e-7 + 1e-8), rel=1e-4)
    assert abs(weights[0] + 1e-7 / (1e-7 + 1e-8)) > 0.1  # the other form's step


def test_adam_leaves_what_has_no_gradient():
    weights, gradient = vectors(3, 2)
    gradient[::2] = 0
    before, adam = weights.copy(), Adam(weights.size)
    for _ in range(3):
        adam.step(weights, gradient, 0.1)
    assert weights[::2].tobytes() == before[::2].tobytes()
    assert (weights[1::2] != before[1::2]).all()


def step_adam(state, weights, gradient):
    state.step(weights, gradient, 0.01)


def step_average(state, weights, gradient):
    weights += gradient
    state.update(weights)


@pytest.mark.parametrize(
    ("make", "step"),
    [
        (lambda weights: Adam(weights.size), step_adam),
        (lambda weights: ExponentialMovingAverage(weights, 0.9), step_average),
    ],
)
def test_restored_state_goes_on_to_the_same_bits(make, step):
    weights, *gradients = vectors(4, 11)
    first = make(weights)
    for gradient in gradients[:5]:
        step(first, weights, gradient)
    kept, kept_weights = first.state(), weights.copy()
    for gradient in gradients[5:]:
        step(first, weights, gradient)
    second = make(np.zeros_like(weights))
    second.restore(kept)  # also: going on has not changed what was kept
    for gradient in gradients[5:]:
        step(second, kept_weights, gradient)
    assert kept_weights.tobytes() == weights.tobytes()
    assert {k: v.tobytes() for k, v in second.state().items()} == {
        k: v.tobytes() for k, v in first.state().items()
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mean": None}, "the optimizer's 'mean' is missing"),
        ({"square": np.zeros(4, np.float32)},
         "the optimizer's 'square' is (4,) float32; it must be (3,) float32"),
        ({"mean": np.zeros(3)}, "the optimizer's 'mean' is (3,) float64; it must be (3,) float32"),
        ({"steps": np.array(-1)}, "the optimizer's 'steps' is array(-1); it must be a count"),
        ({"steps": None}, "the optimizer's 'steps' is None; it must be a count"),
    ],
)  # fmt: skip
def test_state_of_another_network(change, sentence):
    state = {k: v for k, v in {**Adam(3).state(), **change}.items() if v is not None}
    with pytest.raises(WeightsError) as caught:
        Adam(3).restore(state)
    assert str(caught.value) == sentence


def test_average_against_plain_loops():
    start, *following = vectors(5, 30)
    average = ExponentialMovingAverage(start, decay=0.7)
    expected = start.astype(np.float64)
    for t, weights in enumerate(following, 1):
        average.update(weights)
        decay = min(0.7, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * weights
    assert_same(average.average, expected, np.float32)
    assert average.average is not start


def test_average_forgets_the_start_quickly():
    average = ExponentialMovingAverage(np.full(1, 1000, np.float32), decay=0.9999)
    for _ in range(100):
        average.update(np.ones(1, np.float32))
    assert abs(average.average[0] - 1) < 1e-3  # 0.9999**100 would leave 990


NETWORK = graph.parameters(graph.build(Spec(), auxiliary=True))


def test_all_variables_of_the_network_in_one_vector():
    parameters = Parameters(NETWORK)
    assert parameters.flat.size == 199_420
    assert parameters.shapes == NETWORK
    values = np.arange(parameters.flat.size, dtype=np.float32)
    parameters.flat[:] = values
    flattened = [view.ravel() for view in parameters.views.values()]
    assert np.concatenate(flattened).tobytes() == values.tobytes()
    other = Parameters(NETWORK)
    other.load(parameters.tensors())
    assert other.flat.tobytes() == values.tobytes()
    parameters.tensors()["MMNet/init_block/conv/weights"][:] = -1
    assert parameters.flat.min() == 0  # those were copies


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ({"a": np.ones(2)}, "variable b is missing"),
        ({"a": np.ones(2), "b": np.ones(3)}, "variable b has shape (3,); it must be (1, 3)"),
    ],
)
def test_loading_is_all_or_nothing(tensors, sentence):
    parameters = Parameters({"a": (2,), "b": (1, 3)})
    with pytest.raises(WeightsError) as caught:
        parameters.load(tensors)
    assert str(caught.value) == sentence
    assert not parameters.flat.any()


def test_weight_decay_is_on_full_and_pointwise_filters_only():
    parameters = Parameters(NETWORK)
    parameters.flat[:] = np.random.default_rng(6).standard_normal(parameters.flat.size)
    gradient = Parameters(NETWORK)
    WeightDecay(parameters, 0.5).add_gradient(parameters.flat, gradient.flat)
    decayed = {name for name, view in gradient.views.items() if view.any()}
    layers = graph.build(Spec(), auxiliary=True)
    assert decayed == {
        layer.weights_name
        for layer in layers
        if isinstance(layer, graph.Convolution | graph.Pointwise)
    }
    for name in decayed:
        assert_same(gradient.views[name], 0.5 * parameters.views[name].astype(np.float64))


def test_weight_decay_is_half_the_sum_of_squares():
    parameters = Parameters({"x/weights": (3,), "x/biases": (1,)})
    parameters.flat[:] = 1, 2, 3, 4
    decay = WeightDecay(parameters, 0.1)
    assert decay.loss(parameters.flat) == pytest.approx(0.1 * 14 / 2)
    gradient = np.ones(4, np.float32)
    decay.add_gradient(parameters.flat, gradient)
    assert_same(gradient, np.array([1.1, 1.2, 1.3, 1.0]))
