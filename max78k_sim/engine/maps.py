"""What is done to maps besides products: moved, pooled, combined, finished.

Each is LLVM code for one row or one pixel; arguments are addresses and numbers.  Bytes are handled
16 at a time, so that maps take whole vectors for their channels (``steps.vectors``).
"""

from __future__ import annotations

from llvmlite import ir

from ..arithmetic import ACTIVATION_MAX, ACTIVATION_MIN
from .lanes import (
    FINISHING,
    I1,
    I8,
    I32,
    I64,
    SMALL,
    SUMS,
    at,
    clip,
    constant,
    finish,
    load_at,
    loop,
    own,
    splat,
    store,
    variable,
)
from .steps import LANES, SUM_BYTES

ELTWISE = ("sub", "add", "or_", "xor")  # by the code in the register


@own
def move(builder, source, target, count, flip):
    """target[n] = source[n] ^ flip."""
    small = builder.trunc(flip, I8)
    flips = splat(builder, small, SMALL)
    whole = builder.lshr(count, I64(4))
    with loop(builder, whole) as vector:
        value = load_at(builder, at(builder, source, vector, LANES), SMALL)
        store(builder, builder.xor(value, flips), at(builder, target, vector, LANES))
    done = builder.mul(whole, I64(LANES))
    with loop(builder, builder.sub(count, done)) as rest:
        place = builder.add(done, rest)
        value = load_at(builder, builder.add(source, place), I8)
        store(builder, builder.xor(value, small), builder.add(target, place))


@own
def gather(builder, source, target, row, rows, index, count, flip):
    """target[n] = source[index[n]] ^ flip, row by row; index: int32 [row, count]."""
    small = builder.trunc(flip, I8)
    with loop(builder, rows) as line:
        places = at(builder, index, builder.mul(line, count), 4)
        first = at(builder, target, line, row)
        with loop(builder, count) as n:
            place = load_at(builder, at(builder, places, n, 4), I32)
            value = load_at(builder, builder.add(source, builder.sext(place, I64)), I8)
            store(builder, builder.xor(value, small), builder.add(first, n))


@own
def transfer(builder, source, target, outside, inside, count, flip):
    """target[outside[n]] = source[inside[n]] ^ flip; both int32."""
    small = builder.trunc(flip, I8)
    with loop(builder, count) as n:
        place = load_at(builder, at(builder, inside, n, 4), I32)
        value = load_at(builder, builder.add(source, builder.sext(place, I64)), I8)
        place = load_at(builder, at(builder, outside, n, 4), I32)
        store(builder, builder.xor(value, small), builder.add(target, builder.sext(place, I64)))


@own
def maximum(builder, source, row, column, rows, columns, vectors, target, flip):
    """Largest of rows x columns pixels, ``row`` and ``column`` bytes apart."""
    best = variable(builder, SMALL)
    flips = splat(builder, builder.trunc(flip, I8), SMALL)
    with loop(builder, vectors) as vector:
        first = at(builder, source, vector, LANES)
        builder.store(constant(SMALL, ACTIVATION_MIN), best)
        with loop(builder, rows) as down, loop(builder, columns) as across:
            address = at(builder, at(builder, first, down, row), across, column)
            value, old = load_at(builder, address, SMALL), builder.load(best)
            larger = builder.icmp_signed(">", value, old)
            builder.store(builder.select(larger, value, old), best)
        result = builder.xor(builder.load(best), flips)
        store(builder, result, at(builder, target, vector, LANES))


@own
def total(builder, source, row, column, rows, columns, vectors, target):
    """Sums, int32, of rows x columns pixels."""
    whole = variable(builder, SUMS)
    with loop(builder, vectors) as vector:
        first = at(builder, source, vector, LANES)
        builder.store(constant(SUMS, 0), whole)
        with loop(builder, rows) as down, loop(builder, columns) as across:
            address = at(builder, at(builder, first, down, row), across, column)
            value = builder.sext(load_at(builder, address, SMALL), SUMS)
            builder.store(builder.add(builder.load(whole), value), whole)
        store(builder, builder.load(whole), at(builder, target, vector, SUM_BYTES * LANES))


@own
def look_up(builder, sums, table, count, target, flip):
    """target[n] = table[sums[n]] ^ flip; both int32, the table's address is that of its 0."""
    small = builder.trunc(flip, I8)
    with loop(builder, count) as n:
        place = load_at(builder, at(builder, sums, n, SUM_BYTES), I32)
        value = load_at(builder, at(builder, table, builder.sext(place, I64), 4), I32)
        value = builder.xor(builder.trunc(value, I8), small)
        store(builder, value, builder.add(target, n))


@own
def fold(builder, sources, count, vectors, function, target, flip):
    """Operands, at ``count`` addresses, folded into the first by ELTWISE[function]; clipped."""
    whole = variable(builder, SUMS)
    flips = splat(builder, builder.trunc(flip, I8), SMALL)
    codes = [builder.icmp_signed("==", function, I64(code)) for code in range(len(ELTWISE))]
    with loop(builder, vectors) as vector:
        offset = builder.mul(vector, I64(LANES))
        first = builder.add(load_at(builder, sources, I64), offset)
        builder.store(builder.sext(load_at(builder, first, SMALL), SUMS), whole)
        with loop(builder, count, start=I64(1)) as operand:
            place = load_at(builder, at(builder, sources, operand, 8), I64)
            value = builder.sext(load_at(builder, builder.add(place, offset), SMALL), SUMS)
            old = result = builder.load(whole)
            for code, name in zip(codes, ELTWISE, strict=True):
                result = builder.select(code, getattr(builder, name)(old, value), result)
            builder.store(result, whole)
        result = clip(
            builder,
            builder.load(whole),
            constant(SUMS, ACTIVATION_MIN),
            constant(SUMS, ACTIVATION_MAX),
        )
        result = builder.xor(builder.trunc(result, SMALL), flips)
        store(builder, result, builder.add(target, offset))


@own
def check(builder, sums, vectors, limit, found):
    """int32 at ``found`` becomes other than 0 where a sum is not in -limit..limit - 1."""
    bound = splat(builder, builder.trunc(limit, I32), SUMS)
    minus = builder.sub(constant(SUMS, 0), bound)
    beyond = variable(builder, SUMS)
    builder.store(constant(SUMS, 0), beyond)
    with loop(builder, vectors) as vector:
        value = load_at(builder, at(builder, sums, vector, SUM_BYTES * LANES), SUMS)
        wrong = builder.or_(
            builder.icmp_signed(">=", value, bound), builder.icmp_signed("<", value, minus)
        )
        builder.store(builder.or_(builder.load(beyond), builder.zext(wrong, SUMS)), beyond)
    last = builder.load(beyond)
    result = load_at(builder, found, I32)
    for lane in range(LANES):
        result = builder.or_(result, builder.extract_element(last, I32(lane)))
    store(builder, result, found)


@own
def activate(builder, sums, vectors, target, bound, left, half, right, least, flip, absolute):
    """Sums to bytes: see FINISHING."""
    values = (bound, left, half, right, least, flip)
    finishing = {
        name: splat(builder, builder.trunc(value, I32), SUMS)
        for name, value in zip(FINISHING, values, strict=True)
    }
    flag = splat(builder, builder.trunc(absolute, I1), ir.VectorType(I1, LANES))
    with loop(builder, vectors) as vector:
        value = load_at(builder, at(builder, sums, vector, SUM_BYTES * LANES), SUMS)
        result = finish(builder, value, finishing, flag)
        store(builder, result, at(builder, target, vector, LANES))
