"""What rests on sources that disagree, or on none: one row each, with the networks it concerns.

A network that depends on a row is warned once, naming its layers.  In words: docs/provenance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .arithmetic import ACTIVATION_MIN, BIAS_SHIFT
from .kernel_layout import KernelShape, out_positions
from .layer import NETWORK_INPUT
from .network import Layer, Network, Parameters, set_bits

GENERATOR = "matches the vendor's generator"
DISAGREE = "vendor's sources disagree"
ESTIMATE = "estimate"
SILICON = "verified on silicon"
LABELS = (
    (
        GENERATOR,
        "the value is what the vendor's generator computes, writes or expects, and golden cases "
        "prove it",
    ),
    (
        DISAGREE,
        "the vendor's documents, its generator's memory and registers, and its software model do "
        "not say the same; the row below says which is followed",
    ),
    (ESTIMATE, "worked out from what is known, not compared with anything"),
    (
        SILICON,
        "equal to what a board gave: the known answers of eight programs that the vendor ran on "
        "the device, and what a third party's training firmware printed (conformance.md)",
    ),
)


def has_bias(parameters: Parameters | None) -> bool:
    """A bias of zeros is dropped, as the vendor's generator does."""
    return parameters is not None and parameters.bias is not None and bool(parameters.bias.any())


@dataclass(frozen=True)
class Subject:
    """What a row looks at: a layer of a network, and how its kernels are counted."""

    network: Network
    layer: Layer
    shape: KernelShape | None

    @property
    def parameters(self) -> Parameters | None:
        """Weights and bias, where known."""
        return self.network.parameters[self.layer.index]


@dataclass(frozen=True)
class Row:
    """One thing that is not certain.

    ``sources``: who says what; ``followed``: what the simulator does; ``applies``: whether a layer
    depends on it.
    """

    name: str
    label: str
    statement: str
    sources: str
    followed: str
    applies: Callable[[Subject], bool]


def has_gaps(layer: Layer) -> bool:
    """Whether the output map has unused processors between used ones."""
    targets = set_bits(layer.output_processors)
    return targets[-1] + 1 - targets[0] > len(targets)


def can_be_negative(network: Network, number: int) -> bool:
    """Whether a layer's output, or the network's input, may hold negative values."""
    if number == NETWORK_INPUT:
        return True
    layer = network.layers[number]
    if layer.has_kernels:
        return layer.output_bits != 8 or layer.activation is None
    return layer.eltwise == "sub" or any(can_be_negative(network, other) for other in layer.sources)


def negative_averages(subject: Subject) -> bool:
    """Average pooling of what may be negative."""
    layer, network = subject.layer, subject.network
    if not layer.pool_average or layer.pool == (1, 1):
        return False
    subtracts = layer.eltwise == "sub" and not layer.pool_first
    return subtracts or any(can_be_negative(network, number) for number in layer.sources)


def rounded_1d(subject: Subject) -> bool:
    """1-D average pooling with rounding."""
    layer = subject.layer
    pools = layer.pool_average and layer.pool != (1, 1)
    return layer.op == "conv1d" and pools and subject.network.average_rounding


def spread_bias(subject: Subject) -> bool:
    """A bias whose bytes do not lie where the registers count them."""
    layer, shape = subject.layer, subject.shape
    if shape is None or not has_bias(subject.parameters):
        return False
    channels = np.arange(layer.out_channels)
    dense = channels + shape.lanes_before * layer.out_passes[0]
    return not np.array_equal(dense, out_positions(layer, shape, channels))


def short_pass(subject: Subject) -> bool:
    """Sub-byte weights of a last pass that is not full."""
    layer = subject.layer
    passes, each = layer.in_passes
    short = passes > 1 and passes * each > layer.in_channels
    return layer.has_kernels and layer.weight_bits < 8 and short


def spread_kernels(subject: Subject) -> bool:
    """An output map with gaps, and kernels that do not fill whole words."""
    layer = subject.layer
    fills = layer.weight_bits == 8 and layer.hardware.kernel_shape == (3, 3)
    single = layer.in_passes[0] == 1 and not layer.flatten
    return layer.has_kernels and has_gaps(layer) and not (fills and single)


def wide_sum(subject: Subject) -> bool:
    """Weights with which some input leaves 26 bits."""
    if subject.parameters is None:
        return False
    kernel = subject.parameters.kernel
    sums = abs(kernel.astype(np.int64)).reshape(len(kernel), -1).sum(axis=1) * -ACTIVATION_MIN
    if subject.parameters.bias is not None:
        sums = sums + (abs(subject.parameters.bias.astype(np.int64)) << BIAS_SHIFT)
    return bool((sums >= 1 << subject.network.device.limits.accumulator_bits - 1).any())


def one_input(subject: Subject) -> bool:
    """Operands that are the parts of one layer's output."""
    layer = subject.layer
    return layer.operands > 1 and len(layer.inputs) < 2 and layer.index > 0


def streamed_bias(subject: Subject) -> bool:
    """A bias in a streaming layer."""
    return subject.layer.streaming and has_bias(subject.parameters)


def several_fed(subject: Subject) -> bool:
    """The fast FIFO for processors of several quadrants."""
    each = subject.network.device.limits.processors_per_group
    layer = subject.layer
    return subject.network.fast_fifo and layer.index == 0 and layer.processors >> each > 0


ROWS = (
    Row(
        "negative-averages", DISAGREE,
        "average pooling of means that may be negative",
        "the Limitations chapter has floor, and rounds halves towards positive infinity; the "
        "generator's software model truncates towards zero, and rounds halves away from it",
        "the software model",
        negative_averages,
    ),
    Row(
        "rounded-1d", DISAGREE,
        "1-D average pooling with rounding",
        "the control register rounds in every layer; the generator's software model does not "
        "round in Conv1d layers",
        "the register",
        rounded_1d,
    ),
    Row(
        "spread-bias", DISAGREE,
        "a bias whose output_processors have gaps, or start off a multiple of four in several "
        "passes",
        "the generator's memory image lies densely; its registers count gaps too; its software "
        "model follows neither: use a contiguous, aligned map",
        "memory and registers",
        spread_bias,
    ),
    Row(
        "short-pass", DISAGREE,
        "weights of less than 8 bits in several passes of which the last is not full",
        "the generator's loader can drop weights and shift the rest; its software model uses all",
        "the software model: a board that was loaded by the vendor's code can give another result",
        short_pass,
    ),
    Row(
        "spread-kernels", DISAGREE,
        "kernels that do not fill words, and output_processors with gaps",
        "the generator's loader skips a word for each gap; its registers and software model do not",
        "the registers: a board that was loaded by the vendor's code gives another result",
        spread_kernels,
    ),
    Row(
        "one-input", DISAGREE,
        "an element-wise operation on parts of one layer's output",
        "memory interleaves the operands; the generator's software model (without --legacy-test) "
        "takes channels apart",
        "memory",
        one_input,
    ),
    Row(
        "streamed-bias", DISAGREE,
        "a bias in a streaming layer",
        "the Limitations chapter says that it may not be added correctly in all cases; the "
        "generator's software model always adds it",
        "the software model",
        streamed_bias,
    ),
    Row(
        "wide-sum", ESTIMATE,
        "weights with which some input leaves the 26 bits of the accumulator",
        "26 bits are documented; whether silicon saturates or wraps, no source says",
        "neither, and refuses a run that leaves them",
        wide_sum,
    ),
    Row(
        "fed-quadrants", DISAGREE,
        "the fast FIFO for processors of several quadrants",
        "the FIFO chapter lists processors 0, 16, 32 and 48; the generator sets fifo_group there, "
        "and no golden case shows what it does",
        "neither, and refuses a run",
        several_fed,
    ),
)  # fmt: skip


def warnings(network: Network, shapes: dict[int, KernelShape]) -> Iterator[str]:
    """A sentence for each row that the network depends on; ``shapes``: of kernels, by layer."""
    for row in ROWS:
        names = [
            f"{layer.index} ({layer.name})"
            for layer in network.layers
            if row.applies(Subject(network, layer, shapes.get(layer.index)))
        ]
        if names:
            which = "layer" if len(names) == 1 else "layers"
            yield (
                f"{which} {', '.join(names)}: {row.label}: {row.statement}: {row.sources}; the "
                f"simulator follows {row.followed}"
            )
