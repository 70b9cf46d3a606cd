"""Steps: what a layer, or a whole network, does to bytes, as rows of one table.

An arena is a run of bytes, one for each sample that is computed; a View is a map in it.
``Assembly`` lays maps out and writes the rows; ``driver.run`` executes them.  Nothing is compiled
for a network.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

LANES = 16  # outputs of a vector; bytes of a map that are handled at once
SUM_BYTES = 4  # of an accumulator, and of a 32-bit output
SLACK = 64  # bytes after a map, over which the last word read, or vector written, may hang
SIGNED = 128  # stored instead of 0 where a convolution reads what may be negative

READ, TURN, WRITE, GATHER, COPY, MAXIMUM, AVERAGE, COMBINE, CONVOLVE, WINOGRAD, FINISH = range(11)
FIELDS = (
    "operation",
    "layer",  # for messages
    "rows", "columns", "channels",  # of the target
    "source", "source_row", "source_column",  # byte of the first element; between rows, columns
    "target", "target_row", "target_column",
    "flip",  # exclusive-or on every byte that is written: 128 turns x into x + 128
    "table", "count",  # indices, a table of averages, or the views of operands
    "window_rows", "window_columns", "row_stride", "column_stride",  # of pooling
    "taps", "zero", "depth",  # of WINOGRAD: columns of a kernel; what is 0, vectors, of its source
    "function",  # of operands: a row of maps.ELTWISE
    "kernel",  # first row of the table of blocks, ``count`` of them
    "raw", "shift", "absolute", "relu",
)  # fmt: skip
JOB = (  # of a run: addresses and numbers
    "steps", "step_count", "tables",
    "blocks", "taps", "weights", "bias",
    "template", "size", "arena", "samples",  # an arena at first, its bytes; how many there are
    "inputs", "input_stride", "outputs", "output_stride", "first", "last",
    "limit", "beyond", "step",  # of sums; whether one reached it; where
    "pixels", "operands", "line",  # room for addresses, and for the sums of a pixel
    "patches",  # and for those of WINOGRAD
)  # fmt: skip
NUMBER = 8  # bytes of a number in a table of steps, blocks or jobs
PIXELS = 96  # room for those of some tiles
LINE = 64  # bytes of the processor's cache
OPERANDS = 16  # of an element-wise operation, at most


def address(array: np.ndarray) -> int:
    """Of an array's first byte.  NumPy's own ways take several times as long as a small job."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):  # read-only, or empty
        return array.ctypes.data


def zeros(size: int) -> np.ndarray:
    """uint8 [size], in lines of the cache that nothing else lies in.

    A vector then lies in one line, and threads do not take lines from each other.
    """
    array = np.zeros(-(-size // LINE) * LINE + LINE, np.uint8)
    start = -address(array) % LINE
    return array[start : start + size]


@dataclass(frozen=True)
class View:
    """int8 [row, column, channel] in an arena: the first element's byte, and strides in bytes."""

    base: int
    row: int
    column: int
    rows: int
    columns: int
    channels: int

    def stepped(self, row_stride: int, column_stride: int) -> View:
        """Every so many rows and columns, from the first."""
        return replace(
            self,
            row=self.row * row_stride,
            column=self.column * column_stride,
            rows=-(-self.rows // row_stride),
            columns=-(-self.columns // column_stride),
        )

    def indices(self) -> np.ndarray:
        """int64 [row, column, channel]: where every element lies."""
        row, column = self.row * np.arange(self.rows), self.column * np.arange(self.columns)
        return self.base + row[:, None, None] + column[:, None] + np.arange(self.channels)


@dataclass(frozen=True)
class Map:
    """A map with its frame: ``inner`` is what is written, ``outer`` what a convolution reads."""

    inner: View
    outer: View
    zero: int  # what stands for 0 in it: 0, or SIGNED


def vectors(channels: int) -> int:
    """Channels rounded up to whole vectors."""
    return -(-channels // LANES) * LANES


class Assembly:
    """Steps and maps, one after the other."""

    def __init__(self) -> None:
        self.size = 0  # bytes of the arena
        self.rows: list[dict[str, int]] = []
        self.tables: list[np.ndarray] = []
        self.table_size = 0
        self.fills: list[tuple[int, np.ndarray | int, int]] = []

    # ---- places

    def allocate(self, count: int, fill: int = 0) -> int:
        """Bytes, and some to hang over; the first one's place."""
        place = self.size
        self.size += -(-(count + SLACK) // SLACK) * SLACK
        if fill:
            self.fills.append((place, fill, count))
        return place

    def map(
        self,
        rows: int,
        columns: int,
        channels: int,
        frame: tuple[int, int] = (0, 0),
        spread: int = 1,
        zero: int = 0,
        element: int = 1,
        dense: bool = False,
    ) -> Map:
        """A new map with ``frame`` rows and columns around it; ``spread``: zeros between pixels.

        ``dense``: channels without room for whole vectors, which only ``gather`` writes.
        """
        pixel = channels if dense else vectors(channels) * element
        tall, wide = spread * rows + 2 * frame[0], spread * columns + 2 * frame[1]
        base = self.allocate(tall * wide * pixel, zero)
        outer = View(base, wide * pixel, pixel, tall, wide, channels)
        first = base + frame[0] * outer.row + frame[1] * pixel
        inner = View(first, spread * outer.row, spread * pixel, rows, columns, channels)
        return Map(inner, outer, zero)

    def template(self) -> np.ndarray:
        """uint8: an arena before a run."""
        arena = np.zeros(self.size, np.uint8)
        for place, value, count in self.fills:
            arena[place : place + count] = value
        return arena

    def table(self, values: np.ndarray) -> int:
        """Numbers that steps look up; the first one's place."""
        place = self.table_size
        self.tables.append(np.asarray(values, np.int32).reshape(-1))
        self.table_size += self.tables[-1].size
        return place

    # ---- steps

    def add(self, operation: int, to: View | None = None, of: View | None = None, **fields):
        """One row of the table, from one view to another; ``fields`` win."""
        row = dict.fromkeys(FIELDS, 0) | {
            "operation": operation,
            "row_stride": 1,
            "column_stride": 1,
        }
        for name, view in (("target", to), ("source", of)):
            if view is not None:
                row |= {name: view.base, f"{name}_row": view.row, f"{name}_column": view.column}
        if to is not None:
            row |= {"rows": to.rows, "columns": to.columns, "channels": to.channels}
        self.rows.append(row | fields)

    def gathered(self, operation: int, index: np.ndarray) -> View:
        """A new map of bytes [row, column, channel] from outside (READ), or the arena (GATHER)."""
        view = self.map(*index.shape).inner
        more = [(0, 0), (0, 0), (0, view.column - view.channels)]
        index = np.pad(index, more, mode="edge")  # whole vectors; nobody looks at what is more
        self.gather(operation, index.reshape(1, -1), view)
        return view

    def gather(self, operation: int, index: np.ndarray, target: View, flip: int = 0) -> None:
        """Rows of bytes, [row, byte], from outside or from the arena, to the rows of a view."""
        rows, count = index.shape
        if operation == READ and self._turned(index, target, flip):
            return
        self.add(operation, target, rows=rows, count=count, table=self.table(index), flip=flip)

    def _turned(self, places: np.ndarray, target: View, flip: int) -> bool:
        """Whether these bytes are planes of channels, and are read by the vector."""
        size = target.rows, target.columns, target.channels
        if places.size != np.prod(size):
            return False
        places = places.reshape(size)
        if target.columns == 1:
            target = replace(target, rows=1, columns=target.rows, column=target.row)
            places = places.transpose(1, 0, 2)
        rows, columns, channels = (np.arange(count) for count in places.shape)
        if min(columns.size, channels.size) < LANES:
            return False
        first = int(places[0, 0, 0])
        row, plane = int(places[min(1, rows[-1]), 0, 0]) - first, int(places[0, 0, 1]) - first
        known = first + row * rows[:, None, None] + columns[:, None] + plane * channels
        if not np.array_equal(places, known):
            return False
        self.add(TURN, target, source=first, source_row=row, source_column=plane, flip=flip)
        return True

    def write(self, outside: np.ndarray, inside: np.ndarray, flip: int = 0) -> None:
        """Bytes of the arena at ``inside`` go outside, to ``outside``: [..., byte] both."""
        size = inside.shape[-1]
        if any((np.diff(places.reshape(-1, size)) != 1).any() for places in (outside, inside)):
            size = 1  # not runs of neighbours, but byte by byte
        starts = [places.reshape(-1, size)[:, 0] for places in (outside, inside)]
        table = self.table(np.concatenate(starts))
        self.add(WRITE, table=table, count=inside.size // size, channels=size, flip=flip)

    def copy(self, source: View, target: View, flip: int = 0) -> None:
        """target = source ^ flip."""
        self.add(COPY, target, source, flip=flip)

    def pool(self, source: View, target: View, window, strides, flip: int, average=None) -> None:
        """Maximum of each window, or ``average``: int32 [sum + SIGNED * pixels], the average."""
        self.add(
            MAXIMUM if average is None else AVERAGE,
            target,
            source,
            flip=flip,
            table=0 if average is None else self.table(average),
            **dict(zip(("window_rows", "window_columns"), window, strict=True)),
            **dict(zip(("row_stride", "column_stride"), strides, strict=True)),
        )

    def combine(self, operands: Sequence[View], target: View, function: int, flip: int) -> None:
        """Operands folded by a function, clipped at the end."""
        places = self.table(np.array([[view.base, view.row, view.column] for view in operands]))
        self.add(COMBINE, target, function=function, flip=flip, table=places, count=len(operands))

    def build(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows, int64 [step, field], and int32: every table in one."""
        rows = [[row[name] for name in FIELDS] for row in self.rows]
        return np.array(rows, np.int64), np.concatenate([*self.tables, np.zeros(1, np.int32)])
