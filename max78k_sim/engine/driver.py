"""Executes steps: one compiled function a path, for every network.  Integers only.

numba keeps what it compiled, by processor and by path (a path is part of the function's closure).
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit
from numba.extending import overload

from .. import arithmetic
from . import maps
from .path import PATHS
from .steps import (
    AVERAGE,
    COMBINE,
    CONVOLVE,
    COPY,
    FINISH,
    GATHER,
    LANES,
    MAXIMUM,
    READ,
    SIGNED,
    SUM_BYTES,
    WRITE,
)
from .tile import tile

LEAST = arithmetic.ACTIVATION_MIN
FRACTION_BITS, ROUND_HALF = arithmetic.FRACTION_BITS, arithmetic.ROUND_HALF
SATURATES = 1 << 15  # a sum beyond it saturates whatever the shift to the left
UNSHIFTED = 1 << 30  # beyond every sum
MOST_PIXELS = max(max(path.pixels) for path in PATHS.values())
MOST_CHANNELS = 1 << 16  # of a map


def convolve(path, arena, step, bases, blocks, taps, weights, bias, sources, targets):
    """Every pixel of every sample times every output, tile by tile; ``path`` is a literal."""
    raise NotImplementedError("compiled code calls it")


@overload(convolve, prefer_literal=True)
def _convolve(path, arena, step, bases, blocks, taps, weights, bias, sources, targets):
    name = path.literal_value
    counts = PATHS[name].pixels

    def compiled(path, arena, step, bases, blocks, taps, weights, bias, sources, targets):
        total = bases.size * step.rows * step.columns
        left = np.int32(max(step.shift, 0))
        right = np.int32(FRACTION_BITS - min(step.shift, 0))
        half = np.int32(ROUND_HALF << max(-step.shift, 0))
        bound = np.int32(SATURATES if step.shift > 0 else UNSHIFTED)
        least = np.int32(0 if step.relu and not step.absolute else LEAST)
        raw, absolute, flip = step.raw != 0, step.absolute != 0, np.int32(step.flip)
        element = SUM_BYTES if step.raw else 1
        for number in range(step.kernel, step.kernel + step.count):
            vectors, tap, groups = blocks[number, 0], blocks[number, 1], blocks[number, 2]
            output = blocks[number, 4]
            tap_place = taps.ctypes.data + 4 * tap
            weight_place = weights.ctypes.data + blocks[number, 3]
            bias_place = bias.ctypes.data + 4 * (step.table + output)
            pixels = counts[vectors - 1]
            sample, row, column = 0, 0, 0
            for first in range(0, total, pixels):
                for n in range(pixels):
                    base = arena + bases[sample]
                    source = step.source + row * step.source_row + column * step.source_column
                    target = step.target + row * step.target_row + column * step.target_column
                    sources[n] = base + source
                    targets[n] = base + target + output * element
                    if first + n + 1 < total:  # the last pixel fills the last tile up
                        column += 1
                        if column == step.columns:
                            column, row = 0, row + 1
                            if row == step.rows:
                                row, sample = 0, sample + 1
                if vectors == 4:
                    tile(
                        name, 4, sources.ctypes.data, targets.ctypes.data, tap_place, groups,
                        weight_place, bias_place, raw, bound, left, half, right, least, flip,
                        absolute,
                    )  # fmt: skip
                elif vectors == 3:
                    tile(
                        name, 3, sources.ctypes.data, targets.ctypes.data, tap_place, groups,
                        weight_place, bias_place, raw, bound, left, half, right, least, flip,
                        absolute,
                    )  # fmt: skip
                elif vectors == 2:
                    tile(
                        name, 2, sources.ctypes.data, targets.ctypes.data, tap_place, groups,
                        weight_place, bias_place, raw, bound, left, half, right, least, flip,
                        absolute,
                    )  # fmt: skip
                else:
                    tile(
                        name, 1, sources.ctypes.data, targets.ctypes.data, tap_place, groups,
                        weight_place, bias_place, raw, bound, left, half, right, least, flip,
                        absolute,
                    )  # fmt: skip

    return compiled


@njit
def change(base, step, tables, operands, line, limit):
    """A step on the map of one sample at address ``base``; whether every sum was below limit."""
    operation, rows, columns, channels = step.operation, step.rows, step.columns, step.channels
    if operation == COPY and step.source_column == channels == step.target_column:
        columns, channels = 1, columns * channels
    vectors = (channels + LANES - 1) // LANES
    line[0] = 0
    for row in range(rows):
        source_line = base + step.source + row * step.source_row * step.row_stride
        target_line = base + step.target + row * step.target_row
        for column in range(columns):
            source = source_line + column * step.source_column * step.column_stride
            target = target_line + column * step.target_column
            if operation == COPY:
                maps.move((source, target, channels, step.flip))
            elif operation == MAXIMUM:
                maps.maximum((source, step.source_row, step.source_column, step.window_rows,
                              step.window_columns, vectors, target, step.flip))  # fmt: skip
            elif operation == AVERAGE:
                sums = line.ctypes.data
                maps.total((source, step.source_row, step.source_column, step.window_rows,
                            step.window_columns, vectors, sums))  # fmt: skip
                middle = step.table + SIGNED * step.window_rows * step.window_columns
                table = tables.ctypes.data + 4 * middle
                maps.look_up((sums, table, channels, target, step.flip))
            elif operation == COMBINE:
                for operand in range(step.count):
                    place = step.table + 3 * operand
                    offset = row * np.int64(tables[place + 1]) + column * np.int64(
                        tables[place + 2]
                    )
                    operands[operand] = base + np.int64(tables[place]) + offset
                maps.fold((operands.ctypes.data, step.count, vectors, step.function, target,
                           step.flip))  # fmt: skip
            elif operation == FINISH:
                maps.check((source, vectors, limit, line.ctypes.data))
                if not step.raw:
                    bound = SATURATES if step.shift > 0 else UNSHIFTED
                    left, right = max(step.shift, 0), FRACTION_BITS - min(step.shift, 0)
                    half = ROUND_HALF << max(-step.shift, 0)
                    least = 0 if step.relu and not step.absolute else LEAST
                    maps.activate((source, vectors, target, bound, left, half, right, least,
                                   step.flip, step.absolute))  # fmt: skip
    return operation != FINISH or line[0] == 0


def digest() -> str:
    """Of everything that is compiled into ``run``, for numba's cache."""
    here = Path(__file__)
    names = ("path.py", "tile.py", "maps.py", "lanes.py", "steps.py")
    files = [here, *(here.with_name(name) for name in names)]
    constants = repr((LEAST, FRACTION_BITS, ROUND_HALF))
    text = b"".join(file.read_bytes() for file in files) + constants.encode()
    return hashlib.sha256(text).hexdigest()


@cache
def driver(path: str):
    """The compiled ``run`` of a path."""
    sources_digest = digest()

    @njit(cache=True, nogil=True)
    def run(steps, tables, blocks, taps, weights, bias, template, arena, samples, limit,
            inputs, input_stride, outputs, output_stride, first, last):  # fmt: skip
        """Samples ``first`` to ``last`` through all steps, some at a time.

        Returns (sample, step) of the first accumulator that reaches ``limit``, or (-1, 0).
        """
        _ = sources_digest  # numba's cache sees only this file: now it sees the others too
        sources, targets = np.empty(MOST_PIXELS, np.int64), np.empty(MOST_PIXELS, np.int64)
        operands, line = np.empty(LANES, np.int64), np.empty(MOST_CHANNELS, np.int32)
        start, size = arena.ctypes.data, template.size
        for n in range(samples):
            maps.move((template.ctypes.data, start + n * size, size, 0))
        every = np.arange(samples) * size
        for begin in range(first, last, samples):
            count = min(samples, last - begin)
            for number in range(steps.size):
                step = steps[number]
                operation = step.operation
                index = tables.ctypes.data + 4 * step.table
                if operation == CONVOLVE:
                    convolve(
                        path, start, step, every[:count], blocks, taps, weights, bias, sources,
                        targets,
                    )  # fmt: skip
                    continue
                for n in range(count):
                    base = start + every[n]
                    if operation == READ:
                        place = inputs.ctypes.data + (begin + n) * input_stride
                        maps.gather((place, base + step.target, step.target_row, step.rows, index,
                                     step.count, step.flip))  # fmt: skip
                    elif operation == GATHER:
                        maps.gather((base, base + step.target, step.target_row, step.rows, index,
                                     step.count, step.flip))  # fmt: skip
                    elif operation == WRITE:
                        place = outputs.ctypes.data + (begin + n) * output_stride
                        inside = index + 4 * step.count
                        maps.transfer((base, place, index, inside, step.count, step.flip))
                    elif not change(base, step, tables, operands, line, limit):
                        return begin + n, number
        return -1, 0

    return run
