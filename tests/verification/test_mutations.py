"""What verification is for: one wrong number in one backend is caught, and its layer named."""

import numpy as np
import pytest
from random_weights import random_int8_weights

from mmnet_np import backends_int8, verification
from mmnet_np.graph import Depthwise
from mmnet_np.kernels import jit
from mmnet_np.kernels.output_stage import MULTIPLIER, SHIFT
from mmnet_np.spec import Spec
from mmnet_np.verification.probes import probes
from mmnet_np.verification.subject import Subject

pytestmark = pytest.mark.skipif(not jit.has_numba(), reason="Numba is not installed")

POINTWISE = "enc_block1/branch2/pointwise_conv"
DEPTHWISE = "enc_block4/branch1/depthwise_conv_stride"


@pytest.fixture(scope="module")
def made():
    """The probes of the network below, which take longer to make than to run."""
    whole = Subject(random_int8_weights(Spec(0.5, 32)))
    return list(probes(whole.graph, whole.arithmetic))


@pytest.fixture
def subject(monkeypatch, made):
    # The faults below are between our backends and the file; LiteRT would only take time.
    monkeypatch.setattr(verification.subject, "has_litert", lambda: False)
    monkeypatch.setattr(verification.subject, "probes", lambda *_: made)
    return Subject(random_int8_weights(Spec(0.5, 32)))


def culprits(subject):
    """Layers to blame, by what was compared with what."""
    found = {comparison.against: comparison.culprits for comparison in subject.check_here()}
    assert list(found)[:2] == ["the file's integers with the kernels'", "numpy with numba"]
    return found


def prepared(subject, name, layer):
    """What a backend's kernel of a layer holds, arrays of its own."""
    backend = next(backend for backend in subject.backends if backend.name == name)
    own = tuple(
        part.copy() if isinstance(part, np.ndarray) else part
        for part in backend.engine.prepared[layer]
    )
    backend.engine.prepared[layer] = own
    return own


def stage(own, row):
    """The row of the output stage in a backend's tuple: (O,) int32, to be written to."""
    for part in own:
        if isinstance(part, backends_int8.OutputStage):
            fields = {MULTIPLIER: "multiplier", SHIFT: "shift"}
            return getattr(part, fields[row])
        if isinstance(part, np.ndarray) and part.ndim == 2 and part.dtype == np.int32:
            return part[row]
    raise AssertionError("no output stage")


def test_nothing_is_wrong_to_begin_with(subject):
    assert all(comparison.mismatches == 0 for comparison in subject.check_here())


@pytest.mark.parametrize("layer", [POINTWISE, DEPTHWISE, "init_block/conv"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_multiplier_of_numba_off_by_one(subject, layer, step):
    """It changes hardly an output in a million: the integers themselves are compared."""
    stage(prepared(subject, "numba", layer), MULTIPLIER)[3] += step
    assert culprits(subject)["the file's integers with the kernels'"] == [layer]


def test_a_multiplier_off_by_one_that_both_backends_share(subject):
    """Both work with what `quantized` derived; verification derives it apart."""
    subject.arithmetic.network.integers[POINTWISE].stage.multiplier[0] += 1
    again = Subject.__new__(Subject)
    vars(again).update(vars(subject))
    again.backends = [type(b)(b.name, subject.graph, subject.arithmetic) for b in subject.backends]
    found = culprits(again)
    assert found["the file's integers with the kernels'"] == [POINTWISE]
    assert not found["numpy with numba"]


@pytest.mark.parametrize("layer", [POINTWISE, DEPTHWISE, "init_block/conv"])
def test_a_shift_of_numba(subject, layer):
    stage(prepared(subject, "numba", layer), SHIFT)[2] += 1
    found = culprits(subject)
    assert found["the file's integers with the kernels'"] == [layer]
    assert found["numpy with numba"] == [layer]


@pytest.mark.parametrize("layer", [POINTWISE, "final_block/pointwise_conv"])
def test_a_weight_of_numba(subject, layer):
    packed, *_ = prepared(subject, "numba", layer)
    packed[np.flatnonzero(packed)[5]] -= 1
    found = culprits(subject)
    assert found["the file's integers with the kernels'"] == [layer]
    assert found["numpy with numba"] == [layer]


@pytest.mark.parametrize("entry", [(0, 255), (128, 128), (200, 31), (255, 0)])
def test_a_table_entry(subject, entry):
    """Also one that no photo looks up."""
    softmax = "final_block/softmax"
    (table,) = prepared(subject, "numba", softmax)
    table[entry] += 1 if table[entry] < 127 else -1
    found = culprits(subject)
    assert found["the file's integers with the kernels'"] == [softmax]
    assert found["numpy with numba"] == [softmax]


def test_a_table_entry_wrong_in_the_rule_itself(subject, monkeypatch):
    """If the rule made the table wrong, both backends would have it so."""
    from mmnet_np.kernels import softmax_int8

    right = softmax_int8.table

    def wrong(scale):
        table = right(scale)
        table[100, 90] -= 1
        return table

    monkeypatch.setattr(softmax_int8, "table", wrong)
    again = Subject(subject.stored)
    found = culprits(again)
    assert found["the file's integers with the kernels'"] == ["final_block/softmax"]
    assert not found["numpy with numba"]


def test_padding_of_numba_with_the_zero_point_forgotten(subject):
    """The first convolution gathers patches and puts the zero point outside the image."""
    layer = "init_block/conv"
    _, *rest = prepared(subject, "numba", layer)
    numba = subject.backends[1].engine
    numba.prepared[layer] = (0, *rest)
    assert culprits(subject)["numpy with numba"] == [layer]


def test_padding_of_numpy_with_the_zero_point_forgotten(subject, monkeypatch):
    backend = subject.backends[0].engine.backend
    right = backend.operations.depthwise

    def wrong(x, zero_point, weights, stage, stride, dilation, out, at):
        """Pad with 0 where the real 0 is the zero point; stride 1 only."""
        if stride != 1:
            return right(x, zero_point, weights, stage, stride, dilation, out, at)
        margin = [(0, 0), (dilation, dilation), (dilation, dilation), (0, 0)]
        padded = np.pad(x, margin)
        whole = np.empty((*padded.shape[:3], weights.shape[2]), np.int8)
        right(padded, zero_point, weights, stage, 1, dilation, whole, 0)
        inner = slice(dilation, -dilation)
        out[..., at : at + weights.shape[2]] = whole[:, inner, inner]
        return None

    monkeypatch.setattr(backend, "operations", backend.operations._replace(depthwise=wrong))
    expected = [
        layer.name for layer in subject.graph if isinstance(layer, Depthwise) and layer.stride == 1
    ]
    assert culprits(subject)["numpy with numba"] == expected


def test_a_fault_does_not_spread(subject):
    """Layers behind the faulty one differ too, but are not to blame, and the table says so."""
    stage(prepared(subject, "numba", POINTWISE), SHIFT)[:] -= 2
    _, comparison, *_ = subject.check_here()
    assert comparison.culprits == [POINTWISE]
    behind = comparison.layers["final_block/softmax"]
    assert behind.mismatches > 0 and not behind.culprit
    assert comparison.layers["enc_block1/branch1/pointwise_conv"].mismatches == 0
