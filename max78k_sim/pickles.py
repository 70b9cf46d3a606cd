"""The pickle inside a PyTorch checkpoint, read into plain values; hostile input.

Opcode by opcode, on a stack machine of its own: nothing that a pickle names is imported, called or
looked up.  A global is only a name; the few in ``REBUILD`` make records of this file, every other
one makes ``INERT``.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from .errors import InputError, printable

MAXIMUM_STORAGE = 512 << 20  # elements, or any other number of a tensor
MAXIMUM_OPCODES = 200_000  # the vendor's largest checkpoint has 11,394

STORAGES = {  # pickled name -> numpy type; bfloat16 is read as the upper half of a float32
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


@dataclass(frozen=True)
class Global:
    """A name in a pickle, and no more than that."""

    name: str  # "module name"


INERT = Global("")  # stands for every object that is not read


@dataclass(frozen=True)
class Storage:
    """Elements in the file, not read yet."""

    type_name: str
    key: str
    count: int  # elements

    @property
    def byte_count(self) -> int:
        """Bytes of all elements; InputError for a type that is not read."""
        if self.type_name not in STORAGES:
            raise InputError(
                f"storage type {printable(self.type_name)} cannot be read; save float32"
            )
        return self.count * np.dtype(STORAGES[self.type_name]).itemsize


@dataclass(frozen=True)
class Tensor:
    """A view of a storage as a pickle declares it; nothing of it is checked yet."""

    storage: Storage
    offset: Any  # elements
    shape: Any
    strides: Any  # elements


def _rebuild_tensor(*arguments: object) -> object:
    """(storage, offset, shape, strides[, requires_grad, hooks[, metadata]])."""
    has_metadata = len(arguments) > 6 and bool(arguments[6])  # lazily negated or conjugated
    if len(arguments) < 4 or not isinstance(arguments[0], Storage) or has_metadata:
        return INERT
    return Tensor(arguments[0], *arguments[1:4])


REBUILD: dict[str, Callable[..., object]] = {
    "collections OrderedDict": lambda *arguments: INERT if arguments else {},
    "torch Size": lambda *arguments: arguments[0] if len(arguments) == 1 else INERT,
    "torch._utils _rebuild_tensor": _rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils _rebuild_parameter_with_state": lambda tensor, *_: tensor,
}


class InertPickle:
    """A stack machine for pickle opcodes that makes only plain values, ``Tensor`` and ``INERT``.

    No object is called or changed on behalf of the file, keys other than text and integers are
    dropped (hashing a deep tuple ends the process), and no opcode copies what it did not bring.  So
    memory and time stay in proportion to the pickle, which is limited.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def load(self, stream: BinaryIO) -> object:
        """The value of the next pickle; the stream stands behind it afterwards."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if opcode.name == "STOP":
                return self.stack.pop()
            if count == MAXIMUM_OPCODES:
                raise InputError(f"its pickle has more than {MAXIMUM_OPCODES} opcodes")
            if opcode.name not in ACTIONS:
                raise InputError(
                    f"its pickle has opcode {opcode.name}, which torch.save never uses"
                )
            ACTIONS[opcode.name](self, argument)
        raise EOFError("a pickle without an end")

    def push(self, value: object) -> None:
        """Put one value."""
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
            target.update((key, value) for key, value in pairs if type(key) in (str, int))

    def extend(self, items: list[Any]) -> None:
        """Append to the list on the stack; to anything else, nothing."""
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)

    def call(self) -> None:
        """REDUCE and the like: a lookup in ``REBUILD``, else ``INERT``."""
        function, arguments = self.pop_many(2)
        known = isinstance(function, Global) and isinstance(arguments, tuple)
        rebuild = REBUILD.get(function.name) if known else None
        self.push(rebuild(*arguments) if rebuild else INERT)

    def stack_global(self) -> None:
        """A name from its two parts."""
        module, name = self.pop_many(2)
        known = type(module) is str and type(name) is str
        self.push(Global(f"{module} {name}") if known else INERT)

    def persistent(self) -> None:
        """('storage', type, key, location, count[, view]); a view of a storage is not read."""
        identity = self.stack.pop()
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            raise InputError("its pickle names a storage in a way that torch.save does not")
        tag, kind, key, _, count, *view = identity
        right = tag == "storage" and isinstance(kind, Global) and type(key) is str
        if not right or type(count) is not int or not 0 <= count <= MAXIMUM_STORAGE:
            raise InputError("its pickle names a storage that torch.save cannot have written")
        storage = self.storages.setdefault(key, Storage(kind.name, key, count))
        self.push(storage if view in ([], [None]) else INERT)

    def memoize(self, place: int | None) -> None:
        """Remember the topmost value, at the next place when none is named."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def dictionary(self) -> None:
        """A dictionary of the keys and values above the last mark."""
        items = self.pop_mark()
        self.push({})
        self.assign(items)

    def inert(self, _: list[Any]) -> None:
        """In place of what an opcode would have made of the values that it takes."""
        self.push(INERT)


_Action = Callable[[InertPickle, Any], object]


def _actions(names: str, action: _Action) -> Iterable[tuple[str, _Action]]:
    return [(name, action) for name in names.split()]


ACTIONS: dict[str, _Action] = {
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
    **dict(_actions("EXT1 EXT2 EXT4 BYTEARRAY8 PERSID", lambda machine, _: machine.push(INERT))),
    **dict(_actions("PUT BINPUT LONG_BINPUT MEMOIZE", InertPickle.memoize)),
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
    "GLOBAL": lambda machine, name: machine.push(Global(name)),
    "STACK_GLOBAL": lambda machine, _: machine.stack_global(),
    "INST": lambda machine, _: machine.inert(machine.pop_mark()),
    "OBJ": lambda machine, _: machine.inert(machine.pop_mark()),
    "NEWOBJ_EX": lambda machine, _: machine.inert(machine.pop_many(3)),
    "BUILD": lambda machine, _: machine.pop_many(1),
    "BINPERSID": lambda machine, _: machine.persistent(),
}
