"""Named arrays and short texts as an HDF5 file in memory.

What the file is, and why so, stands in `mmnet_np.weights.hdf5_reader`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["encode"]

DTYPES = {"float32": "IEEE_F32LE", "int8": "STD_I8LE", "int32": "STD_I32LE"}


def encode(tensors: Mapping[str, np.ndarray], attributes: Mapping[str, str | int]) -> bytes:
    """Return an HDF5 file.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Path of components between slashes -> array of float32, int8 or int32, not empty.
    attributes : mapping of str to str or int
        At most eight; texts of at most 32,768 bytes.

    Returns
    -------
    bytes
        The same for the same input and HDF5 library.
    """
    from h5py import h5f, h5g, h5p

    create = h5p.create(h5p.FILE_CREATE)
    create.set_obj_track_times(False)
    create.set_sizes(4, 4)  # 4-byte addresses: 8 kB less in a file of 1 MB
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_meta_block_size(0)
    access.set_fapl_core(1 << 16, False)  # in memory, never to disk
    access.set_fclose_degree(h5f.CLOSE_STRONG)  # with every object still open in it
    # The name is written nowhere, but HDF5 takes two files of one name for the same file.
    name = f"mmnet_np {secrets.token_hex(8)}".encode()
    file = h5f.create(name, h5f.ACC_TRUNC, fcpl=create, fapl=access)
    try:
        root = h5g.open(file, b"/")
        for key, value in attributes.items():
            _write_attribute(root, key, value)
        _write_tensors(root, tensors)
        h5f.flush(file)
        return file.get_file_image()
    finally:
        file.close()


def _write_tensors(root: Any, tensors: Mapping[str, np.ndarray]) -> None:
    from h5py import h5d, h5g, h5p, h5s, h5t

    group_create = h5p.create(h5p.GROUP_CREATE)
    group_create.set_obj_track_times(False)
    data_create = h5p.create(h5p.DATASET_CREATE)
    data_create.set_obj_track_times(False)
    data_create.set_layout(h5d.CONTIGUOUS)
    data_create.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    data_create.set_fill_time(h5d.FILL_TIME_NEVER)
    groups = {"": root}
    for name in sorted(tensors):
        *scopes, leaf = name.split("/")
        path, group = "", root
        for scope in scopes:
            path = f"{path}/{scope}"
            if path not in groups:
                groups[path] = h5g.create(group, scope.encode(), gcpl=group_create)
            group = groups[path]
        array = np.asarray(tensors[name], order="C")
        space = h5s.create_simple(array.shape) if array.ndim else h5s.create(h5s.SCALAR)
        kind = getattr(h5t, DTYPES[array.dtype.name])
        dataset = h5d.create(group, leaf.encode(), kind, space, data_create)
        dataset.write(h5s.ALL, h5s.ALL, array)


def _write_attribute(root: Any, name: str, value: str | int) -> None:
    from h5py import h5a, h5s, h5t

    if isinstance(value, int):
        kind, data = h5t.STD_I32LE, np.array(value, "<i4")
    else:
        text = value.encode()
        kind, data = _text_type(max(1, len(text))), np.array(text, f"S{max(1, len(text))}")
    attribute = h5a.create(root, name.encode(), kind, h5s.create(h5s.SCALAR))
    attribute.write(data, mtype=kind)


def _text_type(size: int) -> Any:
    from h5py import h5t

    kind = h5t.C_S1.copy()
    kind.set_size(size)
    kind.set_strpad(h5t.STR_NULLPAD)
    kind.set_cset(h5t.CSET_UTF8)
    return kind
