"""Weights from a PyTorch checkpoint (zip or legacy) or a golden ``.npz``; any of them in xz.

A checkpoint is hostile: its pickle is read opcode by opcode into plain values, and nothing that
it names is imported, called or looked up.  A global is only a name; the few in ``_REBUILD`` make
records of this file, every other one makes ``_INERT``.  Layer rules: ai8x-synthesis, checkpoint
loader (commit ab4f4c01).
"""

from __future__ import annotations

import io
import lzma
import math
import pickletools
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from max78k_sim.errors import InputError

_MAXIMUM_BYTES = 512 << 20  # of the file, of the file out of xz, of all entries of a zip
_MAXIMUM_XZ_MEMORY = 256 << 20  # bytes of dictionary; xz -9 takes 65 MiB
_MAXIMUM_XZ_STREAMS = 64
_MAXIMUM_ZIP_ENTRIES = 10_000
_MAXIMUM_PICKLE_BYTES = 16 << 20
_MAXIMUM_OPCODES = 200_000  # the vendor's largest checkpoint has 11,394
_MAXIMUM_ELEMENTS = 1 << 25  # of all tensors together; no chip of the family holds as many weights

_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_XZ_MAGIC = b"\xfd7zXZ\0"
_ZIP_MAGICS = (b"PK\3\4", b"PK\5\6")  # the second: a zip without entries
_WEIGHT_BITS = (1, 2, 4, 8)
_MAXIMUM_SHIFT = 15  # of the total shift, output_shift + 8 - weight_bits, to the left or right

_STORAGES = {  # pickled name -> numpy type; bfloat16 is read as the upper half of a float32
    "torch FloatStorage": "f4",
    "torch DoubleStorage": "f8",
    "torch HalfStorage": "f2",
    "torch BFloat16Storage": "u2",
    "torch LongStorage": "i8",
    "torch IntStorage": "i4",
    "torch ShortStorage": "i2",
    "torch CharStorage": "i1",
    "torch ByteStorage": "u1",
    "torch BoolStorage": "u1",
}
_FAULTS = (  # what parsing bytes of any content may raise; the boundary turns them to InputError
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, lzma.LZMAError, struct.error, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LayerParameters:
    """What one layer was trained to: its kernel, bias, weight width and shift, as stored."""

    name: str  # "conv1"; "w0" in an npz
    index: int | None  # layer of the YAML file (npz); None: the next layer that has weights
    kernel: np.ndarray  # int8 [out, in, rows, columns], [out, in, taps], [out, in]; npz: as stored
    bias: np.ndarray | None  # int8 [out], units of 128 in the accumulator
    weight_bits: int | None  # 1, 2, 4, 8; None: an npz that does not say
    output_shift: int | None  # without the implicit 8 - weight_bits; None: an npz without it


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The layers with weights, in order; ``ended_by`` says why a later one is missing.

    A layer that is not quantised after one that is ends ``layers``: the vendor's files have such
    layers behind the last one used.  Say ``ended_by`` when a network needs more layers.
    """

    file: str
    arch: str | None
    epoch: int | None
    layers: tuple[LayerParameters, ...]
    ended_by: str | None = None


def read_checkpoint(path: str | PathLike[str]) -> Checkpoint:
    """Read a checkpoint whose form its content tells, executing nothing.

    Raises InputError, and nothing else, for a file that is absent, damaged, hostile, not quantised
    or not a checkpoint; the message names the file, the tensor, and what would work.
    """
    try:
        return _parse(_unpacked(Path(path)), str(path))
    except InputError as error:
        raise InputError(error.message, file=path) from None
    except FileNotFoundError as error:
        raise InputError("no such file; give a checkpoint (.pth.tar, .npz)", file=path) from error
    except _FAULTS as error:
        what = _printable(f"{type(error).__name__}: {error}")
        raise InputError(
            f"is damaged or not a checkpoint ({what}); copy or save it again", file=path
        ) from error


def _printable(text: object) -> str:
    """Text of a file in a message: one line, no control characters, not endless."""
    line = str(text)[:120]
    return line if line.isprintable() else ascii(line)


def _unpacked(path: Path) -> bytes:
    """The bytes of a file, out of xz if they are in it; both limited."""
    with path.open("rb") as file:
        content = file.read(_MAXIMUM_BYTES + 1)
    if content.startswith(_XZ_MAGIC):
        content = _out_of_xz(content)
    if len(content) > _MAXIMUM_BYTES:
        raise InputError(f"holds more than {_MAXIMUM_BYTES} bytes, the limit of a checkpoint")
    return content


def _out_of_xz(packed: bytes) -> bytes:
    """All streams of an xz file; one byte over the limit at most."""
    parts: list[bytes] = []
    room = _MAXIMUM_BYTES + 1
    for _ in range(_MAXIMUM_XZ_STREAMS):
        if not packed.startswith(_XZ_MAGIC) or not room:
            break
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAXIMUM_XZ_MEMORY)
        parts.append(stream.decompress(packed, max_length=room))
        room -= len(parts[-1])
        if not stream.eof and room:
            raise InputError("is cut off: the xz data has no end; copy it again")
        packed = stream.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _parse(content: bytes, file: str) -> Checkpoint:
    if not content:
        raise InputError("is empty; give a checkpoint (.pth.tar, .npz)")
    if content.startswith(_ZIP_MAGICS):
        return _parse_zip(content, file)
    if content.startswith(b"\x80"):
        return _parse_legacy(content, file)
    raise InputError(
        f"is no checkpoint: it begins with {content[:8]!r}; give a file saved by torch.save "
        "(.pth.tar), the same in xz, or an .npz"
    )


# --- containers -----------------------------------------------------------------------------------


def _parse_zip(content: bytes, file: str) -> Checkpoint:
    """PyTorch's zip format, or an npz: both are zip files."""
    if content.count(b"PK\1\2") > _MAXIMUM_ZIP_ENTRIES:  # counted before the directory is built
        raise InputError(f"is a zip file of more than {_MAXIMUM_ZIP_ENTRIES} entries")
    archive = zipfile.ZipFile(io.BytesIO(content))
    if sum(entry.file_size for entry in archive.infolist()) > _MAXIMUM_BYTES:
        raise InputError(f"unpacks to more than {_MAXIMUM_BYTES} bytes, the limit of a checkpoint")
    names = archive.namelist()
    pickles = [name for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) == 1:
        return _parse_torch_zip(archive, pickles[0].removesuffix("data.pkl"), file)
    if all(name.endswith(".npy") for name in names):
        return Checkpoint(file, None, None, _npz_layers(archive))
    raise InputError("is a zip file without one data.pkl (torch.save) or only .npy arrays (npz)")


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """One entry of a zip file: ``limit`` + 1 bytes at most; its checksum is checked at its end."""
    entry = archive.getinfo(name)
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{_printable(name)} is compressed in a way that torch.save does not use")
    with archive.open(entry) as stream:
        return stream.read(limit + 1)


def _parse_torch_zip(archive: zipfile.ZipFile, folder: str, file: str) -> Checkpoint:
    byte_order = "<"
    if folder + "byteorder" in archive.namelist():
        byte_order = ">" if _entry(archive, folder + "byteorder", 16) == b"big" else "<"
    pickled = _entry(archive, folder + "data.pkl", _MAXIMUM_PICKLE_BYTES)[:_MAXIMUM_PICKLE_BYTES]

    def read(storage: _Storage) -> bytes:
        return _entry(archive, f"{folder}data/{storage.key}", storage.byte_count)

    root = _InertPickle().load(io.BytesIO(pickled))
    return _parse_root(root, _Tensors(read, byte_order), file)


def _parse_legacy(content: bytes, file: str) -> Checkpoint:
    """PyTorch before 1.6: five pickles, then for each storage int64 count and its elements."""
    stream = io.BytesIO(content[:_MAXIMUM_PICKLE_BYTES])
    if _InertPickle().load(stream) != _LEGACY_MAGIC:
        raise InputError("is a pickle, but not one of torch.save; save a checkpoint with that")
    if _InertPickle().load(stream) != _LEGACY_PROTOCOL:
        raise InputError(f"is not of PyTorch's protocol {_LEGACY_PROTOCOL}; save it again")
    _InertPickle().load(stream)  # sizes of C types where it was saved
    reader = _InertPickle()
    root, keys = reader.load(stream), _InertPickle().load(stream)
    contents: dict[str, memoryview] = {}
    place = stream.tell()
    for key in keys if isinstance(keys, list) else ():
        storage = reader.storages[key if type(key) is str else ""]
        (count,) = struct.unpack_from("<q", content, place)
        end = place + 8 + storage.byte_count
        if count != storage.count or end > len(content):
            raise InputError(f"is cut off or damaged at storage {_printable(key)}; copy it again")
        contents[key] = memoryview(content)[place + 8 : end]
        place = end
    return _parse_root(root, _Tensors(lambda storage: contents[storage.key], "<"), file)


def _npz_layers(archive: zipfile.ZipFile) -> tuple[LayerParameters, ...]:
    """Layers of w<l>, b<l>, bits<l>, shift<l>; none is legal: a network may have no weights."""
    arrays: dict[str, np.ndarray] = {}
    entries = set(archive.namelist())
    for entry in archive.namelist():
        name = entry.removesuffix(".npy")
        match = re.fullmatch(r"(w|b|bits|shift)([0-9]{1,3})", name)
        if not match or name in arrays or f"w{match[2]}.npy" not in entries:
            raise InputError(
                f"{_printable(name)} does not belong here; an npz holds w<l>, and for such a layer "
                "b<l>, bits<l>, shift<l>, where l is the layer of the YAML file"
            )
        arrays[name] = _npy(name, _entry(archive, entry, _MAXIMUM_BYTES))
    indices = sorted(int(name[1:]) for name in arrays if name[0] == "w")
    return tuple(_npz_layer(index, arrays) for index in indices)


def _npz_layer(index: int, arrays: dict[str, np.ndarray]) -> LayerParameters:
    name = f"w{index}"
    kernel, bias = arrays[name], arrays.get(f"b{index}")
    _require_kernel(name, kernel)
    if fault := _not_quantised(name, kernel):
        raise InputError(fault)
    declared = _scalar(f"bits{index}", arrays.get(f"bits{index}"))
    weight_bits = None if declared is None else _weight_bits(f"bits{index}", declared)
    _require_range(name, kernel, weight_bits or 8)
    shift = _scalar(f"shift{index}", arrays.get(f"shift{index}"))
    return LayerParameters(
        name,
        index,
        _int8(kernel),
        None if bias is None else _bias(f"b{index}", bias, 1),
        weight_bits,
        None if shift is None else _output_shift(f"shift{index}", shift, weight_bits, kernel),
    )


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
        raise InputError(f"{name} has elements of type {_printable(dtype)}; save it as int8")
    if (
        math.prod(shape) * dtype.itemsize != len(content) - stream.tell()
        or min(shape, default=0) < 0
    ):
        raise InputError(f"{name} has not as many bytes as its shape says; save it again")
    flat = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if fortran_order else "C")


# --- the pickle -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Global:
    """A name in a pickle, and no more than that."""

    name: str  # "module name"


_INERT = _Global("")  # stands for every object that is not read


@dataclass(frozen=True)
class _Storage:
    """Elements in the file, not read yet."""

    type_name: str
    key: str
    count: int  # elements

    @property
    def byte_count(self) -> int:
        if self.type_name not in _STORAGES:
            raise InputError(
                f"storage type {_printable(self.type_name)} cannot be read; save float32"
            )
        return self.count * np.dtype(_STORAGES[self.type_name]).itemsize


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage as a pickle declares it; nothing of it is checked yet."""

    storage: _Storage
    offset: Any  # elements
    shape: Any
    strides: Any  # elements


def _rebuild_tensor(*arguments: object) -> object:
    """(storage, offset, shape, strides[, requires_grad, hooks[, metadata]])."""
    has_metadata = len(arguments) > 6 and bool(arguments[6])  # lazily negated or conjugated
    if len(arguments) < 4 or not isinstance(arguments[0], _Storage) or has_metadata:
        return _INERT
    return _Tensor(arguments[0], *arguments[1:4])


_REBUILD: dict[str, Callable[..., object]] = {
    "collections OrderedDict": lambda *arguments: _INERT if arguments else {},
    "torch Size": lambda *arguments: arguments[0] if len(arguments) == 1 else _INERT,
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils _rebuild_parameter_with_state": lambda tensor, *_: tensor,
}


class _InertPickle:
    """A stack machine for pickle opcodes that makes only plain values, ``_Tensor`` and ``_INERT``.

    No object is called or changed on behalf of the file, keys other than text are dropped (hashing
    a deep tuple ends the process), and no opcode copies what it did not bring.  So memory and time
    stay in proportion to the pickle, which is limited.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, _Storage] = {}

    def load(self, stream: BinaryIO) -> object:
        """The value of the next pickle; the stream stands behind it afterwards."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if count == _MAXIMUM_OPCODES:
                raise InputError(f"its pickle has more than {_MAXIMUM_OPCODES} opcodes")
            if opcode.name not in _ACTIONS:
                raise InputError(
                    f"its pickle has opcode {opcode.name}, which torch.save never uses"
                )
            _ACTIONS[opcode.name](self, argument)
        raise EOFError("a pickle without an end")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop_many(self, count: int) -> list[Any]:
        """The topmost ``count`` values, the lowest first."""
        if count > len(self.stack):
            raise IndexError("a pickle takes more than it has put")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def pop_mark(self) -> list[Any]:
        """The values above the last mark."""
        mark = self.marks.pop()
        taken = self.stack[mark:]
        del self.stack[mark:]
        return taken

    def assign(self, items: list[Any]) -> None:
        """Keys and values in turn into the dictionary on the stack."""
        target = self.stack[-1]
        if type(target) is dict:
            pairs = zip(items[::2], items[1::2], strict=True)
            target.update((key, value) for key, value in pairs if type(key) is str)

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def call(self) -> None:
        """REDUCE and the like: a lookup in ``_REBUILD``, else ``_INERT``."""
        function, arguments = self.pop_many(2)
        known = isinstance(function, _Global) and isinstance(arguments, tuple)
        rebuild = _REBUILD.get(function.name) if known else None
        self.push(rebuild(*arguments) if rebuild else _INERT)

    def stack_global(self) -> None:
        module, name = self.pop_many(2)
        known = type(module) is str and type(name) is str
        self.push(_Global(f"{module} {name}") if known else _INERT)

    def persistent(self) -> None:
        """('storage', type, key, location, count[, view]); a view of a storage is not read."""
        identity = self.stack.pop()
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            raise InputError("its pickle names a storage in a way that torch.save does not")
        tag, kind, key, _, count, *view = identity
        right = tag == "storage" and isinstance(kind, _Global) and type(key) is str
        if not right or type(count) is not int or not 0 <= count <= _MAXIMUM_BYTES:
            raise InputError("its pickle names a storage that torch.save cannot have written")
        storage = self.storages.setdefault(key, _Storage(kind.name, key, count))
        self.push(storage if view in ([], [None]) else _INERT)

    def memoize(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def dictionary(self) -> None:
        items = self.pop_mark()
        self.push({})
        self.assign(items)

    def inert(self, _: list[Any]) -> None:
        """In place of what an opcode would have made of the values that it takes."""
        self.push(_INERT)


_Action = Callable[[_InertPickle, Any], object]


def _actions(names: str, action: _Action) -> Iterable[tuple[str, _Action]]:
    return [(name, action) for name in names.split()]


_ACTIONS: dict[str, _Action] = {
    **dict(_actions("PROTO FRAME", lambda machine, _: None)),
    **dict(
        _actions(
            "INT LONG LONG1 LONG4 BININT BININT1 BININT2 FLOAT BINFLOAT STRING BINSTRING "
            "SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 BINBYTES "
            "SHORT_BINBYTES BINBYTES8",
            lambda machine, argument: machine.push(argument),
        )
    ),
    # The registry behind EXT and its cache of real objects are not looked at.
    **dict(_actions("EXT1 EXT2 EXT4 BYTEARRAY8 PERSID", lambda machine, _: machine.push(_INERT))),
    **dict(_actions("PUT BINPUT LONG_BINPUT MEMOIZE", _InertPickle.memoize)),
    **dict(_actions("GET BINGET LONG_BINGET", lambda machine, at: machine.push(machine.memo[at]))),
    **dict(_actions("REDUCE NEWOBJ", lambda machine, _: machine.call())),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_SET": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.push(tuple(machine.pop_many(1))),
    "TUPLE2": lambda machine, _: machine.push(tuple(machine.pop_many(2))),
    "TUPLE3": lambda machine, _: machine.push(tuple(machine.pop_many(3))),
    "MARK": lambda machine, _: machine.marks.append(len(machine.stack)),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_mark())),
    "LIST": lambda machine, _: machine.push(machine.pop_mark()),
    "FROZENSET": lambda machine, _: machine.push(machine.pop_mark()),
    "DICT": lambda machine, _: machine.dictionary(),
    "SETITEM": lambda machine, _: machine.assign(machine.pop_many(2)),
    "SETITEMS": lambda machine, _: machine.assign(machine.pop_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.pop_many(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.pop_mark()),
    "POP": lambda machine, _: machine.pop_many(1),
    "POP_MARK": lambda machine, _: machine.pop_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "GLOBAL": lambda machine, name: machine.push(_Global(name)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "INST": lambda machine, _: machine.inert(machine.pop_mark()),
    "OBJ": lambda machine, _: machine.inert(machine.pop_mark()),
    "NEWOBJ_EX": lambda machine, _: machine.inert(machine.pop_many(3)),
    "BUILD": lambda machine, _: machine.pop_many(1),
    "BINPERSID": lambda machine, _: machine.persistent(),
}


class _Tensors:
    """Makes arrays of declared tensors: reads the storage, checks the view, limits the total."""

    def __init__(self, read: Callable[[_Storage], bytes | memoryview], byte_order: str) -> None:
        self.read = read  # the bytes of a storage; fewer if the file is cut off
        self.byte_order = byte_order  # "<" or ">"
        self.room = _MAXIMUM_ELEMENTS

    def array(self, name: str, tensor: object) -> np.ndarray:
        """The elements of ``tensor`` in its shape; InputError if its storage does not hold them."""
        if not isinstance(tensor, _Tensor):
            raise InputError(f"{name} is not a dense tensor of numbers; save it as one, in float32")
        storage, offset = tensor.storage, tensor.offset
        shape, strides = _extents(name, tensor.shape), _extents(name, tensor.strides)
        (offset,) = _extents(name, (offset,))
        if len(shape) != len(strides):
            raise InputError(f"{name} has {len(shape)} dimensions and {len(strides)} strides")
        steps = zip(shape, strides, strict=True)
        last = offset + sum((size - 1) * stride for size, stride in steps if size)
        if last >= storage.count:
            raise InputError(f"{name} reaches outside of its storage of {storage.count} elements")
        self.room -= max(math.prod(shape), storage.count)
        if self.room < 0:
            raise InputError(
                f"{name} and those before it have more than {_MAXIMUM_ELEMENTS} elements"
            )
        flat = self.elements(name, storage)
        byte_strides = [stride * flat.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(flat[offset:], shape, byte_strides)

    def elements(self, name: str, storage: _Storage) -> np.ndarray:
        """All elements of a storage, [count]."""
        content = self.read(storage)
        if len(content) != storage.byte_count:
            raise InputError(
                f"{name} needs {storage.byte_count} bytes, which its storage in the file has not; "
                "the file is damaged, copy it again"
            )
        flat = np.frombuffer(content, self.byte_order + _STORAGES[storage.type_name])
        if storage.type_name == "torch BFloat16Storage":
            return (flat.astype(np.uint32) << 16).view(np.float32)
        return flat


def _extents(name: str, extents: object) -> tuple[int, ...]:
    """A shape or strides, of numbers that are not absurd."""
    parts = tuple(extents) if isinstance(extents, tuple | list) and len(extents) <= 8 else (None,)
    if not all(type(part) is int and 0 <= part <= _MAXIMUM_BYTES for part in parts):
        raise InputError(f"{name} has a shape, strides or offset that no tensor has")
    return parts


# --- the layers -----------------------------------------------------------------------------------


def _parse_root(root: object, tensors: _Tensors, file: str) -> Checkpoint:
    if not isinstance(root, dict) or not isinstance(root.get("state_dict"), dict):
        raise InputError(
            "has no state_dict; save {'state_dict': model.state_dict(), 'arch': ..., 'epoch': ...}"
        )
    arch, epoch = root.get("arch"), root.get("epoch")
    layers, ended_by = _layers(root["state_dict"], tensors)
    return Checkpoint(
        file,
        _printable(arch) if isinstance(arch, str) else None,
        epoch if type(epoch) is int and 0 <= epoch < 1 << 63 else None,
        layers,
        ended_by,
    )


def _layers(
    state: dict[str, Any], tensors: _Tensors
) -> tuple[tuple[LayerParameters, ...], str | None]:
    """The layers up to the first one that is not quantised, and what is wrong with that one."""
    for key, tensor in state.items():
        _reject_batch_normalisation(key, tensor)
    layers: list[LayerParameters] = []
    for key in state:
        if not key.endswith(".weight"):
            continue
        weight = tensors.array(_printable(key), state[key])
        _require_kernel(_printable(key), weight)
        fault = _not_quantised(_printable(key), weight)
        if fault and layers:
            return tuple(layers), fault
        if fault:
            raise InputError(fault)
        layers.append(_layer(key, weight, state, tensors))
    if not layers:
        raise InputError(
            "its state_dict has no layer: no key ends in .weight; save a trained model"
        )
    return tuple(layers), None


def _layer(
    key: str, weight: np.ndarray, state: dict[str, Any], tensors: _Tensors
) -> LayerParameters:
    """One layer: "conv1.op.weight" has "conv1.op.bias", "conv1.weight_bits", "conv1.output_shift".

    The older "fc.weight" has "fc.bias".  The bias is scaled by the width that the checkpoint states
    (8 if it states none or 0), also where the weights are all zero and the width becomes 1.
    """

    def companion(name: str) -> np.ndarray | None:
        return tensors.array(_printable(name), state[name]) if name in state else None

    prefix = key.rsplit(".", 2)[0]
    layer, bits_key, shift_key = (
        _printable(prefix),
        f"{prefix}.weight_bits",
        f"{prefix}.output_shift",
    )
    declared = _scalar(f"{layer}.weight_bits", companion(bits_key))
    stored_bits = _weight_bits(f"{layer}.weight_bits", declared or 8)
    _require_range(_printable(key), weight, stored_bits)
    weight_bits = stored_bits if weight.any() else 1
    bias_key = key.removesuffix("weight") + "bias"
    bias = companion(bias_key)
    shift = _scalar(f"{layer}.output_shift", companion(shift_key))
    return LayerParameters(
        layer,
        None,
        _int8(weight),
        None if bias is None else _bias(_printable(bias_key), bias, 1 << (stored_bits - 1)),
        weight_bits,
        _output_shift(
            f"{layer}.output_shift", shift or 0, weight_bits if declared else None, weight
        ),
    )


def _reject_batch_normalisation(key: str, tensor: object) -> None:
    shape = _extents(_printable(key), tensor.shape) if isinstance(tensor, _Tensor) else ()
    if key.endswith(".running_mean") or (key.endswith(".weight") and len(shape) == 1):
        raise InputError(
            f"{_printable(key)} has one dimension: batch normalisation is not folded: run the "
            "vendor's batchnormfuser.py, then quantize.py, first"
        )


def _require_kernel(name: str, weight: np.ndarray) -> None:
    if weight.ndim not in (2, 3, 4) or not weight.size:
        raise InputError(f"{name} has shape {weight.shape}; a kernel has 2 to 4 dimensions, none 0")
    if not np.isfinite(weight).all():
        raise InputError(f"{name} has values that are not finite; train it again and quantise it")


def _not_quantised(name: str, weight: np.ndarray) -> str | None:
    """What is wrong if the weights are not integers of 8 bits."""
    low, high = weight.min(), weight.max()
    whole = int(np.count_nonzero(weight == np.rint(weight)))
    if whole == weight.size and low >= -128 and high <= 127:
        return None
    return (
        f"{name} is not quantised (values between {low:.4g} and {high:.4g}, {whole} of "
        f"{weight.size} are integers); quantise the checkpoint (the vendor's quantize.py, or "
        '"max78k pretrain") and give the file ending in -q.pth.tar'
    )


def _require_range(name: str, weight: np.ndarray, weight_bits: int) -> None:
    """InputError if an integer needs more bits than the layer has."""
    limit = 1 << (weight_bits - 1)
    for value in (int(weight.min()), int(weight.max())):
        if not -limit <= value < limit:
            raise InputError(
                f"{name} has the value {value}, outside of {-limit} to {limit - 1} for weight_bits "
                f"{weight_bits}; quantise it again for {weight_bits} bits, or state more bits"
            )


def _int8(values: np.ndarray) -> np.ndarray:
    """A copy that nobody can change."""
    copy = np.ascontiguousarray(values).astype(np.int8)
    copy.setflags(write=False)
    return copy


def _bias(name: str, stored: np.ndarray, unit: int) -> np.ndarray:
    """floor(stored / unit) as int8 [out]; the vendor floors too, for biases of an older style."""
    if stored.ndim != 1 or not stored.size or not np.isfinite(stored).all():
        raise InputError(
            f"{name} has shape {stored.shape}, or a value not finite; give one per output"
        )
    bias = np.floor(stored.astype(np.float64) / unit)
    if bias.min() < -128 or bias.max() > 127:
        raise InputError(
            f"{name} has values between {stored.min():.6g} and {stored.max():.6g}; divided by "
            f"{unit} they must lie in -128 to 127: quantise the checkpoint again"
        )
    return _int8(bias)


def _scalar(name: str, array: np.ndarray | None) -> float | int | None:
    """The one element of an array; None without one."""
    if array is None:
        return None
    if array.size != 1:
        raise InputError(f"{name} has shape {array.shape}, not one element; quantise it again")
    value: float | int = array.reshape(()).item()
    return int(value) if math.isfinite(value) and value == int(value) else value


def _weight_bits(name: str, declared: float | int) -> int:
    if declared not in _WEIGHT_BITS:
        raise InputError(f"{name} is {declared}; legal: 1, 2, 4, 8 (0 or absent means 8)")
    return int(declared)


def _output_shift(
    name: str, shift: float | int, weight_bits: int | None, weight: np.ndarray
) -> int:
    """The shift as stored, if with 8 - weight_bits it is one that the chip has."""
    low = -_MAXIMUM_SHIFT - (8 - (weight_bits or min(_WEIGHT_BITS)))
    high = _MAXIMUM_SHIFT - (8 - (weight_bits or max(_WEIGHT_BITS)))
    if isinstance(shift, int) and low <= shift <= high:
        return shift
    width = f"{weight_bits}-bit weights" if weight_bits else "weights of unknown width"
    cause = "was never trained or quantised" if weight.any() else "has only weights of zero"
    raise InputError(
        f"{name} is {shift}; legal: whole numbers from {low} to {high} for {width} "
        f"(output_shift + 8 - weight_bits lies in -15 to 15); the layer {cause}: train and "
        "quantise it again"
    )
