"""What a network may be: one named rule a limit, from the vendor's "Limitations" chapter.

Each names the layer, the field, the value, the limit and, where there is one, a value that works.
"""

from __future__ import annotations

from typing import Protocol

from .device import Device
from .errors import HardwareLimit, InputError, NotEmulated
from .layer import DATA_BUFFER, NETWORK_INPUT, STRETCHED_TAPS, DataBuffer, Layer, set_bits

ACTIVATIONS = (None, "relu", "abs")
KERNEL_SHAPES = {  # per operation, what fits
    "conv2d": ((1, 1), (3, 3)),
    "conv1d": tuple((taps, 1) for taps in range(1, 10)),
    "convtranspose2d": ((3, 3),),
    "linear": ((1, 1),),
    "passthrough": ((1, 1),),
}
PADDINGS = {
    "conv2d": (0, 1, 2),
    "conv1d": (0, 1, 2),
    "convtranspose2d": (0, 1, 2),
    "linear": (0,),
    "passthrough": (0,),
}


class Checked(Protocol):
    """What the rules look at: a Network that is being made."""

    @property
    def device(self) -> Device:
        """The chip."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """In order of execution."""

    @property
    def file(self) -> str | None:
        """The description."""

    @property
    def fifo(self) -> bool:
        """Whether the input comes through FIFOs."""

    @property
    def data_buffer(self) -> DataBuffer | None:
        """The rolling buffer."""

    def streams_into_next(self, layer: Layer) -> bool:
        """Whether a layer's output is read as it appears."""


def fault(network: Checked, layer: Layer, message: str, kind=HardwareLimit):
    """The error for one layer, with its place in the description file."""
    return kind(
        f"layer {layer.index} ({layer.name}): {message}",
        file=network.file,
        line=layer.line,
    )


def check_network(network: Checked) -> None:
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


def check_channels(network: Checked, layer: Layer) -> None:
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


def check_sizes(network: Checked, layer: Layer) -> None:
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
    if (
        layer.has_kernels
        and layer.op != "convtranspose2d"
        and layer.padding >= max(layer.kernel_shape)
    ):
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


def check_flatten(network: Checked, layer: Layer) -> None:
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


def check_arithmetic(network: Checked, layer: Layer) -> None:
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


def check_memory(network: Checked, layer: Layer) -> None:
    """Whether input and output fit their data-memory instances."""
    data = network.device.region("data")
    size = data.entries * data.entry_stride
    in_bytes = 0 if layer.streaming else layer.in_bytes
    out_bytes = 0 if network.streams_into_next(layer) else layer.out_bytes
    for field, offset, length in (
        ("in_offset", layer.in_offset, in_bytes),
        ("out_offset", layer.out_offset, out_bytes),
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


def check_big_data(network: Checked, layer: Layer) -> None:
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


def check_inputs(network: Checked, layer: Layer) -> None:
    """Each layer reads earlier layers, as many values as they wrote, and 8-bit ones."""
    if not layer.inputs and layer.index:
        before = network.layers[layer.index - 1]
        wrote = (before.out_channels, *before.out_size)
        reads = (layer.in_channels, *layer.in_size)
        if layer.eltwise:
            fits = reads[0] * layer.operands * reads[1] * reads[2] <= wrote[0] * wrote[1] * wrote[2]
        else:
            fits = reads[0] == wrote[0] and reads[1] * reads[2] == wrote[1] * wrote[2]
        if not fits:
            raise fault(
                network,
                layer,
                f"reads {reads} (channels, rows, columns); {before.name} writes {wrote}",
            )
    if not layer.index and layer.sources != (NETWORK_INPUT,):
        message = "the first layer reads the sample; remove in_sequences"
        raise fault(network, layer, message, InputError)
    for number in layer.sources:
        if number == DATA_BUFFER and network.data_buffer is not None:
            continue
        if not NETWORK_INPUT <= number < layer.index:
            raise fault(
                network,
                layer,
                f"in_sequences {number}: layers are executed in order, so it is -1 (the input) to "
                f"{layer.index - 1}",
                InputError,
            )
        if number >= 0 and network.layers[number].output_bits != 8:
            raise fault(
                network,
                network.layers[number],
                "output_width 32 is for a last layer; remove it",
                InputError,
            )


def check_operands(network: Checked, layer: Layer) -> None:
    """Element-wise operations."""
    if not layer.eltwise:
        return
    if not 2 <= layer.operands <= 16:
        raise fault(network, layer, f"operands {layer.operands}; an element-wise layer has 2 to 16")
    if layer.op == "conv1d":
        raise fault(
            network, layer, "an element-wise operation with a Conv1d; use a layer of its own"
        )
    if not layer.pool_first and layer.operands > 2 and layer.pool != (1, 1):
        raise fault(network, layer, f"pool_first: false with {layer.operands} operands; at most 2")


def check_passthrough(network: Checked, layer: Layer) -> None:
    """A layer without kernels."""
    if layer.has_kernels:
        return
    for field, value in (
        ("activate", layer.activation),
        ("output_shift", layer.output_shift),
        ("flatten", layer.flatten),
    ):
        if value:
            raise fault(network, layer, f"{field} in a pass-through layer; remove it")
    if layer.output_bits != 8:
        raise fault(network, layer, "output_width 32 in a pass-through layer; it writes 8 bits")
    if layer.pool != (1, 1) and layer.in_passes[0] > 1 and layer.pooled_size != (1, 1):
        raise fault(
            network,
            layer,
            f"pooling of {layer.in_channels} channels to {layer.pooled_size}: more than 64 are "
            "pooled to 1x1 only, or in the layer of a convolution",
        )
    for group in range(4):
        reads = layer.processors >> 16 * group & 0xFFFF
        writes = layer.output_processors >> 16 * group & 0xFFFF
        packed = (1 << reads.bit_count()) - 1
        if writes >> (set_bits(writes) or (0,))[0] != packed:
            raise fault(
                network,
                layer,
                f"output_processors 0x{layer.output_processors:016x}: a pass-through layer packs "
                f"the channels of each quadrant; for quadrant {group} use 0x{packed:04x}",
                InputError,
            )


def check_dilation(network: Checked, layer: Layer) -> None:
    """Dilation: Conv1d only; beyond nine taps as a column of a 3x3 over a folded input."""
    if layer.dilation == 1:
        return
    if layer.op != "conv1d":
        raise fault(network, layer, f"dilation {layer.dilation} of {layer.op}; only Conv1d has one")
    taps = layer.kernel_shape[0]
    if taps == 1:
        raise fault(network, layer, "dilation of a kernel of one tap; remove it")
    if layer.hardware.op == "conv1d":
        return
    if taps > 3:
        most = (STRETCHED_TAPS - 1) // (taps - 1)
        raise fault(
            network, layer, f"dilation {layer.dilation} of {taps} taps; at most {most}, or 3 taps"
        )
    if layer.padding or layer.pool != (1, 1) or layer.stride != 1:
        raise fault(
            network, layer, f"padding or pooling with dilation {layer.dilation}; use neither"
        )
    before = 4 * layer.hardware.skipped * layer.out_passes[0]
    if layer.out_offset < before:
        raise fault(
            network,
            layer,
            f"out_offset 0x{layer.out_offset:x}: dilation {layer.dilation} writes "
            f"0x{before:x} bytes before it; use 0x{before:x} or more",
        )


def check_streaming(network: Checked, layer: Layer) -> None:
    """Streaming: from the first layer on, through a FIFO, eight layers at most."""
    if not layer.streaming:
        return
    if not network.fifo:
        raise fault(network, layer, "streaming: true needs FIFOs; add --fifo", InputError)
    if layer.index and not network.layers[layer.index - 1].streaming:
        raise fault(network, layer, "streaming: true after a layer that does not stream")
    if layer.index >= network.device.limits.stream_layers:
        raise fault(network, layer, f"at most {network.device.limits.stream_layers} layers stream")
    if layer.flatten:
        raise fault(network, layer, "flatten and streaming in one layer")


def check_buffer(network: Checked, layer: Layer) -> None:
    """The rolling buffer: read within it, shifted by whole rows, appended at its end."""
    buffer = network.data_buffer
    reads = DATA_BUFFER in layer.sources
    if not (reads or layer.buffer_shift or layer.buffer_insert):
        return
    if buffer is None:
        raise fault(network, layer, "buffer_shift and buffer_insert need a data_buffer", InputError)
    span = f"{buffer.name} is 0x{buffer.offset:x} to 0x{buffer.end:x}"
    shift, end = layer.buffer_shift, layer.out_offset + layer.out_bytes
    target = layer.in_offset - shift * buffer.row_bytes
    last = buffer.end - layer.buffer_insert * buffer.row_bytes
    inside = buffer.offset <= layer.in_offset and layer.in_offset + layer.in_bytes <= buffer.end
    problems = (
        (reads and layer.processors != buffer.processors,
         f"processors 0x{layer.processors:016x}; {buffer.name} has 0x{buffer.processors:016x}"),
        (reads and not inside,
         f"in_offset 0x{layer.in_offset:x} and 0x{layer.in_bytes:x} bytes; {span}"),
        (shift and (layer.has_kernels or not reads),
         f"buffer_shift is for a pass-through layer with in_sequences: {buffer.name}"),
        (shift and layer.out_offset != target,
         f"out_offset 0x{layer.out_offset:x}; buffer_shift {shift} of in_offset "
         f"0x{layer.in_offset:x} takes out_offset: 0x{max(target, 0):x}"),
        (layer.buffer_insert and (layer.out_offset != last or end != buffer.end),
         f"output 0x{layer.out_offset:x} to 0x{end:x}; {span}, and buffer_insert "
         f"{layer.buffer_insert} writes its last rows, from out_offset: 0x{max(last, 0):x}"),
    )  # fmt: skip
    for wrong, message in problems:
        if wrong:
            raise fault(network, layer, message, InputError)


LAYER_RULES = (
    check_channels,
    check_sizes,
    check_arithmetic,
    check_memory,
    check_big_data,
    check_inputs,
    check_passthrough,
    check_dilation,
    check_streaming,
    check_operands,
    check_buffer,
)
