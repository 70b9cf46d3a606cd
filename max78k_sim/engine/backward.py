"""Gradients of a convolution, as LLVM code: one function a path, for every shape.

All are ``pairs`` products.  Of the inputs: rows are pixels of the errors, laid in a frame of
zeros, words are pairs of their channels, columns are channels of the inputs.  Of the weights: rows
are (channel, tap) of the inputs, laid in a frame and turned so that pixels are neighbours, words
are pairs of pixels, columns are channels of the errors.  ``gradients`` writes jobs and tables.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from ..arithmetic import FRACTION_BITS
from . import maps
from .lanes import (
    I8,
    I16,
    I32,
    I64,
    SMALL,
    SUMS,
    Row,
    at,
    constant,
    function_of,
    load_at,
    loop,
    own,
    store,
    variable,
)
from .pairs import ROWS, VECTORS, WORD, add_scaled, build_product, keep
from .path import Path
from .steps import LANES, NUMBER, SUM_BYTES

INPUTS, WEIGHTS, BIASES = range(3)
LARGEST_SHIFT = 31
BIAS_INPUT = 1 << FRACTION_BITS  # a bias is a weight whose input is always 1
JOB = (  # addresses and numbers
    "operation",
    "first", "last",  # groups of samples
    "samples", "group",  # all of them; at most so many in a group
    # a map in its frame
    "data", "sample",  # of all samples; bytes of one
    "lines", "pieces", "piece",  # what is copied of a sample; 0 lines: nothing, it stays in place
    "map", "inner", "line_step", "piece_step", "map_step",  # to where
    "planes", "planes_step",  # of WEIGHTS: where maps are turned; bytes of one
    "plane_step", "spots", "inputs",  # bytes of a channel; pixels, channels
    # the product
    "rows", "row_count",  # int32: bytes from the map, or the planes; of a sample
    "offsets", "words",
    "blocks", "block_count",  # int64 [block, BLOCK]
    "vectors",  # int64 [vector, 2]: first byte in the panel, bytes between words
    "panel", "panel_step",  # bytes of one
    "target", "columns",
    # what the panel is made from
    "weights", "taps",
    "errors", "error_rows", "error_columns", "outputs",
    "shifts", "limit",  # int64 [sample]
)  # fmt: skip
BLOCK = (  # of vectors
    "width", "start", "column",  # how many, first byte in the panel, first column
    "to", "stride",  # first byte of the target, bytes between its rows
)  # fmt: skip
PART = ir.VectorType(I16, LANES)


# ---- panels -------------------------------------------------------------------------------------


def each_vector(builder, channels, write) -> None:
    """``write(number, its first channel, lanes that count)`` for every vector of channels."""
    count = builder.lshr(builder.add(channels, I64(LANES - 1)), I64(4))
    with loop(builder, count) as number:
        first = builder.mul(number, I64(LANES))
        left = builder.sub(channels, first)
        fewer = builder.icmp_signed("<", left, I64(LANES))
        write(number, first, builder.select(fewer, left, I64(LANES)))


def column_of(builder, job: Row, number):
    """(first byte in the panel, bytes between words) of a vector."""
    place = at(builder, job.vectors, number, 2 * NUMBER)
    return load_at(builder, place, I64), load_at(builder, builder.add(place, I64(NUMBER)), I64)


@own
def pack_weights(builder, job):
    """int8 [output, input, tap] to words of two outputs: [tap, output pair] of each input."""
    job = Row(builder, job, JOB)
    weights, taps, inputs, outputs = job.weights, job.taps, job.columns, job.outputs
    panel = job.panel
    pairs = builder.lshr(builder.add(outputs, I64(1)), I64(1))
    output_bytes = builder.mul(inputs, taps)

    def write(number, first, lanes):
        start = at(builder, weights, first, taps)
        place_in_panel, step = column_of(builder, job, number)
        with loop(builder, taps) as tap, loop(builder, pairs) as pair:
            even = builder.mul(pair, I64(2))
            source = builder.add(at(builder, start, even, output_bytes), tap)
            word = builder.add(builder.mul(tap, pairs), pair)
            target = at(builder, builder.add(panel, place_in_panel), word, step)
            odd = builder.icmp_signed("<", builder.add(even, I64(1)), outputs)
            keep_it = builder.select(odd, I32(-1), I32(0))
            other = builder.select(odd, output_bytes, I64(0))
            with loop(builder, lanes) as lane:
                place = at(builder, source, lane, taps)
                low = builder.sext(load_at(builder, place, I8), I16)
                high = builder.sext(load_at(builder, builder.add(place, other), I8), I32)
                high = builder.shl(builder.and_(high, keep_it), I32(16))
                value = builder.or_(builder.zext(low, I32), high)
                store(builder, value, at(builder, target, lane, WORD))

    each_vector(builder, inputs, write)


class Errors:
    """The errors of a sample, int16 [pixel, output]."""

    def __init__(self, builder, job: Row, sample):
        rows = builder.mul(job.error_rows, job.error_columns)
        self.pixel = builder.mul(job.outputs, I64(2))  # bytes
        size = builder.mul(rows, self.pixel)
        self.start = at(builder, job.errors, sample, size)
        end = at(builder, job.errors, job.samples, size)
        self.last = builder.sub(end, I64(2 * LANES))  # where a vector can still be read
        self.part = variable(builder, PART, ir.Constant(PART, None))

    def load(self, builder, address, lanes):
        """<16 x i16>, of which only some lanes count."""
        whole = builder.or_(
            builder.icmp_signed(">=", lanes, I64(LANES)),
            builder.icmp_signed("<=", address, self.last),
        )
        with builder.if_else(whole) as (at_once, one_by_one):
            with at_once:
                builder.store(load_at(builder, address, PART), self.part)
            with one_by_one:
                near = builder.ptrtoint(self.part, I64)
                with loop(builder, lanes) as lane:
                    value = load_at(builder, at(builder, address, lane, 2), I16)
                    store(builder, value, at(builder, near, lane, 2))
        return builder.load(self.part)


@own
def pack_errors(builder, job, sample, panel):
    """int16 [row, column, output] of a sample to words of two columns, or of the last and zero."""
    job = Row(builder, job, JOB)
    rows, columns, errors = job.error_rows, job.error_columns, Errors(builder, job, sample)
    pixel, nothing = errors.pixel, ir.Constant(PART, None)
    line = builder.mul(columns, pixel)
    pairs, odd = builder.lshr(columns, I64(1)), builder.and_(columns, I64(1))

    def write(number, first, lanes):
        start, step = column_of(builder, job, number)
        target = variable(builder, I64)
        builder.store(builder.add(panel, start), target)

        def put(low, high):
            low, high = builder.zext(low, SUMS), builder.zext(high, SUMS)
            value = builder.or_(low, builder.shl(high, constant(SUMS, 16)))
            place = builder.load(target)
            store(builder, value, place)
            builder.store(builder.add(place, step), target)

        with loop(builder, rows) as row:
            first_pixel = at(builder, at(builder, errors.start, first, 2), row, line)
            with loop(builder, pairs) as pair:
                place = at(builder, first_pixel, builder.mul(pair, I64(2)), pixel)
                low = errors.load(builder, place, lanes)
                put(low, errors.load(builder, builder.add(place, pixel), lanes))
            with builder.if_then(builder.trunc(odd, ir.IntType(1))):
                place = at(builder, first_pixel, builder.mul(pairs, I64(2)), pixel)
                put(errors.load(builder, place, lanes), nothing)

    each_vector(builder, job.outputs, write)


# ---- maps ---------------------------------------------------------------------------------------


@own
def frame(builder, job, sample, number):
    """A sample's map to its place, the ``number``-th, in a frame that is zeros already."""
    job = Row(builder, job, JOB)
    source = variable(builder, I64, at(builder, job.data, sample, job.sample))
    start = at(builder, builder.add(job.map, job.inner), number, job.map_step)
    pieces, piece, line_step, piece_step = job.pieces, job.piece, job.line_step, job.piece_step
    with loop(builder, job.lines) as line, loop(builder, pieces) as part:
        target = at(builder, at(builder, start, line, line_step), part, piece_step)
        place = builder.load(source)
        maps.move(builder, place, target, piece, I64(0))
        builder.store(builder.add(place, piece), source)


@own
def turn(builder, source, step, target, target_step):
    """16 pixels of 16 bytes, ``step`` bytes apart, to 16 runs of 16 int16."""
    lines = [load_at(builder, at(builder, source, I64(n), step), SMALL) for n in range(LANES)]
    low = [n // 2 + n % 2 * LANES for n in range(LANES)]
    orders = [
        ir.Constant(ir.VectorType(I32, LANES), [first + n for n in low])
        for first in (0, LANES // 2)
    ]
    for _ in range(4):  # each turns the eight bits of (pixel, channel) by one
        lines = [
            builder.shuffle_vector(lines[n], lines[n + LANES // 2], order)
            for n in range(LANES // 2)
            for order in orders
        ]
    for n, line in enumerate(lines):
        store(builder, builder.sext(line, PART), at(builder, target, I64(n), target_step))


@own
def turn_map(builder, job, target):
    """int8 [pixel, channel] of the map to int16 [channel, pixel]; one pixel is only widened."""
    job = Row(builder, job, JOB)
    inputs, plane_step, source = job.inputs, job.plane_step, job.map
    turns = builder.lshr(builder.add(job.spots, I64(LANES - 1)), I64(4))
    alone = builder.icmp_signed("==", job.spots, I64(1))

    def write(number, first, lanes):
        place, to = builder.add(source, first), at(builder, target, first, plane_step)
        with builder.if_else(alone) as (one, more):
            with one:
                store(builder, builder.sext(load_at(builder, place, SMALL), PART), to)
            with more, loop(builder, turns) as part:
                spot = builder.mul(part, I64(LANES))
                at_spot = at(builder, place, spot, inputs)
                turn(builder, at_spot, inputs, at(builder, to, spot, 2), plane_step)

    each_vector(builder, inputs, write)


# ---- products of a map --------------------------------------------------------------------------


def multiply(builder, job: Row, each, count, target, path: Path, end) -> None:
    """``count`` rows times all columns, of each (how many, base, step of it, panel, step of it).

    ``end(row, column, number)``: the last two operands of a product that starts there; the
    name of the function that has them comes first.
    """
    end_with, operands = end
    repeats, base, base_step, panel, panel_step = each
    rows, offsets, words, blocks = job.rows, job.offsets, job.words, job.blocks
    with loop(builder, job.block_count) as number:
        block = Row(builder, at(builder, blocks, number, NUMBER * len(BLOCK)), BLOCK)
        width, start, column = block.width, builder.add(panel, block.start), block.column
        to, stride = builder.add(target, block.to), block.stride
        for vectors in range(1, VECTORS + 1):
            size = ROWS[path.name][vectors - 1]
            build = partial(build_product, path=path, vectors=vectors, end=end_with)
            name = f"{end_with.__name__}_{vectors}"
            with builder.if_then(builder.icmp_signed("==", width, I64(vectors))):
                tiles = builder.udiv(builder.add(count, I64(size - 1)), I64(size))
                with loop(builder, tiles) as tile:
                    row = builder.mul(tile, I64(size))
                    place = at(builder, to, row, stride)
                    first = at(builder, rows, row, WORD)
                    with loop(builder, repeats) as repeat:
                        own_base = at(builder, base, repeat, base_step)
                        own_panel = at(builder, start, repeat, panel_step)
                        given = [own_base, first, offsets, words, own_panel, place, stride]
                        given += operands(row, column, repeat)
                        function = function_of(builder.module, name, build, len(given))
                        builder.call(function, given)


def some_of(builder, job: Row, group):
    """(first sample, how many) of a group."""
    begin = builder.mul(group, job.group)
    left = builder.sub(job.samples, begin)
    fewer = builder.icmp_signed("<", left, job.group)
    return begin, builder.select(fewer, left, job.group)


def build_inputs(builder, address, group, *, path: Path) -> None:
    """Gradients of a group's inputs, whose pixels are the rows of one product."""
    job = Row(builder, address, JOB)
    begin, size = some_of(builder, job, group)
    stays = builder.icmp_signed("==", job.lines, I64(0))
    with loop(builder, size) as number:
        frame(builder, address, builder.add(begin, number), number)
    base = builder.select(stays, at(builder, job.data, begin, job.sample), job.map)
    columns, count = job.columns, builder.mul(size, job.row_count)
    pixel = builder.mul(columns, I64(SUM_BYTES))
    target = at(builder, job.target, builder.mul(begin, job.row_count), pixel)

    def ends(row, column, number):
        return builder.sub(count, row), builder.sub(columns, column)

    each = (I64(1), base, I64(0), job.panel, I64(0))
    multiply(builder, job, each, count, target, path, (keep, ends))


def build_weights(builder, address, group, *, path: Path) -> None:
    """Gradients of weights, added to the target; of a group, whose targets are then near."""
    job = Row(builder, address, JOB)
    begin, size = some_of(builder, job, group)
    planes, planes_step, panel, panel_step = job.planes, job.planes_step, job.panel, job.panel_step
    with loop(builder, size) as number:
        sample = builder.add(begin, number)
        frame(builder, address, sample, I64(0))
        turn_map(builder, address, at(builder, planes, number, planes_step))
        pack_errors(builder, address, sample, at(builder, panel, number, panel_step))
    shifts, limit = at(builder, job.shifts, begin, NUMBER), job.limit

    def ends(row, column, number):
        return load_at(builder, at(builder, shifts, number, NUMBER), I64), limit

    each = (size, planes, planes_step, panel, panel_step)
    multiply(builder, job, each, job.row_count, job.target, path, (add_scaled, ends))


@own
def add_biases(builder, job, sample):
    """A sample's gradients of biases, added to the target: of weights whose input is 128.

    That is a shift, so that sums of errors are enough.
    """
    job = Row(builder, job, JOB)
    rows, limit, errors = job.error_rows, job.limit, Errors(builder, job, sample)
    shift = load_at(builder, at(builder, job.shifts, sample, NUMBER), I64)
    shift = builder.sub(shift, I64(BIAS_INPUT.bit_length() - 1))
    least = I64(-LARGEST_SHIFT)  # all but 0 are beyond any limit then
    shift = builder.select(builder.icmp_signed("<", shift, least), least, shift)
    total = variable(builder, SUMS)

    def write(number, first, lanes):
        builder.store(constant(SUMS, 0), total)
        with loop(builder, rows) as row:
            place = at(builder, at(builder, errors.start, first, 2), row, errors.pixel)
            value = builder.sext(errors.load(builder, place, lanes), SUMS)
            builder.store(builder.add(builder.load(total), value), total)
        place = at(builder, job.target, first, SUM_BYTES)
        add_scaled(builder, [[builder.load(total)]], place, I64(0), shift, limit)

    each_vector(builder, job.outputs, write)


# ---- jobs ---------------------------------------------------------------------------------------


def build_run(builder, address, *, path: Path) -> None:
    """A job: its operation on all groups of samples from ``first`` up to ``last``."""
    job = Row(builder, address, JOB)
    operation, first, last = job.operation, job.first, job.last

    def case(number: int):
        return builder.if_then(builder.icmp_signed("==", operation, I64(number)))

    with case(INPUTS):
        pack_weights(builder, address)
    for number, build in ((INPUTS, build_inputs), (WEIGHTS, build_weights)):
        with case(number), loop(builder, last, start=first) as group:
            code = partial(build, path=path)
            function = function_of(builder.module, build.__name__, code, 2)
            builder.call(function, [address, group])
    with case(BIASES), loop(builder, last, start=first) as sample:
        add_biases(builder, address, sample)


def module_of(path: Path) -> ir.Module:
    """All of it: ``max78k_run(address of a job)``."""
    module = ir.Module(f"max78k_backward_{path.name}")
    function_of(module, "run", partial(build_run, path=path), 1)
    return module
