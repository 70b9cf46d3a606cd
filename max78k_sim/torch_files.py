"""Files that hold tensors: PyTorch's zip and legacy formats and numpy's npz, any of them in xz.

Hostile input: every size that a file states is limited, and compared with the bytes that are
there, before anything of that size is made.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import InputError, printable
from .pickles import STORAGES, InertPickle, Storage, Tensor

MAXIMUM_BYTES = 512 << 20  # of the file, of the file out of xz, of all entries of a zip
MAXIMUM_XZ_MEMORY = 256 << 20  # bytes of dictionary; xz -9 takes 65 MiB
MAXIMUM_XZ_STREAMS = 64
MAXIMUM_ZIP_ENTRIES = 10_000
MAXIMUM_PICKLE_BYTES = 16 << 20
MAXIMUM_ELEMENTS = 1 << 25  # of all tensors together; no chip of the family holds as many weights

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_XZ_MAGIC = b"\xfd7zXZ\0"
_ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")  # the second: a zip without entries


def unpacked(path: Path) -> bytes:
    """The bytes of a file, out of xz if they are in it; both limited."""
    with path.open("rb") as file:
        content = file.read(MAXIMUM_BYTES + 1)
    if content.startswith(_XZ_MAGIC):
        content = _out_of_xz(content)
    if len(content) > MAXIMUM_BYTES:
        raise InputError(f"holds more than {MAXIMUM_BYTES} bytes, the limit of a checkpoint")
    return content


def _out_of_xz(packed: bytes) -> bytes:
    """All streams of an xz file; one byte over the limit at most."""
    parts: list[bytes] = []
    room = MAXIMUM_BYTES + 1
    for _ in range(MAXIMUM_XZ_STREAMS):
        if not packed.startswith(_XZ_MAGIC) or not room:
            break
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAXIMUM_XZ_MEMORY)
        parts.append(stream.decompress(packed, max_length=room))
        room -= len(parts[-1])
        if not stream.eof and room:
            raise InputError("is cut off: the xz data has no end; copy it again")
        packed = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


@dataclass(frozen=True, eq=False)
class TorchFile:
    """What torch.save wrote: the object, and the reader of the tensors in it."""

    root: object
    tensors: Tensors


@dataclass(frozen=True, eq=False)
class NumpyFile:
    """What numpy.savez wrote: names without ".npy", repeated ones too, and their reader."""

    names: list[str]
    read: Callable[[str], np.ndarray]


def open_tensors(content: bytes) -> TorchFile | NumpyFile:
    """A file by its content, out of xz already.

    Raises InputError, and whatever zipfile, struct and numpy raise for damaged bytes.
    """
    if not content:
        raise InputError("is empty; give a checkpoint (.pth.tar, .npz)")
    if content.startswith(_ZIP_MAGICS):
        return _open_zip(content)
    if content.startswith(b"\x80"):
        return _open_legacy(content)
    raise InputError(
        f"is no checkpoint: it begins with {content[:8]!r}; give a file saved by torch.save "
        "(.pth.tar), the same in xz, or an .npz"
    )


def _open_zip(content: bytes) -> TorchFile | NumpyFile:
    """PyTorch's zip format, or an npz: both are zip files."""
    if content.count(b"PK\1\2") > MAXIMUM_ZIP_ENTRIES:  # counted before the directory is built
        raise InputError(f"is a zip file of more than {MAXIMUM_ZIP_ENTRIES} entries")
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(entry.file_size for entry in archive.infolist()) > MAXIMUM_BYTES:
        raise InputError(f"unpacks to more than {MAXIMUM_BYTES} bytes, the limit of a checkpoint")
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) == 1:
        return _open_torch_zip(archive, pickles[0].removesuffix("data.pkl"))
    if all(name.endswith(".npy") for name in names):
        return NumpyFile(
            [name.removesuffix(".npy") for name in names],
            lambda name: _npy(name, _entry(archive, f"{name}.npy", MAXIMUM_BYTES)),
        )
    raise InputError("is a zip file without one data.pkl (torch.save) or only .npy arrays (npz)")


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """One entry of a zip file: ``limit`` + 1 bytes at most; its checksum is checked at its end."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{printable(name)} is compressed in a way that torch.save does not use")
    with archive.open(entry) as stream:
        return stream.read(limit + 1)


def _open_torch_zip(archive: zipfile.ZipFile, folder: str) -> TorchFile:
    byte_order = "<"
    if folder + "byteorder" in archive.namelist():
        byte_order = ">" if _entry(archive, folder + "byteorder", 16) == b"big" else "<"
    pickled = _entry(archive, folder + "data.pkl", MAXIMUM_PICKLE_BYTES)[:MAXIMUM_PICKLE_BYTES]

    def read(storage: Storage) -> bytes:
        return _entry(archive, f"{folder}data/{storage.key}", storage.byte_count)

    root = InertPickle().load(io.BytesIO(pickled))
    return TorchFile(root, Tensors(read, byte_order))


def _open_legacy(content: bytes) -> TorchFile:
    """PyTorch before 1.6: five pickles, then for each storage int64 count and its elements."""
    stream = io.BytesIO(content[:MAXIMUM_PICKLE_BYTES])
    if InertPickle().load(stream) != _LEGACY_MAGIC:
        raise InputError("is a pickle, but not one of torch.save; save a checkpoint with that")
    if InertPickle().load(stream) != _LEGACY_PROTOCOL:
        raise InputError(f"is not of PyTorch's protocol {_LEGACY_PROTOCOL}; save it again")
    InertPickle().load(stream)  # sizes of C types where it was saved
    reader = InertPickle()
    root, keys = reader.load(stream), InertPickle().load(stream)
    contents: dict[str, memoryview] = {}
    place = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        storage = reader.storages[key if type(key) is str else ""]
        (count,) = struct.unpack_from("<q", content, place)
        end = place + 8 + storage.byte_count
        if count != storage.count or end > len(content):
            raise InputError(f"is cut off or damaged at storage {printable(key)}; copy it again")
        contents[key] = memoryview(content)[place + 8 : end]
        place = end
    return TorchFile(root, Tensors(lambda storage: contents[storage.key], "<"))


def _npy(name: str, content: bytes) -> np.ndarray:
    """One array of numbers; its declared size is compared with its bytes before it is made."""
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{name} is an npy array of version {version}; save it with numpy.savez")
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, fortran_order, dtype = header(stream)
    if dtype.kind not in "iuf":
        raise InputError(f"{name} has elements of type {printable(dtype)}; save it as int8")
    if (
        math.prod(shape) * dtype.itemsize != len(content) - stream.tell()
        or min(shape, default=0) < 0
    ):
        raise InputError(f"{name} has not as many bytes as its shape says; save it again")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")


class Tensors:
    """Makes arrays of declared tensors: reads the storage, checks the view, limits the total."""

    def __init__(self, read: Callable[[Storage], bytes | memoryview], byte_order: str) -> None:
        self.read = read  # the bytes of a storage; fewer if the file is cut off
        self.byte_order = byte_order  # "<" or ">"
        self.room = MAXIMUM_ELEMENTS

    def array(self, name: str, tensor: object) -> np.ndarray:
        """The elements of ``tensor`` in its shape; InputError if its storage does not hold them."""
        if not isinstance(tensor, Tensor):
            raise InputError(f"{name} is not a dense tensor of numbers; save it as one, in float32")
        storage, offset = tensor.storage, tensor.offset
        shape, strides = extents(name, tensor.shape), extents(name, tensor.strides)
        (offset,) = extents(name, (offset,))
        if len(shape) != len(strides):
            raise InputError(f"{name} has {len(shape)} dimensions and {len(strides)} strides")
        steps = zip(shape, strides, strict=True)
        last = offset + sum((size - 1) * stride for size, stride in steps) if all(shape) else -1
        if last >= storage.count:
            raise InputError(f"{name} reaches outside of its storage of {storage.count} elements")
        self.room -= max(math.prod(shape), storage.count)
        if self.room < 0:
            raise InputError(
                f"{name} and those before it have more than {MAXIMUM_ELEMENTS} elements"
            )
        flat = self.elements(name, storage)
        byte_strides = [stride * flat.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, byte_strides)

    def elements(self, name: str, storage: Storage) -> np.ndarray:
        """All elements of a storage, [count]."""
        content = self.read(storage)
        if len(content) != storage.byte_count:
            raise InputError(
                f"{name} needs {storage.byte_count} bytes, which its storage in the file has not; "
                "the file is damaged, copy it again"
            )
        flat = np.frombuffer(content, self.byte_order + STORAGES[storage.type_name])
        if storage.type_name == "torch BFloat16Storage":
            return (flat.astype(np.uint32) << 16).view(np.float32)
        return flat


def extents(name: str, extents: object) -> tuple[int, ...]:
    """A shape or strides, of numbers that are not absurd."""
    parts = tuple(extents) if isinstance(extents, tuple | list) and len(extents) <= 8 else (None,)
    if not all(type(part) is int and 0 <= part <= MAXIMUM_BYTES for part in parts):
        raise InputError(f"{name} has a shape, strides or offset that no tensor has")
    return parts
