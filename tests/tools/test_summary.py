import json

import pytest

from mmnet_np.spec import Spec
from mmnet_np.tools import summary


@pytest.mark.parametrize(
    ("width", "variables"), [(1.0, 199420), (0.75, 127244), (0.5, 68996), (1.4, 368876)]
)
def test_json_totals(capsys, width, variables):
    assert summary.main(["--width", str(width), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted["variables"] == variables
    assert sum(layer["variables"] for layer in counted["layers"]) == variables
    assert counted["macs"] == sum(
        layer["macs"] for layer in counted["layers"] if not layer["training_only"]
    )


def test_macs_at_both_sizes(capsys):
    for size, macs in (("256", 327_503_872), ("128", 81_875_968)):
        summary.main(["--size", size, "--json"])
        assert json.loads(capsys.readouterr().out)["macs"] == macs


def test_table_names_layers_and_totals(capsys):
    assert summary.main([]) == 0
    text = capsys.readouterr().out
    assert "enc_block0/branch3/depthwise_conv_dilation   depthwise d8 relu6" in text
    assert "variables                                    199,420\n" in text
    assert "macs                                         327,503,872\n" in text


def test_kinds():
    kinds = {row["name"]: row["kind"] for row in summary.summarize(Spec())["layers"]}
    assert kinds["init_block/conv"] == "convolution s2 relu6"
    assert kinds["enc_block0/merge/pointwise_conv"] == "pointwise"
    assert kinds["enc_block9/merge/pointwise_conv"] == "pointwise relu6"
    assert kinds["dec_block4/resize1"] == "resize x2"


def test_bad_size_is_one_sentence(capsys):
    assert summary.main(["--size", "100"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "summary: the input's height is 100; it must be a multiple of 16 up to 16384\n"
    )
