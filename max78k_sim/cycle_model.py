"""Work of one layer, and the cycles that it takes: row by row, pixel by pixel.

Matches the vendor's generator for layers that are not streamed; a streamed layer is its estimate.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """What decides a layer's cycles, whether from a description or from registers."""

    has_kernels: bool
    size: tuple[int, int]  # rows, columns after pooling
    passes: int
    operands: int
    window: int  # pixels of the pooling window
    pool_first: bool  # every operand before the element-wise operation
    streaming: bool
    timeslots: int = 1  # of a pass-through layer
    several_out_passes: bool = False
    double: bool = False  # transposed: a zero row and column after each
    padding: tuple[int, int] = (0, 0)  # rows, columns
    kernel: tuple[int, int] = (1, 1)  # rows, columns
    out_columns: int = 1
    outputs: int = 1  # kernels of an input pass
    long_flatten: bool = False  # more pixels than the pass counter holds
    kernel_start: int = 0  # word; counts only where the element-wise operation precedes pooling


def cycles(work: Work) -> int:
    """Cycles of one layer."""
    if work.pool_first:  # a cycle for every value read, one to store what came of it
        padding, data, repeats = 2 * work.operands, work.operands * (work.window + 1), 1
    else:
        padding, data, repeats = 2, work.operands * work.window + 1, work.passes
    if work.has_kernels:
        count = convolution_cycles(work, work.passes * padding, work.passes * data, repeats)
        if not work.pool_first and (work.passes > 1 or work.operands > 1):
            count += reread_pixels(work) * work.kernel_start
    else:
        rows, columns = work.size
        twice = work.several_out_passes and work.window > 1
        passes = 2 * work.passes - 1 if twice else work.passes
        count = rows * columns * passes * (data + work.timeslots)
    return -(-3 * count // 2) if work.streaming else count


def convolution_cycles(work: Work, padding: int, data: int, repeats: int) -> int:
    """Row by row: rows of padding, rows that fill the line buffer, rows that give output.

    ``padding`` and ``data``: cycles to take in a pixel of either kind; a pixel that completes no
    output takes one more.
    """
    rows, columns = ((2 if work.double else 1) * size for size in work.size)
    (row_pad, column_pad), (kernel_rows, kernel_columns) = work.padding, work.kernel
    edges = column_pad * (padding + 1)
    before, after = kernel_columns - 1 - column_pad, work.out_columns - column_pad

    def taken(pixel: int) -> int:
        """A row whose pixels give output, but for the first ones."""
        inside = repeats * (before * (pixel + 1) + after * pixel)
        return edges + inside + column_pad * padding

    def filling(pixel: int) -> int:
        """A row before there is any output."""
        return 2 * edges + repeats * columns * (pixel + 1)

    alone = work.outputs if work.outputs * work.passes == 1 else 0
    computing = work.passes * work.out_columns * work.outputs + alone
    fill_rows = kernel_rows - 1 - row_pad
    return (
        row_pad * filling(padding)
        + fill_rows * filling(data)
        + (rows - fill_rows) * (taken(data) + computing)
        + row_pad * (taken(padding) + computing)
        + work.long_flatten
    )


def reread_pixels(work: Work) -> int:
    """Pixels on padded edges for which kernels are read again; see ``kernel_start``."""
    (rows, columns), (row_pad, column_pad) = work.size, work.padding
    kernel_rows, kernel_columns = work.kernel
    down = (rows + 2 * row_pad - kernel_columns + 1) * column_pad
    across = (columns + 2 * column_pad - kernel_rows + 1) * row_pad
    return down + across - row_pad * column_pad
