"""The map: where a network lies in the chip's memories, as rows, JSON, text and a table.

``map_rows`` and ``memory_use`` compute; the others print.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .allocation import FREE, Plan
from .latency import latency, milliseconds
from .network import Layer, set_bits
from .packing import KERNEL_BYTES

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

MARKS = "0123456789abcdefghijklmnopqrstuv"  # of layers, in the picture of kernel memory
FREE_MARK = "."
PICTURE_COLUMNS = 64
INDENT = " " * 9  # of the picture, for the numbers of the processors


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


def map_json(plan: Plan) -> dict[str, Any]:
    """The map for programs.  Addresses and maps are hexadecimal text: a map has 64 bits."""
    cycles, use = latency(plan), memory_use(plan)
    return {
        "network": plan.network.name,
        "device": plan.device.name,
        "has_weights": has_weights(plan),
        "layers": [row_json(row) for row in map_rows(plan)],
        "memory": {**asdict(use), "kernel_bytes": use.kernel_bytes},
        "cycles": {
            "layers": list(cycles.layers),
            "total": cycles.total,
            "on_silicon_estimate": cycles.on_silicon,
            "milliseconds_estimate": round(milliseconds(cycles.on_silicon), 4),
        },
        "warnings": list(plan.warnings),
    }


def row_json(row: MapRow) -> dict[str, Any]:
    """One row with its addresses as text."""
    values = asdict(row)
    values["processors"] = f"0x{row.processors:016x}"
    for part in (values, values["input"], values["output"]):
        for key in part or ():
            if key.endswith("address") and part[key] is not None:
                part[key] = f"0x{part[key]:08x}"
    return values


# --- text


def kernel_picture(plan: Plan, columns: int = PICTURE_COLUMNS) -> str:
    """Kernel memory: a line for processors that look alike, a mark for a range of words.

    A mark stands for the layer with most words in its range; a dot for a range all free.
    """
    rows: list[tuple[list[int], str]] = []
    for processor, words in enumerate(plan.kernel_map):
        line = "".join(mark(part) for part in np.array_split(words, columns))
        if rows and rows[-1][1] == line:
            rows[-1][0].append(processor)
        else:
            rows.append(([processor], line))
    each = plan.kernel_map.shape[1] // columns
    lines = [f"kernel memory: processors down, words across ({each} to a mark, dots are free)"]
    lines += [f"{ranges(tuple(processors)):>7}  {line}" for processors, line in rows]
    names = " ".join(f"{MARKS[layer.index]}={layer.name}" for layer in plan.network.layers)
    return "\n".join(
        [
            *lines,
            fill(names, columns + len(INDENT), initial_indent=INDENT, subsequent_indent=INDENT),
        ]
    )


def mark(words: np.ndarray) -> str:
    """The mark of one range of kernel words."""
    owners, counts = np.unique(words[words != FREE], return_counts=True)
    return MARKS[owners[counts.argmax()]] if len(owners) else FREE_MARK


def use_lines(plan: Plan) -> list[str]:
    """Memory use, time and warnings, a sentence each."""
    use, cycles = memory_use(plan), latency(plan)
    share = use.kernel_words / use.kernel_words_available
    bias = ", ".join(
        f"quadrant {group}: {count}" for group, count in enumerate(use.bias_bytes) if count
    )
    bias = f"{bias or 'none'} (of {use.bias_bytes_available} B each)"
    if not has_weights(plan):
        bias = "not placed, because no weights were given"
    peak = max(use.data_peak)
    instances = [number for number, live in enumerate(use.data_peak) if live == peak]
    return [
        f"kernels: {use.kernel_words:,} of {use.kernel_words_available:,} words ({share:.0%}), "
        f"{use.kernel_bytes:,} B",
        f"biases: {bias}",
        f"data: at most {peak:,} of {use.data_bytes_available:,} B of an instance at once "
        f"(instance {ranges(tuple(instances))})",
        f"time: {cycles.total:,} cycles (matches the vendor's generator); on silicon about "
        f"{milliseconds(cycles.on_silicon):.3f} ms (estimate)",
        *(f"warning: {warning}" for warning in plan.warnings),
    ]


def layer_cells(row: MapRow) -> tuple[str, ...]:
    """What a layer does and how long it takes."""
    shapes = f"{tensor(row.in_shape)} → {tensor(row.out_shape)}"
    return (
        row.layer,
        row.operation,
        shapes,
        f"{row.multiplications:,}",
        f"{row.cycles:,}",
        f"{milliseconds(row.cycles):.3f}",
    )


def place_cells(row: MapRow) -> tuple[str, ...]:
    """Where a layer lies."""
    shared = f" ={row.kernel_shared_with}" if row.kernel_shared_with else ""
    has_bias = row.bias_address is not None
    return (
        row.layer,
        row.processor_ranges,
        f"{row.processors:016x}",
        "-" if row.kernel_first is None else f"{row.kernel_first}-{row.kernel_last}{shared}",
        "-" if row.kernel_address is None else f"{row.kernel_address:08x}",
        f"{row.bias_address:08x} ({row.bias_bytes})" if has_bias else "-",
        span_text(row.input),
        span_text(row.output),
    )


LAYER_COLUMNS = ("layer", "operation", "in → out", "MACs", "cycles", "ms")
PLACE_COLUMNS = (
    "layer", "ranges", "processors", "kernel\nwords", "from", "bias\n(bytes)", "input", "output",
)  # fmt: skip
NUMBER_COLUMNS = ("MACs", "cycles", "ms")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Collection[str] = NUMBER_COLUMNS,
) -> Table:
    """A rich table; the columns named in ``numbers`` stand right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    for name in columns:
        justify: Literal["left", "right"] = "right" if name in numbers else "left"
        shown.add_column(name, justify=justify, overflow="fold")
    for cells in rows:
        shown.add_row(*map(Text, cells))
    return shown


def tensor(shape: tuple[int, ...]) -> str:
    """A shape as text: 32x28x28."""
    return "x".join(map(str, shape))


def span_text(place: Span | None) -> str:
    """First and last byte of a tensor in its instances."""
    if place is None:
        return "stream"
    return f"{place.start:04x}-{place.end - 1:04x}"


def render_map(plan: Plan) -> Group:
    """The map on one screen of 100 columns: a rich renderable."""
    from rich.console import Group
    from rich.text import Text

    rows = map_rows(plan)
    return Group(
        Text(f"{plan.network.name} on {plan.device.name}\n"),
        table(LAYER_COLUMNS, [layer_cells(row) for row in rows]),
        Text("\nwhere it lies (hexadecimal: addresses, and bytes of each data-memory instance)\n"),
        table(PLACE_COLUMNS, [place_cells(row) for row in rows]),
        Text("\n".join(["", *use_lines(plan), "", kernel_picture(plan)])),
    )
