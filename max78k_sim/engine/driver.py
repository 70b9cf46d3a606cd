"""Executes steps, as LLVM code: one function a path, for every network."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial, reduce

from llvmlite import ir

from . import maps, winograd
from .lanes import (
    I1,
    I32,
    I64,
    Row,
    at,
    block_of,
    finishing,
    function_of,
    load_at,
    loop,
    own,
    parts,
    portions,
    store,
    variable,
)
from .patches import build_patches
from .path import Path
from .steps import (
    AVERAGE,
    COMBINE,
    CONVOLVE,
    COPY,
    FIELDS,
    FINISH,
    GATHER,
    JOB,
    LANES,
    MAXIMUM,
    NUMBER,
    PIXELS,
    READ,
    SIGNED,
    SUM_BYTES,
    TURN,
    WINOGRAD,
    WRITE,
)
from .tile import tile

# ---- maps, one sample ---------------------------------------------------------------------------


def each_pixel(builder: ir.IRBuilder, step: Row, base, body) -> None:
    """``body(source, target, row, column)`` for every pixel of the target."""
    down = builder.mul(step.source_row, step.row_stride)
    across = builder.mul(step.source_column, step.column_stride)
    source, target = builder.add(base, step.source), builder.add(base, step.target)
    target_row, target_column, columns = step.target_row, step.target_column, step.columns
    with loop(builder, step.rows) as row:
        from_line, to_line = at(builder, source, row, down), at(builder, target, row, target_row)
        with loop(builder, columns) as column:
            to = at(builder, to_line, column, target_column)
            body(at(builder, from_line, column, across), to, row, column)


def vectors_of(builder: ir.IRBuilder, step: Row):
    """Whole vectors of a pixel's channels."""
    return builder.lshr(builder.add(step.channels, I64(LANES - 1)), I64(4))


def gathered(builder, job, step, base, outside) -> None:
    """Rows of bytes from outside the arena, or from it."""
    index = at(builder, job.tables, step.table, SUM_BYTES)
    target = builder.add(base, step.target)
    maps.gather(builder, outside, target, step.target_row, step.rows, index, step.count, step.flip)


def turned(builder, step, base, outside) -> None:
    """Planes of channels from outside, pixel by pixel."""
    source, target = builder.add(outside, step.source), builder.add(base, step.target)
    row, target_row, target_column = step.source_row, step.target_row, step.target_column
    plane, columns, channels, flip = step.source_column, step.columns, step.channels, step.flip
    with loop(builder, step.rows) as number:
        places = at(builder, source, number, row), at(builder, target, number, target_row)
        maps.turn(builder, places[0], plane, columns, channels, places[1], target_column, flip)


def written(builder, job, step, base, outside) -> None:
    """Runs of bytes of the arena to places outside."""
    index = at(builder, job.tables, step.table, SUM_BYTES)
    count, size, flip = step.count, step.channels, step.flip
    inside = at(builder, index, count, SUM_BYTES)
    with builder.if_else(builder.icmp_signed("==", size, I64(1))) as (bytes_alone, runs):
        with bytes_alone:
            maps.transfer(builder, base, outside, index, inside, count, flip)
        with runs, loop(builder, count) as n:
            places = [at(builder, table, n, SUM_BYTES) for table in (inside, index)]
            source, target = (
                builder.add(start, builder.sext(load_at(builder, place, I32), I64))
                for start, place in zip((base, outside), places, strict=True)
            )
            maps.move(builder, source, target, size, flip)


def copied(builder, job, step, base) -> None:
    """A map to another."""
    channels, flip = step.channels, step.flip

    def body(source, target, row, column):
        maps.move(builder, source, target, channels, flip)

    each_pixel(builder, step, base, body)


def largest(builder, job, step, base) -> None:
    """Largest of each window."""
    window = step.source_row, step.source_column, step.window_rows, step.window_columns
    vectors, flip = vectors_of(builder, step), step.flip

    def body(source, target, row, column):
        maps.maximum(builder, source, *window, vectors, target, flip)

    each_pixel(builder, step, base, body)


def averaged(builder, job, step, base) -> None:
    """Average of each window, looked up by its sum."""
    window = step.source_row, step.source_column, step.window_rows, step.window_columns
    middle = builder.add(step.table, builder.mul(builder.mul(*window[2:]), I64(SIGNED)))
    table, line = at(builder, job.tables, middle, SUM_BYTES), job.line
    vectors, channels, flip = vectors_of(builder, step), step.channels, step.flip

    def body(source, target, row, column):
        maps.total(builder, source, *window, vectors, line)
        maps.look_up(builder, line, table, channels, target, flip)

    each_pixel(builder, step, base, body)


def combined(builder, job, step, base) -> None:
    """Operands folded; their views, three numbers each, are in the tables."""
    views = at(builder, job.tables, step.table, SUM_BYTES)
    operands, count, function = job.operands, step.count, step.function
    vectors, flip = vectors_of(builder, step), step.flip

    def body(source, target, row, column):
        with loop(builder, count) as operand:
            view = at(builder, views, operand, 3 * SUM_BYTES)
            numbers = [
                load_at(builder, builder.add(view, I64(SUM_BYTES * n)), I32) for n in range(3)
            ]
            first, down, across = (builder.sext(number, I64) for number in numbers)
            place = at(builder, at(builder, builder.add(base, first), row, down), column, across)
            store(builder, place, at(builder, operands, operand, NUMBER))
        maps.fold(builder, operands, count, vectors, function, target, flip)

    each_pixel(builder, step, base, body)


def finished(builder, job, step, base) -> None:
    """Sums checked against the limit and, unless they are wanted raw, made bytes."""
    values = finishing(builder, step)
    operands = [values[name] for name in ("bound", "left", "half", "right", "least", "flip")]
    raw, absolute, limit = step.raw, step.absolute, job.limit
    vectors, beyond = vectors_of(builder, step), job.place("beyond")

    def body(source, target, row, column):
        maps.check(builder, source, vectors, limit, beyond)
        with builder.if_then(builder.icmp_signed("==", raw, I64(0))):
            maps.activate(builder, source, vectors, target, *operands, absolute)

    each_pixel(builder, step, base, body)


CHANGES = {
    COPY: copied,
    MAXIMUM: largest,
    AVERAGE: averaged,
    COMBINE: combined,
    FINISH: finished,
}


@own
def change(builder, job, step, base, sample):
    """A step on one sample, whose arena is at ``base``."""
    job, step = Row(builder, job, JOB), Row(builder, step, FIELDS)
    operation = step.operation

    def case(number: int):
        return builder.if_then(builder.icmp_signed("==", operation, I64(number)))

    outside = at(builder, job.inputs, sample, job.input_stride)
    with case(READ):
        gathered(builder, job, step, base, outside)
    with case(TURN):
        turned(builder, step, base, outside)
    with case(GATHER):
        gathered(builder, job, step, base, base)
    with case(WRITE):
        written(builder, job, step, base, at(builder, job.outputs, sample, job.output_stride))
    for number, body in CHANGES.items():
        with case(number):
            body(builder, job, step, base)


# ---- products, of several samples ---------------------------------------------------------------


def build_convolve(builder, job, step, samples, *, path: Path) -> None:
    """Every pixel of every sample times every output, tile by tile."""
    job, step = Row(builder, job, JOB), Row(builder, step, FIELDS)
    total = builder.mul(samples, builder.mul(step.rows, step.columns))
    raw = builder.icmp_signed("!=", step.raw, I64(0))
    element = builder.select(raw, I64(SUM_BYTES), I64(1))
    operands = finishing(builder, step) | {
        "raw": step.raw,
        "sources": job.pixels,
        "targets": builder.add(job.pixels, I64(NUMBER * PIXELS)),
    }
    with loop(builder, step.count) as number:
        block = block_of(builder, job, step, number)
        outputs, output = block.outputs, block.output
        operands |= {
            "taps": at(builder, job.taps, block.tap, SUM_BYTES),
            "groups": block.groups,
            "weights": builder.add(job.weights, block.weight),
            "bias": at(builder, job.bias, builder.add(step.table, output), SUM_BYTES),
        }
        to = builder.add(step.target, builder.mul(output, element))
        for vectors in range(1, len(path.pixels) + 1):
            with builder.if_then(builder.icmp_signed("==", outputs, I64(vectors * path.lanes))):
                tiles(builder, job, step, path, vectors, total, to, operands)


def tiles(builder, job, step, path, vectors, total, to, operands) -> None:
    """All pixels, in tiles for a number of vectors; the last pixel fills the last tile up."""
    pixels, most = I64(path.pixels[vectors - 1]), I64(PIXELS // path.pixels[vectors - 1])
    last, zero = builder.sub(total, I64(1)), I64(0)
    rows, columns = step.rows, step.columns
    row, column = variable(builder, I64, zero), variable(builder, I64, zero)
    places = [
        Places(builder, job, first, steps, (rows, columns))
        for first, steps in (
            (step.source, (step.source_row, step.source_column)),
            (to, (step.target_row, step.target_column)),
        )
    ]
    with portions(builder, parts(builder, total, pixels), most) as (done, some):
        first = builder.mul(done, pixels)
        with loop(builder, builder.mul(some, pixels)) as pixel:
            for each, name in zip(places, ("sources", "targets"), strict=True):
                place = builder.load(each.place)
                store(builder, place, at(builder, operands[name], pixel, NUMBER))
            more = builder.icmp_signed("<", builder.add(first, pixel), last)
            with builder.if_then(more):
                for each in places:
                    each.move(each.column)
                with counted(builder, column, columns):
                    for each in places:
                        each.move(each.row)
                    with counted(builder, row, rows):
                        for each in places:
                            each.move(each.sample)
        tile(builder, path, vectors, operands | {"tiles": some})


class Places:
    """The address of a pixel, and what takes it to the next: of its row, of its map, of all.

    From the end of a row to the next one, and from the end of a map to the next sample's, are steps
    that come on top.
    """

    def __init__(self, builder, job, first, steps, size):
        self.builder, (down, across), (rows, columns) = builder, steps, size
        self.place = variable(builder, I64, builder.add(job.arena, first))
        self.column = across
        self.row = builder.sub(down, builder.mul(columns, across))
        self.sample = builder.sub(job.size, builder.mul(rows, down))

    def move(self, step) -> None:
        """By so many bytes."""
        builder = self.builder
        builder.store(builder.add(builder.load(self.place), step), self.place)


@contextmanager
def counted(builder, place, limit):
    """A number goes up; where it reaches its limit, it is 0, and the code inside is run."""
    value = builder.add(builder.load(place), I64(1))
    builder.store(value, place)
    with builder.if_then(builder.icmp_signed("==", value, limit)):
        builder.store(I64(0), place)
        yield


# ---- all steps ----------------------------------------------------------------------------------


def build_run(builder, address, *, path: Path) -> None:
    """A job: samples ``first`` to ``last`` through all steps, some at a time.

    Where a sum is beyond the limit, the run ends, and ``beyond`` is not 0; ``step`` is the step.
    """
    job = Row(builder, address, JOB)
    arena, size, samples, first, last = job.arena, job.size, job.samples, job.first, job.last
    with loop(builder, samples) as number:
        maps.move(builder, job.template, at(builder, arena, number, size), size, I64(0))
    with portions(builder, builder.sub(last, first), samples) as (done, count):
        begin = builder.add(first, done)
        with loop(builder, job.step_count) as number:
            step = at(builder, job.steps, number, NUMBER * len(FIELDS))
            alone = builder.select(products(builder, path, address, step, count), I64(0), count)
            with loop(builder, alone) as sample:
                base = at(builder, arena, sample, size)
                change(builder, address, step, base, builder.add(begin, sample))
            with builder.if_then(builder.icmp_signed("!=", job.beyond, I64(0))):
                store(builder, number, job.place("step"))
                builder.ret_void()


def products(builder, path: Path, job, step, samples):
    """A step on several samples at once, if it multiplies: whether it does."""
    fields, multiplies = Row(builder, step, FIELDS), I1(0)
    kinds: list[tuple] = [("convolve", build_convolve, {"operation": CONVOLVE})]
    for taps in winograd.ACROSS if path.patches else ():
        build = partial(build_patches, columns=taps)
        kinds.append((f"patches_{taps}", build, {"operation": WINOGRAD, "taps": taps}))
    for name, build, wanted in kinds:
        same = [builder.icmp_signed("==", getattr(fields, key), I64(wanted[key])) for key in wanted]
        this = reduce(builder.and_, same)
        multiplies = builder.or_(multiplies, this)
        with builder.if_then(this):
            function = function_of(builder.module, name, partial(build, path=path), 3)
            builder.call(function, [job, step, samples])
    return multiplies


def module_of(path: Path) -> ir.Module:
    """All of it: ``max78k_run(address of a job)``."""
    module = ir.Module(f"max78k_{path.name}")
    function_of(module, "run", partial(build_run, path=path), 1)
    return module
