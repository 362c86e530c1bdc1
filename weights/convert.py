"""From other people's names and layouts to ours, and one door to all readers.

Canonical names are those of the authors' TensorFlow program, scopes between slashes:

    MMNet/enc_block0/branch0/pointwise_conv/weights             [kh, kw, in, out]
    MMNet/enc_block0/branch0/depthwise_conv_stride/depthwise_weights   [kh, kw, channels, 1]
    MMNet/.../BatchNorm/{gamma, beta, moving_mean, moving_variance}    [channels]
    MMNet/final_block/pointwise_conv/biases                     [out]

A PyTorch module tree with the same scopes has dots between them, [out, in, kh, kw] kernels, and
other names for the leaves. A module that wraps a convolution as ``conv`` and its batch norm as
``bn`` or ``BatchNorm`` adds one component; ``init_block/conv`` has such a component by right. So
a name alone does not say what it means, but the name together with the expected ones does.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping

import numpy as np

from .checks import check_tensors
from .errors import WeightsError
from .files import open_regular, shown
from .hdf5_blocks import MAGIC as HDF5_MAGIC
from .leveldb_table import MAGIC as TABLE_MAGIC
from .pytorch import LEGACY_MAGIC, ZIP_MAGIC, read_state_dict
from .store import load
from .tensorflow import bundle_prefix, read_checkpoint

__all__ = ["canonical", "read"]

ROOT = "MMNet"
OWN_LEAVES = (
    "weights",
    "depthwise_weights",
    "biases",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)
NORM_SCOPES = ("BatchNorm", "bn")
NORM_LEAVES = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
# PyTorch's axes in the order of ours: [out, in, kh, kw] and, depthwise, [channels, 1, kh, kw].
AXES = {"weights": (2, 3, 1, 0), "depthwise_weights": (2, 3, 0, 1)}


def canonical(
    tensors: Mapping[str, np.ndarray],
    expected: Mapping[str, tuple[int, ...]],
    *,
    optional: Container[str] = (),
    source: str = "the checkpoint",
) -> dict[str, np.ndarray]:
    """Return tensors under canonical names, in canonical layout, as float32.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        What a reader gave. A name with a slash is taken as canonical. Any other is a dotted
        PyTorch name, with ``module.`` and ``MMNet.`` in front or not; its leaf is PyTorch's
        (``weight``, ``bias``, ``running_mean``, ``running_var``, in PyTorch's layout) or ours
        (``weights``, ``gamma`` and so on, in our layout).
    expected : mapping of str to tuple of int
        Canonical name -> shape of every tensor the network has.
    optional : container of str
        Canonical names that may be missing, such as those of the training-only head.
    source : str
        What an error calls the place the tensors come from, usually the file.

    Returns
    -------
    dict of str to ndarray
        The expected names in the expected order, less optional ones that are missing; float32,
        C order.

    Raises
    ------
    WeightsError
        Two tensors have one meaning, or the result is not exactly what is expected
        (see `check_tensors`).
    """
    found: dict[str, np.ndarray] = {}
    origin: dict[str, str] = {}
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        target, axes = (name, None) if "/" in name else _meaning(name, expected)
        if target in found:
            raise WeightsError(
                f"{shown(source)} has two tensors that mean {shown(target)}: "
                f"{shown(origin[target])} and {shown(name)}"
            )
        if axes is not None:
            if array.ndim != len(axes):
                raise WeightsError(
                    f"{shown(source)} has {shown(name)} of shape {array.shape}; expected the "
                    f"{len(axes)} dimensions of a convolution's weight"
                )
            array = array.transpose(axes)
        with np.errstate(over="ignore"):  # what is too large for float32 is found below
            found[target] = np.asarray(array, np.float32, order="C")
        origin[target] = name
    required = {
        name: shape for name, shape in expected.items() if name in found or name not in optional
    }
    check_tensors(found, required, source)
    return {name: found[name] for name in required}


def _meaning(
    name: str, expected: Mapping[str, tuple[int, ...]]
) -> tuple[str, tuple[int, ...] | None]:
    """Return the canonical name of a dotted one, and how to transpose it.

    Of all canonical names it could mean, the first one that is expected; else the first.
    """
    parts = name.removeprefix("module.").removeprefix(f"{ROOT}.").split(".")
    *scope, leaf = parts
    outer = scope[:-1] if scope and scope[-1] == "conv" else scope
    if scope and scope[-1] in NORM_SCOPES:
        leaf = NORM_LEAVES.get(leaf, leaf)
        # In a wrapper called init_block, the norm of init_block/conv is init_block.bn.
        places = [[*scope[:-1], "BatchNorm"], [*scope[:-1], "conv", "BatchNorm"]]
        leaves = [leaf]
    elif leaf in OWN_LEAVES:
        places, leaves = [scope, outer], [leaf]
    else:
        places = [scope, outer]
        leaves = {"weight": ["weights", "depthwise_weights"], "bias": ["biases"]}.get(leaf, [leaf])
    meanings = ["/".join((ROOT, *place, last)) for place in places for last in leaves]
    target = next((meaning for meaning in meanings if meaning in expected), meanings[0])
    axes = AXES.get(target.rpartition("/")[2]) if leaf == "weight" else None
    return target, axes


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a weights file of any kind known here, chosen by its content.

    Parameters
    ----------
    path : path-like
        An HDF5 file of `mmnet_np.weights.store`, a PyTorch state dict in zip format, or a
        TensorFlow checkpoint: its prefix, its index, or one of its data files.

    Returns
    -------
    dict of str to ndarray
        Names, layouts and dtypes as stored; `canonical` makes them ours.

    Raises
    ------
    WeightsError
        It is none of these, or its reader refuses it.
    """
    # A checkpoint's data file has no marks of its own, and its prefix is no file at all: the
    # index beside them is what tells.
    index = f"{bundle_prefix(path)}.index"
    if os.path.lexists(path) or not os.path.lexists(index):
        with open_regular(path) as (file, size):
            head = file.read(16)
            file.seek(max(0, size - len(TABLE_MAGIC)))
            tail = file.read()
        if head.startswith(HDF5_MAGIC):
            return dict(load(path).tensors)
        if head.startswith((ZIP_MAGIC, LEGACY_MAGIC)):
            return read_state_dict(path)
        if tail != TABLE_MAGIC and not os.path.lexists(index):
            raise WeightsError(
                f"{shown(path)} is not a weights file; expected mmnet_np's HDF5, a PyTorch state "
                "dict in zip format, or a TensorFlow checkpoint (its prefix, index or data file)"
            )
    return read_checkpoint(path)
