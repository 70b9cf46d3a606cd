"""What is done to maps besides products: moved, pooled, combined, finished.

Each is LLVM code for one row or one pixel; arguments are addresses and numbers.  Bytes are handled
16 at a time, so that maps take whole vectors for their channels (``steps.vectors``).
"""

from __future__ import annotations

from functools import reduce
from itertools import product

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
    parts,
    smaller,
    splat,
    store,
    variable,
)
from .steps import LANES, SUM_BYTES

WINDOWS = ((2, 2), (2, 1))  # whose pixels are not counted at run time
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
    last = builder.sub(count, I64(LANES))
    with builder.if_else(builder.icmp_signed(">=", last, I64(0))) as (vectors, few):
        with vectors:  # the last one overlaps the one before
            value = load_at(builder, builder.add(source, last), SMALL)
            store(builder, builder.xor(value, flips), builder.add(target, last))
        with few, loop(builder, count) as n:
            value = load_at(builder, builder.add(source, n), I8)
            store(builder, builder.xor(value, small), builder.add(target, n))


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
def turn(builder, source, plane, count, channels, target, pixel, flip):
    """target[pixel * n + channel] = source[plane * channel + n] ^ flip, by LANES of both.

    There are LANES of each at least; the last ones overlap those before.
    """
    flips = splat(builder, builder.trunc(flip, I8), SMALL)

    def start(number, whole):
        last = builder.sub(whole, I64(LANES))
        return smaller(builder, builder.mul(number, I64(LANES)), last)

    blocks, vectors = (parts(builder, whole, I64(LANES)) for whole in (count, channels))
    with loop(builder, blocks) as block, loop(builder, vectors) as vector:
        first, channel = start(block, count), start(vector, channels)
        read = builder.add(at(builder, source, channel, plane), first)
        lines = [load_at(builder, at(builder, read, I64(n), plane), SMALL) for n in range(LANES)]
        write = builder.add(at(builder, target, first, pixel), channel)
        for n, line in enumerate(transposed(builder, lines)):
            store(builder, builder.xor(line, flips), at(builder, write, I64(n), pixel))


def transposed(builder: ir.IRBuilder, lines: list) -> list:
    """LANES vectors of LANES bytes, by dealing the first and the second half one by one."""
    half = LANES // 2
    pairs = [(n, LANES + n) for n in range(LANES)]
    orders = [
        ir.Constant(ir.VectorType(I32, LANES), list(sum(part, ())))
        for part in (pairs[:half], pairs[half:])
    ]
    for _ in range(LANES.bit_length() - 1):
        lines = [
            builder.shuffle_vector(one, other, order)
            for one, other in zip(lines[:half], lines[half:], strict=True)
            for order in orders
        ]
    return lines


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
    flips = splat(builder, builder.trunc(flip, I8), SMALL)

    def pixel(vector, down, across):
        place = at(builder, at(builder, source, vector, LANES), down, row)
        return load_at(builder, at(builder, place, across, column), SMALL)

    def larger(one, other):
        return builder.select(builder.icmp_signed(">", one, other), one, other)

    def write(vector, best) -> None:
        store(builder, builder.xor(best, flips), at(builder, target, vector, LANES))

    other = I1(1)
    for size in WINDOWS:
        here = (
            builder.icmp_signed("==", number, I64(n))
            for number, n in zip((rows, columns), size, strict=True)
        )
        this = builder.and_(*here)
        other = builder.select(this, I1(0), other)
        with builder.if_then(this), loop(builder, vectors) as vector:
            places = product(*(map(I64, range(n)) for n in size))
            write(vector, reduce(larger, [pixel(vector, *place) for place in places]))
    best = variable(builder, SMALL)
    with builder.if_then(other), loop(builder, vectors) as vector:
        builder.store(constant(SMALL, ACTIVATION_MIN), best)
        with loop(builder, rows) as down, loop(builder, columns) as across:
            value = larger(pixel(vector, down, across), builder.load(best))
            builder.store(value, best)
        write(vector, builder.load(best))


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
