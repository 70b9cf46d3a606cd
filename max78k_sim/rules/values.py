"""Shift, activation, output width; element-wise, pass-through and dilated layers."""

from __future__ import annotations

from ..errors import InputError, NotEmulated
from ..layer import STRETCHED_TAPS, Layer, set_bits
from .rule import DESCRIPTION, GENERATOR, LIMITATIONS, REGISTERS, Checked, Rule
from .sizes import Messages

ACTIVATIONS = (None, "relu", "abs")
WRITE_STEPS = 16  # words that the write pointer can go on by, for a pixel


def output_shift(network: Checked, layer: Layer) -> Messages:
    """The range of the register, less what the weight width takes."""
    limit = network.device.limits.total_shift
    if not -limit <= layer.output_shift <= limit:
        implicit = 8 - layer.weight_bits
        yield (
            f"output_shift {layer.output_shift - implicit} is outside of {-limit - implicit} to "
            f"{limit - implicit}, the range for {layer.weight_bits}-bit weights"
        )


def activation(network: Checked, layer: Layer) -> Messages:
    """ReLU, Abs or none."""
    if layer.activation not in ACTIVATIONS:
        yield f"activation {layer.activation!r}; use ReLU, Abs or None"


def output_width(network: Checked, layer: Layer) -> Messages:
    """8 or 32."""
    if layer.output_bits not in (8, 32):
        yield f"output_width {layer.output_bits}; it is 8 or 32"


def wide_activation(network: Checked, layer: Layer) -> Messages:
    """The chip applies none to 32 bits."""
    is_last = layer.index == len(network.layers) - 1
    if layer.output_bits == 32 and layer.activation and is_last:
        yield "output_width 32 with an activation; the chip applies none: activate: None"


def wide_read(network: Checked, layer: Layer) -> Messages:
    """Layers read 8 bits."""
    readers = (other for other in network.layers if layer.index in other.sources)
    if layer.output_bits != 8 and any(readers):
        yield "output_width 32 is for a last layer; remove it"


def operand_count(network: Checked, layer: Layer) -> Messages:
    """2 to 16."""
    if layer.eltwise and not 2 <= layer.operands <= 16:
        yield f"operands {layer.operands}; an element-wise layer has 2 to 16"


def eltwise_conv1d(network: Checked, layer: Layer) -> Messages:
    """Only 2-D convolutions take operands in flight."""
    if layer.eltwise and layer.op == "conv1d":
        yield "an element-wise operation with a Conv1d; use a layer of its own"


def pool_last(network: Checked, layer: Layer) -> Messages:
    """Two operands at most are combined before they are pooled."""
    if layer.eltwise and not layer.pool_first and layer.operands > 2 and layer.pool != (1, 1):
        yield f"pool_first: false with {layer.operands} operands; at most 2"


def pool_first(network: Checked, layer: Layer) -> Messages:
    """An order of two things."""
    if not layer.pool_first and (layer.operands == 1 or layer.pool == (1, 1)):
        yield "pool_first: false without both pooling and an element-wise operation; remove it"


def eltwise_passes(network: Checked, layer: Layer) -> Messages:
    """Several passes of several operands are run as rows, so nothing else goes with them."""
    passes = layer.in_passes[0]
    several = layer.operands > 1 and passes > 1 and (layer.operands, passes) != (2, 2)
    if several and (layer.has_kernels or layer.pool != (1, 1) or layer.stride != 1):
        yield (
            f"{layer.operands} operands of {layer.in_channels} channels with a convolution or "
            "pooling; at most 64 channels, or 128 of 2 operands: use a layer of its own"
        )


def eltwise_sources(network: Checked, layer: Layer) -> Messages:
    """Operands lie side by side, so they have one map and as many channels."""
    sources = [network.layers[number] for number in layer.inputs if number >= 0]
    if not layer.eltwise or not sources:
        return
    first = sources[0]
    for other in sources[1:]:
        if other.out_channels != first.out_channels:
            yield (
                f"operands of {first.out_channels} channels ({first.name}) and "
                f"{other.out_channels} ({other.name}); they have the same number"
            )
        elif other.output_processors != first.output_processors:
            yield (
                f"operands with output_processors 0x{first.output_processors:016x} "
                f"({first.name}) and 0x{other.output_processors:016x} ({other.name}); they have "
                "the same map"
            )


def write_gap(network: Checked, layer: Layer) -> Messages:
    """The write pointer's step."""
    passes = layer.out_passes[0] if layer.has_kernels else 1
    most = WRITE_STEPS // passes - 1
    if not 0 <= layer.write_gap <= most:
        yield f"write_gap {layer.write_gap}: with {passes} output pass(es) it is 0 to {most}"


def passthrough_keys(network: Checked, layer: Layer) -> Messages:
    """What needs the arithmetic of a kernel."""
    if layer.has_kernels:
        return
    for field, value in (
        ("activate", layer.activation),
        ("output_shift", layer.output_shift),
        ("flatten", layer.flatten),
    ):
        if value:
            yield f"{field} in a pass-through layer; remove it"


def passthrough_width(network: Checked, layer: Layer) -> Messages:
    """8 bits."""
    if not layer.has_kernels and layer.output_bits != 8:
        yield "output_width 32 in a pass-through layer; it writes 8 bits"


def passthrough_pooling(network: Checked, layer: Layer) -> Messages:
    """More than 64 channels are pooled to one pixel only."""
    pooled = layer.pool != (1, 1) and layer.pooled_size != (1, 1)
    if not layer.has_kernels and pooled and layer.in_passes[0] > 1:
        yield (
            f"pooling of {layer.in_channels} channels to {layer.pooled_size}: more than 64 are "
            "pooled to 1x1 only, or in the layer of a convolution"
        )


def passthrough_map(network: Checked, layer: Layer) -> Messages:
    """Channels stay in their quadrant, packed."""
    if layer.has_kernels:
        return
    for group in range(4):
        reads = layer.processors >> 16 * group & 0xFFFF
        writes = layer.output_processors >> 16 * group & 0xFFFF
        packed = (1 << reads.bit_count()) - 1
        if writes >> (set_bits(writes) or (0,))[0] != packed:
            yield (
                f"output_processors 0x{layer.output_processors:016x}: a pass-through layer packs "
                f"the channels of each quadrant; for quadrant {group} use 0x{packed:04x}"
            )


def dilation_operation(network: Checked, layer: Layer) -> Messages:
    """Conv1d only."""
    if layer.dilation != 1 and layer.op != "conv1d":
        yield f"dilation {layer.dilation} of {layer.op}; only Conv1d has one: dilation: 1"


def dilation_taps(network: Checked, layer: Layer) -> Messages:
    """The stretched kernel has at most nine taps, or the kernel three."""
    if layer.dilation == 1 or layer.op != "conv1d":
        return
    taps = layer.kernel_shape[0]
    if taps == 1:
        yield "dilation of a kernel of one tap; remove it"
    elif layer.hardware.op != "conv1d" and taps > 3:
        most = (STRETCHED_TAPS - 1) // (taps - 1)
        yield f"dilation {layer.dilation} of {taps} taps; at most {most}, or 3 taps"


def folds(layer: Layer) -> bool:
    """Whether a dilated layer is run as a 2-D one over a folded input."""
    return layer.dilation > 1 and layer.op == "conv1d" and layer.hardware.op != "conv1d"


def dilation_alone(network: Checked, layer: Layer) -> Messages:
    """A folded input is neither padded nor pooled."""
    if folds(layer) and (layer.padding or layer.pool != (1, 1) or layer.stride != 1):
        yield f"padding or pooling with dilation {layer.dilation}; use neither"


def transposed_unpooled(network: Checked, layer: Layer) -> Messages:
    """The registers that the generator writes pool with a stride of 1, its model as asked for."""
    if layer.op == "convtranspose2d" and (layer.pool != (1, 1) or layer.stride != 1):
        yield (
            f"pooling {layer.pool} with stride {layer.stride} before a transposed convolution: the "
            "generator writes a stride of 1; pool in a layer of its own"
        )


def dilation_wide(network: Checked, layer: Layer) -> Messages:
    """A folded input that writes before its output is moved by words of 8-bit data."""
    if folds(layer) and layer.hardware.skipped and layer.output_bits == 32:
        yield (
            f"output_width 32 with dilation {layer.dilation} of {layer.kernel_shape[0]} taps: the "
            "generator moves its start as if it had 8 bits; use output_width: 8"
        )


def dilation_offset(network: Checked, layer: Layer) -> Messages:
    """A folded input writes before its output."""
    before = 4 * layer.hardware.skipped * layer.out_passes[0]
    if folds(layer) and layer.out_offset < before:
        yield (
            f"out_offset 0x{layer.out_offset:x}: dilation {layer.dilation} writes "
            f"0x{before:x} bytes before it; use 0x{before:x} or more"
        )


RULES = (
    Rule(
        "output-shift", f"{DESCRIPTION}: output_shift",
        "output_shift, with the part of the weight width, is -15 to 15.",
        check=output_shift,
    ),
    Rule(
        "activation", LIMITATIONS, "Activations are ReLU, Abs and none.",
        InputError, activation,
    ),
    Rule(
        "output-width", f"{DESCRIPTION}: output_width", "An output has 8 or 32 bits.",
        InputError, output_width, True,
    ),
    Rule(
        "wide-activation", f"{DESCRIPTION}: output_width",
        "32-bit output of the last layer has no activation.",
        check=wide_activation,
    ),
    Rule(
        "wide-read", f"{DESCRIPTION}: output_width", "Only a last layer writes 32 bits.",
        InputError, wide_read,
        note="The generator warns only; a layer that nobody reads may write 32 bits.",
    ),
    Rule(
        "operand-count", LIMITATIONS, "Element-wise operations have 2 to 16 operands.",
        check=operand_count,
    ),
    Rule(
        "eltwise-conv1d", f"{DESCRIPTION}: eltwise",
        "An element-wise operation in flight goes with a 2-D convolution.",
        check=eltwise_conv1d,
    ),
    Rule(
        "pool-last", GENERATOR,
        "With pool_first: false, an element-wise operation has two operands.",
        check=pool_last,
    ),
    Rule(
        "pool-first", f"{DESCRIPTION}: pool_first",
        "pool_first: false needs both pooling and an element-wise operation.",
        InputError, pool_first,
    ),
    Rule(
        "eltwise-passes", f"{DESCRIPTION}: eltwise",
        "With a convolution or pooling, element-wise operands have up to 64 channels, two "
        "operands up to 128.",
        check=eltwise_passes,
    ),
    Rule(
        "eltwise-sources", f"{DESCRIPTION}: in_sequences",
        "Operands have the same number of channels and the same output processors.",
        InputError, eltwise_sources,
    ),
    Rule(
        "write-gap", REGISTERS,
        "(write_gap + 1) times the output passes is at most 16.",
        check=write_gap,
        note="The generator stops without a message.",
    ),
    Rule(
        "passthrough-keys", f"{DESCRIPTION}: output_shift",
        "A pass-through layer has no activation, no shift and no flattening.",
        check=passthrough_keys,
    ),
    Rule(
        "passthrough-width", GENERATOR, "A pass-through layer writes 8 bits.",
        check=passthrough_width,
    ),
    Rule(
        "passthrough-pooling", LIMITATIONS,
        "More than 64 channels are pooled in the layer of a convolution, or to 1x1.",
        check=passthrough_pooling,
    ),
    Rule(
        "passthrough-map", f"{DESCRIPTION}: operation",
        "A pass-through layer keeps the channels of each quadrant, packed.",
        InputError, passthrough_map,
        note="The chapter says that input and output processors are the same; the generator takes "
        "packed ones.",
    ),
    Rule(
        "dilation-operation", LIMITATIONS, "Only Conv1d has a dilation.",
        check=dilation_operation, basic=True,
    ),
    Rule(
        "dilation-taps", LIMITATIONS, "Kernels of more than 3 taps have a dilation of 1.",
        check=dilation_taps, basic=True,
        note="The generator also takes more taps where the dilated kernel spans at most 9, and "
        "golden cases prove it.",
    ),
    Rule(
        "dilation-alone", GENERATOR,
        "A dilated kernel that spans more than 9 taps goes without padding and pooling.",
        check=dilation_alone,
    ),
    Rule(
        "dilation-offset", GENERATOR,
        "A dilated kernel that spans more than 9 taps writes some words before out_offset.",
        check=dilation_offset,
    ),
    Rule(
        "transposed-unpooled", GENERATOR,
        "A transposed convolution reads its data unpooled.", NotEmulated, transposed_unpooled,
        note="The module list has pooling before it; the generator's registers have no stride.",
    ),
    Rule(
        "dilation-wide", GENERATOR,
        "A dilated kernel of 3 taps that spans more than 9 gives 8-bit output.",
        check=dilation_wide,
    ),
)  # fmt: skip
