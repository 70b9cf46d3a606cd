"""The product at the heart of every layer: some pixels times 16, 32, 48 or 64 outputs.

Written once, as LLVM code in which only ``MULTIPLY_ADD`` knows a processor's instructions.  A
word of four channels of one pixel is broadcast, and multiplied by four weights of each of 16
outputs.  Sums of 32 bits may wrap on the way: the total, which fits 26 bits, is exact all the same.

Operands.  Data are unsigned bytes: what may be negative is stored as x + 128, and 128 times the sum
of its weights is taken from the bias, less what a path takes off every byte (``Path.offset``).
``taps`` are byte offsets, from a pixel's first byte, of the words that count, so that any kernel
shape, stride, padding or dilation is one list of numbers.  Weights are int8 [tap, vector, 16
outputs, 4 channels].
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from .lanes import (
    FINISHING,
    I1,
    I8,
    I16,
    I32,
    I64,
    SUMS,
    call,
    constant,
    finish,
    finish_plain,
    load,
    load_at,
    splat,
    store,
)
from .path import WORD, Path
from .steps import LANES, SUM_BYTES

VECTOR_BYTES = LANES * WORD
BYTES = ir.VectorType(I8, VECTOR_BYTES)

# ---- multiply_add(builder, sums, words <64 x i8>, weights <64 x i8>) -> sums, one a path --------


def multiply_add_vnni(builder, sums, words, weights):
    """One instruction: the exact sum of four products, added to 32 bits."""
    for word, weight in zip(words, weights, strict=True):
        sums = call(builder, "llvm.x86.avx512.vpdpbusd.512", SUMS, sums, word, weight)
    return sums


def multiply_add_avx_vnni(builder, sums, words, weights):
    """The same in halves."""
    eight, half = ir.VectorType(I32, LANES // 2), ir.VectorType(I8, VECTOR_BYTES // 2)
    for word, weight in zip(words, weights, strict=True):
        halves = [
            call(
                builder,
                "llvm.x86.avx512.vpdpbusd.256",
                eight,
                part(builder, sums, number, eight),
                part(builder, word, number, half),
                part(builder, weight, number, half),
            )
            for number in (0, 1)
        ]
        sums = joined(builder, *halves)
    return sums


def multiply_add_avx512(builder, sums, words, weights):
    """Pairs of products of all words in 16 bits, which must hold them; then pairs of those."""
    pairs = ir.VectorType(I16, 32)
    total = None
    for word, weight in zip(words, weights, strict=True):
        part = call(builder, "llvm.x86.avx512.pmaddubs.w.512", pairs, word, weight)
        total = part if total is None else builder.add(total, part)
    wide = call(builder, "llvm.x86.avx512.pmaddw.d.512", SUMS, total, constant(pairs, 1))
    return builder.add(sums, wide)


def multiply_add_avx2(builder, sums, words, weights):
    """As with AVX-512, in halves."""
    half, pairs = ir.VectorType(I8, 32), ir.VectorType(I16, 16)
    eight = ir.VectorType(I32, 8)
    results = []
    for first in (0, 1):
        total = None
        for word, weight in zip(words, weights, strict=True):
            operands = [part(builder, whole, first, half) for whole in (word, weight)]
            product = call(builder, "llvm.x86.avx2.pmadd.ub.sw", pairs, *operands)
            total = product if total is None else builder.add(total, product)
        results.append(call(builder, "llvm.x86.avx2.pmadd.wd", eight, total, constant(pairs, 1)))
    return builder.add(sums, joined(builder, *results))


def part(builder, whole, number: int, kind: ir.VectorType):
    """One of the equal parts of a vector."""
    order = [number * kind.count + n for n in range(kind.count)]
    order = ir.Constant(ir.VectorType(I32, kind.count), order)
    return builder.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), order)


def multiply_add_neon(builder, sums, words, weights):
    """One instruction for four outputs: the exact sum of four products of signed bytes."""
    kind, bytes_of = ir.VectorType(I32, 4), ir.VectorType(I8, 16)
    name, four = "llvm.aarch64.neon.sdot.v4i32.v16i8", LANES // 4
    for word, weight in zip(words, weights, strict=True):
        data = builder.xor(part(builder, word, 0, bytes_of), constant(bytes_of, -128))
        quarters = [
            call(
                builder,
                name,
                kind,
                part(builder, sums, number, kind),
                data,
                part(builder, weight, number, bytes_of),
            )
            for number in range(four)
        ]
        halves = [joined(builder, *quarters[first : first + 2]) for first in (0, 2)]
        sums = joined(builder, *halves)
    return sums


def joined(builder, first, second):
    """Two vectors as one."""
    order = ir.Constant(ir.VectorType(I32, 2 * first.type.count), list(range(2 * first.type.count)))
    return builder.shuffle_vector(first, second, order)


def multiply_add_portable(builder, sums, words, weights):
    """What every processor has: bytes picked out of 32-bit words by shifts."""
    for word, weight in zip(words, weights, strict=True):
        data, factors = builder.bitcast(word, SUMS), builder.bitcast(weight, SUMS)
        for byte in range(WORD):
            value = builder.and_(builder.lshr(data, constant(SUMS, 8 * byte)), constant(SUMS, 255))
            factor = builder.shl(factors, constant(SUMS, 24 - 8 * byte))
            factor = builder.ashr(factor, constant(SUMS, 24))
            sums = builder.add(sums, builder.mul(value, factor))
    return sums


MULTIPLY_ADD: dict[str, Callable] = {
    "avx512-vnni": multiply_add_vnni,
    "avx512": multiply_add_avx512,
    "avx-vnni": multiply_add_avx_vnni,
    "avx2": multiply_add_avx2,
    "neon": multiply_add_neon,
    "portable": multiply_add_portable,
}


# ---- the tile -----------------------------------------------------------------------------------

ARGUMENTS = (  # of a tile: what it reads, and where and how it writes
    ("sources", ir.PointerType(I64)),  # address of each pixel's first byte
    ("targets", ir.PointerType(I64)),  # address of each pixel's first output
    ("taps", ir.PointerType(I32)),
    ("groups", I64),  # of taps
    ("weights", I64),  # address
    ("bias", I64),  # address
    ("raw", I1),  # write sums as they are, 32 bits
    *((name, I32) for name in FINISHING),
    ("absolute", I1),
    ("plain", I1),  # neither shifted to the left nor absolute: less to do
)


def build_tile(function: ir.Function, path: Path, vectors: int) -> None:
    """Fill in a function of ARGUMENTS: path.pixels pixels times ``vectors`` vectors of outputs."""
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    builder = ir.IRBuilder(entry)
    names = dict(zip((name for name, _ in ARGUMENTS), function.args, strict=True))
    pixels = path.pixels[vectors - 1]
    cells = [(pixel, vector) for pixel in range(pixels) for vector in range(vectors)]
    sources = [load(builder, builder.gep(names["sources"], [I64(n)]), 8) for n in range(pixels)]
    bias = [
        load_at(builder, builder.add(names["bias"], I64(SUM_BYTES * LANES * vector)), SUMS)
        for vector in range(vectors)
    ]
    none = builder.icmp_signed("==", names["groups"], I64(0))
    builder.cbranch(none, end, loop)

    builder.position_at_end(loop)
    group = builder.phi(I64)
    sums = [builder.phi(SUMS) for _ in cells]
    results = add_group(builder, names, group, sources, sums, path)
    following = builder.add(group, I64(1))
    group.add_incoming(I64(0), entry)
    group.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, names["groups"]), loop, end)

    builder.position_at_end(end)
    finals = [builder.phi(SUMS) for _ in cells]
    for (_, vector), total, final, result in zip(cells, sums, finals, results, strict=True):
        for value in (total, final):
            value.add_incoming(bias[vector], entry)
            value.add_incoming(result, loop)
    store_tile(builder, names, cells, finals)


def add_group(builder, names, group, sources, sums, path: Path) -> list:
    """The sums of every pixel (at ``sources``) and vector, with a group of words multiplied."""
    vectors = len(sums) // len(sources)
    first_tap = builder.mul(group, I64(path.group))
    offsets = [
        load(builder, builder.gep(names["taps"], [builder.add(first_tap, I64(n))]), 4)
        for n in range(path.group)
    ]
    offsets = [builder.sext(offset, I64) for offset in offsets]
    size = path.group * vectors * VECTOR_BYTES
    first = builder.add(names["weights"], builder.mul(group, I64(size)))
    multiply_add, results = MULTIPLY_ADD[path.name], list(sums)

    def weights_of(vector: int) -> list:
        places = [I64((n * vectors + vector) * VECTOR_BYTES) for n in range(path.group)]
        return [load_at(builder, builder.add(first, place), BYTES) for place in places]

    def words_of(source) -> list:
        places = [builder.add(source, offset) for offset in offsets]
        words = [splat(builder, load_at(builder, place, I32), SUMS) for place in places]
        return [builder.bitcast(word, BYTES) for word in words]

    def add(pixel: int, vector: int, words, weights) -> None:
        cell = pixel * vectors + vector
        results[cell] = multiply_add(builder, sums[cell], words, weights)

    if len(sources) > vectors:  # registers keep what is fewer: weights, or words
        kept = [weights_of(vector) for vector in range(vectors)]
        for pixel, source in enumerate(sources):
            words = words_of(source)
            for vector, weights in enumerate(kept):
                add(pixel, vector, words, weights)
    else:
        kept = [words_of(source) for source in sources]
        for vector in range(vectors):
            weights = weights_of(vector)
            for pixel, words in enumerate(kept):
                add(pixel, vector, words, weights)
    return results


def store_tile(builder, names, cells, finals) -> None:
    """Sums as they are, or shifted, rounded, clipped, activated and stored as bytes."""
    targets: dict[int, ir.Value] = {}
    for pixel, _ in cells:
        if pixel not in targets:
            targets[pixel] = load(builder, builder.gep(names["targets"], [I64(pixel)]), 8)
    with builder.if_else(names["raw"]) as (raw, finished):
        with raw:
            for (pixel, vector), final in zip(cells, finals, strict=True):
                place = builder.add(targets[pixel], I64(SUM_BYTES * LANES * vector))
                store(builder, final, place)
        with finished:
            finishing = {name: splat(builder, names[name], SUMS) for name in FINISHING}
            absolute = splat(builder, names["absolute"], ir.VectorType(I1, LANES))
            with builder.if_else(names["plain"]) as (plain, other):
                for branch, how in ((plain, finish_plain), (other, finish)):
                    with branch:
                        for (pixel, vector), final in zip(cells, finals, strict=True):
                            small = how(builder, final, finishing, absolute)
                            place = builder.add(targets[pixel], I64(LANES * vector))
                            store(builder, small, place)
    builder.ret_void()


def tile(builder: ir.IRBuilder, path: Path, vectors: int, operands: dict) -> None:
    """A call; ``operands``: LLVM values, 64-bit numbers, by the names in ARGUMENTS."""
    module, name = builder.module, f"max78k_tile_{vectors}"
    if name not in module.globals:
        kinds = [kind for _, kind in ARGUMENTS]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
        function.attributes.add("noinline")
        build_tile(function, path, vectors)
    given = []
    for argument, kind in ARGUMENTS:
        value = operands[argument]
        if isinstance(kind, ir.PointerType):
            value = builder.inttoptr(value, kind)
        elif kind is not I64:
            value = builder.trunc(value, kind)
        given.append(value)
    builder.call(module.globals[name], given)


# ---- how fast that could be ---------------------------------------------------------------------


PEAK_VECTORS = 1  # of a tile whose operands all find room in registers (of 2 they do not)
PEAK_PIXELS = 3  # and more; of fewer, the compiler makes products once, not once a round


def build_peak(function: ir.Function, path: Path, pixels: int) -> None:
    """(rounds, address of operands, and for the sums): a tile's products, from registers."""
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    builder = ir.IRBuilder(entry)
    rounds, address = function.args
    weights = [
        [
            load_at(builder, builder.add(address, I64(n * path.group + g)), BYTES)
            for g in range(path.group)
        ]
        for n in range(PEAK_VECTORS)
    ]
    first = [load_at(builder, builder.add(address, I64(64 + n)), BYTES) for n in range(pixels)]
    builder.branch(loop)
    builder.position_at_end(loop)
    count = builder.phi(I64)
    count.add_incoming(I64(0), entry)
    words = [builder.phi(BYTES) for _ in range(pixels)]
    for n, word in enumerate(words):  # they change places, or they would be multiplied only once
        word.add_incoming(first[n], entry)
        word.add_incoming(words[(n + 1) % pixels], loop)
    cells = [builder.phi(SUMS) for _ in range(PEAK_VECTORS * pixels)]
    for n, cell in enumerate(cells):
        pixel, vector = divmod(n, PEAK_VECTORS)
        operands = [words[(pixel + g) % pixels] for g in range(path.group)]
        cell.add_incoming(constant(SUMS, 0), entry)
        cell.add_incoming(MULTIPLY_ADD[path.name](builder, cell, operands, weights[vector]), loop)
    following = builder.add(count, I64(1))
    count.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, rounds), loop, end)
    builder.position_at_end(end)
    whole = cells[0]
    for cell in cells[1:]:
        whole = builder.add(whole, cell)
    store(builder, whole, address)
    builder.ret_void()
