import pytest

from mmnet_np.errors import OptionError
from mmnet_np.graph import Concat, Depthwise, Filtered, Input, Resize, build, parameters, shapes
from mmnet_np.spec import VARIANTS, Spec

# Table 1 of the paper: output height, width and channels of each block at 256, width 1.0.
TABLE_1 = {
    "init_block/conv": (128, 128, 32),
    "enc_block0/merge/pointwise_conv": (64, 64, 16),
    "enc_block1/merge/pointwise_conv": (64, 64, 24),
    "enc_block2/merge/pointwise_conv": (64, 64, 24),
    "enc_block3/merge/pointwise_conv": (64, 64, 24),
    "enc_block4/merge/pointwise_conv": (32, 32, 40),
    "enc_block5/merge/pointwise_conv": (32, 32, 40),
    "enc_block6/merge/pointwise_conv": (32, 32, 40),
    "enc_block7/merge/pointwise_conv": (32, 32, 40),
    "enc_block8/merge/pointwise_conv": (16, 16, 80),
    "enc_block9/merge/pointwise_conv": (16, 16, 80),
    "dec_block0/concat": (32, 32, 128),
    "dec_block1/concat": (64, 64, 80),
    "dec_block2/merge/pointwise_conv": (64, 64, 40),
    "dec_block3/merge/pointwise_conv": (64, 64, 40),
    "dec_block4/resize1": (256, 256, 16),
    "final_block/softmax": (256, 256, 2),
}


def test_shapes_of_table_1():
    found = shapes(build(Spec()), 256, 256)
    assert {name: found[name] for name in TABLE_1} == TABLE_1


@pytest.mark.parametrize("width", [0.5, 1.0, 1.4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_layer_comes_after_its_inputs_and_agrees_with_them(width, variant):
    seen = {}
    for layer in build(Spec(width, variant=variant), auxiliary=True):
        assert all(name in seen for name in layer.inputs), layer.name
        assert layer.name not in seen
        sources = [seen[name].channels for name in layer.inputs]
        if isinstance(layer, Filtered):
            assert layer.in_channels == sources[0]
        if isinstance(layer, Depthwise | Resize):
            assert layer.channels == sources[0]
        if isinstance(layer, Concat):
            assert layer.channels == sum(sources)
        seen[layer.name] = layer
    assert [name for name, layer in seen.items() if isinstance(layer, Input)] == ["input"]


def test_macs():
    graph = build(Spec())
    for side, expected in ((256, 327_503_872), (128, 327_503_872 // 4)):
        shape = shapes(graph, side, side)
        assert sum(layer.macs(shape[layer.name]) for layer in graph) == expected


def test_only_the_last_encoders_projection_has_an_activation():
    merges = [layer for layer in build(Spec()) if layer.name.endswith("merge/pointwise_conv")]
    assert [layer.name for layer in merges if layer.relu6] == ["enc_block9/merge/pointwise_conv"]


def test_variants_change_what_they_say():
    full, *_ = graphs = [build(Spec(variant=variant)) for variant in VARIANTS]
    names = [{layer.name for layer in graph} for graph in graphs]
    dilations = {layer.dilation for layer in graphs[1] if isinstance(layer, Depthwise)}
    assert names[1] == names[0]
    assert dilations == {1}
    assert {layer.dilation for layer in full if isinstance(layer, Depthwise)} == {1, 2, 4, 8}
    gone = names[0] - names[2]
    assert gone
    assert all("/shortcut/" in name for name in gone)
    assert graphs[2]["dec_block0/concat"].channels == 64 + 40
    gone = names[0] - names[3]
    assert {name.split("/")[0] for name in gone} == {"dec_block2", "dec_block3"}


def test_auxiliary_head_is_for_training_only():
    with_head = parameters(build(Spec(), auxiliary=True))
    without = parameters(build(Spec()))
    assert sorted(with_head.keys() - without.keys()) == [
        "MMNet/aux_block/pointwise_conv/biases",
        "MMNet/aux_block/pointwise_conv/weights",
    ]


def test_every_layer_belongs_to_a_block():
    graph = build(Spec())
    for layer in graph:
        if not isinstance(layer, Input):
            assert layer.name.startswith(graph.block[layer.name] + "/")


@pytest.mark.parametrize(("height", "width"), [(0, 16), (16, 24), (-16, 16), (16, 16400)])
def test_bad_sizes(height, width):
    with pytest.raises(OptionError, match="must be a multiple of 16"):
        shapes(build(Spec()), height, width)


def test_not_square():
    assert shapes(build(Spec()), 256, 384)["final_block/softmax"] == (256, 384, 2)
