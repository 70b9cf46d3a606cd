"""The map for people: tables and pictures of a terminal, that fit its width."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np

from .allocation import FREE, Plan
from .elements import Selection, columns_of
from .latency import latency, milliseconds
from .network import set_bits
from .report import MapRow, Span, has_weights, map_rows, memory_use, ranges

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table

MARKS = "0123456789abcdefghijklmnopqrstuv"  # of layers, in the picture of kernel memory
FREE_MARK = "."
PICTURE_COLUMNS = (64, 32)  # where there is room, and where there is not
INDENT = " " * 9  # of the picture, for the numbers of the processors
UNLIMITED = 1000  # columns
DATA_COLUMNS = 32  # of the picture of data memory
DATA_MARKS = ".<>#"  # free, read, written, both

# Columns of element_lines that are not called, or not printed, as in elements.columns_of.
ELEMENT_HEADS = {"kernel word": "word", "slot byte": "slot", "packed address": "packed"}
ELEMENT_CELLS = {"address": "{:08x}", "packed address": "{:08x}"}


def kernel_picture(plan: Plan, columns: int = PICTURE_COLUMNS[0]) -> str:
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
    lines = [
        "kernel memory: processors down, words across",
        f"({each} to a mark: the layer with most of them; dots are free)",
    ]
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


def data_picture(plan: Plan, columns: int = DATA_COLUMNS) -> str:
    """Data memory over time: a line for each layer, marks for the bytes that it reads and writes.

    The bytes are those of each instance that it uses; which ones, stands before.
    """
    data, limits = plan.device.region("data"), plan.device.limits
    each = data.entries * data.entry_stride // columns
    cells = []
    for layer, row in zip(plan.network.layers, map_rows(plan), strict=True):
        used = np.zeros(columns, int)
        names = []
        places = (row.input, layer.processors), (row.output, layer.output_processors)
        for code, (place, processors) in enumerate(places, start=1):
            instances = {
                number // limits.processors_per_instance for number in set_bits(processors)
            }
            names.append("stream" if place is None else ranges(tuple(sorted(instances))))
            if place is not None:
                used[place.start // each : -(-place.end // each)] |= code
        marks = "".join(DATA_MARKS[code] for code in used)
        cells.append((row.layer, names[0], names[1], marks))
    heads = ("layer", "read", "written", f"0 to {columns * each - 1:x}")
    head = [
        "data memory: layers down; instances read and written; their bytes across",
        f"({each:,} to a mark: < read, > written, # both, dots neither)",
    ]
    return "\n".join(["", *head, *aligned([heads, *cells])])


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


class Fitting:
    """The first of some rich renderables that is no wider than the terminal, or the last."""

    def __init__(self, *choices: RenderableType):
        self.choices = choices

    def __rich_console__(self, console, options):
        from rich.measure import Measurement

        unlimited = options.update(width=UNLIMITED)
        widths = [Measurement.get(console, unlimited, choice).maximum for choice in self.choices]
        fits = (
            choice
            for choice, width in zip(self.choices, widths, strict=True)
            if width <= options.max_width
        )
        yield next(fits, self.choices[-1])


def place_table(rows: list[MapRow]) -> Fitting:
    """Where layers lie; on a narrow terminal without the processors' map, which is said twice."""
    cells = [place_cells(row) for row in rows]
    drop = PLACE_COLUMNS.index("processors")
    heads, *fewer = [line[:drop] + line[drop + 1 :] for line in (PLACE_COLUMNS, *cells)]
    heads = tuple("processors" if name == "ranges" else name for name in heads)
    return Fitting(table(PLACE_COLUMNS, cells), table(heads, fewer))


def element_lines(plan: Plan, chosen: Selection) -> list[str]:
    """Where each of some elements lies: a title, heads and a line for each.

    ``byte`` counts within the kernel word, ``slot`` within its 16 bytes of addresses; ``packed`` is
    where a packed stream from that word on is written.  Plain text: there may be many thousands.
    """
    columns = columns_of(plan, chosen)
    bits = zip(columns.pop("bit").tolist(), columns.pop("last bit").tolist(), strict=True)
    if "processor" in columns:
        del columns["quadrant"]
    shown = [
        (ELEMENT_HEADS.get(name, name), *map(ELEMENT_CELLS.get(name, "{}").format, column.tolist()))
        for name, column in columns.items()
    ]
    shown.append(("bits", *(f"{low}-{high}" for low, high in bits)))
    title = f"{chosen.layer} {chosen.kind} (addresses are hexadecimal)"
    return [title, *aligned(list(zip(*shown, strict=True)))]


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


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
        place_table(rows),
        Text("\n".join(["", *use_lines(plan), ""])),
        Fitting(*(Text(kernel_picture(plan, columns)) for columns in PICTURE_COLUMNS)),
    )
