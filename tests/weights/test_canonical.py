"""From PyTorch's names and layouts to canonical ones, and the one door to all readers."""

import os
from pathlib import Path

import numpy as np
import pytest
from bundle_writer import write_bundle
from hypothesis import given
from hypothesis import strategies as st
from refusal import refused, refused_or_fine
from state_dict_writer import write_state_dict

from mmnet_np.weights.convert import canonical, read
from mmnet_np.weights.store import Weights, save

REAL = Path(__file__).resolve().parents[3] / "shared/data/checkpoints"


def convolution(scope: str, kernel: int, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{scope}/weights": (kernel, kernel, inputs, outputs), **norm(scope, outputs)}


def depthwise(scope: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{scope}/depthwise_weights": (3, 3, channels, 1), **norm(scope, channels)}


def norm(scope: str, channels: int) -> dict[str, tuple[int, ...]]:
    leaves = ("gamma", "beta", "moving_mean", "moving_variance")
    return {f"{scope}/BatchNorm/{leaf}": (channels,) for leaf in leaves}


EXPECTED = {
    **convolution("MMNet/init_block/conv", 3, 3, 8),
    **convolution("MMNet/enc_block0/branch0/pointwise_conv", 1, 8, 4),
    **depthwise("MMNet/enc_block0/branch0/depthwise_conv_stride", 4),
    **depthwise("MMNet/dec_block0/shortcut/depthwise_conv", 1),
    "MMNet/final_block/pointwise_conv/weights": (1, 1, 4, 2),
    "MMNet/final_block/pointwise_conv/biases": (2,),
    "MMNet/aux_block/pointwise_conv/weights": (1, 1, 4, 2),
    "MMNet/aux_block/pointwise_conv/biases": (2,),
}
AUX = {name for name in EXPECTED if name.startswith("MMNet/aux_block/")}


def network() -> dict[str, np.ndarray]:
    """Return canonical tensors with every value different."""
    count = 0
    tensors = {}
    for name, shape in EXPECTED.items():
        size = int(np.prod(shape))
        tensors[name] = np.arange(count, count + size, dtype=np.float32).reshape(shape)
        count += size
    return tensors


TORCH_LEAVES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "weights": "weight",
    "depthwise_weights": "weight",
    "biases": "bias",
}


def as_torch(style: str, front: str = "", batch_norm: str = "bn") -> dict[str, np.ndarray]:
    """Return `network` as a PyTorch module tree of one of three styles would name it.

    ``flat``: the scope holds the convolution's own weight, and its norm as a child.
    ``wrapped``: the scope holds both as children, ``conv`` and ``bn``.
    ``init wrapper``: as flat, but ``init_block`` itself is the wrapper of ``init_block/conv``.
    """
    tensors = {}
    for name, array in network().items():
        *scope, leaf = name.split("/")[1:]
        if leaf == "weights":
            array = np.stack([array[..., o].transpose(2, 0, 1) for o in range(array.shape[3])])
        if leaf == "depthwise_weights":
            array = np.stack([array[:, :, c].transpose(2, 0, 1) for c in range(array.shape[2])])
        if scope[-1] == "BatchNorm":
            scope[-1] = batch_norm
            if style == "init wrapper" and scope[0] == "init_block":
                scope = ["init_block", batch_norm]
            if leaf == "gamma":
                counter = ".".join([*scope, "num_batches_tracked"])
                tensors[front + counter] = np.array(3, np.int64)
        elif style == "wrapped":
            scope.append("conv")
        tensors[front + ".".join([*scope, TORCH_LEAVES[leaf]])] = array
    return tensors


def assert_network(found: dict[str, np.ndarray]) -> None:
    assert list(found) == list(EXPECTED)
    for name, array in network().items():
        assert found[name].dtype == np.float32 and found[name].shape == EXPECTED[name]
        assert found[name].flags.c_contiguous
        np.testing.assert_array_equal(found[name], array)


class TestCanonical:
    def test_tensorflow_names_pass(self):
        assert_network(canonical(network(), EXPECTED))

    @pytest.mark.parametrize("style", ["flat", "wrapped", "init wrapper"])
    @pytest.mark.parametrize("front", ["", "module.", "MMNet.", "module.MMNet."])
    @pytest.mark.parametrize("batch_norm", ["bn", "BatchNorm"])
    def test_torch_names(self, style, front, batch_norm):
        names = as_torch(style, front, batch_norm)
        assert f"{front}init_block.conv.weight" in names or style == "wrapped"
        assert f"{front}init_block.conv.conv.weight" in names or style != "wrapped"
        assert_network(canonical(names, EXPECTED))

    @pytest.mark.parametrize("front", ["", "MMNet."])
    def test_own_leaves_in_dotted_names(self, front):
        tensors = {
            front + name.removeprefix("MMNet/").replace("/", "."): array
            for name, array in network().items()
        }
        assert_network(canonical(tensors, EXPECTED))

    def test_layouts_by_hand(self):
        weight = np.arange(8 * 3 * 9).reshape(8, 3, 3, 3)  # [out, in, kh, kw]
        depth = np.arange(4 * 9).reshape(4, 1, 3, 3)  # [channels, 1, kh, kw]
        scope = "enc_block0.branch0.depthwise_conv_stride"
        tensors = {**as_torch("flat"), "init_block.conv.weight": weight, f"{scope}.weight": depth}
        found = canonical(tensors, EXPECTED)
        name = f"MMNet/{scope.replace('.', '/')}/depthwise_weights"
        assert found["MMNet/init_block/conv/weights"][2, 1, 0, 7] == weight[7, 0, 2, 1]
        assert found[name][2, 1, 3, 0] == depth[3, 0, 2, 1]

    @pytest.mark.parametrize("dtype", ["float64", "float16", "int64"])
    def test_any_dtype_becomes_float32(self, dtype):
        tensors = {name: array.astype(dtype) for name, array in network().items()}
        assert_network(canonical(tensors, EXPECTED))

    def test_values_beyond_float32(self):
        name = "MMNet/init_block/conv/BatchNorm/gamma"
        with refused("a.pt", "NaN or infinity", name):
            canonical({**network(), name: np.full(8, 1e300)}, EXPECTED, source="a.pt")

    @pytest.mark.parametrize("tensors", [network(), as_torch("wrapped", "module.")])
    def test_optional_names_may_be_missing(self, tensors):
        less = {name: array for name, array in tensors.items() if "aux_block" not in name}
        with refused("the checkpoint lacks 2 of"):
            canonical(less, EXPECTED)
        found = canonical(less, EXPECTED, optional=AUX)
        assert list(found) == [name for name in EXPECTED if name not in AUX]
        assert_network(canonical(tensors, EXPECTED, optional=AUX))

    def test_an_optional_name_is_still_checked(self):
        name = "MMNet/aux_block/pointwise_conv/biases"
        with refused(name, "(3,), expected (2,)"):
            canonical({**network(), name: np.zeros(3)}, EXPECTED, optional=AUX)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"init_block.conv.weight": np.zeros((8, 3, 3))}, "4 dimensions"),
            ({"init_block.conv.weight": np.zeros((8, 4, 3, 3))}, "(3, 3, 4, 8), expected"),
            ({"init_block.conv.conv.weight": np.zeros((8, 3, 3, 3))}, "two tensors that mean"),
            ({"module.init_block.conv.weight": np.zeros((8, 3, 3, 3))}, "two tensors that mean"),
            ({"MMNet/init_block/conv/weights": np.zeros((3, 3, 3, 8))}, "two tensors that mean"),
            ({"init_block.conv.BatchNorm.weight": np.zeros(8)}, "two tensors that mean"),
            ({"other.weight": np.zeros((1, 1, 1, 1))}, "(MMNet/other/weights)"),
            ({"other.bn.weight": np.zeros(1)}, "(MMNet/other/BatchNorm/gamma)"),
            ({"lonely": np.zeros(1)}, "(MMNet/lonely)"),
            ({"weight": np.zeros((1, 1, 1, 1))}, "(MMNet/weights)"),
            ({"bn.weight": np.zeros(1)}, "(MMNet/BatchNorm/gamma)"),
            ({"": np.zeros(1)}, "unexpected"),
            ({"a/b\n": np.zeros(1)}, "\\n"),
        ],
    )
    def test_faults(self, change, words):
        with refused("net.pt", words):
            canonical({**as_torch("flat"), **change}, EXPECTED, source="net.pt")

    @given(st.dictionaries(st.text(".abw/", max_size=12), st.just(np.zeros((1, 1, 1, 1)))))
    def test_any_names_are_refused_or_fine(self, tensors):
        assert refused_or_fine(canonical, tensors, EXPECTED) is None

    def test_a_module_of_pytorch(self, tmp_path):
        torch = pytest.importorskip("torch")
        nn = torch.nn

        def block(inputs, outputs, kernel, groups=1):
            conv = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=False)
            return nn.ModuleDict({"conv": conv, "bn": nn.BatchNorm2d(outputs)})

        net = nn.ModuleDict(
            {
                "init_block": nn.ModuleDict({"conv": block(3, 8, 3)}),
                "enc_block0": nn.ModuleDict(
                    {
                        "branch0": nn.ModuleDict(
                            {
                                "pointwise_conv": block(8, 4, 1),
                                "depthwise_conv_stride": block(4, 4, 3, groups=4),
                            }
                        )
                    }
                ),
                "dec_block0": nn.ModuleDict(
                    {"shortcut": nn.ModuleDict({"depthwise_conv": block(1, 1, 3)})}
                ),
                "final_block": nn.ModuleDict({"pointwise_conv": nn.Conv2d(4, 2, 1)}),
            }
        )
        torch.save({"state_dict": net.state_dict()}, tmp_path / "net.pt")
        found = canonical(read(tmp_path / "net.pt"), EXPECTED, optional=AUX)
        stride = net["enc_block0"]["branch0"]["depthwise_conv_stride"]["conv"].weight
        np.testing.assert_array_equal(
            found["MMNet/enc_block0/branch0/depthwise_conv_stride/depthwise_weights"],
            stride.detach().permute(2, 3, 0, 1).numpy(),
        )
        np.testing.assert_array_equal(
            found["MMNet/final_block/pointwise_conv/biases"],
            net["final_block"]["pointwise_conv"].bias.detach().numpy(),
        )


class TestRead:
    """One network in every format, under names that say nothing."""

    def test_a_store(self, tmp_path):
        save(tmp_path / "x.bin", Weights("n", "float32", {}, network(), {}, "none"))
        assert_network(canonical(read(tmp_path / "x.bin"), EXPECTED))

    def test_a_state_dict(self, tmp_path):
        write_state_dict(tmp_path / "x.h5", as_torch("wrapped"))
        assert_network(canonical(read(tmp_path / "x.h5"), EXPECTED))

    @pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00002"])
    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_checkpoint(self, tmp_path, suffix, kind):
        slots = {f"{name}/Adam": array for name, array in network().items()}
        write_bundle(tmp_path / "x.ckpt-1", {**network(), **slots}, shards=2)
        assert_network(canonical(read(kind(f"{tmp_path / 'x.ckpt-1'}{suffix}")), EXPECTED))

    def test_a_checkpoint_whose_index_has_another_name(self, tmp_path):
        write_bundle(tmp_path / "x", network())
        (tmp_path / "x.index").rename(tmp_path / "y")
        with refused(tmp_path / "y", "y.index does not exist"):
            read(tmp_path / "y")

    @pytest.mark.parametrize(
        "content", [b"", b"x", b"GIF89a" + bytes(100), b"\x80\x04\x95", b"PK\x05\x06" + bytes(18)]
    )
    def test_other_files(self, tmp_path, content):
        (tmp_path / "x.h5").write_bytes(content)
        with refused(tmp_path / "x.h5", "is not a weights file", "PyTorch", "TensorFlow", "HDF5"):
            read(tmp_path / "x.h5")

    def test_a_data_file_without_its_index(self, tmp_path):
        write_bundle(tmp_path / "x", network())
        (tmp_path / "x.index").unlink()
        with refused("x.data-00000-of-00001", "is not a weights file"):
            read(tmp_path / "x.data-00000-of-00001")

    def test_the_old_format_of_pytorch(self, tmp_path):
        (tmp_path / "x").write_bytes(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.")
        with refused(tmp_path / "x", "torch.save it again"):
            read(tmp_path / "x")

    def test_no_file(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path, words in (
            (tmp_path / "none", "does not exist"),
            (tmp_path, "is a folder"),
            (tmp_path / "pipe", "pipe"),
            ("a\0b", "cannot read"),
            ("", "does not exist"),
        ):
            with refused(words):
                read(path)

    @pytest.mark.parametrize("steps", [304500, 1898000])
    def test_real_checkpoints_through_the_store(self, tmp_path, steps):
        prefix = REAL / f"MMNetModel-{steps}"
        if not Path(f"{prefix}.index").exists():
            pytest.skip(
                f"MMNetModel-{steps} is not in the shared data folder beside the checkout: "
                "converting a real checkpoint of 529 tensors to the store was not tested"
            )
        tensors = read(prefix)
        expected = {name: array.shape for name, array in tensors.items()}
        found = canonical(tensors, expected, source=str(prefix))
        save(tmp_path / "net.h5", Weights("net", "float32", {}, found, {}, "research only"))
        assert (tmp_path / "net.h5").stat().st_size < 1_000_000
        back = read(tmp_path / "net.h5")
        assert len(back) == 529 and sum(array.size for array in back.values()) == 199_420
        for name, array in tensors.items():
            np.testing.assert_array_equal(back[name], array)
