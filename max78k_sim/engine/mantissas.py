"""Errors on their way back, as LLVM code: made mantissas, and given to what was pooled.

Maps are [sample, row, column, channel].  The code is the same for every path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from . import choose_path, native
from .lanes import (
    I1,
    I8,
    I16,
    I32,
    I64,
    WIDTHS,
    Row,
    at,
    call,
    clip,
    function_of,
    in_runs,
    load_at,
    loop,
    splat,
    store,
    variable,
)
from .native import ERRORS
from .path import Path
from .steps import LANES, NUMBER, SUM_BYTES, address

NORMALISE, SPREAD = range(2)
JOB = (  # addresses and numbers
    "operation",
    "samples", "values", "target",
    # NORMALISE
    "count", "bits", "shifts",  # of a sample; mantissa bits; int64 [sample], found
    "output", "output_step", "above", "below",  # int8; bytes from one to the next
    # SPREAD
    "data", "rows", "columns", "channels", "shift",  # rows and columns of windows
    "sample", "line",  # elements of a map, of its row
    "down", "across", "window_rows", "window_columns",
)  # fmt: skip
MANTISSA_BYTES = 2


@dataclass(frozen=True, eq=False)
class Passing:
    """Errors pass where ``above`` < output < ``below``; ``output``: int8, of their shape."""

    output: np.ndarray
    above: int
    below: int


EVERYWHERE = Passing(np.zeros(LANES, np.int8), -1, 1)  # of any shape


def normalised(
    values: np.ndarray, bits: int, passing: Passing = EVERYWHERE
) -> tuple[np.ndarray, np.ndarray]:
    """int32 values as mantissas, int16, and each sample's shift to the right, int64 [sample].

    That is the least with which magnitudes have at most ``bits`` bits; rounded half up, saturated.
    """
    values = np.ascontiguousarray(values, np.int32)
    output = np.ascontiguousarray(passing.output, np.int8)
    target, shifts = np.empty(values.shape, np.int16), np.empty(len(values), np.int64)
    run(
        {"values": values, "target": target, "shifts": shifts, "output": output},
        operation=NORMALISE,
        samples=len(values),
        count=values[:1].size,
        bits=bits,
        output_step=int(passing is not EVERYWHERE),
        above=passing.above,
        below=passing.below,
    )
    return target, shifts


def spread(
    values: np.ndarray,
    data: np.ndarray,
    window: tuple[int, int],
    strides: tuple[int, int],
    shift: int,
) -> np.ndarray:
    """int32, in the shape of ``data`` (int8): each window's value at its largest element.

    Values are divided by 2**shift before, rounded half up; where there are several largest, the
    first, row by row, has it.
    """
    values, data = np.ascontiguousarray(values, np.int32), np.ascontiguousarray(data, np.int8)
    target = np.zeros(data.shape, np.int32)
    _, _, columns, channels = data.shape
    run(
        {"values": values, "data": data, "target": target},
        operation=SPREAD,
        **dict(zip(("samples", "rows", "columns", "channels"), values.shape, strict=True)),
        shift=shift,
        sample=data[:1].size,
        line=columns * channels,
        **dict(zip(("down", "across"), strides, strict=True)),
        **dict(zip(("window_rows", "window_columns"), window, strict=True)),
    )
    return target


def run(arrays: dict[str, np.ndarray], **numbers: int) -> None:
    """A job of these."""
    addresses = {name: address(array) for name, array in arrays.items()}
    native.run(ERRORS, choose_path(), JOB, addresses | numbers)


# ---- the code -----------------------------------------------------------------------------------


def numbers_of(lanes: int) -> ir.VectorType:
    """So many int32, as sums and magnitudes are."""
    return ir.VectorType(I32, lanes)


def zeros(lanes: int) -> ir.Constant:
    """As many."""
    return ir.Constant(numbers_of(lanes), None)


def every(builder, number, lanes: int):
    """A number of a job in all lanes."""
    return splat(builder, builder.trunc(number, I32), numbers_of(lanes))


def divided(builder, value, shift, lanes: int):
    """Values / 2**shift (0 to 31), rounded half up."""
    right = builder.icmp_signed(">", shift, I64(0))
    half = builder.select(right, builder.sub(shift, I64(1)), I64(0))
    half = builder.ashr(value, every(builder, half, lanes))
    half = builder.and_(half, every(builder, builder.zext(right, I64), lanes))
    return builder.add(builder.ashr(value, every(builder, shift, lanes)), half)


def passed(builder, job: dict, number, lanes: int):
    """Some values from a number on; 0 where they do not pass."""
    value = load_at(builder, at(builder, job["values"], number, SUM_BYTES), numbers_of(lanes))
    place = at(builder, job["output"], number, job["output_step"])
    output = builder.sext(load_at(builder, place, ir.VectorType(I8, lanes)), numbers_of(lanes))
    inside = builder.and_(
        builder.icmp_signed(">", output, every(builder, job["above"], lanes)),
        builder.icmp_signed("<", output, every(builder, job["below"], lanes)),
    )
    return builder.select(inside, value, zeros(lanes))


def build_normalise(builder, address) -> None:
    """All samples: their largest magnitudes first."""
    row = Row(builder, address, JOB)
    job = {name: getattr(row, name) for name in JOB}
    limit = builder.sub(builder.shl(I64(1), job["bits"]), I64(1))
    found = {lanes: variable(builder, numbers_of(lanes)) for lanes in WIDTHS}
    with loop(builder, job["samples"]) as sample:
        start = builder.mul(sample, job["count"])

        def look(first, lanes: int) -> None:
            value, zero = passed(builder, job, builder.add(start, first), lanes), zeros(lanes)
            minus, negative = builder.sub(zero, value), builder.icmp_signed("<", value, zero)
            magnitude = builder.select(negative, minus, value)
            builder.store(builder.or_(builder.load(found[lanes]), magnitude), found[lanes])

        for lanes, place in found.items():
            builder.store(zeros(lanes), place)
        in_runs(builder, job["count"], look)
        shift = builder.sub(bit_length(builder, found), job["bits"])
        shift = builder.select(builder.icmp_signed("<", shift, I64(0)), I64(0), shift)
        store(builder, shift, at(builder, job["shifts"], sample, NUMBER))

        def write(first, lanes: int) -> None:
            number = builder.add(start, first)
            value = divided(builder, passed(builder, job, number, lanes), shift, lanes)
            most = every(builder, limit, lanes)
            value = clip(builder, value, builder.sub(zeros(lanes), most), most)
            place = at(builder, job["target"], number, MANTISSA_BYTES)
            store(builder, builder.trunc(value, ir.VectorType(I16, lanes)), place)

        in_runs(builder, job["count"], write)


def bit_length(builder, found: dict):
    """Of the largest magnitude, from variables that have all their bits."""
    whole = I32(0)
    for lanes, place in found.items():
        last = builder.load(place)
        for lane in range(lanes):
            whole = builder.or_(whole, builder.extract_element(last, I32(lane)))
    leading = call(builder, "llvm.ctlz.i32", I32, whole, I1(0))
    return builder.zext(builder.sub(I32(I32.width), leading), I64)


def build_spread(builder, address) -> None:
    """Every window of all samples."""
    row = Row(builder, address, JOB)
    job = {name: getattr(row, name) for name in JOB}
    size = job["window_rows"], job["window_columns"], job["line"], job["channels"]
    with (
        loop(builder, job["samples"]) as sample,
        loop(builder, job["rows"]) as down,
        loop(builder, job["columns"]) as across,
    ):
        window = at(builder, down, sample, job["rows"])
        window = at(builder, across, window, job["columns"])
        errors = at(builder, job["values"], builder.mul(window, job["channels"]), SUM_BYTES)
        corner = builder.mul(sample, job["sample"])
        corner = at(builder, corner, builder.mul(down, job["down"]), job["line"])
        corner = at(builder, corner, builder.mul(across, job["across"]), job["channels"])

        def write(first, lanes: int) -> None:
            error = load_at(builder, at(builder, errors, first, SUM_BYTES), numbers_of(lanes))
            error = divided(builder, error, job["shift"], lanes)
            place = builder.add(corner, first)
            source = builder.add(job["data"], place)
            target = at(builder, job["target"], place, SUM_BYTES)
            give(builder, error, source, target, size, lanes)

        in_runs(builder, job["channels"], write)


def give(builder, error, source, target, size, lanes: int) -> None:
    """A window's error to its first largest element."""
    rows, columns, line, channels = size
    kind = ir.VectorType(I8, lanes)
    largest, waiting = variable(builder, kind), variable(builder, ir.VectorType(I1, lanes))
    builder.store(load_at(builder, source, kind), largest)
    with loop(builder, rows) as down, loop(builder, columns) as across:
        place = at(builder, at(builder, source, down, line), across, channels)
        value, best = load_at(builder, place, kind), builder.load(largest)
        greater = builder.icmp_signed(">", value, best)
        builder.store(builder.select(greater, value, best), largest)
    builder.store(ir.Constant(ir.VectorType(I1, lanes), [1] * lanes), waiting)
    with loop(builder, rows) as down, loop(builder, columns) as across:
        element = builder.add(builder.mul(down, line), builder.mul(across, channels))
        value = load_at(builder, builder.add(source, element), kind)
        place, still = at(builder, target, element, SUM_BYTES), builder.load(waiting)
        wins = builder.and_(still, builder.icmp_signed("==", value, builder.load(largest)))
        share = builder.select(wins, error, zeros(lanes))
        old = load_at(builder, place, numbers_of(lanes))
        store(builder, builder.add(old, share), place)
        builder.store(builder.xor(still, wins), waiting)


def build_run(builder, address) -> None:
    """A job."""
    operation = Row(builder, address, JOB).operation
    for number, build in ((NORMALISE, build_normalise), (SPREAD, build_spread)):
        with builder.if_then(builder.icmp_signed("==", operation, I64(number))):
            builder.call(function_of(builder.module, build.__name__, build, 1), [address])


def module_of(path: Path) -> ir.Module:
    """All of it: ``max78k_run(address of a job)``; the same for every path."""
    module = ir.Module(f"max78k_mantissas_{path.name}")
    function_of(module, "run", build_run, 1)
    return module
