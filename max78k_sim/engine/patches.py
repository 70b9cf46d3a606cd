"""Patches of 4 x 4 outputs, or 4 x 1, by Winograd's points: see ``winograd``.

Of PATCHES at a time, the data become points, each point is a product of [patch, channel] and
[channel, output], and sums at the points become outputs.  The last patch of a row, or of a column,
ends where the map ends: it overlaps the one before, and nothing hangs over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain

from llvmlite import ir

from . import winograd
from .lanes import (
    FINISHING,
    I1,
    I8,
    I16,
    I32,
    I64,
    SMALL,
    Row,
    at,
    block_of,
    constant,
    finishing,
    function_of,
    load_at,
    loop,
    parts,
    portions,
    smaller,
    splat,
    store,
    store_finished,
    variable,
)
from .pairs import MULTIPLY
from .path import WORD, Path
from .steps import FIELDS, JOB, LANES, SUM_BYTES
from .winograd import ACROSS, OUTPUTS, PATCHES, POINTS, TAPS, THREES, TWOS

DEPTH = ir.VectorType(I16, LANES)


def left(builder: ir.IRBuilder, value, bits: int):
    """value * 2**bits."""
    return builder.shl(value, constant(value.type, bits))


def data_points(builder: ir.IRBuilder, d) -> list:
    """winograd.DATA times six vectors."""
    add, sub = builder.add, builder.sub
    even, odd = sub(d[4], d[2]), sub(d[3], d[1])
    evens, odds = sub(d[4], left(builder, d[2], 2)), sub(d[3], left(builder, d[1], 2))
    twice = left(builder, odd, 1)
    return [
        add(left(builder, sub(d[0], d[2]), 2), even),
        add(evens, odds),
        sub(evens, odds),
        add(even, twice),
        sub(even, twice),
        sub(sub(d[5], d[3]), left(builder, odd, 2)),
    ]


def outputs(builder: ir.IRBuilder, m) -> list:
    """winograd.OUT times six vectors."""
    add = builder.add
    ones, one = add(m[1], m[2]), builder.sub(m[1], m[2])
    twos, two = add(m[3], m[4]), builder.sub(m[3], m[4])
    return [
        add(add(m[0], ones), twos),
        add(one, left(builder, two, 1)),
        add(ones, left(builder, twos, 2)),
        add(one, left(builder, add(left(builder, two, 2), m[5]), 1)),
    ]


def in_both(builder: ir.IRBuilder, change: Callable, values: list) -> list:
    """[row][column] -> changed along columns, where there are several, and along rows."""
    if len(values[0]) > 1:
        values = [change(builder, line) for line in values]
    columns = [change(builder, list(column)) for column in zip(*values, strict=True)]
    return [list(line) for line in zip(*columns, strict=True)]


def data_bytes(builder, depth):
    """``winograd.data_bytes`` of a number of run time."""
    return builder.mul(depth, I64(winograd.data_bytes(1)))


def point_bytes(builder, patch):
    """``winograd.point_bytes`` of a number of run time."""
    return builder.add(builder.mul(patch, I64(PATCHES)), I64(winograd.point_bytes(0)))


# ---- one patch, or some at one point ------------------------------------------------------------


def patch_data(builder, step, source, target, *, path: Path, columns: int) -> None:
    """A patch of a map, at its first byte, to its points."""
    step = Row(builder, step, FIELDS)
    down, across, depth = step.source_row, step.source_column, step.depth
    stride = point_bytes(builder, data_bytes(builder, depth))
    zero = splat(builder, builder.trunc(step.zero, I8), SMALL)
    wide = ACROSS[columns][1]

    def pixel(first, row: int, column: int):
        place = at(builder, at(builder, first, I64(row), down), I64(column), across)
        return builder.sext(builder.xor(load_at(builder, place, SMALL), zero), DEPTH)

    with loop(builder, depth) as vector:
        first = at(builder, source, vector, LANES)
        pixels = [[pixel(first, row, column) for column in range(wide)] for row in range(POINTS)]
        to = at(builder, target, vector, winograd.data_bytes(1))
        for number, value in enumerate(chain(*in_both(builder, data_points, pixels))):
            store(builder, value, at(builder, to, I64(number), stride))


def patch_product(builder, data, stride, weights, words, sums, *, path: Path, vectors: int) -> None:
    """path.patches patches, ``stride`` bytes apart, times some vectors of outputs, at one point."""
    kind, pairs = ir.VectorType(I32, path.lanes), ir.VectorType(I16, 2 * path.lanes)
    vector_bytes, sum_row = WORD * path.lanes, SUM_BYTES * path.block
    sources = [at(builder, data, I64(n), stride) for n in range(path.patches[vectors - 1])]
    totals = [[variable(builder, kind, constant(kind, 0)) for _ in range(vectors)] for _ in sources]
    with loop(builder, words) as word:
        place = at(builder, weights, word, vectors * vector_bytes)
        factors = [
            load_at(builder, builder.add(place, I64(vector_bytes * n)), pairs)
            for n in range(vectors)
        ]
        for source, line in zip(sources, totals, strict=True):
            pair = load_at(builder, at(builder, source, word, WORD), I32)
            pair = builder.bitcast(splat(builder, pair, kind), pairs)
            for total, factor in zip(line, factors, strict=True):
                part = MULTIPLY[path.name](builder, pair, factor)
                builder.store(builder.add(builder.load(total), part), total)
    for row, line in enumerate(totals):
        for vector, total in enumerate(line):
            place = I64(row * sum_row + vector * SUM_BYTES * path.lanes)
            store(builder, builder.load(total), builder.add(sums, place))


def patch_outputs(builder, step, sums, bias, vectors, target, *, path: Path, columns: int) -> None:
    """A patch's sums at the points to bytes of its outputs."""
    step = Row(builder, step, FIELDS)
    down, across = step.target_row, step.target_column
    kind, stride = ir.VectorType(I32, path.lanes), winograd.point_bytes(SUM_BYTES * path.block)
    wide, directions = ACROSS[columns][1], 1 + (columns == TAPS)
    bits, vector_bytes = constant(kind, TWOS * directions), SUM_BYTES * path.lanes
    inverse = constant(kind, pow(3**THREES, -directions, 1 << 32))
    how = {
        name: builder.trunc(value, I32 if name in FINISHING else I1)
        for name, value in finishing(builder, step).items()
    }
    with loop(builder, vectors) as vector:
        first = at(builder, sums, vector, vector_bytes)
        start = builder.shl(load_at(builder, at(builder, bias, vector, vector_bytes), kind), bits)
        places = [builder.add(first, I64(stride * n)) for n in range(POINTS * wide)]
        values = [load_at(builder, place, kind) for place in places]
        lines = [values[n : n + wide] for n in range(0, len(values), wide)]
        cells = []
        for row, line in enumerate(in_both(builder, outputs, lines)):
            for column, value in enumerate(line):
                total = builder.add(builder.mul(value, inverse), start)
                place = at(builder, at(builder, target, I64(row), down), I64(column), across)
                place = at(builder, place, vector, path.lanes)
                cells.append((builder.ashr(total, bits), place))
        store_finished(builder, cells, how)


# ---- all of them --------------------------------------------------------------------------------


class Patches:
    """The patches of a step, and the room for PATCHES; patch 0 is the first of the first sample."""

    def __init__(self, builder, job: Row, step: Row, path: Path, columns: int):
        self.builder, self.job, self.step, self.path = builder, job, step, path
        self.wide, self.taps = ACROSS[columns][0], {"columns": columns}
        self.arena, self.size = job.arena, job.size
        self.rows, self.columns = step.rows, step.columns
        self.in_row = parts(builder, self.columns, I64(self.wide))
        self.in_map = builder.mul(parts(builder, self.rows, I64(OUTPUTS)), self.in_row)
        self.points = I64(winograd.points(columns))
        self.data, self.data_row = job.patches, data_bytes(builder, step.depth)
        self.data_point = point_bytes(builder, self.data_row)
        self.sums = at(builder, self.data, self.points, self.data_point)
        self.sum_row = SUM_BYTES * path.block
        self.sum_point = winograd.point_bytes(self.sum_row)

    def place(self, patch, first, row, column):
        """Address, in the maps of all samples that begin at ``first``, with these strides."""
        builder = self.builder
        sample = builder.udiv(patch, self.in_map)
        rest = builder.sub(patch, builder.mul(sample, self.in_map))
        down = builder.udiv(rest, self.in_row)
        across = builder.sub(rest, builder.mul(down, self.in_row))
        place = builder.add(at(builder, self.arena, sample, self.size), first)
        for number, size, pixels, step in (
            (down, OUTPUTS, self.rows, row),
            (across, self.wide, self.columns, column),
        ):
            last = builder.sub(pixels, I64(size))
            pixel = smaller(builder, builder.mul(number, I64(size)), last)
            place = at(builder, place, pixel, step)
        return place

    def call(self, build: Callable, operands: tuple, **chosen: int) -> None:
        """A function, written for what is chosen."""
        name = "_".join(map(str, (build.__name__, *chosen.values())))
        build = partial(build, path=self.path, **chosen)
        self.builder.call(function_of(self.builder.module, name, build, len(operands)), operands)

    def read(self, begin, patches) -> None:
        """Data of so many patches, from number ``begin``, become points."""
        builder, step = self.builder, self.step
        source = step.source, step.source_row, step.source_column
        with loop(builder, patches) as patch:
            place = self.place(builder.add(begin, patch), *source)
            to = at(builder, self.data, patch, self.data_row)
            self.call(patch_data, (step.address, place, to), **self.taps)

    def multiply(self, block: Row, patches) -> None:
        """Points of the data times a block of outputs, by its number of vectors."""
        builder, lanes = self.builder, self.path.lanes
        outputs, words = block.outputs, block.groups
        first = builder.add(self.job.weights, block.weight)
        weight_point = builder.mul(builder.mul(words, outputs), I64(WORD))
        for vectors, size in enumerate(self.path.patches, 1):
            with (
                builder.if_then(builder.icmp_signed("==", outputs, I64(vectors * lanes))),
                loop(builder, self.points) as point,
                loop(builder, parts(builder, patches, I64(size))) as group,
            ):
                patch = builder.mul(group, I64(size))
                weights = at(builder, first, point, weight_point)
                data, sums = (
                    at(builder, at(builder, room, point, stride), patch, row)
                    for room, stride, row in (
                        (self.data, self.data_point, self.data_row),
                        (self.sums, self.sum_point, self.sum_row),
                    )
                )
                operands = data, self.data_row, weights, words, sums
                self.call(patch_product, operands, vectors=vectors)

    def write(self, block: Row, begin, patches) -> None:
        """Sums become bytes of the outputs."""
        builder, step = self.builder, self.step
        vectors = builder.udiv(block.outputs, I64(self.path.lanes))
        bias = at(builder, self.job.bias, builder.add(step.table, block.output), SUM_BYTES)
        target = builder.add(step.target, block.output), step.target_row, step.target_column
        with loop(builder, patches) as patch:
            place = self.place(builder.add(begin, patch), *target)
            sums = at(builder, self.sums, patch, self.sum_row)
            self.call(patch_outputs, (step.address, sums, bias, vectors, place), **self.taps)


def build_patches(builder, job, step, samples, *, path: Path, columns: int) -> None:
    """Every patch of every sample times every output; ``columns`` of the kernels: TAPS or 1."""
    job, step = Row(builder, job, JOB), Row(builder, step, FIELDS)
    patches = Patches(builder, job, step, path, columns)
    total = builder.mul(samples, patches.in_map)
    with portions(builder, total, I64(PATCHES)) as (begin, some):
        patches.read(begin, some)
        with loop(builder, step.count) as number:
            block = block_of(builder, job, step, number)
            patches.multiply(block, some)
            patches.write(block, begin, some)
