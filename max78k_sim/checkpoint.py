"""Weights from a PyTorch checkpoint (zip or legacy) or a golden ``.npz``; any of them in xz.

A checkpoint is hostile; pickles.py and torch_files.py read it and execute nothing of it.  Here is
what its tensors mean.  Layer rules: ai8x-synthesis, checkpoint loader (commit ab4f4c01).
"""

from __future__ import annotations

import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, printable
from .pickles import Tensor
from .torch_files import NumpyFile, Tensors, TorchFile, extents, open_tensors, unpacked

_WEIGHT_BITS = (1, 2, 4, 8)
_MAXIMUM_SHIFT = 15  # of the total shift, output_shift + 8 - weight_bits, to the left or right
FAULTS = (  # what parsing bytes of any content may raise; the boundary turns them to InputError
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
    with one_message(path):
        return _checkpoint(open_tensors(unpacked(Path(path))), str(path))


@contextmanager
def one_message(path: str | PathLike[str]) -> Iterator[None]:
    """Whatever reading a checkpoint raises, as an InputError that names the file."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, file=path) from None
    except FileNotFoundError as error:
        raise InputError("no such file; give a checkpoint (.pth.tar, .npz)", file=path) from error
    except FAULTS as error:
        what = printable(f"{type(error).__name__}: {error}")
        raise InputError(
            f"is damaged or not a checkpoint ({what}); copy or save it again", file=path
        ) from error


def _checkpoint(source: TorchFile | NumpyFile, file: str) -> Checkpoint:
    if isinstance(source, NumpyFile):
        return Checkpoint(file, None, None, _npz_layers(source))
    return _torch_checkpoint(source, file)


def _npz_layers(source: NumpyFile) -> tuple[LayerParameters, ...]:
    """Layers of w<l>, b<l>, bits<l>, shift<l>; none is legal: a network may have no weights."""
    arrays: dict[str, np.ndarray] = {}
    for name in source.names:
        match = re.fullmatch(r"(w|b|bits|shift)([0-9]{1,3})", name)
        if not match or name in arrays or f"w{match[2]}" not in source.names:
            raise InputError(
                f"{printable(name)} does not belong here; an npz holds w<l>, and for such a layer "
                "b<l>, bits<l>, shift<l>, where l is the layer of the YAML file"
            )
        arrays[name] = source.read(name)
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


# --- the layers -----------------------------------------------------------------------------------


def _torch_checkpoint(source: TorchFile, file: str) -> Checkpoint:
    root = source.root
    if not isinstance(root, dict) or not isinstance(root.get("state_dict"), dict):
        raise InputError(
            "has no state_dict; save {'state_dict': model.state_dict(), 'arch': ..., 'epoch': ...}"
        )
    arch, epoch = root.get("arch"), root.get("epoch")
    state = {key: item for key, item in root["state_dict"].items() if isinstance(key, str)}
    layers, ended_by = _layers(state, source.tensors)
    return Checkpoint(
        file,
        printable(arch) if isinstance(arch, str) else None,
        epoch if type(epoch) is int and 0 <= epoch < 1 << 63 else None,
        layers,
        ended_by,
    )


def _layers(
    state: dict[str, Any], tensors: Tensors
) -> tuple[tuple[LayerParameters, ...], str | None]:
    """The layers up to the first one that is not quantised, and what is wrong with that one."""
    for key, tensor in state.items():
        _reject_batch_normalisation(key, tensor)
    layers: list[LayerParameters] = []
    for key in state:
        if not key.endswith(".weight"):
            continue
        weight = tensors.array(printable(key), state[key])
        _require_kernel(printable(key), weight)
        fault = _not_quantised(printable(key), weight)
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
    key: str, weight: np.ndarray, state: dict[str, Any], tensors: Tensors
) -> LayerParameters:
    """One layer: "conv1.op.weight" has "conv1.op.bias", "conv1.weight_bits", "conv1.output_shift".

    The older "fc.weight" has "fc.bias".  The bias is scaled by the width that the checkpoint states
    (8 if it states none or 0), also where the weights are all zero and the width becomes 1.
    """

    def companion(name: str) -> np.ndarray | None:
        return tensors.array(printable(name), state[name]) if name in state else None

    prefix = key.rsplit(".", 2)[0]
    layer, bits_key, shift_key = (
        printable(prefix),
        f"{prefix}.weight_bits",
        f"{prefix}.output_shift",
    )
    declared = _scalar(f"{layer}.weight_bits", companion(bits_key))
    stored_bits = _weight_bits(f"{layer}.weight_bits", declared or 8)
    _require_range(printable(key), weight, stored_bits)
    weight_bits = stored_bits if weight.any() else 1
    bias_key = key.removesuffix("weight") + "bias"
    bias = companion(bias_key)
    shift = _scalar(f"{layer}.output_shift", companion(shift_key))
    return LayerParameters(
        layer,
        None,
        _int8(weight),
        None if bias is None else _bias(printable(bias_key), bias, 1 << (stored_bits - 1)),
        weight_bits,
        _output_shift(
            f"{layer}.output_shift", shift or 0, weight_bits if declared else None, weight
        ),
    )


def _reject_batch_normalisation(key: str, tensor: object) -> None:
    shape = extents(printable(key), tensor.shape) if isinstance(tensor, Tensor) else ()
    if key.endswith(".running_mean") or (key.endswith(".weight") and len(shape) == 1):
        raise InputError(
            f"{printable(key)} has one dimension: batch normalisation is not folded: run the "
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
        f"{weight.size} are integers); quantise the checkpoint: max78k quantize IN OUT "
        "(or the vendor's quantize.py), and give the file that this writes"
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
