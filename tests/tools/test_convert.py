import dataclasses

import numpy as np
import pytest
from random_weights import random_tensors, random_weights

import mmnet_np
from mmnet_np.spec import Spec
from mmnet_np.tools import convert
from mmnet_np.weights import store


@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.4])
@pytest.mark.parametrize("variant", ["full", "no-refinement", "no-enhancement"])
def test_width_and_variant_are_found_out(width, variant):
    tensors = random_tensors(Spec(width, variant=variant))
    found_width, found_variant, found = convert.identify(tensors, "checkpoint", None, None)
    assert found_variant == variant
    # Another multiplier with the same channel counts would do: compare what counts.
    assert random_tensors(Spec(found_width, variant=variant)).keys() == found.keys()
    assert all(np.array_equal(found[name], tensors[name]) for name in tensors)
    if width in (0.5, 0.75, 1.0, 1.4):
        assert found_width == width


def test_no_dilation_has_to_be_asked_for():
    tensors = random_tensors(Spec(0.5, variant="no-dilation"))
    assert convert.identify(tensors, "x", None, None)[1] == "full"
    assert convert.identify(tensors, "x", None, "no-dilation")[1] == "no-dilation"


def test_what_is_no_mmnet_is_said():
    with pytest.raises(mmnet_np.MMNetError, match=r"^x: no MMNet has these variables"):
        convert.identify({"MMNet/conv/weights": np.zeros((3, 3))}, "x", None, None)


def test_a_real_checkpoint(shared, tmp_path, capsys):
    target = tmp_path / "m.h5"
    source = shared / "checkpoints" / "MMNetModel-1898000.index"
    assert convert.main([str(source), str(target)]) == 0
    assert "mmnet-1.00-256, full, " in capsys.readouterr().out
    model = mmnet_np.load(target, backend="numpy")
    assert (model.width, model.size, model.variant) == (1.0, 256, "full")
    assert target.stat().st_size < 1_000_000


def test_pytorch_state_dicts(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no state dict to read")
    from torch_mmnet import TorchMMNet

    module = TorchMMNet(0.5)
    with torch.no_grad():
        for buffer in module.buffers():
            if buffer.dtype == torch.float32:
                buffer.uniform_(0.5, 1.5)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    assert convert.main([str(tmp_path / "m.pt"), str(tmp_path / "m.h5")]) == 0
    model = mmnet_np.load(tmp_path / "m.h5", backend="numpy")
    x = np.random.default_rng(0).random((1, 64, 64, 3), dtype=np.float32)
    with torch.no_grad():
        logits, _ = module.eval()(torch.from_numpy(x).permute(0, 3, 1, 2))
    ours = model.intermediates(x)["final_block/pointwise_conv"]
    assert np.abs(ours - logits.permute(0, 2, 3, 1).numpy()).max() < 1e-4


def test_existing_target_is_kept(weights_file, tmp_path, capsys):
    target = tmp_path / "m.h5"
    target.write_text("precious")
    assert convert.main([str(weights_file), str(target)]) == 1
    assert target.read_text() == "precious"
    assert capsys.readouterr().err.strip() == (
        f"convert: {target} exists; give --overwrite to replace it"
    )
    assert convert.main([str(weights_file), str(target), "--overwrite"]) == 0
    assert store.load(target).spec["width"] == 0.5


def test_failure_leaves_nothing(tmp_path, capsys):
    (tmp_path / "bad.index").write_bytes(b"x" * 100)
    assert convert.main([str(tmp_path / "bad.index"), str(tmp_path / "m.h5")]) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.index"]
    assert capsys.readouterr().err.count("\n") == 1


def test_options_go_into_the_file(weights_file, tmp_path):
    target = tmp_path / "m.h5"
    convert.main(
        [str(weights_file), str(target), "--name", "mine", "--size", "128", "--licence", "CC0"]
    )
    stored = store.load(target)
    assert (stored.name, stored.spec["size"], stored.licence) == ("mine", 128, "CC0")
    assert random_weights(Spec(0.5)).tensors.keys() == stored.tensors.keys()


def test_a_weights_file_keeps_what_it_says_of_itself(tmp_path):
    spec = Spec(0.5, 128, "no-dilation")
    given = random_weights(spec)
    store.save(tmp_path / "a.h5", given)
    assert convert.main([str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]) == 0
    kept = store.load(tmp_path / "b.h5")
    assert kept.spec == given.spec
    assert kept.licence == given.licence
    assert kept.provenance == {"made_by": "tests", "converted_from": "a.h5"}


def test_zero_is_not_taken_for_nothing(weights_file, tmp_path):
    for option in ("--width", "--size"):
        assert convert.main([str(weights_file), str(tmp_path / "b.h5"), option, "0"]) != 0
    assert not (tmp_path / "b.h5").exists()


def test_a_dangling_link_is_not_replaced(weights_file, tmp_path):
    (tmp_path / "b.h5").symlink_to(tmp_path / "nowhere")
    assert convert.main([str(weights_file), str(tmp_path / "b.h5")]) == 1
    assert (tmp_path / "b.h5").is_symlink()


def test_int8_weights_are_checked_and_kept(int8_weights_file, tmp_path, capsys):
    given = store.load(int8_weights_file)
    target = tmp_path / "b.h5"
    assert convert.main([str(int8_weights_file), str(target), "--licence", "CC0"]) == 0
    kept = store.load(target)
    assert (kept.name, kept.dtype, kept.licence) == (given.name, "int8", "CC0")
    assert store.digest(kept.tensors, kept.spec) == store.digest(given.tensors, given.spec)
    # Of another size it is another model.
    assert convert.main([str(int8_weights_file), str(target), "--size", "64", "--overwrite"]) == 0
    assert store.load(target).name == "mmnet-0.50-64-int8"
    capsys.readouterr()
    assert convert.main([str(int8_weights_file), str(tmp_path / "c.h5"), "--width", "1"]) == 2
    assert capsys.readouterr().err == f"convert: {given.name} has width 0.5, full\n"
    lacking = dict(given.tensors)
    lacking.popitem()
    store.save(tmp_path / "bad.h5", dataclasses.replace(given, tensors=lacking))
    assert convert.main([str(tmp_path / "bad.h5"), str(tmp_path / "c.h5")]) == 1
    assert "lacks 1 of" in capsys.readouterr().err
    assert not (tmp_path / "c.h5").exists()


def test_sharpen(weights_file, tmp_path, capsys):
    target = tmp_path / "sharp.h5"
    assert convert.main([str(weights_file), str(target), "--sharpen", "2"]) == 0
    before, after = store.load(weights_file), store.load(target)
    name = "MMNet/final_block/pointwise_conv/weights"
    assert (after.tensors[name] == 2 * before.tensors[name]).all()
    assert after.provenance["sharpened"] == 2
    assert convert.main([str(weights_file), str(tmp_path / "x.h5"), "--sharpen", "0"]) == 2
    assert "sharpening factor" in capsys.readouterr().err
    assert not (tmp_path / "x.h5").exists()
