"""What a network takes of the chip: a row for each layer, and how full each memory is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .allocation import Plan
from .latency import latency
from .network import Layer, set_bits
from .packing import KERNEL_BYTES


@dataclass(frozen=True)
class Span:
    """Bytes ``start`` to ``end`` (exclusive) of every data-memory instance that a tensor uses."""

    start: int
    end: int
    address: int  # of the first element


@dataclass(frozen=True)
class MapRow:
    """One layer: shapes are (channels, rows, columns); kernel words are those of each processor."""

    layer: str
    operation: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    processors: int
    kernel_first: int | None  # None without kernels
    kernel_last: int | None
    kernel_words: int
    kernel_address: int | None  # of the first word in the first processor
    kernel_shared_with: str | None
    bias_quadrant: int | None
    bias_bytes: int
    bias_address: int | None
    input: Span | None  # None where it is streamed
    output: Span | None
    multiplications: int
    cycles: int  # matches the vendor's generator

    @property
    def processor_ranges(self) -> str:
        """Processors for people: "0-31", or "0,4,8"."""
        return ranges(set_bits(self.processors))


@dataclass(frozen=True)
class MemoryUse:
    """What a network takes of each memory, and what there is."""

    kernel_words: int
    kernel_words_available: int
    bias_bytes: tuple[int, ...]  # of each quadrant
    bias_bytes_available: int  # in each quadrant
    data_peak: tuple[int, ...]  # bytes, of each instance: most that one layer reads and writes
    data_bytes_available: int  # in each instance

    @property
    def kernel_bytes(self) -> int:
        """Bytes of the kernel words (9 each)."""
        return self.kernel_words * KERNEL_BYTES


def ranges(numbers: tuple[int, ...]) -> str:
    """Ascending numbers with their runs folded: (0, 1, 2, 5) is "0-2,5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def operation(layer: Layer) -> str:
    """What a layer does, in the order in which it does it."""
    parts = []
    if layer.pool != (1, 1):
        kind = "average" if layer.pool_average else "max"
        parts.append(f"{kind} {layer.pool[0]}x{layer.pool[1]}")
    if layer.stride != 1 and layer.pool != (layer.stride, layer.stride):
        parts.append(f"stride {layer.stride}")
    main = "flatten, linear" if layer.flatten else layer.op
    if layer.eltwise:
        parts.append(f"{layer.eltwise} of {layer.operands}")
    if layer.op == "conv1d":
        main += f" {layer.kernel_shape[0]}"
        main += f" dilation {layer.dilation}" if layer.dilation > 1 else ""
    if layer.op in ("conv2d", "convtranspose2d") and not layer.flatten:
        main += f" {layer.kernel_shape[0]}x{layer.kernel_shape[1]}"
    parts.append(main + (f" pad {layer.padding}" if layer.padding else ""))
    parts += [layer.activation] if layer.activation else []
    sub_byte = layer.has_kernels and layer.weight_bits != 8
    parts += [f"{layer.weight_bits}-bit weights"] if sub_byte else []
    parts += ["streaming"] if layer.streaming else []
    parts += [f"{layer.output_bits}-bit output"] if layer.output_bits != 8 else []
    return ", ".join(parts)


def map_rows(plan: Plan) -> list[MapRow]:
    """One row for each layer, in order of execution."""
    cycles = latency(plan).layers
    return [map_row(plan, layer, cycles[layer.index]) for layer in plan.network.layers]


def map_row(plan: Plan, layer: Layer, cycles: int) -> MapRow:
    """The row of one layer."""
    layer_plan, kernel = plan.layers[layer.index], plan.device.region("kernel")
    twin = layer_plan.shared_with
    first_processor = set_bits(layer.processors)[0]
    owner = layer.index if twin is None else twin
    words = np.flatnonzero(plan.kernel_map[first_processor] == owner)
    place = divmod(first_processor, kernel.units)
    has_bias = layer_plan.bias_group is not None
    bias = plan.placement(layer.index, "bias") if has_bias else None
    return MapRow(
        layer=layer.name,
        operation=operation(layer),
        in_shape=(layer.in_channels, *layer.in_size),
        out_shape=(layer.out_channels, *layer.out_size),
        processors=layer.processors,
        kernel_first=int(words[0]) if len(words) else None,
        kernel_last=int(words[-1]) if len(words) else None,
        kernel_words=len(words),
        kernel_address=kernel.address(*place, int(words[0])) if len(words) else None,
        kernel_shared_with=None if twin is None else plan.network.layers[twin].name,
        bias_quadrant=layer_plan.bias_group,
        bias_bytes=layer.out_channels if has_bias else 0,
        bias_address=None if bias is None else int(bias.address.min()),
        input=span(plan, layer.name, "input", layer.in_offset, layer.in_bytes),
        output=span(plan, layer.name, "output", layer.out_offset, layer.out_bytes),
        multiplications=layer.multiplications,
        cycles=cycles,
    )


def span(plan: Plan, layer: str, kind: str, offset: int, length: int) -> Span | None:
    """Where a layer's "input" or "output" lies in each instance that it uses; None if nowhere."""
    if (layer, kind) not in plan.placements:
        return None
    first = int(plan.placement(layer, kind).address.flat[0])
    return Span(offset, offset + length, first)


def memory_use(plan: Plan) -> MemoryUse:
    """Kernel words, bias bytes and the peak of data memory."""
    device = plan.device
    bias, data = device.region("bias"), device.region("data")
    instances = data.groups * data.units
    peak = np.zeros(instances, np.int64)
    for layer in plan.network.layers:
        kinds = [kind for kind in ("input", "output") if (layer.name, kind) in plan.placements]
        places = [plan.placement(layer.index, kind).words for kind in kinds]
        if not places:
            continue
        offset = np.unique(np.concatenate(places)).astype(np.int64) - data.base
        group, rest = np.divmod(offset, data.group_stride)
        instance = group * data.units + rest // data.unit_stride
        live = np.bincount(instance, minlength=instances) * data.entry_stride
        peak = np.maximum(peak, live)
    filled = [0] * bias.groups
    for layer, layer_plan in zip(plan.network.layers, plan.layers, strict=True):
        if layer_plan.bias_group is not None:
            filled[layer_plan.bias_group] += layer.out_channels
    return MemoryUse(
        kernel_words=plan.kernel_words_used,
        kernel_words_available=plan.kernel_map.size,
        bias_bytes=tuple(filled),
        bias_bytes_available=bias.entries,
        data_peak=tuple(peak.tolist()),
        data_bytes_available=data.entries * data.entry_stride,
    )


def has_weights(plan: Plan) -> bool:
    """Whether weights were given; without them no bias is placed, and no kernel is shared."""
    pairs = zip(plan.network.layers, plan.network.parameters, strict=True)
    return all(parameters is not None for layer, parameters in pairs if layer.has_kernels)
