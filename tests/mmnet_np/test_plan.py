from itertools import pairwise

import pytest

from mmnet_np.graph import Concat, build, shapes
from mmnet_np.plan import ALIGNMENT, plan
from mmnet_np.spec import VARIANTS, Spec


def bytes_of(place):
    n, h, w, c = place.shape
    return place.offset, place.offset + n * h * w * c * 4


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(16, 16), (256, 256), (256, 384)])
def test_no_live_tensor_is_overwritten(variant, size):
    """Walk the graph as the engine does: a step may not write over what is read later."""
    graph = build(Spec(variant=variant), auxiliary=True)
    laid_out = plan(graph, 1, *size)
    last_use = {}
    for time, layer in enumerate(graph):
        for name in layer.inputs:
            last_use[name] = time
    last_use[graph.output] = len(graph.layers)
    for time, layer in enumerate(graph):
        begin, end = bytes_of(laid_out.places[layer.name])
        assert begin % ALIGNMENT == 0
        assert end <= laid_out.size
        for other in graph.layers[:time]:
            if last_use.get(other.name, -1) < time:
                continue
            other_begin, other_end = bytes_of(laid_out.places[other.name])
            shares = begin < other_end and other_begin < end
            place, theirs = laid_out.places[layer.name], laid_out.places[other.name]
            if shares and begin == other_begin and place.shape == theirs.shape:
                # The same concat buffer: then the channels are apart, or this is the concat.
                after, before = theirs.at + theirs.channels, place.at + place.channels
                apart = before <= theirs.at or after <= place.at
                assert apart or (isinstance(layer, Concat) and other.name in layer.inputs)
            else:
                assert not shares, f"{layer.name} overwrites {other.name}"


def test_space_is_reused():
    graph = build(Spec())
    total = sum(4 * h * w * c for h, w, c in shapes(graph, 256, 256).values())
    largest = max(4 * h * w * c for h, w, c in shapes(graph, 256, 256).values())
    assert largest < plan(graph, 1, 256, 256).size < total / 5


def test_a_skip_that_others_read_is_not_moved_into_the_concat():
    """Without refinement the skip goes straight into the concat, but the encoder reads it too."""
    graph = build(Spec(variant="no-refinement"))
    places = plan(graph, 1, 64, 64).places
    assert places["enc_block0/merge/pointwise_conv"].at == 0
    assert places["enc_block0/merge/pointwise_conv"].shape[3] == 16
    assert places["dec_block1/resize0"].shape == places["dec_block1/concat"].shape


def test_batch_and_item_size_scale_the_arena():
    graph = build(Spec())
    one = plan(graph, 1, 128, 128).size
    assert plan(graph, 4, 128, 128).size == 4 * one
    assert plan(graph, 4, 128, 128, itemsize=1).size == one


def test_what_is_computed_together_shares_no_space():
    """A block fused into one step still reads its input when it writes its last layer."""
    graph = build(Spec())
    blocks: dict[str, list[str]] = {}
    for layer in graph:
        blocks.setdefault(graph.block[layer.name], []).append(layer.name)
    places = plan(graph, 1, 64, 64, together=list(blocks.values())).places
    for names in blocks.values():
        inside = {places[name].offset: bytes_of(places[name]) for name in names}
        read = {source for name in names for source in graph[name].inputs} - set(names)
        inside |= {places[name].offset: bytes_of(places[name]) for name in read}
        spans = sorted(set(inside.values()))
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))
