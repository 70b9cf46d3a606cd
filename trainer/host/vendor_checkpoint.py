"""What the chip has learnt, back in the checkpoint that it was loaded from: the vendor's format.

The inverse of checkpoint.py and layer_builder.fit_parameters: kernel memory -> placement.read ->
PyTorch's order of axes and the vendor's units.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from max78k_sim import placement
from max78k_sim.allocation import allocate
from max78k_sim.errors import InputError, printable
from max78k_sim.network import Layer, Network
from max78k_sim.saved_state import read_saved
from max78k_sim.torch_writer import write_torch

from ..kernel_store import MemoryPort
from .quantize import DEFAULT_BITS, WEIGHT_BITS


@dataclass(frozen=True)
class WrittenBack:
    """Layers whose weights or biases are not the source's, and what a reader should know."""

    changed: tuple[str, ...]
    warnings: tuple[str, ...]


def write_back(
    network: Network,
    memory: MemoryPort,
    source_checkpoint: str | PathLike[str],
    out_file: str | PathLike[str],
    skip_checkpoint_layers: int = 0,
) -> WrittenBack:
    """Write a copy of the checkpoint with the kernels and biases that the chip holds now.

    ``memory``: the chip's, or a port to a board's; ``source_checkpoint``: what ``network`` was
    loaded from (a .pth.tar, also .xz).  Names, order, shapes, types, widths and shifts stay; so do
    other tensors and numbers; what is no plain value (an optimizer's class) is left out.  Values
    that the chip still holds are kept bit for bit.  The file appears whole or not at all.

    Raises InputError for a file that is not the network's, or that cannot be read or written.
    """
    saved = read_saved(source_checkpoint)
    state = dict(saved.state)
    weighted = [layer for layer in network.layers if layer.has_kernels]
    keys = [key for key in state if isinstance(key, str) and key.endswith(".weight")]
    keys = keys[skip_checkpoint_layers:]
    if len(keys) < len(weighted):
        raise InputError(
            f"has {len(keys)} layers with weights, {network.name} has {len(weighted)}; give the "
            "checkpoint that the network was loaded from",
            file=source_checkpoint,
        )
    plan = allocate(network)
    changed: list[str] = []
    warnings: list[str] = []
    for key, layer in zip(keys, weighted, strict=False):
        kernel = placement.read(memory, plan.placement(layer.name, "kernel"))
        has_bias = (layer.name, "bias") in plan.placements
        bias = placement.read(memory, plan.placement(layer.name, "bias")) if has_bias else None
        try:
            edit = _Edit(state, key, layer)
            edit.require(network)
            edit.put(kernel, bias)
        except InputError as error:
            raise error.at(source_checkpoint) from None
        changed += [layer.name] if edit.changed else []
        warnings += edit.warnings
    write_torch(Path(out_file), {**saved.root, "state_dict": state})
    return WrittenBack(tuple(changed), tuple(warnings))


def stored_kernel(layer: Layer, kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel in PyTorch's order: transposed convolution has [in, out, rows, columns], flipped."""
    kernel = kernel.reshape(layer.kernel_tensor_shape)
    if layer.op == "convtranspose2d":
        kernel = np.flip(kernel.swapaxes(0, 1), (2, 3))
    return kernel.reshape(shape)


class _Edit:
    """One layer's tensors in the state_dict that is being changed."""

    def __init__(self, state: dict[str, Any], key: str, layer: Layer) -> None:
        self.state, self.key, self.layer = state, key, layer
        prefix = key.rsplit(".", 2)[0]
        self.bits_key, self.bias_key = f"{prefix}.weight_bits", key.removesuffix("weight") + "bias"
        stored = state.get(self.bits_key)
        one = float(stored.flat[0]) if isinstance(stored, np.ndarray) and stored.size == 1 else 0.0
        self.bits = int(one) if one in WEIGHT_BITS else DEFAULT_BITS
        self.changed = False
        self.warnings: list[str] = []

    def require(self, network: Network) -> None:
        """InputError unless the tensors are the ones that the network was loaded with."""
        parameters = network.parameters[self.layer.index]
        weight = self.state[self.key]
        size = np.prod(self.layer.kernel_tensor_shape)
        if parameters is not None and isinstance(weight, np.ndarray) and weight.size == size:
            kernel = stored_kernel(self.layer, parameters.kernel, weight.shape)
            if np.array_equal(weight, kernel):
                return
        raise InputError(
            f"{printable(self.key)} is not what {self.layer.name} of {network.name} was loaded "
            "with; give the checkpoint that the network was loaded from"
        )

    def put(self, kernel: np.ndarray, bias: np.ndarray | None) -> None:
        """The chip's kernel and bias [out]; a bias that the network ignores stays."""
        weight = self.state[self.key]
        was_zero = not weight.any()
        self.replace(self.key, stored_kernel(self.layer, kernel, weight.shape), 1)
        if was_zero and kernel.any() and self.bits != self.layer.weight_bits:
            self.narrow()
        if not was_zero and not kernel.any() and self.layer.weight_bits > 1:
            self.warnings.append(
                f"{self.layer.name}: all weights are zero, which a checkpoint's reader takes for 1 "
                f"bit; say quantization: {self.layer.weight_bits} in the description"
            )
        if bias is not None and self.bias_key in self.state:
            self.replace(self.bias_key, bias, 1 << self.bits - 1)

    def replace(self, key: str, values: np.ndarray, unit: int) -> None:
        """Integers times their unit, where the chip's are not what is stored (rounded down)."""
        stored = self.state[key]
        if not isinstance(stored, np.ndarray) or stored.shape != values.shape:
            raise InputError(f"{printable(key)} has not the shape {values.shape}; save it again")
        same = np.floor(stored.astype(np.float64) / unit) == values
        scaled = (values.astype(np.int64) * unit).astype(stored.dtype)
        if not np.array_equal(scaled.astype(np.float64), values.astype(np.float64) * unit):
            raise InputError(f"{printable(key)} is of {stored.dtype}; save it as float32")
        self.changed |= not same.all()
        self.state[key] = np.where(same, stored, scaled)

    def narrow(self) -> None:
        """Weights that all were zero had one bit, whatever the file says; now it has to say so."""
        stored = self.state.get(self.bits_key, np.zeros(1, np.float32))
        self.state[self.bits_key] = np.full_like(stored, self.layer.weight_bits)
        if self.bias_key in self.state:
            bias = np.floor(self.state[self.bias_key] / (1 << self.bits - 1))
            scaled = bias * (1 << self.layer.weight_bits - 1)
            self.state[self.bias_key] = scaled.astype(self.state[self.bias_key].dtype)
        self.bits = self.layer.weight_bits
