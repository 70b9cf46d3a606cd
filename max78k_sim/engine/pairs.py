"""The product at the heart of every gradient: some rows times 16, 32 or 48 columns, of int16 pairs.

Written once, as LLVM code in which only ``MULTIPLY`` knows a processor's instructions.  A word of
two neighbouring numbers of one row is broadcast, and multiplied by a pair of each of 16 columns;
both products are added, in 32 bits.  Sums may wrap on the way: a total that fits is exact.

Operands.  A row is an address; ``offsets`` are bytes from it, of the words that count, so that any
kernel shape, padding or dilation is one list of numbers, as in ``tile``.  The other factor is a
panel, int16 [word, vector, 16 columns, 2].  -32768 is never multiplied by itself: one of the two
factors is a byte.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .lanes import (
    I16,
    I32,
    I64,
    SUMS,
    at,
    call,
    clip,
    constant,
    load_at,
    loop,
    ordered,
    splat,
    store,
    variable,
)
from .path import Path
from .steps import LANES, SUM_BYTES

WORD = 4  # bytes of a pair
VECTOR_BYTES = LANES * WORD
PAIRS = ir.VectorType(I16, 2 * LANES)
VECTORS = 3  # at most, of a product
ROWS = {  # of a product, by its number of vectors: as many as registers hold
    "avx512-vnni": (14, 12, 8),
    "avx512": (14, 12, 8),
    "avx-vnni": (4, 2, 2),
    "avx2": (4, 2, 2),
    "neon": (5, 2, 1),
    "portable": (4, 2, 2),
}
ORDERED = ("avx512-vnni", "avx512")  # whose vectors are one register each

# ---- multiply(builder, words <2n x i16>, factors <2n x i16>) -> <n x i32>, one a path -----------


def sums_of(words) -> ir.VectorType:
    """A vector of sums of pairs."""
    return ir.VectorType(I32, words.type.count // 2)


def multiply_avx512(builder, words, factors):
    """One instruction."""
    return call(builder, "llvm.x86.avx512.pmaddw.d.512", SUMS, words, factors)


def multiply_avx2(builder, words, factors):
    """One instruction, or in halves where a vector is two registers."""
    eight = ir.VectorType(I32, LANES // 2)
    if sums_of(words) == eight:
        return call(builder, "llvm.x86.avx2.pmadd.wd", eight, words, factors)
    halves = []
    for first in (0, LANES):
        order = ir.Constant(ir.VectorType(I32, LANES), list(range(first, first + LANES)))
        nothing = ir.Constant(PAIRS, ir.Undefined)
        operands = [builder.shuffle_vector(whole, nothing, order) for whole in (words, factors)]
        halves.append(multiply_avx2(builder, *operands))
    order = ir.Constant(ir.VectorType(I32, LANES), list(range(LANES)))
    return builder.shuffle_vector(*halves, order)


def multiply_portable(builder, words, factors):
    """Even numbers by even ones, and odd by odd, each in 32 bits."""
    kind = sums_of(words)
    parts = []
    for first in (0, 1):
        order = ir.Constant(kind, list(range(first, words.type.count, 2)))
        nothing = ir.Constant(words.type, ir.Undefined)
        numbers = (builder.shuffle_vector(whole, nothing, order) for whole in (words, factors))
        parts.append(builder.mul(*(builder.sext(each, kind) for each in numbers)))
    return builder.add(*parts)


MULTIPLY: dict[str, Callable] = {
    "avx512-vnni": multiply_avx512,
    "avx512": multiply_avx512,
    "avx-vnni": multiply_avx2,
    "avx2": multiply_avx2,
    "neon": multiply_portable,
    "portable": multiply_portable,
}


# ---- the product --------------------------------------------------------------------------------


def build_product(
    builder, base, rows, offsets, words, panel, target, stride, *more, path: Path, vectors: int, end
) -> None:
    """Rows times ``vectors`` vectors of columns; ``end(builder, sums, target, stride, *more)``.

    ``rows``: int32, bytes of each row from ``base``; ``offsets``: int32 [words].
    """
    count = ROWS[path.name][vectors - 1]
    sources = [
        builder.add(base, builder.sext(load_at(builder, at(builder, rows, I64(n), WORD), I32), I64))
        for n in range(count)
    ]
    sums = [[variable(builder, SUMS, constant(SUMS, 0)) for _ in range(vectors)] for _ in sources]
    with loop(builder, words) as number:
        offset = builder.sext(load_at(builder, at(builder, offsets, number, WORD), I32), I64)
        place = at(builder, panel, number, vectors * VECTOR_BYTES)
        factors = [
            load_at(builder, builder.add(place, I64(VECTOR_BYTES * n)), PAIRS)
            for n in range(vectors)
        ]
        for source, line in zip(sources, sums, strict=True):
            word = splat(builder, load_at(builder, builder.add(source, offset), I32), SUMS)
            word = builder.bitcast(word, PAIRS)
            for total, factor in zip(line, factors, strict=True):
                part = MULTIPLY[path.name](builder, word, factor)
                builder.store(builder.add(builder.load(total), part), total)
            if path.name in ORDERED:
                for total in line:
                    builder.store(ordered(builder, builder.load(total)), total)
    end(builder, [[builder.load(total) for total in line] for line in sums], target, stride, *more)


def place_of(builder, target, stride, row: int, vector: int):
    """Address of a vector of sums."""
    return builder.add(at(builder, target, I64(row), stride), I64(SUM_BYTES * LANES * vector))


def keep(builder, sums, target, stride, rows, columns) -> None:
    """Sums are stored, no more of them than there are rows and columns."""
    vectors = len(sums[0])
    whole = builder.and_(
        builder.icmp_signed(">=", rows, I64(len(sums))),
        builder.icmp_signed(">=", columns, I64(LANES * vectors)),
    )
    buffer = variable(builder, ir.ArrayType(SUMS, vectors))
    near = builder.ptrtoint(buffer, I64)
    bytes_of = builder.mul(columns, I64(SUM_BYTES))
    most = I64(SUM_BYTES * LANES * vectors)
    bytes_of = builder.select(builder.icmp_signed("<", bytes_of, most), bytes_of, most)
    with builder.if_else(whole) as (all_of_them, some):
        with all_of_them:
            for row, line in enumerate(sums):
                for vector, total in enumerate(line):
                    store(builder, total, place_of(builder, target, stride, row, vector))
        with some:
            for row, line in enumerate(sums):
                with builder.if_then(builder.icmp_signed("<", I64(row), rows)):
                    for vector, total in enumerate(line):
                        store(builder, total, place_of(builder, near, I64(0), 0, vector))
                    far = place_of(builder, target, stride, row, 0)
                    with loop(builder, builder.lshr(bytes_of, I64(2))) as n:
                        value = load_at(builder, at(builder, near, n, SUM_BYTES), I32)
                        store(builder, value, at(builder, far, n, SUM_BYTES))


def add_scaled(builder, sums, target, stride, shift, limit) -> None:
    """Each sum divided by 2**shift, rounded half up, saturated to +-limit, added to the target."""
    zero = constant(SUMS, 0)
    most = splat(builder, builder.trunc(limit, I32), SUMS)
    least = builder.sub(zero, most)

    def add_all(scaled) -> None:
        for row, line in enumerate(sums):
            for vector, total in enumerate(line):
                place = place_of(builder, target, stride, row, vector)
                old = load_at(builder, place, SUMS)
                store(builder, builder.add(old, scaled(total)), place)

    with builder.if_else(builder.icmp_signed(">", shift, I64(0))) as (right, left):
        with right:
            one = constant(SUMS, 1)
            by = builder.sub(splat(builder, builder.trunc(shift, I32), SUMS), one)

            def divided(total):  # by all but one 2; n less the half rounded down is rounded up
                total = builder.ashr(total, by)
                return clip(builder, builder.sub(total, builder.ashr(total, one)), least, most)

            add_all(divided)
        with left:
            by = splat(builder, builder.trunc(builder.sub(I64(0), shift), I32), SUMS)
            bound = builder.ashr(most, by)  # beyond it, the product is beyond the limit
            below = builder.sub(zero, bound)

            def multiplied(total):
                value = builder.shl(total, by)
                value = builder.select(builder.icmp_signed(">", total, bound), most, value)
                return builder.select(builder.icmp_signed("<", total, below), least, value)

            add_all(multiplied)
