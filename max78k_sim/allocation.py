"""Network x Device -> Plan: which kernel words, bias bytes and data words each layer gets.

The policy is the vendor generator's, so that addresses are the vendor's (golden cases prove it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import provenance
from .data_layout import input_placement, output_placement
from .device import Device
from .errors import HardwareLimit, InputError
from .kernel_layout import KernelShape, kernel_shape, occupied_words, out_positions
from .network import Layer, Network, fault, set_bits
from .overlap import Overlap, find_overlaps
from .packing import KERNEL_BYTES
from .placement import Axis, Placement, axis
from .provenance import has_bias

COLUMN = 4  # kernel words: layers start at a multiple
FREE = -1


@dataclass(frozen=True)
class LayerPlan:
    """Where one layer's kernels and bias went; offsets are those of every processor or quadrant."""

    kernel_start: int  # kernel word
    kernel: KernelShape | None
    shared_with: int | None  # an earlier layer with the same kernels
    bias_group: int | None
    bias_start: int  # byte


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
    overlaps: tuple[Overlap, ...] = ()  # that are accepted

    def placement(self, layer: str | int, kind: str) -> Placement:
        """Where a layer's "kernel", "bias", "input" or "output" lies; InputError if it has none."""
        name = self.network.layer(layer).name
        if (name, kind) not in self.placements:
            kinds = ", ".join(kind for owner, kind in self.placements if owner == name)
            raise InputError(f"layer {name} has no {kind!r} placement; it has: {kinds}")
        return self.placements[name, kind]

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know before trusting the result on silicon: provenance, overlaps."""
        shapes = kernel_shapes(self.layers)
        return (*provenance.warnings(self.network, shapes), *map(overlap_warning, self.overlaps))

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
    overlaps = check_overlaps(network, kernel_shapes(layers))
    return Plan(network.device, network, layers, groups, kernel_map, placements, overlaps)


def kernel_shapes(plans: tuple[LayerPlan, ...]) -> dict[int, KernelShape]:
    """How kernels are counted, by layer; pass-through layers have none."""
    return {index: plan.kernel for index, plan in enumerate(plans) if plan.kernel is not None}


def check_overlaps(network: Network, shapes: dict[int, KernelShape]) -> tuple[Overlap, ...]:
    """The overlaps that are accepted; raises the first that is not.

    Lost data needs ``overlap_data``; what is right only where the chip keeps data, or not what the
    description says, is warned of; the rest only where the vendor's generator would refuse it.
    """
    found = find_overlaps(network, shapes)
    for overlap in found:
        if overlap.error and (not network.overlap_data or overlap.rule == "ring-fits"):
            raise fault(network, overlap.layer, overlap.rule, overlap.message)
    return tuple(overlap for overlap in found if overlap.unsure or not network.overlap_data)


def overlap_warning(overlap: Overlap) -> str:
    """An overlap in words."""
    layer = overlap.layer
    return f"layer {layer.index} ({layer.name}): {overlap.message}"


def groups_used(network: Network) -> tuple[int, ...]:
    """Quadrants that read data, or that the last layer writes."""
    used = network.layers[-1].output_processors
    for layer in network.layers:
        used |= layer.processors
    each = network.device.limits.processors_per_group
    groups = tuple(sorted({processor // each for processor in set_bits(used)}))
    if 0 not in groups:
        raise HardwareLimit(
            "quadrant 0 is not used; give some layer a processor from 0 to 15",
            file=network.file,
            rule="quadrant-0",
        )
    return groups


# --- kernels


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
            needed = occupied_words(layer, shape)
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
    if mine is None or network.no_deduplicate_weights:
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
    first = -(-network.weight_start // COLUMN) * COLUMN
    for start in range(first, len(taken) - length + 1, COLUMN):
        if not taken[start : start + words].any() and not taken[start + needed].any():
            return start
    free = int((~taken[first:]).sum())
    raise fault(
        network,
        layer,
        "kernel-memory",
        f"kernels take {length} kernel words in each of {layer.processors.bit_count()} processors, "
        f"but of {len(taken)} only {free} are free in all of them (no run is long enough); "
        "use fewer channels, narrower weights (quantization: 4), or other processors",
    )


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
                    "bias-group",
                    f"bias_group {group} is not in use; the quadrants in use are {list(groups)}",
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
                "bias-memory",
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
