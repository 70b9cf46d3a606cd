"""Network: layers in order, with their weights, checked on construction; Draft: unchecked."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from .device import Device
from .errors import InputError
from .layer import (
    DATA_BUFFER,
    ELTWISE,
    NETWORK_INPUT,
    DataBuffer,
    Layer,
    passes_of,
    set_bits,
)
from .rules import check_network, fault, faults

__all__ = [
    "DATA_BUFFER",
    "ELTWISE",
    "NETWORK_INPUT",
    "DataBuffer",
    "Draft",
    "Layer",
    "Network",
    "Parameters",
    "fault",
    "faults",
    "passes_of",
    "set_bits",
]


@dataclass(frozen=True)
class Parameters:
    """Weights of one layer as small signed integers.

    ``kernel``: int8 in the layer's ``kernel_tensor_shape``; ``bias``: int8 [out], in units of 128
    of the accumulator, or None.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Draft:
    """A network whose rules are open: layers in order, with their parameters (None without)."""

    name: str
    device: Device
    layers: tuple[Layer, ...]
    parameters: tuple[Parameters | None, ...]
    average_rounding: bool = False
    fifo: bool = False  # the input comes through the FIFOs
    fast_fifo: bool = False  # ... through the one of the RISC-V core
    data_buffer: DataBuffer | None = None
    file: str | None = None
    overlap_data: bool = False  # outputs may take the place of data still to be read
    weight_start: int = 0  # first kernel word that may be used
    no_deduplicate_weights: bool = False  # equal kernels are stored once for each layer

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """Layers by their name."""
        return {layer.name: layer for layer in self.layers}

    def layer(self, name: str | int) -> Layer:
        """A layer by name or index; raises InputError with the names that exist."""
        if isinstance(name, int) and 0 <= name < len(self.layers):
            return self.layers[name]
        if name not in self.by_name:
            names = ", ".join(self.by_name)
            raise InputError(f"{self.name} has no layer {name!r}; its layers are: {names}")
        return self.by_name[name]

    def streams_into_next(self, layer: Layer) -> bool:
        """Whether a layer's output is read as it appears, and never lies whole in memory."""
        following = layer.index + 1
        return following < len(self.layers) and self.layers[following].streaming

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a sample."""
        first = self.layers[0]
        return (first.in_channels * first.operands, *first.in_size)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of the final output."""
        last = self.layers[-1]
        return (last.out_channels, *last.out_size)


@dataclass(frozen=True, eq=False)
class Network(Draft):
    """A network that breaks no rule: raises the first that a Draft of the same fields breaks."""

    def __post_init__(self):
        check_network(self)

    @classmethod
    def of(cls, draft: Draft) -> Network:
        """The draft, checked."""
        return cls(**{field.name: getattr(draft, field.name) for field in fields(draft)})
