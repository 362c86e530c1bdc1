import math

import numpy as np
import pytest
from compare import assert_same
from hypothesis import given
from hypothesis import strategies as st
from shapes import seeds

from mmnet_np.errors import OptionError
from mmnet_np.kernels import jit
from mmnet_np.kernels import losses as kernels
from mmnet_np.threads import Bands
from mmnet_np.training.losses import TERMS, Losses

needs_numba = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")


def batch(seed, n=2, height=32, width=48, dtype=np.float64, scale=2.0):
    """Random logits, auxiliary logits, image and truth; parts of the truth are exactly 0 and 1."""
    rng = np.random.default_rng(seed)
    logits = rng.standard_normal((n, height, width, 2)) * scale
    auxiliary = rng.standard_normal((n, height // 16, width // 16, 2)) * scale
    truth = np.clip(rng.random((n, height, width)) * 1.5 - 0.25, 0, 1)
    image = rng.random((n, height, width, 3))
    return [array.astype(dtype) for array in (logits, auxiliary, image, truth)]


def naive(logits, auxiliary, image, truth):
    """The five terms by plain loops."""
    _, height, width = truth.shape

    def entropy(logit, label):
        return sum(
            -share * (z - math.log(math.exp(logit[0]) + math.exp(logit[1])))
            for share, z in zip((1 - label, label), logit, strict=True)
        )

    def error(b, y, x):
        if not (0 <= y < height and 0 <= x < width):
            return 0.0
        z = logits[b, y, x]
        return math.exp(z[1]) / (math.exp(z[0]) + math.exp(z[1])) - truth[b, y, x]

    sobel = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    total = dict.fromkeys(TERMS, 0.0)
    for b, y, x in np.ndindex(truth.shape):
        off = error(b, y, x)
        total["alpha"] += abs(off)
        total["compositional"] += sum(abs(off * colour) for colour in image[b, y, x]) / 3
        total["kl"] += entropy(logits[b, y, x], truth[b, y, x])
        taps = [(i, j, error(b, y + i - 1, x + j - 1)) for i in range(3) for j in range(3)]
        along_x = sum(sobel[i][j] * value for i, j, value in taps) / 8
        along_y = sum(sobel[j][i] * value for i, j, value in taps) / 8
        total["gradient"] += (abs(along_x) + abs(along_y)) / 2
    means = {name: value / truth.size for name, value in total.items()}
    cells = np.ndindex(auxiliary.shape[:3])
    inner = [entropy(auxiliary[b, y, x], truth[b, 16 * y, 16 * x]) for b, y, x in cells]
    return {**means, "auxiliary": sum(inner) / len(inner)}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_against_plain_loops(dtype):
    arrays = batch(1, 2, 16, 32, dtype)
    terms, by_logits, by_auxiliary = Losses()(*arrays)
    expected = naive(*(array.astype(np.float64) for array in arrays))
    expected["total"] = sum(expected.values()) / 5
    assert terms == pytest.approx(expected, rel=1e-12 if dtype is np.float64 else 1e-6)
    assert (by_logits.dtype, by_auxiliary.dtype) == (dtype, dtype)


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_gradient_against_differences(name, seed):
    """One term at a time, in float64, along a random direction through both heads."""
    logits, auxiliary, image, truth = batch(seed)
    loss = Losses({name: 1.0})
    rng = np.random.default_rng(seed)
    steps = [rng.standard_normal(array.shape) for array in (logits, auxiliary)]
    _, *gradients = loss(logits, auxiliary, image, truth)
    slope = sum(float(np.vdot(g, s)) for g, s in zip(gradients, steps, strict=True))
    # Small enough that hardly an |x| changes its sign on the way.
    step = 1e-7
    ahead, behind = (
        loss(logits + sign * step * steps[0], auxiliary + sign * step * steps[1], image, truth)[0]
        for sign in (1, -1)
    )
    assert slope == pytest.approx((ahead["total"] - behind["total"]) / (2 * step), rel=1e-5)
    assert abs(slope) > 1e-6


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", [*TERMS, "total"])
def test_against_torch(name, dtype):
    torch = pytest.importorskip("torch")
    import torch_losses

    arrays = batch(7, 3, 48, 32, dtype)
    weights = dict(zip(TERMS, (0.1, 0.2, 0.3, 0.25, 0.15), strict=True))
    chosen = weights if name == "total" else {name: 1.0}
    terms, *gradients = Losses(chosen)(*arrays)
    first = [torch.from_numpy(array.astype(np.float64)) for array in arrays]
    first = [t.permute(0, 3, 1, 2) if t.ndim == 4 else t for t in first]
    heads = [t.contiguous().requires_grad_() for t in first[:2]]
    found = torch_losses.losses(*heads, *first[2:])
    expected = sum(weight * found[key] for key, weight in chosen.items())
    by_torch = torch.autograd.grad(expected, heads, allow_unused=True)
    assert terms["total"] == pytest.approx(expected.item(), rel=1e-6)
    for ours, theirs in zip(gradients, by_torch, strict=True):
        wanted = np.zeros(ours.shape) if theirs is None else theirs.permute(0, 2, 3, 1).numpy()
        # A gradient is 1 / pixels times something of order 1.
        assert_same(ours * ours.dtype.type(ours.size), wanted * ours.size)


@needs_numba
@given(
    st.integers(1, 3),
    st.sampled_from([16, 32, 48]),
    st.sampled_from([16, 80]),
    st.sampled_from([0.1, 3.0, 1e4]),
    seeds,
)
def test_numba_against_reference(n, height, width, scale, seed):
    logits, auxiliary, image, truth = batch(seed, n, height, width, np.float32, scale)
    weights = np.array([0.4, 0.3, 0.2, 0.1])
    terms, gradient, _ = Losses(dict(zip(TERMS, weights, strict=False)))(
        logits, auxiliary, image, truth
    )
    # The same float32 values in float64, where signs of tiny differences are right.
    wide = [array.astype(np.float64) for array in (logits, image, truth)]
    expected, by_reference = kernels.reference(*wide, weights)
    assert [terms[name] for name in kernels.TERMS] == pytest.approx(expected.tolist(), rel=2e-5)
    # Where a difference is 0 but for rounding, its sign may be either or none.
    close = np.abs(gradient - by_reference) * truth.size < 1e-4
    assert close.mean() > 0.99
    assert np.isfinite(gradient).all()


class Scattered:
    """Runs every row by itself, the last one first."""

    def run(self, kernel, arguments, rows, values):
        for row in reversed(range(rows)):
            kernel(*arguments, row, row + 1)


@needs_numba
@pytest.mark.parametrize("bands", [Bands(2), Bands(3), Scattered()])
def test_bits_do_not_depend_on_the_bands(bands):
    arrays = batch(3, 3, 112, 96, np.float32)
    one, other = Losses(bands=Bands(1))(*arrays), Losses(bands=bands)(*arrays)
    assert one[0] == other[0]
    assert [g.tobytes() for g in one[1:]] == [g.tobytes() for g in other[1:]]


@needs_numba
def test_a_second_batch_is_not_disturbed_by_the_first():
    loss = Losses()
    fresh = [Losses()(*batch(seed, 2, size, size, np.float32)) for seed, size in ((1, 32), (2, 32))]
    for seed, expected in ((1, fresh[0]), (2, fresh[1]), (1, fresh[0])):
        loss(*batch(9, 1, 16, 48, np.float32))  # another shape in between
        found = loss(*batch(seed, 2, 32, 32, np.float32))
        assert found[0] == expected[0]
        assert found[1].tobytes() == expected[1].tobytes()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_truth_itself_costs_nothing(dtype):
    _, _, image, _ = batch(5, 1, 32, 32, dtype)
    truth = np.zeros((1, 32, 32), dtype)
    truth[0, :16] = 1
    z = (truth * 2 - 1) * 400
    logits = np.stack([-z, z], axis=-1)
    terms, by_logits, by_auxiliary = Losses()(
        logits, np.ascontiguousarray(logits[:, ::16, ::16]), image, truth
    )
    assert terms == dict.fromkeys((*TERMS, "total"), 0.0)
    assert not by_logits.any()
    assert not by_auxiliary.any()


def test_the_auxiliary_head_sees_the_first_pixel_of_each_cell():
    logits, auxiliary, image, truth = batch(6)
    before = Losses()(logits, auxiliary, image, truth)[0]["auxiliary"]
    other = np.random.default_rng(0).random(truth.shape)
    other[:, ::16, ::16] = truth[:, ::16, ::16]
    assert Losses()(logits, auxiliary, image, other)[0]["auxiliary"] == before
    other[0, 16, 16] = 1 - other[0, 16, 16]
    assert Losses()(logits, auxiliary, image, other)[0]["auxiliary"] != before


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ({"beta": 1}, "there is no loss 'beta'; it must be one of alpha, compositional, kl, "
         "gradient, auxiliary"),
        ({"kl": -1}, "the weight of loss 'kl' is -1; it must be 0 or more"),
        ({"kl": math.nan}, "the weight of loss 'kl' is nan; it must be 0 or more"),
    ],
)  # fmt: skip
def test_weights_that_make_no_sense(weights, sentence):
    with pytest.raises(OptionError) as caught:
        Losses(weights)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("wrong", ["logits", "auxiliary", "image"])
def test_shapes_that_do_not_fit(wrong):
    arrays = dict(zip(("logits", "auxiliary", "image", "truth"), batch(1), strict=True))
    arrays[wrong] = arrays[wrong][:, :1]
    with pytest.raises(
        ValueError, match=rf"{wrong} is \(2, 1, .*; beside a truth of \(2, 32, 48\)"
    ):
        Losses()(**arrays)
