"""One entry of the description -> Layer: defaults that need the layers around it.

What a layer may be, rules.py says; here is only what the description leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .checkpoint import LayerParameters
from .errors import HardwareLimit, InputError, NotEmulated
from .network import DATA_BUFFER, NETWORK_INPUT, DataBuffer, Layer, Parameters, passes_of
from .yaml_keys import BUILT_OPERATIONS, ELTWISE_OPERATIONS
from .yaml_reader import Description, LayerDescription

# (channels, rows, columns) of the vendor's data sets, used when nothing else gives the input shape
DATASET_SHAPES = {
    "mnist": (1, 28, 28),
    "fashionmnist": (1, 28, 28),
    "cifar-10": (3, 32, 32),
    "cifar10": (3, 32, 32),
    "cifar100": (3, 32, 32),
    "svhn_74": (3, 74, 74),
    "kws_20": (128, 128, 1),
    "cats_vs_dogs": (3, 128, 128),
    "faceid": (3, 160, 120),
}


@dataclass(frozen=True)
class Options:
    """The vendor's command-line switches that change the network.

    ``no_bias``: layers whose bias is ignored; ``output_width``: bits of the last layer's output;
    ``stop_after``: the last layer to use; ``fifo``, ``fast_fifo``: how the input arrives;
    ``overlap_data``: outputs may take the place of data that is still to be read.
    ``input_offset``: bytes, of the first layer; ``weight_start``: first kernel word to use;
    ``streaming_layers``: layers that stream beside those of the description.
    """

    avg_pool_rounding: bool = False
    no_bias: tuple[int, ...] = ()
    output_width: int | None = None
    stop_after: int | None = None
    fifo: bool = False
    fast_fifo: bool = False
    overlap_data: bool = False
    skip_yaml_layers: int = 0
    skip_checkpoint_layers: int = 0
    ignore_activation: bool = False
    ignore_streaming: bool = False
    streaming_layers: tuple[int, ...] = ()
    input_offset: int | None = None
    weight_start: int = 0
    no_deduplicate_weights: bool = False


def layer_name(entry: LayerDescription, index: int) -> str:
    """The given name, or layer<index>."""
    return entry.get("name", f"layer{index}")


@dataclass(frozen=True)
class Context:
    """What one layer is built from: its entry, the layers before it, and its stored weights."""

    description: Description
    index: int
    built: tuple[Layer, ...]
    stored: LayerParameters | None
    input_shape: tuple[int, int, int] | None
    options: Options

    @property
    def entry(self) -> LayerDescription:
        """The layer's keys."""
        return self.description.layers[self.index]

    @property
    def following(self) -> LayerDescription | None:
        """The keys of the next layer."""
        layers = self.description.layers
        return layers[self.index + 1] if self.index + 1 < len(layers) else None

    @property
    def final(self) -> bool:
        """Whether this is the last layer that is used."""
        return self.following is None or self.index == self.options.stop_after

    @property
    def op(self) -> str:
        """Main operation; an element-wise one alone is a pass-through."""
        op = self.entry.get("op", "conv2d")
        return "passthrough" if op in ELTWISE_OPERATIONS else op

    @property
    def eltwise(self) -> str | None:
        """Element-wise operation, alone or before the main one."""
        op = self.entry.get("op", "conv2d")
        return op if op in ELTWISE_OPERATIONS else self.entry.get("eltwise")

    @property
    def operands(self) -> int:
        """Operands of the element-wise operation; 1 without one."""
        if self.eltwise is None and "operands" in self.entry.values:
            raise InputError(
                "operands without an element-wise operation; add eltwise: add",
                rule="operands-eltwise",
            )
        return self.entry.get("operands", 2) if self.eltwise else 1

    @property
    def inputs(self) -> tuple[int, ...]:
        """Layer indices of in_sequences; empty where the layer before is read."""
        return tuple(self.layer_index(item) for item in self.entry.get("in_sequences", ()))

    def layer_index(self, item: int | str) -> int:
        """A layer by number or name; -1 or "input" for the sample."""
        if isinstance(item, int):
            return item
        names = [layer.name.lower() for layer in self.built]
        if item.lower() == "input":
            return NETWORK_INPUT
        buffer = self.description.data_buffer
        if buffer is not None and item.lower() == buffer.get("name").lower():
            return DATA_BUFFER
        if item.lower() not in names:
            raise InputError(
                f"in_sequences: no earlier layer has the name '{item}'", rule="sequence-names"
            )
        return names.index(item.lower())

    def source_shape(self, index: int) -> tuple[int, int, int] | None:
        """(channels, rows, columns) that a layer wrote, or of the sample where it is known."""
        if index >= 0:
            if index >= len(self.built):
                raise InputError(
                    f"in_sequences {index}: only layers 0 to {self.index - 1} are before",
                    rule="sequence-names",
                )
            return self.built[index].out_channels, *self.built[index].out_size
        buffer = read_buffer(self.description)
        if index == DATA_BUFFER and buffer is not None:
            return buffer.channels, *buffer.size
        dataset = str(self.description.get("dataset")).lower()
        return self.input_shape or DATASET_SHAPES.get(dataset)


def read_buffer(description: Description) -> DataBuffer | None:
    """The rolling buffer that the description declares."""
    entry = description.data_buffer
    if entry is None:
        return None
    return DataBuffer(
        entry.get("name"),
        entry.get("processors"),
        entry.get("channels"),
        entry.get("dim"),
        entry.get("offset"),
        entry.line,
    )


def read_shape(context: Context) -> tuple[int, int, int]:
    """(channels of one operand, rows, columns) that a layer reads.

    Several inputs of one operand are concatenated: channels, or pixels where sizes differ.
    """
    entry, sources = context.entry, context.inputs or (context.index - 1,)
    shapes = [context.source_shape(index) for index in sources]
    known = [shape for shape in shapes if shape is not None]
    channels = entry.get("in_channels")
    size = entry.get("in_dim")
    if len(known) == len(shapes):
        first = known[0]
        same = all(shape[1:] == first[1:] for shape in known)
        if size is None and not same:
            raise InputError(
                f"in_sequences of different sizes {[shape[1:] for shape in known]}; give in_dim",
                rule="concatenated-size",
            )
        size = size or first[1:]
        channels = channels or read_channels(context, known, same)
    if channels is None and context.stored is not None and context.stored.kernel.ndim == 4:
        channels = context.stored.kernel.shape[1]
    if channels is None or size is None:
        raise InputError(
            "the input shape is not known; add in_channels and in_dim to the first layer, for "
            "example in_channels: 1 and in_dim: [28, 28], or --input-shape 1,28,28",
            rule="input-known",
        )
    return channels, *size


def read_channels(context: Context, shapes: list[tuple[int, int, int]], same: bool) -> int:
    """Channels of one operand: concatenated, or those of the first input."""
    if context.operands > 1:
        if len(shapes) > 1 or context.index:
            return shapes[0][0]
        if shapes[0][0] % context.operands:
            raise InputError(
                f"an input of {shapes[0][0]} channels for {context.operands} operands; it has so "
                "many channels for each operand, for example "
                f"{context.operands * -(-shapes[0][0] // context.operands)}",
                rule="operand-channels",
            )
        return shapes[0][0] // context.operands
    return sum(shape[0] for shape in shapes) if same else shapes[0][0]


def build_layer(context: Context) -> Layer:
    """One Layer in the user's units; limits are checked by Network."""
    entry, op, stored = context.entry, context.op, context.stored
    if op not in BUILT_OPERATIONS:
        raise NotEmulated(f"the operation {op} is not emulated yet", rule="key-op")
    if "processors" not in entry.values:
        raise InputError(
            "'processors' is missing, for example processors: 0x000000000000000f",
            rule="processors-given",
        )
    channels, rows, columns = read_shape(context)
    before = context.built[-1] if context.built else None
    weight_bits = entry.get("quantization") or (stored.weight_bits if stored else None) or 8
    out_channels = read_out_channels(context, (channels, rows, columns))
    output_bits = entry.get("output_width", 8)
    if context.options.output_width is not None and context.final:
        output_bits = context.options.output_width
    check_fixed(context)
    pool, stride = read_pool(context)
    kernels = op != "passthrough"
    return Layer(
        index=context.index,
        name=layer_name(entry, context.index),
        op=op,
        in_channels=channels,
        out_channels=out_channels,
        in_size=(rows, columns),
        processors=entry.get("processors"),
        output_processors=read_output_processors(context, out_channels),
        kernel_shape=read_kernel_shape(context),
        padding=entry.get("pad", 0 if op in ("linear", "passthrough") else 1),
        pool=pool,
        pool_average="avg_pool" in entry.values and "max_pool" not in entry.values,
        stride=stride,
        activation=entry.get("activate"),
        output_shift=read_shift(entry, stored) + 8 - weight_bits if kernels else 0,
        weight_bits=weight_bits,
        output_bits=output_bits,
        in_offset=entry.get("in_offset", before.out_offset if before else 0),
        out_offset=entry.get("out_offset", 0),
        big_data=entry.get("data_format", False),
        flatten=entry.get("flatten", False),
        inputs=context.inputs,
        operands=context.operands,
        eltwise=context.eltwise,
        pool_first=entry.get("pool_first", True),
        write_gap=entry.get("write_gap", 0),
        dilation=entry.get("dilation", (1, 1))[0],
        streaming=entry.get("streaming", False),
        after_streaming=before is not None and before.streaming,
        bias_groups=entry.get("bias_group"),
        buffer_shift=entry.get("buffer_shift", 0),
        buffer_insert=entry.get("buffer_insert", 0),
        keep=entry.get("output", False),
        line=entry.line,
    )


def check_fixed(context: Context) -> None:
    """Keys that the chip gives one value to."""
    upsampling = context.op == "convtranspose2d"
    for key, right, rule in (
        ("stride", (2, 2) if upsampling else (1, 1), "fixed-stride"),
        ("output_pad", 1 if upsampling else 0, "fixed-output-pad"),
    ):
        given = context.entry.get(key, right)
        if given != right:
            shown = list(given) if isinstance(given, tuple) else given
            only = right[0] if isinstance(right, tuple) else right
            message = f"{key} {shown} of {context.op}; the chip has {key}: {only}"
            raise HardwareLimit(message, rule=rule)


def read_pool(context: Context) -> tuple[tuple[int, int], int]:
    """(pooling rows and columns, stride); a 1-D layer has one of each."""
    entry = context.entry
    pool = entry.get("max_pool") or entry.get("avg_pool") or (1, 1)
    stride = entry.get("pool_stride", (1, 1))
    if context.op == "conv1d":
        return (pool[0], 1), stride[0]
    if stride[0] != stride[1]:
        raise InputError(
            f"pool_stride {list(stride)}: rows and columns have the same stride",
            rule="square-pool-stride",
        )
    return pool, stride[0]


def read_kernel_shape(context: Context) -> tuple[int, int]:
    """The key, or the operation's default."""
    if context.op in ("linear", "passthrough"):
        return 1, 1
    return context.entry.get("kernel_size", (9, 1) if context.op == "conv1d" else (3, 3))


def read_shift(entry: LayerDescription, stored: LayerParameters | None) -> int:
    """output_shift without the part of the weight width: the description's, or the checkpoint's."""
    if "output_shift" in entry.values:
        return entry.get("output_shift")
    return (stored.output_shift if stored else None) or 0


def read_out_channels(context: Context, shape: tuple[int, int, int]) -> int:
    """From the key, the weights, or (without a checkpoint) the processors that take the output."""
    entry, stored, following = context.entry, context.stored, context.following
    if "out_channels" in entry.values:
        return entry.get("out_channels")
    if context.op == "passthrough":
        return shape[0]
    if stored is not None:
        rows, columns = read_kernel_shape(context)
        pixels = shape[1] * shape[2] if entry.get("flatten", False) else 1
        each = shape[0] * pixels * rows * columns  # weights of one output
        count, rest = divmod(stored.kernel.size, each) if each > 0 else (0, 0)
        if rest or not count:
            raise InputError(
                f"weights '{stored.name}' of shape {stored.kernel.shape} do not fit: one output "
                f"takes {each} weights; check in_channels, kernel_size and flatten",
                rule="weight-shape",
            )
        return count
    if following is not None and "in_channels" in following.values:
        return following.get("in_channels")
    map_key = entry.get("output_processors") or (following.get("processors") if following else None)
    if map_key is None:
        raise InputError(
            "give a checkpoint file, or out_channels for the last layer", rule="outputs-known"
        )
    return map_key.bit_count()


def read_output_processors(context: Context, out_channels: int) -> int:
    """The layer's own map, the next layer's processors, the global map, or from processor 0 up."""
    entry, following = context.entry, context.following
    if context.final and "output_map" in context.description.values:
        return context.description.get("output_map")
    if "output_processors" in entry.values:
        return entry.get("output_processors")
    if following is not None and "processors" in following.values:
        return following.get("processors")
    return (1 << passes_of(out_channels)[1]) - 1


def fit_parameters(
    layer: Layer, stored: LayerParameters | None, no_bias: bool
) -> Parameters | None:
    """Stored weights in the layer's own shape, checked against its weight width."""
    if stored is None or not layer.has_kernels:
        return None
    shape = layer.kernel_tensor_shape
    if layer.op == "convtranspose2d" and stored.index is None:  # PyTorch's layout
        stored = replace(stored, kernel=np.flip(stored.kernel, (2, 3)).swapaxes(0, 1))
    transposed = stored.kernel.ndim == len(shape) == 4 and stored.kernel.shape != shape
    if stored.kernel.size != np.prod(shape) or transposed:
        raise InputError(
            f"weights '{stored.name}' have shape {stored.kernel.shape}; {layer.name} takes {shape}",
            rule="weight-shape",
        )
    kernel = stored.kernel.reshape(shape)
    limit = 1 << layer.weight_bits - 1
    if kernel.min() < -limit or kernel.max() >= limit:
        raise InputError(
            f"weights '{stored.name}' reach from {kernel.min()} to {kernel.max()}; "
            f"quantization: {layer.weight_bits} holds {-limit} to {limit - 1}; use quantization: 8",
            rule="weight-range",
        )
    if stored.bias is None or no_bias:
        return Parameters(kernel)
    if len(stored.bias) != layer.out_channels:
        raise InputError(
            f"{len(stored.bias)} bias values for '{stored.name}'; {layer.name} has "
            f"{layer.out_channels} output channels",
            rule="bias-count",
        )
    return Parameters(kernel, stored.bias)
