"""Layer and Network: what the user asked for, in the user's units, checked on construction.

A Layer says nothing about registers; every rule here is a limit of the chip from the vendor's
"Limitations" chapter, with the layer, the field, the value, the limit and a value that would work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .device import Device
from .errors import HardwareLimit, InputError, NotEmulated

ACTIVATIONS = (None, "relu", "abs")
KERNEL_SHAPES = {"conv2d": ((1, 1), (3, 3)), "linear": ((1, 1),)}  # per operation, what fits
PADDINGS = {"conv2d": (0, 1, 2), "linear": (0,)}


def set_bits(mask: int) -> tuple[int, ...]:
    """Numbers of the bits set in a processor map, ascending."""
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def passes_of(channels: int, processors: int = 64, share: int = 4) -> tuple[int, int]:
    """(passes, channels of one pass): beyond 64 channels a pass is rounded up to a multiple of 4.

    65 channels are 2 passes of 36, not of 33.  Matches the vendor's generator.
    """
    passes = -(-channels // processors)
    each = -(-channels // passes)
    if channels > processors:
        each = min(-(-each // share) * share, processors)
    return passes, each


@dataclass(frozen=True)
class Layer:
    """One layer as the user described it.

    Sizes are (rows, columns); ``in_size`` is before pooling; offsets are bytes within each
    data-memory instance; ``processors`` and ``output_processors`` are 64-bit maps;
    ``output_shift`` is the total shift (a checkpoint's value plus 8 - weight_bits).
    ``in_channels`` of a flattening layer counts channels before flattening.
    """

    index: int
    name: str
    op: str
    in_channels: int
    out_channels: int
    in_size: tuple[int, int]
    processors: int
    output_processors: int
    kernel_shape: tuple[int, int] = (3, 3)
    padding: int = 0
    pool: tuple[int, int] = (1, 1)
    pool_average: bool = False
    stride: int = 1
    activation: str | None = None
    output_shift: int = 0
    weight_bits: int = 8
    output_bits: int = 8
    in_offset: int = 0
    out_offset: int = 0
    big_data: bool = False
    flatten: bool = False
    bias_groups: tuple[int, ...] | None = None
    line: int | None = None  # of the description file

    @property
    def pooled_size(self) -> tuple[int, int]:
        """(rows, columns) after pooling; a stride without pooling subsamples."""
        rows, columns = (
            (size + self.stride - window) // self.stride
            for size, window in zip(self.in_size, self.pool, strict=True)
        )
        return rows, columns

    @property
    def out_size(self) -> tuple[int, int]:
        """(rows, columns) of the output."""
        if self.flatten:
            return 1, 1
        rows, columns = (
            size + 2 * self.padding - kernel + 1
            for size, kernel in zip(self.pooled_size, self.kernel_shape, strict=True)
        )
        return rows, columns

    @property
    def pixels(self) -> int:
        """Pixels that a flattening layer turns into input passes; 1 for any other layer."""
        return self.pooled_size[0] * self.pooled_size[1] if self.flatten else 1

    @property
    def features(self) -> int:
        """Inputs of one output: channels, times pixels when flattening."""
        return self.in_channels * self.pixels

    @property
    def in_passes(self) -> tuple[int, int]:
        """(input passes, channels of one pass), not counting the pixels of a flattening layer."""
        return passes_of(self.in_channels)

    @property
    def out_passes(self) -> tuple[int, int]:
        """(output passes, channels of one pass)."""
        return passes_of(self.out_channels)

    @property
    def kernel_tensor_shape(self) -> tuple[int, ...]:
        """[out, in, row, column]; [out, feature] of a linear or flattening layer."""
        if self.op == "linear" or self.flatten:
            return self.out_channels, self.features
        return self.out_channels, self.in_channels, *self.kernel_shape

    @property
    def multiplications(self) -> int:
        """Multiply-accumulate operations of one inference."""
        rows, columns = self.out_size
        taps = self.kernel_shape[0] * self.kernel_shape[1]
        return self.out_channels * self.features * taps * rows * columns

    @property
    def in_bytes(self) -> int:
        """Bytes that the input takes in each data-memory instance."""
        rows, columns = self.in_size
        if self.big_data:
            return -(-rows * columns // 4) * 4
        return rows * columns * self.in_passes[0] * 4

    @property
    def out_bytes(self) -> int:
        """Bytes that the output takes in each data-memory instance."""
        rows, columns = self.out_size
        return rows * columns * self.out_passes[0] * 4 * self.output_bits // 8


@dataclass(frozen=True)
class Parameters:
    """Weights of one layer as small signed integers.

    ``kernel``: int8 in the layer's ``kernel_tensor_shape``; ``bias``: int8 [out], in units of 128
    of the accumulator, or None.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in order, with their parameters (None where no checkpoint was given)."""

    name: str
    device: Device
    layers: tuple[Layer, ...]
    parameters: tuple[Parameters | None, ...]
    average_rounding: bool = False
    file: str | None = None

    def __post_init__(self):
        check_network(self)

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

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of a sample."""
        first = self.layers[0]
        return (first.in_channels, *first.in_size)

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of the final output."""
        last = self.layers[-1]
        return (last.out_channels, *last.out_size)


def fault(network: Network, layer: Layer, message: str, kind=HardwareLimit):
    """The error for one layer, with its place in the description file."""
    return kind(
        f"layer {layer.index} ({layer.name}): {message}",
        file=network.file,
        line=layer.line,
    )


def check_network(network: Network) -> None:
    """Raise the first limit that the network exceeds."""
    limits = network.device.limits
    if not network.layers:
        raise InputError(
            "the network has no layers; 'layers' needs at least one", file=network.file
        )
    if len(network.layers) > limits.layers:
        raise HardwareLimit(
            f"{len(network.layers)} layers: {network.device.name} runs at most {limits.layers}",
            file=network.file,
        )
    for layer in network.layers:
        for rule in LAYER_RULES:
            rule(network, layer)


def check_channels(network: Network, layer: Layer) -> None:
    """Channel counts, and processor maps that have to match them."""
    limits = network.device.limits
    for field, channels in (
        ("in_channels", layer.in_channels),
        ("out_channels", layer.out_channels),
    ):
        if not 1 <= channels <= limits.channels:
            raise fault(
                network, layer, f"{field} is {channels}; the chip takes 1 to {limits.channels}"
            )
    maps = (
        ("processors", layer.processors, layer.in_channels, layer.in_passes),
        ("output_processors", layer.output_processors, layer.out_channels, layer.out_passes),
    )
    for field, processors, channels, (passes, each) in maps:
        if not 0 < processors < 1 << limits.processors:
            raise fault(
                network,
                layer,
                f"{field} is 0x{processors:x}; it names 1 to 64 processors",
                InputError,
            )
        if processors.bit_count() != each:
            raise fault(
                network,
                layer,
                f"{field} 0x{processors:016x} has {processors.bit_count()} processors, but "
                f"{channels} channels in {passes} pass(es) take {each}; "
                f"for example {field}: 0x{(1 << each) - 1:016x}",
                InputError,
            )


def check_sizes(network: Network, layer: Layer) -> None:
    """Dimensions, pooling, padding and flattening."""
    limits = network.device.limits
    if not all(1 <= window <= limits.pool for window in layer.pool):
        raise fault(network, layer, f"pooling {layer.pool}: each side is 1 to {limits.pool}")
    if not 1 <= layer.stride <= limits.pool:
        raise fault(network, layer, f"pool_stride {layer.stride}: it is 1 to {limits.pool}")
    rows_and_columns = (*layer.in_size, *layer.pooled_size, *layer.out_size)
    if not all(1 <= size <= limits.rows_and_columns for size in rows_and_columns):
        raise fault(
            network,
            layer,
            f"input {layer.in_size}, pooled {layer.pooled_size}, output {layer.out_size}: "
            f"rows and columns are 1 to {limits.rows_and_columns}",
        )
    if layer.padding not in PADDINGS[layer.op]:
        allowed = ", ".join(map(str, PADDINGS[layer.op]))
        raise fault(network, layer, f"pad {layer.padding}: {layer.op} takes {allowed}")
    if layer.kernel_shape not in KERNEL_SHAPES[layer.op]:
        allowed = ", ".join(f"{rows}x{columns}" for rows, columns in KERNEL_SHAPES[layer.op])
        raise fault(network, layer, f"kernel_size {layer.kernel_shape}: {layer.op} takes {allowed}")
    if layer.padding >= max(layer.kernel_shape):
        raise fault(
            network, layer, f"pad {layer.padding} with a {layer.kernel_shape} kernel: use pad: 0"
        )
    if layer.flatten and layer.kernel_shape != (1, 1):
        raise fault(
            network,
            layer,
            "flatten with a 3x3 kernel; use op: linear, or kernel_size: 1x1",
            InputError,
        )
    if layer.flatten:
        check_flatten(network, layer)
    elif layer.op == "linear" and layer.in_size != (1, 1):
        raise fault(
            network,
            layer,
            f"linear reads 1x1 data, its input is {layer.in_size}; add flatten: true",
            InputError,
        )


def check_flatten(network: Network, layer: Layer) -> None:
    """What a flattening layer can take."""
    limits = network.device.limits
    if layer.pool != (1, 1) or layer.stride != 1:
        raise fault(network, layer, "flatten and pooling in one layer; pool in the layer before")
    if layer.pixels > limits.flatten_pixels:
        raise fault(
            network, layer, f"flatten of {layer.pixels} pixels; at most {limits.flatten_pixels}"
        )
    if layer.features > limits.flatten_features:
        raise fault(
            network, layer, f"flatten of {layer.features} values; at most {limits.flatten_features}"
        )
    passes, each = layer.in_passes
    if passes * each != layer.in_channels:
        raise fault(
            network,
            layer,
            f"flatten of {layer.in_channels} channels in {passes} passes of {each}: the last pass "
            f"has to be full; use {passes * each} channels",
        )


def check_arithmetic(network: Network, layer: Layer) -> None:
    """Shift, activation and output width."""
    limit = network.device.limits.total_shift
    if not -limit <= layer.output_shift <= limit:
        implicit = 8 - layer.weight_bits
        raise fault(
            network,
            layer,
            f"output_shift {layer.output_shift - implicit} is outside of {-limit - implicit} to "
            f"{limit - implicit}, the range for {layer.weight_bits}-bit weights",
        )
    if layer.activation not in ACTIVATIONS:
        raise fault(
            network, layer, f"activation {layer.activation!r}; use ReLU, Abs or None", InputError
        )
    if layer.output_bits not in (8, 32):
        raise fault(network, layer, f"output_width {layer.output_bits}; it is 8 or 32", InputError)
    is_last = layer.index == len(network.layers) - 1
    if layer.output_bits == 32 and layer.activation and is_last:
        raise fault(
            network,
            layer,
            "output_width 32 with an activation; the chip applies none: activate: None",
        )


def check_memory(network: Network, layer: Layer) -> None:
    """Whether input and output fit their data-memory instances."""
    data = network.device.region("data")
    size = data.entries * data.entry_stride
    for field, offset, length in (
        ("in_offset", layer.in_offset, layer.in_bytes),
        ("out_offset", layer.out_offset, layer.out_bytes),
    ):
        if offset < 0 or offset % 4:
            raise fault(
                network, layer, f"{field} 0x{offset:x} is not a multiple of 4 from 0 up", InputError
            )
        end = offset + length
        if end > size:
            highest = size - length
            advice = (
                f"the highest legal {field} is 0x{highest:x}"
                if highest >= 0
                else "no offset would do; use fewer pixels or channels (CHW for an input)"
            )
            raise fault(
                network,
                layer,
                f"{field} 0x{offset:x} and {length:,} B (0x{length:x}) end at 0x{end:x}, past "
                f"0x{size:x}, the end of a data-memory instance; {advice}",
            )


def check_big_data(network: Network, layer: Layer) -> None:
    """CHW input: one channel in each data-memory instance, first layer only, one pass."""
    if not layer.big_data:
        return
    if layer.index:
        raise fault(network, layer, "data_format CHW is for the first layer only; remove it")
    share = network.device.limits.processors_per_instance
    instances = [processor // share for processor in set_bits(layer.processors)]
    if len(set(instances)) != len(instances):
        raise fault(
            network,
            layer,
            f"processors 0x{layer.processors:016x} share a data-memory instance; CHW input takes "
            "every fourth processor, for example 0x0000000000000111",
        )
    if layer.in_passes[0] > 1:
        raise fault(network, layer, f"CHW input of {layer.in_channels} channels; at most 16")
    if layer.flatten:
        message = "flatten of CHW input is not emulated; use data_format: HWC"
        raise fault(network, layer, message, NotEmulated)


def check_chain(network: Network, layer: Layer) -> None:
    """Each layer reads what the layer before wrote."""
    if layer.index == 0:
        return
    before = network.layers[layer.index - 1]
    wrote = (before.out_channels, *before.out_size)
    reads = (layer.in_channels, *layer.in_size)
    if wrote != reads:
        raise fault(
            network, layer, f"reads {reads} (channels, rows, columns); {before.name} writes {wrote}"
        )
    if before.output_bits != 8:
        raise fault(network, before, "output_width 32 is for the last layer; remove it", InputError)


LAYER_RULES = (
    check_channels,
    check_sizes,
    check_arithmetic,
    check_memory,
    check_big_data,
    check_chain,
)
