"""All that a PyTorch checkpoint holds, as plain values and arrays, to be changed and saved again.

Hostile input, read like every checkpoint (pickles.py): what is no plain value is left out and
named.  The inverse of torch_writer.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .checkpoint import one_message
from .errors import InputError, printable
from .pickles import Tensor
from .torch_files import Tensors, TorchFile, open_tensors, unpacked

_MAXIMUM_DEPTH = 32  # of dictionaries in dictionaries; a file may even hold itself
_MAXIMUM_VALUES = 1_000_000  # a value that is named twice counts twice
_PLAIN = (bool, int, float, str, type(None))
_LEFT_OUT = object()


@dataclass(frozen=True, eq=False)
class SavedState:
    """``root``: dictionaries, lists, tuples, numbers, text, None and arrays (bfloat16: float32).

    ``left_out``: where in the file stood what is none of these: an optimizer's class, say.
    """

    root: dict[Any, Any]
    left_out: tuple[str, ...]

    @property
    def state(self) -> dict[str, Any]:
        """The state_dict: arrays by their name, in order."""
        return self.root["state_dict"]


def read_saved(path: str | PathLike[str]) -> SavedState:
    """Read what torch.save wrote (also in xz), executing nothing.

    Raises InputError, and nothing else, for a file that is absent, damaged, hostile, an npz, or
    without a state_dict.
    """
    with one_message(path):
        source = open_tensors(unpacked(Path(path)))
        if not isinstance(source, TorchFile):
            raise InputError("is an .npz of arrays; give a checkpoint that torch.save wrote")
        copier = _Copier(source.tensors)
        root = copier.copy(source.root, (), 0)
        if not isinstance(root, dict) or not isinstance(root.get("state_dict"), dict):
            raise InputError(
                "has no state_dict; save {'state_dict': model.state_dict(), 'arch': ..., ...}"
            )
        return SavedState(root, tuple(copier.left_out))


class _Copier:
    """Copies what a pickle made; a bomb of values that hold each other ends it."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.left_out: list[str] = []
        self.values = 0

    def copy(self, value: object, path: tuple[object, ...], depth: int) -> Any:
        """One value with all in it; ``_LEFT_OUT`` for one that is not plain."""
        self.values += 1
        if depth > _MAXIMUM_DEPTH or self.values > _MAXIMUM_VALUES:
            raise InputError(
                f"holds values more than {_MAXIMUM_DEPTH} deep, or more than {_MAXIMUM_VALUES}; "
                "save the state_dict without them"
            )
        if isinstance(value, Tensor):
            return self.array(value, path)
        if isinstance(value, dict):
            items = [(key, self.copy(item, (*path, key), depth + 1)) for key, item in value.items()]
            return {key: item for key, item in items if item is not _LEFT_OUT}
        if isinstance(value, list | tuple):
            parts = [
                self.copy(item, (*path, number), depth + 1) for number, item in enumerate(value)
            ]
            return type(value)(None if part is _LEFT_OUT else part for part in parts)
        if type(value) in _PLAIN:
            return value
        self.left_out.append(printable(".".join(map(str, path))))
        return _LEFT_OUT

    def array(self, tensor: Tensor, path: tuple[object, ...]) -> np.ndarray:
        """A tensor's elements, by themselves, in this processor's byte order."""
        view = self.tensors.array(printable(path[-1] if path else "tensor"), tensor)
        is_bool = tensor.storage.type_name == "torch BoolStorage"
        return np.array(view, bool if is_bool else view.dtype.newbyteorder("="), order="C")
