"""Network x Device -> Plan: which kernel words, bias bytes and data words each layer gets.

The policy is the vendor generator's, so that addresses are the vendor's (golden cases prove it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .device import Device
from .errors import HardwareLimit, InputError
from .network import Layer, Network, Parameters, fault, set_bits
from .packing import KERNEL_BYTES
from .placement import Axis, Placement, axis

COLUMN = 4  # kernel words: layers start at a multiple
FREE = -1


@dataclass(frozen=True)
class KernelShape:
    """How a layer's kernels are counted, before any address is known.

    A kernel index is ``position * passes + pass``; positions count output channels of one output
    pass, gaps of the processor map and unused lanes below the first processor included.
    """

    taps: int  # bytes of one 8-bit kernel
    bits: int  # of a weight
    passes: int  # input passes; for a flattening layer, times its pixels
    lanes_before: int  # unused lanes below the first output processor
    span: int  # positions of one output pass
    count: int  # kernels: what the registers are told
    words: int  # kernel words to reserve

    @property
    def dummy_bytes(self) -> int:
        """Stream bytes that the unused lanes skip."""
        return self.lanes_before * self.passes * self.taps * self.bits // 8


@dataclass(frozen=True)
class LayerPlan:
    """Where one layer's kernels and bias went; offsets are those of every processor or quadrant."""

    kernel_start: int = 0  # kernel word
    kernel: KernelShape | None = None
    shared_with: int | None = None  # an earlier layer with the same kernels
    bias_group: int | None = None
    bias_start: int = 0  # byte


@dataclass(frozen=True, eq=False)
class Plan:
    """The result of allocation.

    ``kernel_map``: int16 [processor, kernel word], the layer that owns the word or -1.
    ``groups``: the quadrants in use, ascending; the first is the master.
    """

    device: Device
    network: Network
    layers: tuple[LayerPlan, ...]
    groups: tuple[int, ...]
    kernel_map: np.ndarray
    placements: dict[tuple[str, str], Placement]

    def placement(self, layer: str | int, kind: str) -> Placement:
        """Where a layer's "kernel", "bias", "input" or "output" lies; InputError if it has none."""
        name = self.network.layer(layer).name
        if (name, kind) not in self.placements:
            kinds = ", ".join(kind for owner, kind in self.placements if owner == name)
            raise InputError(f"layer {name} has no {kind!r} placement; it has: {kinds}")
        return self.placements[name, kind]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before trusting the result on silicon."""
        pairs = zip(self.network.layers, self.layers, strict=True)
        found = (bias_warning(layer, plan) for layer, plan in pairs)
        return tuple(warning for warning in found if warning)

    def positions(self, layer: Layer) -> np.ndarray:
        """int64 [channel]: output position of each output channel; see LayerTrace."""
        shape = self.layers[layer.index].kernel
        channels = np.arange(layer.out_channels)
        return channels if shape is None else out_positions(layer, shape, channels)

    @cached_property
    def kernel_words_used(self) -> int:
        """72-bit kernel words that some layer owns."""
        return int((self.kernel_map != FREE).sum())


def allocate(network: Network) -> Plan:
    """Place every kernel, bias and tensor; raises HardwareLimit where memory runs out."""
    groups = groups_used(network)
    kernel_map, kernels = place_kernels(network)
    biases = place_biases(network, groups)
    layers = tuple(
        LayerPlan(*kernels.get(layer.index, (0, None, None)), *biases.get(layer.index, (None, 0)))
        for layer in network.layers
    )
    placements = {}
    for layer, plan in zip(network.layers, layers, strict=True):
        if not layer.streaming and not (network.fifo and layer.index == 0):
            placements[layer.name, "input"] = input_placement(network, layer)
        if plan.kernel:
            placements[layer.name, "kernel"] = kernel_placement(network, layer, plan)
        if plan.bias_group is not None:
            placements[layer.name, "bias"] = bias_placement(network, layer, plan)
        if not network.streams_into_next(layer):
            placements[layer.name, "output"] = output_placement(network, layer)
    return Plan(network.device, network, layers, groups, kernel_map, placements)


def groups_used(network: Network) -> tuple[int, ...]:
    """Quadrants that read data, or that the last layer writes."""
    used = network.layers[-1].output_processors
    for layer in network.layers:
        used |= layer.processors
    each = network.device.limits.processors_per_group
    groups = tuple(sorted({processor // each for processor in set_bits(used)}))
    if 0 not in groups:
        raise HardwareLimit(
            "quadrant 0 is not used; give some layer a processor from 0 to 15", file=network.file
        )
    return groups


# --- kernels


def kernel_shape(network: Network, layer: Layer) -> KernelShape:
    """Count a layer's kernels and the words that they take.  Matches the vendor's generator."""
    share = network.device.limits.processors_per_instance
    processors = set_bits(layer.output_processors)
    out_passes = layer.out_passes[0]
    passes = layer.in_passes[0] * layer.pixels
    lanes_before = processors[0] % share
    first = processors[0] - (lanes_before if out_passes > 1 else 0)
    positions = (processors[-1] + 1 - first) * out_passes
    count = positions + lanes_before * out_passes
    if layer.flatten:  # outputs that do not exist are not counted
        missing = out_passes * len(processors) - layer.out_channels
        positions, count = positions - missing, count - missing
    kernel_rows, kernel_columns = layer.hardware.kernel_shape
    taps = kernel_rows * kernel_columns
    per_byte = 8 // layer.weight_bits
    kernels = positions * passes
    padding = kernels % per_byte * taps * (per_byte - 1)
    words = -(-(kernels * taps * layer.weight_bits + padding) // (8 * KERNEL_BYTES))
    span = processors[-1] + 1 - (processors[0] - lanes_before)
    return KernelShape(taps, layer.weight_bits, passes, lanes_before, span, count * passes, words)


def place_kernels(network: Network) -> tuple[np.ndarray, dict[int, tuple]]:
    """First fit, layers on all 64 processors first, starts at multiples of four words.

    Returns the kernel map and, by layer index, (start, KernelShape, layer shared with).
    """
    kernel = network.device.region("kernel")
    kernel_map = np.full((kernel.groups * kernel.units, kernel.entries), FREE, np.int16)
    everywhere = (1 << network.device.limits.processors) - 1
    weighted = [layer for layer in network.layers if layer.has_kernels]
    order = sorted(weighted, key=lambda layer: layer.processors != everywhere)
    twins = {layer.index: find_twin(network, layer) for layer in weighted}
    placed: dict[int, tuple] = {}
    for layer in order:
        if twins[layer.index] is None:
            shape = kernel_shape(network, layer)
            needed = np.flatnonzero(occupied_words(layer, shape))
            start = first_fit(network, layer, kernel_map, shape.words, needed)
            processors = np.array(set_bits(layer.processors))
            kernel_map[np.ix_(processors, start + needed)] = layer.index
            placed[layer.index] = start, shape, None
    for layer in weighted:
        twin = twins[layer.index]
        if twin is not None:
            placed[layer.index] = placed[twin][0], kernel_shape(network, layer), twin
    return kernel_map, placed


def find_twin(network: Network, layer: Layer) -> int | None:
    """The first earlier layer with the same kernel, width and processors; they share one copy."""
    mine = network.parameters[layer.index]
    if mine is None:
        return None
    for other in network.layers[: layer.index]:
        theirs = network.parameters[other.index]
        if (
            theirs is not None
            and other.weight_bits == layer.weight_bits
            and other.processors == layer.processors
            and other.hardware.kernel_shape == layer.hardware.kernel_shape
            and np.array_equal(theirs.kernel, mine.kernel)
        ):
            return other.index
    return None


def first_fit(
    network: Network, layer: Layer, kernel_map: np.ndarray, words: int, needed: np.ndarray
) -> int:
    """The lowest multiple of four from which ``words`` words are free in every processor.

    The words ``needed`` are free too: where lanes are unused before the first output processor,
    kernels reach past ``words``.  The vendor's generator does not look there; a place that it
    would overwrite is passed over.
    """
    rows = kernel_map[list(set_bits(layer.processors))]
    taken = (rows != FREE).any(axis=0)
    length = max(words, int(needed.max()) + 1)
    for start in range(0, len(taken) - length + 1, COLUMN):
        if not taken[start : start + words].any() and not taken[start + needed].any():
            return start
    free = int((~taken).sum())
    raise fault(
        network,
        layer,
        f"kernels take {length} kernel words in each of {layer.processors.bit_count()} processors, "
        f"but of {len(taken)} only {free} are free in all of them (no run is long enough); "
        "use fewer channels, narrower weights (quantization: 4), or other processors",
    )


def occupied_words(layer: Layer, shape: KernelShape) -> np.ndarray:
    """bool [word]: words, relative to the start, that the loader writes in each processor.

    Output channels that fill up the last pass are written as zeros: whole kernels, or one byte
    each in a flattening layer.
    """
    out_passes, each = layer.out_passes
    channels = np.arange(layer.out_channels if layer.flatten else out_passes * each)
    stream = kernel_stream(layer, shape, channels)
    filler = out_passes * each - len(channels)
    if not layer.flatten:  # sub-byte kernels are written in groups that fill a byte
        groups = out_passes * -(-each * shape.bits // 8)
        filler = (groups * 8 // shape.bits - out_passes * each) * shape.passes
        filler = filler * shape.bits // 8 * shape.taps
    end = -(-(int(stream.max()) + 1 + filler) // KERNEL_BYTES)
    dummy, remainder = divmod(shape.dummy_bytes, KERNEL_BYTES)
    used = np.zeros(max(end, shape.words + dummy), bool)
    used[np.unique(stream // KERNEL_BYTES)] = True
    used[dummy : dummy + bool(remainder)] = True
    used[int(stream.max()) // KERNEL_BYTES : end if layer.flatten else len(used)] = True
    spread = loader_words(layer, shape)
    if spread:
        used = np.append(used, np.zeros(max(0, spread[-1] + 1 - len(used)), bool))
        used[spread] = True
    return used


def loader_words(layer: Layer, shape: KernelShape) -> list[int]:
    """Words that the vendor's loader touches where the output map has gaps: it skips one for each.

    They are reserved too, so that the layers after lie where the vendor's do; which of its words
    holds which kernel is right only where a kernel fills a word.
    """
    targets = set_bits(layer.output_processors)
    if targets[-1] + 1 - targets[0] == len(targets) or layer.flatten or shape.bits != 8:
        return []
    words: list[int] = []
    word = used = 0
    for before, target in zip((targets[0] - 1, *targets), targets, strict=False):
        word += target - before - 1
        end = used + shape.passes * shape.taps
        words += range(word, word + -(-end // KERNEL_BYTES))
        word, used = word + end // KERNEL_BYTES, end % KERNEL_BYTES
    return sorted(set(words))


def kernel_stream(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """int64 [channel, pass * tap]: stream bytes of output channels, from the layer's first word."""
    positions = out_positions(layer, shape, channels)
    code = (positions[:, None] * shape.passes + np.arange(shape.passes)) * shape.bits
    tap = np.arange(shape.taps)
    return ((code >> 3)[:, :, None] * shape.taps + tap).reshape(len(positions), -1)


def out_positions(layer: Layer, shape: KernelShape, channels: np.ndarray) -> np.ndarray:
    """Position, among the positions of all output passes, of each output channel."""
    each = layer.out_passes[1]
    processors = np.array(set_bits(layer.output_processors))
    lowest = processors[0] - shape.lanes_before
    return channels // each * shape.span + processors[channels % each] - lowest


def kernel_placement(network: Network, layer: Layer, plan: LayerPlan) -> Placement:
    """Kernels stream last tap first; index = position * passes + pass.  See registers.md, 5."""
    shape = plan.kernel
    assert shape is not None
    kernel = network.device.region("kernel")
    word_bytes = KERNEL_BYTES * plan.kernel_start
    first, tap_start = divmod(word_bytes, shape.taps)
    channels = np.arange(layer.out_channels)
    outputs = axis(
        "out",
        layer.out_channels,
        code=out_positions(layer, shape, channels) * shape.passes * shape.bits,
    )
    feature = np.arange(layer.features)
    channel, pixel = np.divmod(feature, layer.pixels)
    in_passes, each = layer.in_passes
    processors = np.array(set_bits(layer.processors))[channel % each]
    inputs = axis(
        "in",
        layer.features,
        base=kernel.address(*np.divmod(processors, kernel.units)) - kernel.base,
        code=(pixel * in_passes + channel // each) * shape.bits,
    )
    return Placement(
        layer.name,
        "kernel",
        layer.kernel_tensor_shape,
        layer.weight_bits,
        (outputs, inputs, *window_axes(layer, shape))[: len(layer.kernel_tensor_shape)],
        origin=kernel.base,
        origin_code=first * 8,
        origin_tap=tap_start,
        taps=shape.taps,
    )


def window_axes(layer: Layer, shape: KernelShape) -> tuple[Axis, Axis]:
    """The axes of the taps: each of the user's taps at its place in the hardware's kernel."""
    rows, columns = layer.kernel_shape
    taps = np.array(layer.hardware.taps).reshape(rows, columns)
    return (
        axis("row", rows, tap=shape.taps - 1 - taps[:, 0]),
        axis("column", columns, tap=taps[0, 0] - taps[0]),
    )


# --- biases


def has_bias(parameters: Parameters | None) -> bool:
    """A bias of zeros is dropped, as the vendor's generator does."""
    return parameters is not None and parameters.bias is not None and bool(parameters.bias.any())


def place_biases(network: Network, groups: tuple[int, ...]) -> dict[int, tuple[int, int]]:
    """By layer index: (quadrant, first byte).  First fit decreasing, flattening layers first.

    Each goes to the quadrant with the least in use among those allowed; matches the vendor's
    generator.
    """
    share = network.device.limits.processors_per_instance
    size = network.device.region("bias").entries
    filled = dict.fromkeys(groups, 0)
    wanted = []
    for layer in network.layers:
        if not has_bias(network.parameters[layer.index]):
            continue
        allowed = layer.bias_groups or groups
        for group in allowed:
            if group not in groups:
                raise fault(
                    network,
                    layer,
                    f"bias_group {group} is not in use; the quadrants in use are {list(groups)}",
                    InputError,
                )
        lanes_before = set_bits(layer.output_processors)[0] % share
        length = layer.out_channels + lanes_before * layer.out_passes[0] + unused_bias(layer)
        rank = -1 if layer.flatten else 0 if len(allowed) == 1 else size - length
        wanted.append((rank, layer, allowed, length))
    placed = {}
    for _, layer, allowed, length in sorted(wanted, key=lambda row: row[0]):
        group = min(allowed, key=lambda group: filled[group])
        if filled[group] + length > size:
            raise fault(
                network,
                layer,
                f"bias of {length} bytes: of {size} in quadrant {group}, "
                f"{size - filled[group]} are left",
            )
        placed[layer.index] = group, filled[group]
        filled[group] += length
    return placed


def unused_bias(layer: Layer) -> int:
    """A streaming first layer skips one byte of its bias.  Matches the vendor's generator."""
    return int(layer.streaming and layer.index == 0)


def bias_placement(network: Network, layer: Layer, plan: LayerPlan) -> Placement:
    """One byte in each word, output channels in order, after the unused lanes."""
    bias = network.device.region("bias")
    shape = plan.kernel
    assert shape is not None and plan.bias_group is not None
    channels = np.arange(layer.out_channels)
    start = plan.bias_start + shape.lanes_before * layer.out_passes[0] + unused_bias(layer)
    outputs = axis("out", layer.out_channels, base=channels * bias.entry_stride)
    origin = bias.address(plan.bias_group, 0, start)
    return Placement(layer.name, "bias", (layer.out_channels,), 8, (outputs,), origin=origin)


def bias_warning(layer: Layer, plan: LayerPlan) -> str | None:
    """Says where the vendor's placement of a bias and the registers' reading of it differ."""
    shape = plan.kernel
    if plan.bias_group is None or shape is None:
        return None
    channels = np.arange(layer.out_channels)
    dense = channels + shape.lanes_before * layer.out_passes[0]
    if np.array_equal(dense, out_positions(layer, shape, channels)):
        return None
    return (
        f"layer {layer.index} ({layer.name}): vendor's sources disagree: its bias lies densely in "
        f"memory, but output_processors 0x{layer.output_processors:016x} has gaps (or starts off a "
        "multiple of four over several passes), and the registers count gaps too; use a "
        "contiguous, aligned map"
    )


# --- data


def data_base(network: Network, processors: np.ndarray) -> np.ndarray:
    """Byte address of the first byte that each processor reads: its instance, its lane."""
    data, limits = network.device.region("data"), network.device.limits
    instance, lane = np.divmod(processors, limits.processors_per_instance)
    return data.address(*np.divmod(instance, data.units)) + lane


def output_placement(network: Network, layer: Layer) -> Placement:
    """HWC: four channels of a pixel in a word, passes in consecutive words; or 32-bit words."""
    rows, columns = layer.out_size
    passes, each = layer.out_passes
    channel = np.arange(layer.out_channels)
    base = data_base(network, np.array(set_bits(layer.output_processors))[channel % each])
    step = passes * (layer.write_gap + 1)
    return data_placement(
        layer, "output", base, channel // each * (layer.write_gap + 1), (rows, columns), step
    )


def input_placement(network: Network, layer: Layer) -> Placement:
    """As the layer before writes it, or CHW: a channel's pixels in consecutive bytes."""
    rows, columns = layer.in_size
    passes, each = layer.in_passes
    operand, channel = np.divmod(np.arange(layer.in_channels * layer.operands), layer.in_channels)
    base = data_base(network, np.array(set_bits(layer.processors))[channel % each])
    if not layer.big_data:
        word = channel // each * layer.operands + operand
        step = passes * layer.operands
        return data_placement(layer, "input", base, word, (rows, columns), step)
    pieces = (
        axis("channel", len(channel), base=base),
        axis("row", rows, base=np.arange(rows) * columns),
        axis("column", columns, base=np.arange(columns)),
    )
    shape = (len(channel), rows, columns)
    return Placement(layer.name, "data", shape, 8, pieces, origin=layer.in_offset)


def data_placement(
    layer: Layer,
    kind: str,
    base: np.ndarray,
    word: np.ndarray,
    size: tuple[int, int],
    step: int,
) -> Placement:
    """[channel, row, column] in data memory.

    For each channel, ``base`` holds its instance and lane (bytes), ``word`` its word in a pixel; a
    pixel takes ``step`` words (of 8-bit data; four times as many of 32-bit data).
    """
    wide = kind == "output" and layer.output_bits == 32
    lane = base & 3
    word_bytes = 16 if wide else 4
    base = base - lane + (4 * lane if wide else lane) + word * word_bytes
    rows, columns = size
    pieces = (
        axis("channel", len(base), base=base),
        axis("row", rows, base=np.arange(rows) * columns * step * word_bytes),
        axis("column", columns, base=np.arange(columns) * step * word_bytes),
    )
    offset = layer.out_offset if kind == "output" else layer.in_offset
    shape = (len(base), rows, columns)
    return Placement(layer.name, "data", shape, 32 if wide else 8, pieces, origin=offset)
