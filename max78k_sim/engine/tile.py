"""The product at the heart of every layer: some pixels times some vectors of outputs.

Written once, as LLVM code in which only ``MULTIPLY_ADD`` knows a processor's instructions.  A
word of four channels of one pixel is broadcast, and multiplied by four weights of each output of a
vector (``Path.lanes``).  Sums of 32 bits may wrap on the way: the total, which fits 26 bits, is
exact all the same.

Operands.  Data are unsigned bytes: what may be negative is stored as x + 128, and 128 times the sum
of its weights is taken from the bias, less what a path takes off every byte (``Path.offset``).
``taps`` are byte offsets, from a pixel's first byte, of the words that count, so that any kernel
shape, stride, padding or dilation is one list of numbers.  Weights are int8 [tap, vector,
output, 4 channels].
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
    call,
    constant,
    load,
    load_at,
    loop,
    ordered,
    splat,
    store,
    store_finished,
)
from .pairs import multiply_portable
from .path import WORD, Path
from .steps import LINE, SUM_BYTES


def sums_of(path: Path) -> ir.VectorType:
    """A vector of sums."""
    return ir.VectorType(I32, path.lanes)


def bytes_of(path: Path) -> ir.VectorType:
    """A vector of weights, or of a word as often as there are outputs."""
    return ir.VectorType(I8, path.lanes * WORD)


# ---- multiply_add(builder, sums <n x i32>, words <4n x i8>, weights <4n x i8>) -> sums, one a path


def multiply_add_vnni(builder, sums, words, weights):
    """One instruction: the exact sum of four products, added to 32 bits."""
    name = f"llvm.x86.avx512.vpdpbusd.{sums.type.count * 32}"
    for word, weight in zip(words, weights, strict=True):
        sums = call(builder, name, sums.type, sums, word, weight)
    return sums


def multiply_add_avx512(builder, sums, words, weights):
    """Pairs of products of all words in 16 bits, which must hold them; then pairs of those."""
    names = "llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"
    return multiply_add_pairs(builder, sums, words, weights, *names)


def multiply_add_avx2(builder, sums, words, weights):
    """As with AVX-512."""
    names = "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"
    return multiply_add_pairs(builder, sums, words, weights, *names)


def multiply_add_pairs(builder, sums, words, weights, of_bytes: str, of_pairs: str):
    """By the names of two instructions."""
    pairs, total = ir.VectorType(I16, 2 * sums.type.count), None
    for word, weight in zip(words, weights, strict=True):
        part = call(builder, of_bytes, pairs, word, weight)
        total = part if total is None else builder.add(total, part)
    return builder.add(sums, call(builder, of_pairs, sums.type, total, constant(pairs, 1)))


def multiply_add_neon(builder, sums, words, weights):
    """One instruction: the exact sum of four products of signed bytes."""
    name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
    for word, weight in zip(words, weights, strict=True):
        data = builder.xor(word, constant(word.type, -128))
        sums = call(builder, name, sums.type, sums, data, weight)
    return sums


def multiply_add_portable(builder, sums, words, weights):
    """What every processor has: pairs of 16 bits, of even and of odd bytes."""
    pairs = ir.VectorType(I16, 2 * sums.type.count)
    byte, mask = constant(pairs, 8), constant(pairs, 255)
    for word, weight in zip(words, weights, strict=True):
        data, factors = builder.bitcast(word, pairs), builder.bitcast(weight, pairs)
        even = builder.and_(data, mask), builder.ashr(builder.shl(factors, byte), byte)
        odd = builder.lshr(data, byte), builder.ashr(factors, byte)
        for values in (even, odd):
            sums = builder.add(sums, multiply_portable(builder, *values))
    return sums


MULTIPLY_ADD: dict[str, Callable] = {
    "avx512-vnni": multiply_add_vnni,
    "avx512": multiply_add_avx512,
    "avx-vnni": multiply_add_vnni,
    "avx2": multiply_add_avx2,
    "neon": multiply_add_neon,
    "portable": multiply_add_portable,
}


# ---- the tile -----------------------------------------------------------------------------------

ARGUMENTS = (  # of some tiles: what they read, and where and how they write
    ("tiles", I64),
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
    """Fill in a function of ARGUMENTS: tiles of path.pixels pixels by ``vectors`` vectors."""
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    names = dict(zip((name for name, _ in ARGUMENTS), function.args, strict=True))
    pixels = path.pixels[vectors - 1]
    with loop(builder, names["tiles"]) as number:
        first = builder.mul(number, I64(pixels))
        here = {name: builder.gep(names[name], [first]) for name in ("sources", "targets")}
        one_tile(builder, names | here, path, pixels, vectors)
    builder.ret_void()


def one_tile(builder, names, path: Path, pixels: int, vectors: int) -> None:
    """Its sums, from the bias on, and its bytes."""
    before = builder.basic_block
    group_block, end = (builder.append_basic_block(name) for name in ("group", "end"))
    cells = [(pixel, vector) for pixel in range(pixels) for vector in range(vectors)]
    sources = [load(builder, builder.gep(names["sources"], [I64(n)]), 8) for n in range(pixels)]
    kind = sums_of(path)
    bias = [
        load_at(builder, builder.add(names["bias"], I64(SUM_BYTES * path.lanes * vector)), kind)
        for vector in range(vectors)
    ]
    none = builder.icmp_signed("==", names["groups"], I64(0))
    builder.cbranch(none, end, group_block)

    builder.position_at_end(group_block)
    group = builder.phi(I64)
    sums = [builder.phi(kind) for _ in cells]
    results = add_group(builder, names, group, sources, sums, path)
    following = builder.add(group, I64(1))
    group.add_incoming(I64(0), before)
    group.add_incoming(following, group_block)
    builder.cbranch(builder.icmp_signed("<", following, names["groups"]), group_block, end)

    builder.position_at_end(end)
    finals = [builder.phi(kind) for _ in cells]
    for (_, vector), total, final, result in zip(cells, sums, finals, results, strict=True):
        for value in (total, final):
            value.add_incoming(bias[vector], before)
            value.add_incoming(result, group_block)
    store_tile(builder, names, cells, finals)


def add_group(builder, names, group, sources, sums, path: Path) -> list:
    """The sums of every pixel (at ``sources``) and vector, with a group of words multiplied."""
    vectors, kind, vector_bytes = len(sums) // len(sources), bytes_of(path), path.lanes * WORD
    first_tap = builder.mul(group, I64(path.group))
    offsets = [
        load(builder, builder.gep(names["taps"], [builder.add(first_tap, I64(n))]), 4)
        for n in range(path.group)
    ]
    offsets = [builder.sext(offset, I64) for offset in offsets]
    size = path.group * vectors * vector_bytes
    first = builder.add(names["weights"], builder.mul(group, I64(size)))
    multiply_add, results = MULTIPLY_ADD[path.name], list(sums)

    def weights_of(vector: int) -> list:
        places = [I64((n * vectors + vector) * vector_bytes) for n in range(path.group)]
        return [load_at(builder, builder.add(first, place), kind) for place in places]

    def words_of(source) -> list:
        places = [builder.add(source, offset) for offset in offsets]
        words = [splat(builder, load_at(builder, place, I32), sums[0].type) for place in places]
        return [builder.bitcast(word, kind) for word in words]

    def add(pixel: int, vector: int, words, weights) -> None:
        cell = pixel * vectors + vector
        results[cell] = multiply_add(builder, sums[cell], words, weights)

    if len(sources) > vectors:  # registers keep what is fewer: weights, or words
        kept = [weights_of(vector) for vector in range(vectors)]
        for pixel, source in enumerate(sources):
            words = words_of(source)
            for vector, weights in enumerate(kept):
                add(pixel, vector, words, weights)
    elif path.group > 1:  # words of one pixel at a time: pairs of products need registers, too
        for pixel, source in enumerate(sources):
            words = words_of(source)
            for vector in range(vectors):
                add(pixel, vector, words, weights_of(vector))
            cells = slice(pixel * vectors, (pixel + 1) * vectors)
            results[cells] = [ordered(builder, result) for result in results[cells]]
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
    kind = finals[0].type
    for pixel, _ in cells:
        if pixel not in targets:
            targets[pixel] = load(builder, builder.gep(names["targets"], [I64(pixel)]), 8)
    with builder.if_else(names["raw"]) as (raw, finished):
        with raw:
            for (pixel, vector), final in zip(cells, finals, strict=True):
                place = builder.add(targets[pixel], I64(SUM_BYTES * kind.count * vector))
                store(builder, final, place)
        with finished:
            places = [
                builder.add(targets[pixel], I64(kind.count * vector)) for pixel, vector in cells
            ]
            store_finished(builder, list(zip(finals, places, strict=True)), names)


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


def build_peak(function: ir.Function, path: Path, pixels: int) -> None:
    """(rounds, address of operands, and for the sums): the products of a tile of one vector.

    Words and sums stay in registers; weights are loaded each round, or the compiler would multiply
    once.
    """
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))
    builder = ir.IRBuilder(entry)
    rounds, address = function.args

    def operand(number: int):
        return load_at(builder, builder.add(address, I64(LINE * number)), bytes_of(path))

    words = [operand(n) for n in range(pixels)]
    builder.branch(loop)
    builder.position_at_end(loop)
    count = builder.phi(I64)
    count.add_incoming(I64(0), entry)
    cells = [builder.phi(sums_of(path)) for _ in range(pixels)]
    forgotten = ir.FunctionType(ir.VoidType(), [])
    builder.asm(forgotten, "", "~{memory}", [], side_effect=True)
    weights = [operand(pixels + n) for n in range(path.group)]
    sums = []
    for n, cell in enumerate(cells):
        read = [words[(n + g) % pixels] for g in range(path.group)]
        sums.append(MULTIPLY_ADD[path.name](builder, cell, read, weights))
        cell.add_incoming(constant(cell.type, 0), entry)
        cell.add_incoming(sums[n], loop)
    following = builder.add(count, I64(1))
    count.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, rounds), loop, end)
    builder.position_at_end(end)
    whole = sums[0]
    for each in sums[1:]:
        whole = builder.add(whole, each)
    store(builder, whole, address)
    builder.ret_void()
