"""Channels, processor maps, rows and columns, pooling, padding, kernels, flattening."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import InputError
from ..layer import Layer
from .rule import DESCRIPTION, GENERATOR, LIMITATIONS, Checked, Rule

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
Messages = Iterator[str]


def channel_message(network: Checked, field: str, channels: int) -> Messages:
    """Of a count of input or output channels."""
    most = network.device.limits.channels
    if not 1 <= channels <= most:
        yield f"{field} is {channels}; the chip takes 1 to {most}"


def in_channels(network: Checked, layer: Layer) -> Messages:
    """1 to 1024 of one operand."""
    return channel_message(network, "in_channels", layer.in_channels)


def out_channels(network: Checked, layer: Layer) -> Messages:
    """1 to 1024."""
    return channel_message(network, "out_channels", layer.out_channels)


def map_message(
    network: Checked, field: str, processors: int, channels: int, passes_of: tuple[int, int]
) -> Messages:
    """Of a processor map that has to match its channels."""
    passes, each = passes_of
    if not 0 < processors < 1 << network.device.limits.processors:
        yield f"{field} is 0x{processors:x}; it names 1 to 64 processors"
    elif processors.bit_count() != each:
        yield (
            f"{field} 0x{processors:016x} has {processors.bit_count()} processors, but "
            f"{channels} channels in {passes} pass(es) take {each}; "
            f"for example {field}: 0x{(1 << each) - 1:016x}"
        )


def processors(network: Checked, layer: Layer) -> Messages:
    """As many as channels in a pass."""
    fields = "processors", layer.processors, layer.in_channels, layer.in_passes
    return map_message(network, *fields)


def output_processors(network: Checked, layer: Layer) -> Messages:
    """As many as output channels in a pass."""
    fields = "output_processors", layer.output_processors, layer.out_channels, layer.out_passes
    return map_message(network, *fields)


def pool_size(network: Checked, layer: Layer) -> Messages:
    """Each side of the window."""
    most = network.device.limits.pool
    if not all(1 <= window <= most for window in layer.pool):
        yield f"pooling {layer.pool}: each side is 1 to {most}"


def pool_stride(network: Checked, layer: Layer) -> Messages:
    """The stride of the pooling."""
    most = network.device.limits.pool
    if not 1 <= layer.stride <= most:
        yield f"pool_stride {layer.stride}: it is 1 to {most}"


def rows_and_columns(network: Checked, layer: Layer) -> Messages:
    """Of input, pooled input and output."""
    most = network.device.limits.rows_and_columns
    rows_and_columns = (*layer.in_size, *layer.pooled_size, *layer.out_size)
    if not all(1 <= size <= most for size in rows_and_columns):
        yield (
            f"input {layer.in_size}, pooled {layer.pooled_size}, output {layer.out_size}: "
            f"rows and columns are 1 to {most}"
        )


def padding(network: Checked, layer: Layer) -> Messages:
    """By operation."""
    if layer.padding not in PADDINGS[layer.op]:
        allowed = ", ".join(map(str, PADDINGS[layer.op]))
        yield f"pad {layer.padding}: {layer.op} takes {allowed}"


def kernel_size(network: Checked, layer: Layer) -> Messages:
    """By operation."""
    if layer.kernel_shape not in KERNEL_SHAPES[layer.op]:
        allowed = ", ".join(f"{rows}x{columns}" for rows, columns in KERNEL_SHAPES[layer.op])
        yield f"kernel_size {layer.kernel_shape}: {layer.op} takes {allowed}"


def padding_in_kernel(network: Checked, layer: Layer) -> Messages:
    """No output may see zeros alone."""
    if (
        layer.has_kernels
        and layer.op != "convtranspose2d"
        and layer.padding >= max(layer.kernel_shape)
    ):
        yield f"pad {layer.padding} with a {layer.kernel_shape} kernel: use pad: 0"


def flatten_kernel(network: Checked, layer: Layer) -> Messages:
    """A flattening layer is a linear one."""
    if layer.flatten and layer.kernel_shape != (1, 1):
        yield "flatten with a 3x3 kernel; use op: linear, or kernel_size: 1x1"


def linear_input(network: Checked, layer: Layer) -> Messages:
    """Without flattening, one pixel."""
    if layer.op == "linear" and not layer.flatten and layer.in_size != (1, 1):
        yield f"linear reads 1x1 data, its input is {layer.in_size}; add flatten: true"


def flatten_pooling(network: Checked, layer: Layer) -> Messages:
    """Not both in one layer."""
    if layer.flatten and (layer.pool != (1, 1) or layer.stride != 1):
        yield "flatten and pooling in one layer; pool in the layer before"


def flatten_pixels(network: Checked, layer: Layer) -> Messages:
    """Pixels become passes."""
    most = network.device.limits.flatten_pixels
    if layer.pixels > most:
        yield f"flatten of {layer.pixels} pixels; at most {most}"


def flatten_features(network: Checked, layer: Layer) -> Messages:
    """Channels times pixels."""
    most = network.device.limits.flatten_features
    if layer.flatten and layer.features > most:
        yield f"flatten of {layer.features} values; at most {most}"


def flatten_passes(network: Checked, layer: Layer) -> Messages:
    """Every pass is full."""
    passes, each = layer.in_passes
    if layer.flatten and passes * each != layer.in_channels:
        yield (
            f"flatten of {layer.in_channels} channels in {passes} passes of {each}: the last pass "
            f"has to be full; use {passes * each} channels"
        )


RULES = (
    Rule(
        "in-channels", LIMITATIONS,
        "A layer has 1 to 1024 input channels (so a linear layer has at most 1024 inputs).",
        check=in_channels, basic=True,
    ),
    Rule(
        "out-channels", LIMITATIONS,
        "A layer has 1 to 1024 output channels (so a linear layer has at most 1024 outputs).",
        check=out_channels, basic=True,
    ),
    Rule(
        "processors", f"{DESCRIPTION}: processors",
        "A layer reads with as many processors as it has channels; beyond 64 channels, as many as "
        "one pass has, rounded up to a multiple of 4.",
        InputError, processors,
    ),
    Rule(
        "output-processors", f"{DESCRIPTION}: output_processors",
        "A layer writes for as many processors as it has output channels (in one pass).",
        InputError, output_processors,
    ),
    Rule(
        "pool-size", LIMITATIONS, "Pooling windows are 1 to 16 on each side, square or not.",
        check=pool_size, basic=True,
    ),
    Rule(
        "pool-stride", LIMITATIONS, "A pooling stride is 1 to 16.", check=pool_stride, basic=True
    ),
    Rule(
        "rows-and-columns", LIMITATIONS,
        "Input, pooled input and output have 1 to 1023 rows and columns.",
        check=rows_and_columns, basic=True,
        note="The vendor's generator takes 1024.",
    ),
    Rule(
        "padding", LIMITATIONS,
        "A convolution is padded by 0, 1 or 2 zeros; linear and pass-through layers by none.",
        check=padding, basic=True,
        note="The YAML chapter also gives 3 (as the default) for Conv1d; the Limitations chapter "
        "and the generator do not take it.",
    ),
    Rule(
        "kernel-size", LIMITATIONS,
        "Kernels are 1x1 or 3x3 (Conv2d), 1 to 9 (Conv1d) or 3x3 (ConvTranspose2d).",
        check=kernel_size, basic=True,
    ),
    Rule(
        "padding-in-kernel", GENERATOR, "Padding is smaller than the kernel.",
        check=padding_in_kernel,
    ),
    Rule(
        "flatten-kernel", f"{DESCRIPTION}: flatten",
        "Flattening is for a linear layer, or a convolution with 1x1 kernels.",
        InputError, flatten_kernel, True,
    ),
    Rule(
        "linear-input", LIMITATIONS, "A linear layer reads 1x1 data, or flattens it.",
        InputError, linear_input,
    ),
    Rule(
        "flatten-pooling", LIMITATIONS, "Pooling and flattening are not done in one layer.",
        check=flatten_pooling,
    ),
    Rule(
        "flatten-pixels", GENERATOR, "At most 256 pixels are flattened.", check=flatten_pixels
    ),
    Rule(
        "flatten-features", LIMITATIONS,
        "At most 16384 values (channels times rows times columns) are flattened.",
        check=flatten_features,
    ),
    Rule(
        "flatten-passes", GENERATOR,
        "Beyond 64 channels, a flattening layer's channels fill every pass.",
        check=flatten_passes,
        note="The chapters do not say so; the generator stops without a message.",
    ),
)  # fmt: skip
