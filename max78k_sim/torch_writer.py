"""Writes what torch.load reads, also with weights_only=True: PyTorch's zip format, without torch.

The pickle names no global but PyTorch's own for tensors.  The inverse of saved_state.py.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .pickles import STORAGES
from .whole_files import write_whole

_VERSION = b"3\n"  # of the zip format; PyTorch 1.6 and later read it
_PROTOCOL = 2
_STORAGE_NAMES = {
    np.dtype(code): name.replace(" ", "\n")
    for name, code in STORAGES.items()
    if name not in ("torch BFloat16Storage", "torch BoolStorage")
} | {np.dtype(bool): "torch\nBoolStorage"}


def write_torch(file: Path, root: object) -> None:
    """Write ``root`` as torch.save does: dictionaries, lists, tuples, numbers, text, arrays.

    Arrays become tensors of their type.  The file appears whole or not at all.
    Raises InputError when it cannot be written, TypeError for a value of another type.
    """
    content = torch_bytes(root)
    write_whole(file, lambda name: name.write_bytes(content))


def torch_bytes(root: object) -> bytes:
    """The file that ``write_torch`` writes; the same for the same values."""
    storages: list[np.ndarray] = []
    parts = (pickle.PROTO, bytes([_PROTOCOL]), *_pickled(root, storages), pickle.STOP)
    entries = {"data.pkl": b"".join(parts), "byteorder": b"little", "version": _VERSION}
    for key, array in enumerate(storages):
        entries[f"data/{key}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


def _pickled(value: object, storages: list[np.ndarray]) -> Iterator[bytes]:
    """Opcodes that put one value; arrays are appended to ``storages``."""
    if isinstance(value, np.ndarray):
        yield from _tensor(value, storages)
    elif isinstance(value, dict):
        yield pickle.EMPTY_DICT + pickle.MARK
        for key, item in value.items():
            yield _plain(key)
            yield from _pickled(item, storages)
        yield pickle.SETITEMS
    elif isinstance(value, list | tuple):
        is_list = isinstance(value, list)
        yield pickle.EMPTY_LIST + pickle.MARK if is_list else pickle.MARK
        for item in value:
            yield from _pickled(item, storages)
        yield pickle.APPENDS if is_list else pickle.TUPLE
    else:
        yield _plain(value)


def _plain(value: object) -> bytes:
    """A number, text or None, out of a pickle of its own."""
    if value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(f"{type(value).__name__} is not written; take numbers, text or arrays")
    return pickle.dumps(value, _PROTOCOL)[2:-1]


def _tensor(array: np.ndarray, storages: list[np.ndarray]) -> Iterator[bytes]:
    """(storage, offset 0, shape, strides, requires_grad, hooks), rebuilt by PyTorch's function."""
    name = _STORAGE_NAMES.get(array.dtype.newbyteorder("="))
    if name is None:
        raise TypeError(f"an array of {array.dtype} is not written; take float32")
    strides = [int(np.prod(array.shape[axis + 1 :], dtype=np.int64)) for axis in range(array.ndim)]
    key, count = str(len(storages)), array.size
    storages.append(array)
    yield pickle.GLOBAL + b"torch._utils\n_rebuild_tensor_v2\n" + pickle.MARK
    yield pickle.MARK + _plain("storage") + pickle.GLOBAL + name.encode() + b"\n"
    yield _plain(key) + _plain("cpu") + _plain(count) + pickle.TUPLE + pickle.BINPERSID
    yield _plain(0)
    yield from _pickled(tuple(array.shape), storages)
    yield from _pickled(tuple(strides), storages)
    yield _plain(False) + pickle.GLOBAL + b"collections\nOrderedDict\n"
    yield pickle.EMPTY_TUPLE + pickle.REDUCE + pickle.TUPLE + pickle.REDUCE
